//! Names that are put together from several places: `{topic:2}/{pointer:/id}`.
//!
//! Two different series never compose the same name. A part that others follow is written without the character that
//! ends it: that character, and `%`, stand there as `%` and two hexadecimal digits. A part that is empty makes no name.

use std::fmt::Write;

use verge_domain::id::MAX_NAME_BYTES;
use verge_domain::rejection::Reason;

/// What part of a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePart {
    /// `{topic:2}`: this level of the topic, counted from 0.
    TopicLevel(usize),
    /// `{topic:2..}`: the topic from this level on.
    TopicFrom(usize),
    /// `{pointer:/id}`: the text, the whole number or the flat object that stands there. Codecs `json` and `json_image`.
    Pointer(String),
    /// `*` or `{*2}`: what this `*` of the reading's pointer stands for, counted from 0 here. Codec `json`.
    Star(usize),
    /// `{measurement}`. Codec `line`.
    Measurement,
    /// `{field}`. Codec `line`.
    Field,
    /// `{tag:cpu}`. Codec `line`.
    Tag(String),
    /// `{tags}`: `,key=value` for each tag that is named nowhere else, by key. Codec `line`.
    OtherTags,
    /// `{name}`: what stands before the last `:` or `/` of the SenML name. Codec `senml`.
    SenmlName,
    /// `{record}`: what stands behind it. Codec `senml`.
    SenmlRecord,
}

impl NamePart {
    /// Where messages hold it, in words; `None` for the topic, which every message has.
    #[must_use]
    pub const fn place(&self) -> Option<&'static str> {
        match self {
            Self::TopicLevel(_) | Self::TopicFrom(_) => None,
            Self::Pointer(_) => Some("pointer"),
            Self::Star(_) => Some("\"*\""),
            Self::Measurement => Some("measurement"),
            Self::Field => Some("field"),
            Self::Tag(_) | Self::OtherTags => Some("tag"),
            Self::SenmlName | Self::SenmlRecord => Some("SenML name"),
        }
    }
}

/// A name to be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTemplate {
    text: Box<str>,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// A part, and the character that ends it.
    Part(NamePart, Option<PartEnd>),
}

/// The character that ends a part, and what stands for it within.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PartEnd {
    letter: char,
    escaped: Box<str>,
}

/// Why a text is no name to be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameTemplateError {
    /// A brace alone.
    #[error("a {{ and its }} around each part ({{{{ and }}}} stand for the characters themselves)")]
    Brace,
    /// Not one of the parts there are.
    #[error(
        "{{{part}}} is none of {{topic:N}}, {{topic:N..}}, {{pointer:/id}}, {{*N}}, {{measurement}}, {{field}}, {{tag:NAME}}, {{tags}}, {{name}}, {{record}}"
    )]
    Part {
        /// What stands between the braces.
        part: String,
    },
    /// `{a}{b}`: where one ends could not be known.
    #[error("text between two parts, such as \"/\": without it two series could get one name")]
    Touching,
    /// Tags end with the name.
    #[error("{{tags}} at the end, once")]
    Tags,
}

impl NameTemplate {
    /// Takes a text apart. With `stars`, a `*` outside of braces is the pointer's next `*`.
    ///
    /// # Errors
    /// See [`NameTemplateError`].
    pub fn parse(text: &str, stars: bool) -> Result<Self, NameTemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut star = 0usize;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '{' | '}' if letters.next_if_eq(&letter).is_some() => {
                    literal.push(letter);
                    continue;
                }
                '{' => {
                    let mut inside = String::new();
                    loop {
                        match letters.next().ok_or(NameTemplateError::Brace)? {
                            '}' => break,
                            letter => inside.push(letter),
                        }
                    }
                    part(&inside).ok_or(NameTemplateError::Part { part: inside })?
                }
                '}' => return Err(NameTemplateError::Brace),
                '*' if stars => {
                    star = star.saturating_add(1);
                    NamePart::Star(star.saturating_sub(1))
                }
                letter => {
                    literal.push(letter);
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into_boxed_str()));
            }
            pieces.push(Piece::Part(part, None));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into_boxed_str()));
        }
        Self::of(text, pieces)
    }

    /// One part alone.
    pub(crate) fn of_part(text: &str, part: NamePart) -> Self {
        Self { text: Box::from(text), pieces: vec![Piece::Part(part, None)] }
    }

    /// Parts and texts, joined.
    pub(crate) fn joined(steps: impl Iterator<Item = Result<NamePart, Box<str>>>, by: &str) -> Option<Self> {
        let mut text = String::new();
        let mut pieces = Vec::new();
        for step in steps {
            if !pieces.is_empty() {
                text.push_str(by);
            }
            match step {
                Ok(part) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text).into_boxed_str()));
                    }
                    pieces.push(Piece::Part(part, None));
                }
                Err(name) => text.push_str(&name),
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into_boxed_str()));
        }
        Self::of("", pieces).ok()
    }

    fn of(text: &str, mut pieces: Vec<Piece>) -> Result<Self, NameTemplateError> {
        let is_tags = |piece: &Piece| matches!(piece, Piece::Part(NamePart::OtherTags, _));
        if pieces.iter().rev().skip(1).any(is_tags) {
            return Err(NameTemplateError::Tags);
        }
        let mut end = None;
        let mut followed = false;
        for piece in pieces.iter_mut().rev() {
            match piece {
                Piece::Text(text) => end = text.chars().next(),
                Piece::Part(NamePart::OtherTags, _) => (end, followed) = (Some(','), true),
                Piece::Part(_, ends) => {
                    if followed {
                        *ends = Some(PartEnd::new(end.ok_or(NameTemplateError::Touching)?));
                    }
                    (end, followed) = (None, true);
                }
            }
        }
        Ok(Self { text: Box::from(text), pieces })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &NamePart> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(part, _) => Some(part),
            Piece::Text(_) => None,
        })
    }

    /// The constant text, where it has no parts.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its only part, where it has one part and no text.
    #[must_use]
    pub fn only(&self) -> Option<&NamePart> {
        match &*self.pieces {
            [Piece::Part(part, _)] => Some(part),
            _ => None,
        }
    }

    /// Puts a name together in `out`. `write` adds what a part, known by its number as well, stands for in a message.
    pub(crate) fn compose(
        &self,
        out: &mut String,
        mut write: impl FnMut(usize, &NamePart, &mut String) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let mut numbers = 0usize..;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part(part, end) => {
                    let start = out.len();
                    write(numbers.next().unwrap_or_default(), part, out)?;
                    if *part == NamePart::OtherTags {
                        shorten(out);
                    } else if out.len() == start {
                        return Err(Reason::BadName);
                    }
                    if let Some(PartEnd { letter, escaped }) = end {
                        escape(out, start, *letter, escaped);
                    }
                }
            }
        }
        Ok(())
    }
}

impl PartEnd {
    fn new(letter: char) -> Self {
        let escaped = letter.encode_utf8(&mut [0; 4]).bytes().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let written: Result<(), std::fmt::Error> = write!(text, "%{byte:02X}");
            debug_assert!(written.is_ok());
            text
        });
        Self { letter, escaped: escaped.into_boxed_str() }
    }
}

/// What stands between braces.
fn part(text: &str) -> Option<NamePart> {
    if let Some(number) = text.strip_prefix('*') {
        let number = if number.is_empty() { 1 } else { number.parse::<usize>().ok()? };
        return number.checked_sub(1).map(NamePart::Star);
    }
    Some(match text.split_once(':') {
        Some(("topic", level)) => match level.strip_suffix("..") {
            Some(level) => NamePart::TopicFrom(level.parse().ok()?),
            None => NamePart::TopicLevel(level.parse().ok()?),
        },
        Some(("pointer", pointer)) => NamePart::Pointer(pointer.to_owned()),
        Some(("tag", tag)) if !tag.is_empty() => NamePart::Tag(tag.to_owned()),
        None if text == "measurement" => NamePart::Measurement,
        None if text == "field" => NamePart::Field,
        None if text == "tags" => NamePart::OtherTags,
        None if text == "name" => NamePart::SenmlName,
        None if text == "record" => NamePart::SenmlRecord,
        _ => return None,
    })
}

/// Adds a part of the topic.
pub(crate) fn write_topic(part: &NamePart, topic: &str, out: &mut String) -> Result<(), Reason> {
    let found = match part {
        NamePart::TopicLevel(level) => topic.split('/').nth(*level),
        NamePart::TopicFrom(0) => Some(topic),
        NamePart::TopicFrom(level) => {
            let slash = topic.match_indices('/').nth(level.saturating_sub(1));
            slash.and_then(|(at, _)| topic.get(at.saturating_add(1)..))
        }
        _ => None,
    };
    out.push_str(found.ok_or(Reason::MissingField)?);
    Ok(())
}

/// Adds `,key=value`, so that no two lists of such pairs read alike.
pub(crate) fn write_pair(key: &str, value: &str, out: &mut String) {
    out.push(',');
    let start = out.len();
    out.push_str(key);
    escape(out, start, '=', "%3D");
    out.push('=');
    let start = out.len();
    out.push_str(value);
    escape(out, start, ',', "%2C");
}

/// Writes `letter` and `%` otherwise from `start` on.
fn escape(out: &mut String, start: usize, letter: char, escaped: &str) {
    // There is rarely anything to do, and this check costs little.
    let first = letter.encode_utf8(&mut [0; 4]).as_bytes().first().copied().unwrap_or_default();
    let written = out.as_bytes().get(start..).unwrap_or_default();
    if !written.iter().any(|byte| *byte == first || *byte == b'%') {
        return;
    }
    let mut at = start;
    while let Some((found, bad)) = out
        .get(at..)
        .and_then(|rest| rest.char_indices().find(|(_, found)| *found == letter || *found == '%'))
    {
        let from = at.saturating_add(found);
        let text = if bad == letter { escaped } else { "%25" };
        out.replace_range(from..from.saturating_add(bad.len_utf8()), text);
        at = from.saturating_add(text.len());
    }
}

/// A name with many tags may be longer than names are: then its end is replaced by a hash of the whole (FNV-1a).
fn shorten(name: &mut String) {
    const HASH_BYTES: usize = 17;
    if name.len() <= MAX_NAME_BYTES {
        return;
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES.saturating_sub(HASH_BYTES)));
    // Writing to a string does not fail.
    let written: Result<(), std::fmt::Error> = write!(name, "~{hash:016x}");
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests;
