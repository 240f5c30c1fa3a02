//! What a device says of the quality of its own value, in JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use verge_domain::reading::Quality;

use crate::input::json_text::text;
use crate::settings::QualityFormat;

/// A value that is not to be believed, or of which nothing can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad;

/// A StatusCode as OPC UA writes it in JSON (OPC 10000-6 section 5.4.2.11).
#[derive(Deserialize)]
struct StatusCode<'a> {
    #[serde(borrow, default, alias = "code", rename = "Code")]
    code: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "symbol", rename = "Symbol")]
    symbol: Option<Cow<'a, str>>,
}

/// Reads the quality in the JSON text of a value; `None` for `null`.
pub(super) fn read(raw: &str, format: QualityFormat) -> Option<Result<Quality, Bad>> {
    if raw == "null" {
        return None;
    }
    Some(if raw.starts_with('{') {
        of_object(raw)
    } else {
        match text(raw) {
            Some(text) => of_word(&text).unwrap_or_else(|| of_number(&text, format)),
            None => of_word(raw).unwrap_or_else(|| of_number(raw, format)),
        }
    })
}

/// Whether a value with this quality is judged, as JSON's would be: words and codes, as text alone.
#[must_use]
pub fn is_usable(text: &str, format: QualityFormat) -> bool {
    of_word(text).unwrap_or_else(|| of_number(text, format)).is_ok()
}

fn of_object(raw: &str) -> Result<Quality, Bad> {
    // From bytes, as in `pairs`.
    let status: StatusCode<'_> = serde_json::from_slice(raw.as_bytes()).map_err(|_| Bad)?;
    match (status.code, status.symbol) {
        (Some(code), _) => of_number(code.get(), QualityFormat::OpcUa),
        (None, Some(symbol)) => of_word(&symbol).unwrap_or(Err(Bad)),
        // Good is 0, and is left out.
        (None, None) => Ok(Quality::Good),
    }
}

/// `GOOD`, `BadNotConnected`, `true`.
fn of_word(word: &str) -> Option<Result<Quality, Bad>> {
    let starts =
        |start: &str| word.trim().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    Some(match () {
        () if starts("good") || starts("true") => Ok(Quality::Good),
        () if starts("uncertain") => Ok(Quality::Uncertain),
        () if starts("bad") || starts("false") => Err(Bad),
        () => return None,
    })
}

fn of_number(number: &str, format: QualityFormat) -> Result<Quality, Bad> {
    let number: u32 = number.trim().parse().map_err(|_| Bad)?;
    match (format, number) {
        // The two bits on top are the severity (OPC 10000-4 section 7.39.1).
        (QualityFormat::OpcUa, 0..=0x3fff_ffff) => Ok(Quality::Good),
        (QualityFormat::OpcUa | QualityFormat::Auto, 0x4000_0000..=0x7fff_ffff) => Ok(Quality::Uncertain),
        (QualityFormat::OpcDa | QualityFormat::Auto, 192..=255) => Ok(Quality::Good),
        (QualityFormat::OpcDa | QualityFormat::Auto, 64..=127) => Ok(Quality::Uncertain),
        _ => Err(Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        use QualityFormat::{Auto, OpcDa, OpcUa};
        let check = |raw: &str, format: QualityFormat, expected: Result<Quality, Bad>| {
            assert_eq!(read(raw, format), Some(expected), "{raw} as {format:?}");
        };
        for format in [Auto, OpcDa, OpcUa] {
            check("true", format, Ok(Quality::Good));
            check("false", format, Err(Bad));
            check(r#""GOOD""#, format, Ok(Quality::Good));
            check(r#""Uncertain_LastUsable""#, format, Ok(Quality::Uncertain));
            check(r#""BadNotConnected""#, format, Err(Bad));
            check(r#"{"Code":2157772800,"Symbol":"BadOutOfService"}"#, format, Err(Bad));
            check(r#"{"Code":0}"#, format, Ok(Quality::Good));
            check(r#"{"Symbol":"Good"}"#, format, Ok(Quality::Good));
            check("{}", format, Ok(Quality::Good));
            check("[1]", format, Err(Bad));
            check(r#""?""#, format, Err(Bad));
            check("-1", format, Err(Bad));
            check("1.5", format, Err(Bad));
        }
        check("0", OpcUa, Ok(Quality::Good));
        check("0", OpcDa, Err(Bad));
        check("0", Auto, Err(Bad));
        check("192", OpcDa, Ok(Quality::Good));
        check("192", Auto, Ok(Quality::Good));
        check(r#""192""#, Auto, Ok(Quality::Good));
        check("64", OpcDa, Ok(Quality::Uncertain));
        check("28", OpcDa, Err(Bad));
        check("1083113472", OpcUa, Ok(Quality::Uncertain));
        check("1083113472", Auto, Ok(Quality::Uncertain));
        check("2150891520", OpcUa, Err(Bad));
        assert_eq!(read("null", Auto), None);
    }
}
