//! JSON text without copies: what `json` and `senml` have in common.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};
use serde_json::value::RawValue;
use verge_domain::excerpt::Excerpt;
use verge_domain::rejection::{Reason, Rejection};

/// Refuses text that is not JSON, showing what stands around the fault.
pub(crate) fn refuse(text: &str, error: &serde_json::Error) -> Rejection {
    let before = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = before.saturating_add(error.column().saturating_sub(1));
    Rejection { came: Excerpt::near(text.as_bytes(), at), ..Rejection::whole(Reason::BadJson) }
}

/// Rewrites text so that values that JSON does not know (`nan`, `-Infinity`, `ON`, `007.5`) stand in quotation marks,
/// and only they are lost: in a string each is read by itself. `false` where there are none.
#[cold]
pub(crate) fn repair(text: &str, out: &mut String) -> bool {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "+-.#()_".contains(letter);
    out.clear();
    let mut rest = text;
    let mut repaired = false;
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' {
            string_end(rest)
        } else if bare(first) {
            rest.find(|letter| !bare(letter)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let Some((part, behind)) = rest.split_at_checked(end) else { return false };
        rest = behind;
        // What stands in front of a colon is the name of a member.
        let is_value = bare(first) && behind.trim_start().starts_with([',', '}', ']']);
        if is_value && serde_json::from_str::<&RawValue>(part).is_err() {
            repaired = true;
            out.push('"');
            out.push_str(part);
            out.push('"');
        } else {
            out.push_str(part);
        }
    }
    repaired
}

/// Where a string ends that begins the text.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

/// The text of a JSON string; `None` if it is none.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// The name of a member, borrowed from the message unless it is escaped there.
pub(crate) struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Cow<'de, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_json_does_not_know_are_put_into_strings() {
        let check = |text: &str, expected: Option<&str>| {
            let mut out = "before".to_owned();
            let repaired = repair(text, &mut out).then_some(out.as_str());
            assert_eq!(repaired, expected, "{text}");
        };
        check(r#"{"t":nan,"h":40}"#, Some(r#"{"t":"nan","h":40}"#));
        check(r#"{"t": -Infinity }"#, Some(r#"{"t": "-Infinity" }"#));
        check(r#"[1, NaN, 1.#QNAN, nan(ind)]"#, Some(r#"[1, "NaN", "1.#QNAN", "nan(ind)"]"#));
        check(r#"{"t":007.5,"on":ON,"u":undefined}"#, Some(r#"{"t":"007.5","on":"ON","u":"undefined"}"#));
        check(r#"{"a\"b:":"nan,","c\\":true,"t":nan}"#, Some(r#"{"a\"b:":"nan,","c\\":true,"t":"nan"}"#));
        check(r#"{"t":1.5,"on":true,"n":null,"e":-1e-3}"#, None);
        check(r#"{t:1.5}"#, None);
        check(r#"{"t":21,5}"#, None);
        check(r#"{"t":"open"#, None);
        check("nan", None);
    }
}
