//! Lists and sections as YAML writes them.

use super::super::fault::Fault;
use super::super::raw::SECTIONS;
use super::line::{self, MeantLine, sets_a_key, without_comment};
use super::{Correction, value};

impl Correction<'_> {
    /// `inputs:` or `inputs =` with `- pump` on the lines below it.
    pub(super) fn yaml_list(&mut self, at: usize) -> bool {
        let is_item = |line: &String| line.trim_start().starts_with("- ");
        let mut first = at;
        while first > 0 && is_item(&self.lines[first]) {
            first -= 1;
        }
        let code = without_comment(&self.lines[first]);
        let Some(key) = code.strip_suffix([':', '=']).map(|key| key.trim().to_owned()) else { return false };
        let end = (first + 1..self.lines.len()).find(|line| !is_item(&self.lines[*line]));
        let end = end.unwrap_or(self.lines.len());
        if end == first + 1 || !sets_a_key(&format!("{key} =")) {
            return false;
        }
        let items: Vec<String> = self.lines[first + 1..end]
            .iter()
            .map(|line| {
                let item = without_comment(line).trim_start_matches('-').trim().to_owned();
                if value::is_value(&item) { item } else { format!("{:?}", item.trim_matches(['"', '\''])) }
            })
            .collect();
        let section = self.section_of(first);
        for line in &mut self.lines[first + 1..end] {
            line.clear();
        }
        let line = Some(format!("{key} = [{}]", items.join(", ")));
        let expected = "this is how YAML writes a list; here it stands in brackets".to_owned();
        self.replace(first, &section, MeantLine { line, key: Some(key), expected, advice: String::new() });
        true
    }

    /// `judge:` with `high:` below it, further in: the names of sections as YAML nests them.
    pub(super) fn yaml_section(&mut self, at: usize) -> bool {
        let name = |line: &str| {
            let name = without_comment(line).strip_suffix(':').map(str::trim)?;
            line::is_bare_path(name).then(|| name.to_owned())
        };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let Some(own) = name(&self.written[at]) else { return false };
        // The names that it stands below.
        let mut path = vec![own];
        let mut depth = indent(&self.written[at]);
        for line in self.written[..at].iter().rev().filter(|line| !without_comment(line).is_empty()) {
            if indent(line) < depth
                && let Some(outer) = name(line)
            {
                depth = indent(line);
                path.insert(0, outer);
            }
        }
        let Some(section) = SECTIONS.iter().find(|section| section.name == path[0]) else { return false };
        let mut header = at;
        if section.named && path.len() == 1 {
            let below =
                (at + 1..self.written.len()).find(|line| !without_comment(&self.written[*line]).is_empty());
            let Some((line, name)) = below.and_then(|line| Some((line, name(&self.written[line])?))) else {
                return false;
            };
            path.push(name);
            header = line;
        }
        let expected = "this is how YAML writes it; here a section begins with its name in brackets";
        let made = format!("[{}]", path.join("."));
        let fault = self.fault(at, "", None).remedy(format!("write {made}"));
        self.corrected.faults.push(Fault { expected: expected.to_owned(), ..fault });
        self.lines[at].clear();
        self.lines[header] = made;
        true
    }
}
