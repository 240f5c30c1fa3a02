//! What was probably meant by a word that is none of those that are known.

/// A word this close to a known one is probably meant to be it (Jaro-Winkler similarity).
const SIMILAR: f64 = 0.8;

/// The known word that is nearest to this one, if one is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &plain(candidate)), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        // The first of several that are equally near.
        .fold(None, |best: Option<(f64, &str)>, found| match best {
            Some(best) if best.0 >= found.0 => Some(best),
            _ => Some(found),
        })
        .map(|(_, candidate)| candidate)
}

/// The word of a choice that was meant, also by the names that other programs have for it.
pub(super) fn nearest_choice<'a>(word: &str, choice: &[&'a str]) -> Option<&'a str> {
    nearest(word, choice.iter().copied()).or_else(|| {
        let plain = plain(word);
        let (_, meant) = ELSEWHERE.iter().find(|(other, meant)| *other == plain && choice.contains(meant))?;
        choice.iter().find(|known| *known == meant).copied()
    })
}

/// Names that other programs have.
const ELSEWHERE: &[(&str, &str)] = &[
    ("mqtt", "local"),
    ("broker", "local"),
    ("general", "gateway"),
    ("global", "gateway"),
    ("edge", "gateway"),
    ("sensor", "source"),
    ("sensors", "source"),
    ("input", "source"),
    ("rule", "judge"),
    ("rules", "judge"),
    ("alarms", "judge"),
    ("detector", "judge"),
    ("cloud", "uplink"),
    ("upstream", "uplink"),
    ("output", "uplink"),
    ("float", "number"),
    ("int", "number"),
    ("text", "number"),
    ("plain", "number"),
    ("raw", "number"),
    ("value", "number"),
    ("influx", "line"),
    ("influxdb", "line"),
    ("telegraf", "line"),
    ("jpg", "jpeg"),
    ("image", "jpeg"),
    ("base64", "jpeg_b64"),
    ("float32", "samples_f32"),
    ("int16", "samples_i16"),
    ("limit", "threshold"),
    ("limits", "threshold"),
    ("slope", "rate"),
    ("gradient", "rate"),
    ("heartbeat", "silence"),
    ("timeout", "silence"),
    ("watchdog", "silence"),
    ("anomaly", "auto"),
    ("multivariate", "multi"),
    ("alarm", "critical"),
    ("error", "critical"),
    ("high", "critical"),
    ("medium", "warning"),
    ("low", "info"),
    ("alert", "alarm"),
    ("internal", "embedded"),
    ("client", "external"),
    ("off", "none"),
    ("false", "none"),
];

fn plain(word: &str) -> String {
    word.trim().to_lowercase().replace(['-', ' ', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_near_to_what_was_meant() {
        let known = ["threshold", "rate", "silence", "auto"];
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(nearest_choice(word, &known), expected, "{word}");
        };
        check("treshold", Some("threshold"));
        check("Threshold", Some("threshold"));
        check("rates", Some("rate"));
        check("heartbeat", Some("silence"));
        check("neural", None);
        check("", None);
    }
}
