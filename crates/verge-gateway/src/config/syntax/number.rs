//! Numbers as people write them.

use super::super::key::ValueKind;
use super::value::{MeantValue, is_for_numbers, is_for_text, is_value, meant};

const POINT: &str = "decimals take a point";

/// A number as people write it.
pub(in super::super) fn number(text: &str, kind: Option<ValueKind>) -> Option<MeantValue> {
    let text = text.replace(['−', '–', '—'], "-");
    let figures = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, plain) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (&text[..1], rest.trim_start()),
        None => ("", text.as_str()),
    };
    if is_value(&format!("{sign}{plain}"))
        && !is_for_text(kind)
        && plain.starts_with(|c: char| c.is_ascii_digit())
    {
        return meant(format!("{sign}{plain}"), "the sign of a number is - or +, directly before it");
    }
    if let Some((whole, part)) = plain.split_once(',')
        && figures(whole)
        && figures(part)
    {
        return meant(format!("{sign}{}.{part}", without_zeros(whole)), POINT);
    }
    if plain.contains(',') && plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.')) {
        let (last, _) = plain.char_indices().rfind(|(_, letter)| matches!(letter, ',' | '.'))?;
        let whole = plain[..last].replace([',', '.'], "");
        return meant(
            format!("{sign}{whole}.{}", &plain[last + 1..]),
            "decimals take a point, thousands take nothing",
        );
    }
    if let Some(part) = plain.strip_prefix('.').filter(|part| figures(part)) {
        return meant(format!("{sign}0.{part}"), "a number has a figure before the point");
    }
    if let Some(whole) = plain.strip_suffix('.').filter(|whole| figures(whole)) {
        return meant(format!("{sign}{whole}.0"), "a number has a figure behind the point");
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.split('.').all(figures) {
        let (whole, part) = plain.split_once('.').map_or((plain, ""), |(whole, part)| (whole, part));
        let point = if part.is_empty() { "" } else { "." };
        return meant(
            format!("{sign}{}{point}{part}", without_zeros(whole)),
            "a number has no zeros in front",
        );
    }
    let lower = plain.to_ascii_lowercase();
    if matches!(lower.as_str(), "nan" | "inf" | "infinity" | "∞") {
        let word = if lower == "nan" { "nan" } else { "inf" };
        return meant(format!("{sign}{word}"), "such numbers are written nan and inf");
    }
    let end = plain.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
    let (figure, unit) = (&plain[..end], plain[end..].trim());
    if is_for_numbers(kind) && is_value(figure) && is_unit(unit) {
        return meant(format!("{sign}{figure}"), format!("a number stands without its unit ({unit:?})"));
    }
    None
}

/// Whether a text looks like a unit: letters, and no power of ten or hexadecimal number.
fn is_unit(text: &str) -> bool {
    let letter =
        |letter: char| letter.is_alphabetic() || matches!(letter, '/' | '%' | '°' | '²' | '³' | '*' | ' ');
    let begins = text.starts_with(|first: char| first.is_alphabetic() || matches!(first, '%' | '°'));
    begins && text.chars().all(letter) && !matches!(text, "e" | "E") && !text.starts_with(['x', 'X'])
}

fn without_zeros(figures: &str) -> &str {
    let cut = figures.trim_start_matches('0');
    if cut.is_empty() { "0" } else { cut }
}
