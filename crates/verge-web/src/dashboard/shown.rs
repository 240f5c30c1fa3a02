//! Names and texts that devices and people chose, made fit to be shown. Templates escape markup; this takes care of what
//! remains: characters that nobody sees or that turn the text around, and lengths that break a page.

use std::fmt;

/// Characters of a name that are shown; the rest stands in its title.
const MAX_CHARS: usize = 80;
/// Characters of a sentence.
const MAX_SENTENCE_CHARS: usize = 400;

/// A name as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// What fits.
    pub(crate) text: String,
    /// All of it, where that is more.
    pub(crate) whole: Option<String>,
}

impl Shown {
    /// A name from outside.
    pub(crate) fn of(text: &str) -> Self {
        Self::cut(text, MAX_CHARS)
    }

    /// A sentence in which such names stand.
    pub(crate) fn sentence(text: &str) -> Self {
        Self::cut(text, MAX_SENTENCE_CHARS)
    }

    fn cut(text: &str, most: usize) -> Self {
        let visible = visible(text);
        match visible.char_indices().nth(most) {
            None => Self { text: visible, whole: None },
            Some((end, _)) => Self { text: format!("{}…", &visible[..end]), whole: Some(visible) },
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The same text with a code point in the place of what is invisible or changes the direction of what follows.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || is_format(char) {
            shown.push_str(&format!("[U+{:04X}]", u32::from(char)));
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Marks of direction, joiners and other characters without a picture.
const fn is_format(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// A span in the two units that matter.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_shown_as_its_code_point() {
        assert_eq!(Shown::of("pump\u{202e}1").text, "pump[U+202E]1");
        assert_eq!(Shown::of("a\u{200b}\u{0}\u{1b}[2J").text, "a[U+200B][U+0000][U+001B][2J");
        assert_eq!(Shown::of("<script>").text, "<script>", "markup is for the template to escape");
    }

    #[test]
    fn long_names_are_cut_and_stand_whole_in_their_title() {
        let long = "ä".repeat(128);
        let shown = Shown::of(&long);
        assert_eq!((shown.text.chars().count(), shown.whole), (81, Some(long)));
        assert_eq!(Shown::of(&"x".repeat(80)).whole, None);
    }

    #[test]
    fn spans_are_short() {
        let check = |seconds, words: &str| assert_eq!(span(seconds), words);
        check(59, "59 s");
        check(3_599, "59 min");
        check(7_260, "2 h 1 min");
        check(90_000, "1 d 1 h");
    }
}
