//! NaN and infinities in line protocol, which has no such values: they cost themselves, not their line.

use verge_domain::rejection::Reason;

use crate::number::{from_text, is_not_finite};

/// Whether a text says NaN or an infinity.
pub(super) fn says_not_finite(text: &str) -> bool {
    from_text(text) == Err(Reason::NotFinite) || is_not_finite(text)
}

/// Where in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LinePlace {
    /// Measurement and tags, up to a blank.
    Series,
    Fields,
    /// Within a string.
    Quoted,
}

/// Rewrites lines so that such values of fields stand in quotation marks. `false` where there are none.
#[cold]
pub(super) fn repair(text: &str, out: &mut String) -> bool {
    out.clear();
    let mut place = LinePlace::Series;
    let mut repaired = false;
    let mut escaped = false;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let Some((head, behind)) = rest.split_at_checked(letter.len_utf8()) else { return false };
        out.push_str(head);
        rest = behind;
        if std::mem::take(&mut escaped) {
            continue;
        }
        match (place, letter) {
            (_, '\\') => escaped = true,
            (LinePlace::Series, ' ') => place = LinePlace::Fields,
            (LinePlace::Series | LinePlace::Fields, '\n') => place = LinePlace::Series,
            (LinePlace::Fields, '"') => place = LinePlace::Quoted,
            (LinePlace::Quoted, '"') => place = LinePlace::Fields,
            (LinePlace::Fields, '=') => {
                let end = rest.find([',', ' ', '\r', '\n']).unwrap_or(rest.len());
                let Some((value, behind)) = rest.split_at_checked(end) else { return false };
                if says_not_finite(value) {
                    repaired = true;
                    rest = behind;
                    out.push('"');
                    out.push_str(value);
                    out.push('"');
                }
            }
            _ => {}
        }
    }
    repaired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_a_value_are_put_into_strings() {
        let check = |text: &str, expected: Option<&str>| {
            let mut out = String::new();
            assert_eq!(repair(text, &mut out).then_some(out.as_str()), expected, "{text}");
        };
        check("m x=NaN,y=1 7", Some("m x=\"NaN\",y=1 7"));
        check("m,host=nan x=-inf\nm y=+Infinity\r\n", Some("m,host=nan x=\"-inf\"\nm y=\"+Infinity\"\r\n"));
        check("m\\ nan x=1,y=1.#QNAN", Some("m\\ nan x=1,y=\"1.#QNAN\""));
        check("m x=\"a=nan,\\\"b=nan\",y=2", None);
        check("m,host=nan x=1,y=nancy", None);
        check("m x=1e999", Some("m x=\"1e999\""));
        check("nan", None);
    }
}
