//! The first bytes of something that is refused, to be shown: bounded, and safe for a log and a terminal.

use std::fmt;

use crate::looks::Looks;

/// Bytes that are kept.
const KEPT: usize = 64;
/// Bytes that are shown of text.
const SHOWN: usize = 48;
/// Bytes that are shown of anything else, as hexadecimal digits.
const SHOWN_BINARY: usize = 16;

/// The first bytes of what came, and how many there were. It costs one copy of 64 bytes, so that it can be taken of every
/// refusal; the rest is done when it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    head: [u8; KEPT],
    kept: u8,
    /// Where it begins in the message.
    start: u32,
    total: u32,
}

impl Excerpt {
    /// Of nothing.
    pub const NONE: Self = Self { head: [0; KEPT], kept: 0, start: 0, total: 0 };

    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(bytes, 0)
    }

    /// Of these bytes near a position, such as that of a fault in a long text.
    #[must_use]
    pub fn near(bytes: &[u8], position: usize) -> Self {
        if position < SHOWN {
            return Self::of(bytes);
        }
        let start = position - SHOWN / 2;
        // Not within a character.
        let begins = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        Self::from(bytes, (start..bytes.len()).take(4).find(begins).unwrap_or(start))
    }

    fn from(bytes: &[u8], start: usize) -> Self {
        let mut head = [0; KEPT];
        let rest = bytes.get(start..).unwrap_or_default();
        let kept = rest.len().min(KEPT);
        head[..kept].copy_from_slice(&rest[..kept]);
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { head, kept: kept as u8, start: size(start), total: size(bytes.len()) }
    }

    /// Whether it is of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The bytes that are kept.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.kept)]
    }

    /// Whether all of what came is kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        u32::from(self.kept) == self.total
    }

    /// What it looks like; `None` where it is not of the beginning, or like nothing that is known.
    #[must_use]
    pub fn looks(&self) -> Option<Looks> {
        (self.start == 0).then(|| Looks::of(self.head(), self.is_whole())).flatten()
    }

    /// What is wrong with it as JSON; `None` if it is not like JSON, or nothing is known.
    #[must_use]
    pub fn looks_as_bad_json(&self) -> Option<Looks> {
        let looks = self.looks();
        if !matches!(looks, None | Some(Looks::Json | Looks::Senml)) {
            return looks;
        }
        let ends = u64::from(self.start) + u64::from(self.kept) == u64::from(self.total);
        Looks::of_bad_json(self.text()?, ends && (self.start > 0 || looks.is_some()))
    }

    /// The text that is kept; `None` if it is none. A last character that is cut off does not count.
    fn text(&self) -> Option<&str> {
        let head = self.head();
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && !self.is_whole() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        let odd = |letter: &char| letter.is_control() && !matches!(letter, '\t' | '\r' | '\n' | '\0');
        let odd = text.chars().filter(odd).count() + text.matches('\0').count() / 2;
        (odd == 0 && !text.is_empty()).then_some(text)
    }
}

/// Text between backquotes, with control characters and others that are not printed escaped; other bytes as hexadecimal
/// digits. `…` stands where there is more.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let before = if self.start > 0 { "…" } else { "" };
        let Some(text) = self.text() else {
            f.write_str(before)?;
            let shown = self.head().iter().take(SHOWN_BINARY);
            for (number, byte) in shown.enumerate() {
                write!(f, "{}{byte:02x}", if number > 0 { " " } else { "" })?;
            }
            return if self.total as usize > SHOWN_BINARY { f.write_str(" …") } else { Ok(()) };
        };
        let mut shown = 0;
        write!(f, "`{before}")?;
        for letter in text.chars() {
            shown += letter.len_utf8();
            if shown > SHOWN {
                break;
            }
            match letter {
                '"' | '\'' | '\\' => write!(f, "{letter}")?,
                letter => write!(f, "{}", letter.escape_debug())?,
            }
        }
        let rest =
            if (self.start as usize + shown) < self.total as usize || shown > SHOWN { "…" } else { "" };
        write!(f, "{rest}`")
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_safe_and_bounded() {
        let check = |bytes: &[u8], shown: &str| assert_eq!(Excerpt::of(bytes).to_string(), shown);
        check(b"", "nothing");
        check(b"18,4", "`18,4`");
        check(br#"{"v":"a\b"}"#, r#"`{"v":"a\b"}`"#);
        check("18.4 °C\r\n\t".as_bytes(), "`18.4 °C\\r\\n\\t`");
        check("a\u{202e}b".as_bytes(), "`a\\u{202e}b`");
        check(b"18.4\0", "`18.4\\0`");
        check(b"\x1b[2Jx", "1b 5b 32 4a 78");
        check(b"\x89PNG\r\n\x1a\n", "89 50 4e 47 0d 0a 1a 0a");
        check(&[0xff; 40], "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff …");
        check(&[b'x'; 48], &format!("`{}`", "x".repeat(48)));
        check(&[b'x'; 49], &format!("`{}…`", "x".repeat(48)));
        check("é".repeat(500).as_bytes(), &format!("`{}…`", "é".repeat(24)));
        // The character at the end of what is kept is cut off, and shown text ends before it.
        check(format!("x{}", "é".repeat(500)).as_bytes(), &format!("`x{}…`", "é".repeat(23)));
    }

    #[test]
    fn a_place_within_is_shown_with_what_stands_around_it() {
        let text = format!("{{\"first\":\"{}\",\"second\":18,4}}", "é".repeat(40));
        let at = text.find("18,4").unwrap();
        let shown = Excerpt::near(text.as_bytes(), at);
        assert_eq!(shown.to_string(), "`…éééééé\",\"second\":18,4}`");
        assert_eq!(shown.looks(), None);
        assert_eq!(Excerpt::near(b"18,4", 2), Excerpt::of(b"18,4"));
        assert_eq!(Excerpt::near(b"18,4", 400).to_string(), "…");
    }
}
