//! Keys and sections that stand twice.

use super::super::fault::Fault;
use super::line::{is_header, outside_quotes, sets_a_key, without_comment};
use super::{Correction, join};

/// Puts a repetition at a line into words and takes it away; `false` where none is found.
pub(super) fn correct(correction: &mut Correction<'_>, at: usize) -> bool {
    let code = without_comment(&correction.lines[at]).to_owned();
    let (path, first) = if code.starts_with('[') {
        let path = header(&code);
        (path.clone(), headers(correction, 0..at).into_iter().find(|(_, other)| *other == path))
    } else {
        let section = correction.section_of(at);
        let Some(key) = key(&code) else { return false };
        let path = join(&section, &key);
        let begin = headers(correction, 0..at).last().map_or(0, |(line, _)| *line);
        let same = (begin..at).find(|line| key_of(&correction.lines[*line]).as_ref() == Some(&key));
        let table =
            || headers(correction, 0..correction.lines.len()).into_iter().find(|(_, other)| *other == path);
        (path.clone(), same.map(|line| (line, path.clone())).or_else(table))
    };
    let Some((first, _)) = first else { return false };
    let (one, two) = (first.min(at) + 1, first.max(at) + 1);
    let column = correction.lines[at].len() - correction.lines[at].trim_start().len() + 1;
    let remedy = if code.starts_with('[') && path.contains('.') {
        "give one of them another name, or put their keys together in one"
    } else if code.starts_with('[') {
        "put their keys together in one"
    } else {
        "take one of them out"
    };
    let fault = Fault::new(&path, format!("stands twice (lines {one} and {two})"), "once").remedy(remedy);
    correction
        .corrected
        .faults
        .push(Fault { place: Some(correction.origins.place_at(at + 1, column)), ..fault });
    if code.starts_with('[') {
        rename(correction, at, &path);
    } else {
        correction.lines[at].clear();
    }
    true
}

/// Gives the second section a name of its own, so that what stands in it can be checked. One that can have no name is
/// left out.
fn rename(correction: &mut Correction<'_>, at: usize, path: &str) {
    let named = super::super::raw::SECTIONS.iter().any(|section| {
        section.named && path.strip_prefix(section.name).is_some_and(|rest| rest.matches('.').count() == 1)
    });
    let other = match path.strip_suffix('"') {
        Some(open) => format!("{open}_line_{}\"", at + 1),
        None => format!("{path}_line_{}", at + 1),
    };
    for line in at..correction.lines.len() {
        let code = without_comment(&correction.lines[line]).to_owned();
        let is_header = is_header(&code);
        let own = header(&code);
        let belongs = own == path || own.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        if is_header && !belongs {
            break;
        }
        if !named {
            correction.lines[line].clear();
        } else if is_header {
            correction.lines[line] = code.replacen(path, &other, 1);
        }
    }
    if named {
        correction.corrected.twice.push((other, path.to_owned()));
    } else {
        correction.corrected.lost.push(path.to_owned());
    }
}

fn headers(correction: &Correction<'_>, lines: std::ops::Range<usize>) -> Vec<(usize, String)> {
    lines
        .map(|line| (line, without_comment(&correction.lines[line])))
        .filter(|(_, code)| is_header(code))
        .map(|(line, code)| (line, header(code)))
        .collect()
}

fn header(code: &str) -> String {
    let path = code.trim_start_matches('[').trim_end_matches(']');
    path.split('.').map(str::trim).collect::<Vec<_>>().join(".")
}

fn key(code: &str) -> Option<String> {
    let at = outside_quotes(code, '=')?;
    Some(code[..at].trim().trim_matches(['"', '\'']).to_owned())
}

fn key_of(line: &str) -> Option<String> {
    let code = without_comment(line);
    if sets_a_key(code) { key(code) } else { None }
}
