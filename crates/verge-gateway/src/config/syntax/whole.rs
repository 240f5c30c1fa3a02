//! Files that are no text, or text of another kind.

use super::line::{outside_quotes, without_comment};

/// A text out of bytes, and what is wrong with how it was saved: the line, what stands there, what was expected, what
/// to do.
#[derive(Debug)]
pub(in super::super) struct Saved {
    pub(in super::super) text: String,
    pub(in super::super) fault: Option<FileFault>,
}

/// What is wrong with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct FileFault {
    pub(in super::super) line: usize,
    pub(in super::super) what: String,
    pub(in super::super) expected: &'static str,
    pub(in super::super) remedy: &'static str,
}

const UTF8: &str = "UTF-8 text";
const SAVE: &str = "save it as UTF-8 (in Notepad: Save as, Encoding: UTF-8)";

/// Bytes as text. Where it was saved in another encoding it is read all the same, so that other faults are found.
pub(in super::super) fn decode(bytes: Vec<u8>) -> Saved {
    let utf16 = |bytes: &[u8], from: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    let fault = |what: &str, line, expected, remedy| {
        Some(FileFault { line, what: what.to_owned(), expected, remedy })
    };
    let wide = |text: String| Saved { text, fault: fault("the file is UTF-16", 1, UTF8, SAVE) };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => return wide(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => return wide(utf16(rest, u16::from_be_bytes)),
        [first, 0, ..] if *first != 0 => return wide(utf16(&bytes, u16::from_le_bytes)),
        [0, second, ..] if *second != 0 => return wide(utf16(&bytes, u16::from_be_bytes)),
        _ => {}
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let line = line_of(&bytes, at);
        let fault =
            fault("the file is no text: it holds zero bytes", line, "a TOML file", "name another file");
        return Saved { text: String::new(), fault };
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\r') && !text.contains('\n') => {
            let fault = fault(
                "its lines end in CR alone",
                1,
                "lines that end in LF",
                "save it with the line ends of Unix",
            );
            Saved { text: text.replace('\r', "\n"), fault }
        }
        Ok(text) => {
            Saved { text: text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text), fault: None }
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            // Latin-1, as editors on Windows write, is the likely one: each byte is its character.
            let letter = char::from(bytes[at]);
            let what = if letter.is_alphabetic() || matches!(letter, '°' | '²' | '³' | 'µ') {
                format!("the byte 0x{:02x}, which is {letter} in Windows-1252", bytes[at])
            } else {
                format!("the byte 0x{:02x}", bytes[at])
            };
            let line = line_of(&bytes, at);
            let text = bytes.iter().map(|byte| char::from(*byte)).collect();
            Saved { text, fault: Some(FileFault { line, what, expected: UTF8, remedy: SAVE }) }
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What a whole text is, if it is no TOML.
pub(super) fn other_language(text: &str) -> Option<FileFault> {
    const TOML: &str = "TOML: [section] on a line of its own, key = value below it";
    const EXAMPLE: &str = "write it as configs/gateway.toml shows";
    let trimmed = text.trim_start();
    let first = text.len() - trimmed.len();
    let line = line_of(text.as_bytes(), first);
    let fault = |line, what: String| Some(FileFault { line, what, expected: TOML, remedy: EXAMPLE });
    if trimmed.starts_with("-----BEGIN") {
        let what = "the file is a certificate or a key".to_owned();
        return Some(FileFault {
            line,
            what,
            expected: "a TOML file",
            remedy: "name the configuration with -c",
        });
    }
    if trimmed.starts_with('{') {
        return fault(line, "the file is JSON".to_owned());
    }
    if trimmed.starts_with('<') {
        return fault(line, "the file is XML".to_owned());
    }
    let code = || text.lines().map(without_comment).enumerate().filter(|(_, code)| !code.is_empty());
    let is_toml = |line: &str| line.starts_with('[') || outside_quotes(line, '=').is_some();
    let is_yaml = |line: &str| {
        outside_quotes(line, ':')
            .is_some_and(|at| line[at + 1..].is_empty() || line[at + 1..].starts_with(' '))
            || line.starts_with("- ")
            || line == "---"
    };
    let yaml = code().filter(|(_, line)| is_yaml(line)).count();
    if yaml > 0 && !code().any(|(_, line)| is_toml(line)) {
        let (line, _) = code().find(|(_, line)| is_yaml(line))?;
        let lines = if yaml == 1 { "one line is".to_owned() } else { format!("{yaml} lines are") };
        return fault(line + 1, format!("the file is YAML ({lines} \"key: value\" or \"- item\")"));
    }
    None
}
