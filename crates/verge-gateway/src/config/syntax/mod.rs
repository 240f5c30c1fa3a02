//! Texts that are no TOML: every place is found and put into words, and corrected as it was probably meant, so that what
//! stands around it can be checked as well. Texts that are TOML never come here.
//!
//! Reading order: [`correct`], `line` (what was meant by a line), `value` (by a value), `whole` (by a file).

mod line;
mod number;
mod repeated;
mod value;
mod whole;
mod yaml;

use toml::de::DeTable;

use super::fault::{Fault, shorten};
use super::origin::{LineIndex, Origins};
use super::raw::SECTIONS;
use line::{MeantLine, brackets, is_header, outside_quotes, sets_a_key, without_comment};
pub(super) use number::number;
pub(super) use value::flag;
pub(super) use whole::{FileFault, decode};

/// A file with more is not worth more words.
const MAX_FAULTS: usize = 100;

/// A text made TOML.
#[derive(Debug, Default)]
pub(super) struct Corrected {
    /// The text, with as many lines as before.
    pub(super) text: String,
    pub(super) faults: Vec<Fault>,
    /// Keys and sections that could not be saved: nothing is missing there.
    pub(super) lost: Vec<String>,
    /// Sections that stand twice: the name that the second one has here, and its own.
    pub(super) twice: Vec<(String, String)>,
}

/// Makes a text TOML. A text that is is left as it is.
pub(super) fn correct(text: String, origins: &Origins) -> Corrected {
    if DeTable::parse(&text).is_ok() {
        return Corrected { text, ..Corrected::default() };
    }
    let mut correction = Correction::new(text, origins);
    if let Some(fault) = whole::other_language(&correction.text()) {
        correction.whole(&fault);
        return correction.done();
    }
    // Offsets are those of the lines as they are here, without the CR of Windows at their ends.
    while let Err(error) = DeTable::parse(&correction.text()) {
        if correction.corrected.faults.len() == MAX_FAULTS {
            // What is left is not looked at.
            correction.lines.clear();
            correction.corrected.lost.push(String::new());
            break;
        }
        correction.one(&error);
    }
    correction.done()
}

struct Correction<'a> {
    origins: &'a Origins,
    /// As they were written, for messages.
    written: Vec<String>,
    lines: Vec<String>,
    corrected: Corrected,
}

impl<'a> Correction<'a> {
    fn new(text: String, origins: &'a Origins) -> Self {
        let mut corrected = Corrected::default();
        let lines: Vec<String> =
            text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();
        corrected.text = text;
        Self { origins, written: lines.clone(), lines, corrected }
    }

    fn text(&self) -> String {
        self.lines.join("\n")
    }

    fn done(self) -> Corrected {
        Corrected { text: self.lines.join("\n"), ..self.corrected }
    }

    fn whole(&mut self, fault: &FileFault) {
        self.corrected.faults.push(fault.to_fault(self.origins));
        self.corrected.lost.push(String::new());
        self.lines.clear();
    }

    /// Finds out about one error, and corrects it. Each call changes a line, so there is an end.
    fn one(&mut self, error: &toml::de::Error) {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, column) = LineIndex::new(&self.text()).locate(offset);
        let mut at = line - 1;
        if error.message().contains("duplicate key") && repeated::correct(self, at) {
            return;
        }
        if self.text_left_open()
            || self.list_of_sections(at)
            || self.list_left_open(at)
            || self.within_list(at)
        {
            return;
        }
        // What is left open is noticed further down.
        while at > 0 && without_comment(&self.lines[at]).is_empty() {
            at -= 1;
        }
        if self.yaml_list(at) || self.yaml_section(at) {
            return;
        }
        let section = self.section_of(at);
        if let Some(reading) = line::what_was_meant(&self.lines[at], &section) {
            self.replace(at, &section, reading);
            return;
        }
        self.give_up(at, &section, column);
    }

    /// Nothing is known but that it is no TOML.
    fn give_up(&mut self, at: usize, section: &str, column: usize) {
        let key = key_before_equals(&self.lines[at]);
        let fault = self.fault(at, section, key.as_deref());
        self.corrected.faults.push(Fault {
            expected: format!("a line is key = value, [section] or a # comment (column {column})"),
            remedy: "write it as configs/gateway.toml shows".to_owned(),
            ..fault
        });
        self.lose(at, section, key.as_deref());
    }

    fn lose(&mut self, at: usize, section: &str, key: Option<&str>) {
        // A header that cannot be read takes the names of all below it along.
        let path = match key {
            _ if self.lines[at].trim_start().starts_with('[') => String::new(),
            Some(key) => join(section, key),
            None => section.to_owned(),
        };
        self.corrected.lost.push(path);
        self.lines[at] = String::new();
    }

    /// The section that a line stands in, as its header names it.
    fn section_of(&self, at: usize) -> String {
        let header =
            self.lines[..at].iter().rev().map(|line| without_comment(line)).find(|code| is_header(code));
        header.map_or_else(String::new, |code| {
            code.trim_start_matches('[').trim_end_matches(']').trim().to_owned()
        })
    }

    /// A fault at a line, without a reason yet.
    fn fault(&self, at: usize, section: &str, key: Option<&str>) -> Fault {
        let written = &self.written[at];
        let code = without_comment(written);
        let is_header = code.starts_with('[');
        let section = if is_header { "" } else { section };
        let path = key.map_or_else(|| section.to_owned(), |key| join(section, key));
        let shown = match (holds_a_secret(code), key) {
            (true, Some(key)) => format!("{key} = (not shown)"),
            (true, None) => "the line (not shown)".to_owned(),
            (false, _) => code.to_owned(),
        };
        let column = written.chars().count() - written.trim_start().chars().count() + 1;
        Fault {
            place: Some(self.origins.place_at(at + 1, column)),
            value: shorten(shown),
            syntax_in: Some(section.to_owned()),
            ..Fault::new(path, "", "")
        }
    }

    /// Puts a line into words, and what was meant into its place.
    fn replace(&mut self, at: usize, section: &str, reading: MeantLine) {
        let MeantLine { line, key, expected, advice } = reading;
        let fault = self.fault(at, section, key.as_deref());
        let secret = holds_a_secret(&self.written[at]);
        let remedy = match &line {
            _ if secret => "put a password into a file of its own and name that with password_file or store_key_file, or set it in \
                            the environment"
                .to_owned(),
            Some(line) if line.starts_with('#') => format!("write {}", shorten(line.clone())),
            Some(line) if advice.is_empty() => format!("write {}", shorten(line.clone())),
            Some(line) => format!("write {}, {advice}", shorten(line.clone())),
            None => advice,
        };
        self.corrected.faults.push(Fault { expected, remedy, ..fault });
        // What stands behind a whole value is lost, and may be anything of this section.
        if self.corrected.faults.last().is_some_and(|fault| fault.expected == value::ONE_A_LINE) {
            self.corrected.lost.push(section.to_owned());
        }
        match line {
            Some(line) if line != self.lines[at] && !secret => self.lines[at] = line,
            _ => self.lose(at, section, key.as_deref()),
        }
    }

    /// A list or table that was opened above and never closed.
    fn list_left_open(&mut self, at: usize) -> bool {
        let Some((opened, bracket)) = self.open_before(at) else { return false };
        let code = without_comment(&self.lines[at]);
        let ends_here = at + 1 >= self.lines.len() || is_header(code) || sets_a_key(code);
        // The lines of a table look like keys themselves; only between them stand commas.
        let before = (opened..at).rev().find(|line| !without_comment(&self.lines[*line]).is_empty());
        let Some(last) = before.filter(|_| ends_here) else { return false };
        let tail = without_comment(&self.lines[last]);
        if bracket == '{' && !is_header(code) && tail.ends_with(['{', ',']) && at + 1 < self.lines.len() {
            return false;
        }
        if bracket == '{' && code.ends_with('}') {
            let section = self.section_of(opened);
            let line = Some(format!("{tail},"));
            let expected = "commas stand between the keys of a table".to_owned();
            self.replace(last, &section, MeantLine { line, key: None, expected, advice: String::new() });
            return true;
        }
        let close = if bracket == '{' { '}' } else { ']' };
        let section = self.section_of(opened);
        let key = key_before_equals(&self.lines[opened]);
        let corrected = format!("{}{close}", tail.trim_end_matches(if bracket == '{' { ',' } else { '\0' }));
        let fault = self.fault(opened, &section, key.as_deref());
        let (what, where_to) = if opened == last {
            (shorten(corrected.clone()), String::new())
        } else {
            (close.to_string(), format!(" at the end of line {}", last + 1))
        };
        self.corrected.faults.push(Fault {
            expected: format!("the closing {close} is missing"),
            remedy: format!("write {what}{where_to}"),
            ..fault
        });
        self.lines[last] = corrected;
        true
    }

    /// A text of several lines that is never closed: all that follows seems to be part of it.
    fn text_left_open(&mut self) -> bool {
        let mut at = 0;
        while at < self.lines.len() {
            let line = &self.lines[at];
            let marks = ["\"\"\"", "'''"];
            let opened = marks.into_iter().filter_map(|mark| Some((line.find(mark)?, mark))).min();
            let Some((column, mark)) = opened.filter(|_| !line.trim_start().starts_with('#')) else {
                at += 1;
                continue;
            };
            if !line[column + mark.len()..].contains(mark) {
                let Some(closed) = (at + 1..self.lines.len()).find(|line| self.lines[*line].contains(mark))
                else {
                    let section = self.section_of(at);
                    let Some(reading) = line::what_was_meant(line, &section) else { return false };
                    self.replace(at, &section, reading);
                    return true;
                };
                at = closed;
            }
            at += 1;
        }
        false
    }

    /// `[[judge]]` beside `[judge.high]`: it is given the name that stands below it.
    fn list_of_sections(&mut self, at: usize) -> bool {
        let code = without_comment(&self.lines[at]).to_owned();
        let name = code.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")).map(str::trim);
        let Some(section) = SECTIONS.iter().find(|section| section.named && Some(section.name) == name)
        else {
            return false;
        };
        let below = self.lines[at + 1..].iter().take_while(|line| !is_header(without_comment(line)));
        let named = below.enumerate().find_map(|(index, line)| {
            let (key, value) = without_comment(line).split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            let is_name =
                matches!(key.trim(), "name" | "id") && line::is_bare_path(value) && !value.contains('.');
            is_name.then(|| (at + 1 + index, value.to_owned()))
        });
        let (own, name) = match named {
            Some((line, name)) => (Some(line), name),
            None => (None, format!("{}-{}", section.name, at + 1)),
        };
        if let Some(line) = own {
            self.lines[line].clear();
        }
        let line = Some(format!("[{}.{name}]", section.name));
        let expected = format!("each {} has a name, in single brackets", section.name);
        self.replace(at, "", MeantLine { line, key: None, expected, advice: String::new() });
        true
    }

    /// The innermost bracket that is open before a line, and the line that opened it.
    fn open_before(&self, at: usize) -> Option<(usize, char)> {
        let mut open: Vec<(usize, char)> = Vec::new();
        for (index, line) in self.lines[..at].iter().enumerate() {
            let code = without_comment(line);
            if is_header(code) {
                open.clear();
                continue;
            }
            for letter in brackets(code) {
                match letter {
                    '[' | '{' => open.push((index, letter)),
                    _ => {
                        open.pop();
                    }
                }
            }
        }
        open.pop()
    }

    /// A line of a list that stands on several.
    fn within_list(&mut self, at: usize) -> bool {
        let Some((opened, '[')) = self.open_before(at) else { return false };
        let section = self.section_of(opened);
        let key = key_before_equals(&self.lines[opened]);
        let code = without_comment(&self.lines[at]).to_owned();
        let item = code.trim_end_matches(',').trim_end_matches(']').trim().to_owned();
        let tail = code[item.len()..].to_owned();
        if !item.is_empty() && !value::is_value(&item) {
            let Some(found) = value::what_was_meant(item.trim_start_matches("- "), None) else {
                return false;
            };
            let Some(meant) = found.value else { return false };
            let comma = if tail.contains(',') { "" } else { "," };
            let line = format!("{meant}{comma}{tail}");
            let reading =
                MeantLine { line: Some(line), key, expected: found.expected, advice: String::new() };
            self.replace(at, &section, reading);
            return true;
        }
        let before = (opened..at).rev().find(|line| !without_comment(&self.lines[*line]).is_empty());
        let Some(last) = before else { return false };
        let tail = without_comment(&self.lines[last]);
        if tail.ends_with([',', '[']) {
            return false;
        }
        let line = format!("{tail},");
        let expected = "commas stand between the values of a list".to_owned();
        self.replace(last, &section, MeantLine { line: Some(line), key, expected, advice: String::new() });
        true
    }
}

impl FileFault {
    pub(super) fn to_fault(&self, origins: &Origins) -> Fault {
        let place = origins.place_at(self.line, 1);
        let fault = Fault::new("the file", self.what.clone(), self.expected).remedy(self.remedy);
        Fault { place: Some(place), ..fault }
    }
}

fn key_before_equals(line: &str) -> Option<String> {
    let code = without_comment(line);
    sets_a_key(code).then(|| code[..outside_quotes(code, '=').unwrap_or(0)].trim().to_owned())
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// Whether a line may hold a password, which no message repeats.
fn holds_a_secret(line: &str) -> bool {
    let lower = line.to_lowercase();
    let names_one = ["password", "passwd", "secret", "token", "store_key", "apikey", "api_key"];
    let names_its_file = lower.contains("_file") || lower.contains("_credential");
    let in_address = lower.contains("://") && lower.contains('@');
    in_address || (names_one.iter().any(|name| lower.contains(name)) && !names_its_file)
}

#[cfg(test)]
mod tests;
