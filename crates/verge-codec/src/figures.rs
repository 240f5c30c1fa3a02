//! Numbers in text, as devices and people write them: what codec `number` reads, and `json` in strings.

use std::collections::BTreeMap;

use verge_domain::id::Unit;
use verge_domain::rejection::Reason;

use crate::input::buffer;
use crate::input::json_text::text;
use crate::number::{self, from_text};
use crate::settings::{CodecSettingsError, Decimal};

/// Words every source knows.
const WORDS: [(&str, f64); 6] =
    [("on", 1.0), ("off", 0.0), ("true", 1.0), ("false", 0.0), ("online", 1.0), ("offline", 0.0)];

/// Whether every source reads this word, in capitals or not, as 1 or 0.
#[must_use]
pub fn is_switch(text: &str) -> bool {
    WORDS.iter().any(|(word, _)| word.eq_ignore_ascii_case(text))
}

/// Longest number with a decimal comma that is read: no double has more digits that count.
const LONGEST: usize = 64;

/// How the numbers of a reading are written.
#[derive(Debug)]
pub(crate) struct Figures {
    decimal: Decimal,
    words: Vec<(Box<str>, f64)>,
    /// What may stand behind a number: the reading's unit, where it is that of the message too.
    unit: Option<Unit>,
}

impl Figures {
    pub(crate) fn new(
        decimal: Decimal,
        own_words: BTreeMap<String, f64>,
        unit: Option<Unit>,
    ) -> Result<Self, CodecSettingsError> {
        let mut words: Vec<(Box<str>, f64)> = Vec::new();
        for (word, value) in own_words {
            if !value.is_finite() {
                return Err(CodecSettingsError::WordValue { word, value });
            }
            if word.is_empty() || word.trim() != word {
                return Err(CodecSettingsError::WordSpace { word });
            }
            if words.iter().any(|(other, _)| other.eq_ignore_ascii_case(&word)) {
                return Err(CodecSettingsError::WordTwice { word });
            }
            words.push((word.into_boxed_str(), value));
        }
        Ok(Self { decimal, words, unit })
    }

    /// The number that a text says. The source's own words come first, so that one of them may look like a number.
    pub(crate) fn read(&self, text: &str) -> Result<f64, Reason> {
        let text = text.trim();
        match self.plain(text) {
            Err(Reason::NotANumber) => self.dressed(text),
            result => result,
        }
    }

    /// The number that a JSON value is: a number, a truth value (1 or 0), or a text that says one. `None` for `null`,
    /// with which devices say that there is nothing.
    pub(crate) fn of_json(&self, raw: &str) -> Option<Result<f64, Reason>> {
        match raw {
            "null" => None,
            "true" => Some(Ok(1.0)),
            "false" => Some(Ok(0.0)),
            _ if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                Some(from_text(raw))
            }
            _ => Some(self.of_text(raw)),
        }
    }

    /// A string, or bytes of a text as Node-RED writes them.
    #[cold]
    fn of_text(&self, raw: &str) -> Result<f64, Reason> {
        if let Some(text) = text(raw) {
            return self.read(&text);
        }
        let bytes = buffer::bytes(raw).ok_or(Reason::NotANumber)?;
        self.read(std::str::from_utf8(&bytes).map_err(|_| Reason::NotANumber)?)
    }

    fn plain(&self, text: &str) -> Result<f64, Reason> {
        let word = |words: &[(Box<str>, f64)]| {
            words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
        };
        if let Some(value) = word(&self.words) {
            return Ok(value);
        }
        let read = match self.decimal {
            Decimal::Point => from_text(text),
            Decimal::Comma => with_comma(text),
        };
        match read {
            Err(Reason::NotANumber) => WORDS
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text))
                .map(|(_, value)| *value)
                .ok_or(Reason::NotANumber),
            result => result,
        }
    }

    /// In quotation marks, or with its unit.
    #[cold]
    fn dressed(&self, text: &str) -> Result<f64, Reason> {
        if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            return self.plain(inner.trim());
        }
        if number::is_not_finite(text) {
            return Err(Reason::NotFinite);
        }
        let unit = self.unit.as_ref().ok_or(Reason::NotANumber)?;
        let figure = text.strip_suffix(unit.as_str()).ok_or(Reason::NotANumber)?.trim_end();
        // A word and a unit say nothing together.
        let last = figure.ends_with(|last: char| last.is_ascii_digit());
        if last { self.plain(figure) } else { Err(Reason::NotANumber) }
    }
}

/// `18,4`. A point would be a thousands separator, or a number of another device: which of them is not guessed.
fn with_comma(text: &str) -> Result<f64, Reason> {
    if text.contains('.') {
        return Err(Reason::NotANumber);
    }
    let Some(comma) = text.find(',') else { return from_text(text) };
    let mut figure = [0; LONGEST];
    let copied = figure.get_mut(..text.len()).ok_or(Reason::NotANumber)?;
    copied.copy_from_slice(text.as_bytes());
    if let Some(mark) = copied.get_mut(comma) {
        *mark = b'.';
    }
    std::str::from_utf8(copied).map_err(|_| Reason::NotANumber).and_then(from_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(decimal: Decimal, unit: Option<&str>) -> Figures {
        let words = [("RUN".to_owned(), 2.0)].into();
        Figures::new(decimal, words, unit.map(|unit| Unit::new(unit).unwrap())).unwrap()
    }

    #[test]
    fn text_says_a_number_or_is_refused() {
        let point = figures(Decimal::Point, None);
        let check =
            |text: &str, expected: Result<f64, Reason>| assert_eq!(point.read(text), expected, "{text:?}");
        check(" 18.4 ", Ok(18.4));
        check("\"18.4\"", Ok(18.4));
        check("\" on \"", Ok(1.0));
        check("run", Ok(2.0));
        check("+18.4E0", Ok(18.4));
        check("", Err(Reason::NotANumber));
        check("\"\"", Err(Reason::NotANumber));
        check("18,4", Err(Reason::NotANumber));
        check("1,234.5", Err(Reason::NotANumber));
        check("1 234", Err(Reason::NotANumber));
        check("0x1F", Err(Reason::NotANumber));
        check("18.4 °C", Err(Reason::NotANumber));
        check("unavailable", Err(Reason::NotANumber));
        for text in ["nan", "-NaN", "Infinity", "\"NaN\"", "1.#QNAN", "-1.#IND", "-nan(ind)"] {
            check(text, Err(Reason::NotFinite));
        }
    }

    #[test]
    fn a_decimal_comma_is_read_where_the_source_says_so() {
        let comma = figures(Decimal::Comma, Some("°C"));
        let check =
            |text: &str, expected: Result<f64, Reason>| assert_eq!(comma.read(text), expected, "{text:?}");
        check("18,4", Ok(18.4));
        check("-0,5", Ok(-0.5));
        check("1,5e2", Ok(150.0));
        check("\"18,4\"", Ok(18.4));
        check("18,4 °C", Ok(18.4));
        check("18", Ok(18.0));
        check("on", Ok(1.0));
        for text in ["18.4", "1.234,5", "1.234", "1,234,567", &format!("1,{}", "1".repeat(LONGEST))] {
            check(text, Err(Reason::NotANumber));
        }
    }

    #[test]
    fn a_unit_may_stand_behind_where_it_is_that_of_the_reading() {
        let check = |unit: &str, text: &str, expected: Result<f64, Reason>| {
            assert_eq!(figures(Decimal::Point, Some(unit)).read(text), expected, "{text:?}");
        };
        check("°C", "18.4 °C", Ok(18.4));
        check("°C", "18.4°C", Ok(18.4));
        check("%", "45%", Ok(45.0));
        check("W", "1.2 kW", Err(Reason::NotANumber));
        check("kW", "900 W", Err(Reason::NotANumber));
        check("m", "5 mm", Err(Reason::NotANumber));
        check("m", "on m", Err(Reason::NotANumber));
        check("m", "m", Err(Reason::NotANumber));
    }

    #[test]
    fn json_values_say_numbers() {
        let point = figures(Decimal::Point, None);
        let check = |raw: &str, expected: Option<Result<f64, Reason>>| {
            assert_eq!(point.of_json(raw), expected, "{raw}");
        };
        check("18.4", Some(Ok(18.4)));
        check("\"18.4\"", Some(Ok(18.4)));
        check("\"\\u004fN\"", Some(Ok(1.0)));
        check("true", Some(Ok(1.0)));
        check("null", None);
        check("{\"type\":\"Buffer\",\"data\":[49,56,46,52]}", Some(Ok(18.4)));
        check("{\"type\":\"Buffer\",\"data\":[300]}", Some(Err(Reason::NotANumber)));
        check("{\"v\":1}", Some(Err(Reason::NotANumber)));
        check("[1]", Some(Err(Reason::NotANumber)));
    }
}
