//! What a table does not say of itself: the options of `verge judge` and `verge eval csv`.

use std::str::FromStr;

use clap::Args;
use jiff::tz::TimeZone;
use verge_codec::Decimal;

/// How a table is written, where its cells leave it open.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tables")]
pub(in crate::cli) struct TableArgs {
    /// What stands in front of decimals: . or , [default: found out, else as in the judge's source]
    #[arg(long, value_name = "C", value_parser = decimal)]
    pub(super) decimal: Option<Decimal>,
    /// Dates begin with the day: 01/03/2026 is 1 March
    #[arg(long, conflicts_with = "month_first")]
    pub(super) day_first: bool,
    /// Dates begin with the month: 01/03/2026 is 3 January
    #[arg(long)]
    pub(super) month_first: bool,
    /// Time zone of times without an offset, such as Europe/Berlin [default: that of the judge's source, else UTC]
    #[arg(long, value_name = "ZONE")]
    pub(super) time_zone: Option<Zone>,
    /// What stands between columns, one character or \t [default: found out]
    #[arg(long, value_name = "C", value_parser = delimiter)]
    pub(super) delimiter: Option<u8>,
    /// Encoding, such as windows-1251 or shift_jis [default: found out]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub(super) encoding: Option<&'static encoding_rs::Encoding>,
    /// The first line is the header, and all others are rows.
    #[arg(skip)]
    pub(super) exact: bool,
    #[arg(skip)]
    pub(super) usual: Usual,
}

/// What the source of a table's signals says of numbers and times, for cells that leave it open.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Usual {
    /// Of `[source.NAME]`.
    pub(in crate::cli) source: String,
    pub(in crate::cli) decimal: Option<Decimal>,
    pub(in crate::cli) zone: Option<TimeZone>,
}

impl Usual {
    pub(super) fn zone_words(&self) -> Option<String> {
        let zone = self.zone.as_ref()?;
        let name = zone.iana_name().unwrap_or("its zone");
        Some(format!("in {name}, as [source.{}] says", self.source))
    }
}

impl TableArgs {
    pub(in crate::cli) fn with_usual(&self, usual: Usual) -> Self {
        Self { usual, ..self.clone() }
    }

    /// The zone of times without an offset.
    pub(super) fn zone(&self) -> Option<TimeZone> {
        self.time_zone.as_ref().map(|zone| zone.0.clone()).or_else(|| self.usual.zone.clone())
    }
}

/// A time zone of the IANA database.
#[derive(Debug, Clone)]
pub(super) struct Zone(pub(super) TimeZone);

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name);
        zone.map(Self)
            .map_err(|_| "no time zone of this name; expected one as in Europe/Berlin, or UTC".to_owned())
    }
}

/// One ASCII character, or `\t`.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => Ok(*one),
        _ => Err("expected one ASCII character, or \\t".to_owned()),
    }
}

fn decimal(text: &str) -> Result<Decimal, &'static str> {
    match text {
        "." => Ok(Decimal::Point),
        "," => Ok(Decimal::Comma),
        _ => Err("expected . or ,"),
    }
}

fn encoding(name: &str) -> Result<&'static encoding_rs::Encoding, String> {
    encoding_rs::Encoding::for_label(name.as_bytes()).ok_or_else(|| {
        "no encoding of this name; expected one as in utf-8, utf-16le, windows-1252".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character() {
        let check = |text: &str, expected: Option<u8>| assert_eq!(delimiter(text).ok(), expected, "{text:?}");
        check(";", Some(b';'));
        check("\\t", Some(b'\t'));
        check("\t", Some(b'\t'));
        check("", None);
        check(",,", None);
        check("\"", None);
        check("é", None);
    }

    #[test]
    fn zones_and_encodings_are_known_by_name() {
        assert!("Europe/Berlin".parse::<Zone>().is_ok());
        let error = "Europe/Atlantis".parse::<Zone>().unwrap_err();
        assert!(error.contains("no time zone of this name"), "{error}");
        assert!(encoding("latin1").is_ok() && encoding("latin9000").is_err());
    }
}
