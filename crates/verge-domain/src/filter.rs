//! Topic names and topic filters.
//!
//! **Source**: MQTT 3.1.1, section 4.7: levels are separated by `/`; `+` stands for exactly one level, `#` for
//! any number of levels at the end, the parent level included; a filter that begins with a wildcard does not
//! match topics that begin with `$`.

/// Longest topic name or filter, in bytes (MQTT 3.1.1, section 4.7.3).
pub const MAX_TOPIC_BYTES: usize = 65_535;

/// What the embedded broker publishes to itself on, to see whether it works. rumqttd delivers nothing on topics that
/// begin with `$`, so a subscriber to `#` receives these messages; sources pass them over.
pub const CANARY_TOPIC: &str = "@verge-canary";

/// Why a text is no topic filter, or no topic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is empty.
    #[error("it must not be empty")]
    Empty,
    /// Longer than [`MAX_TOPIC_BYTES`].
    #[error("it has at most {MAX_TOPIC_BYTES} bytes, this one has {actual}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// U+0000 is forbidden.
    #[error("it must not contain the character U+0000")]
    Null,
    /// `#` elsewhere than as the whole last level.
    #[error("\"#\" may only stand alone in the last level")]
    Hash,
    /// `+` beside other characters of its level.
    #[error("\"+\" must stand alone in its level")]
    Plus,
    /// A shared subscription, which would share the session's order and acknowledgements with other clients.
    #[error("shared subscriptions ($share/…) are not supported")]
    Shared,
    /// A wildcard in the name of a topic to publish on.
    #[error("a topic to publish on must not contain \"+\" or \"#\"")]
    Wildcard,
}

/// Checks a topic filter.
///
/// # Errors
/// See [`FilterError`].
pub fn validate(filter: &str) -> Result<(), FilterError> {
    check_text(filter)?;
    if filter.split('/').next() == Some("$share") {
        return Err(FilterError::Shared);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(FilterError::Hash);
        }
        if level.contains('+') && level != "+" {
            return Err(FilterError::Plus);
        }
    }
    Ok(())
}

/// Checks the name of a topic to publish on.
///
/// # Errors
/// See [`FilterError`].
pub fn validate_topic(topic: &str) -> Result<(), FilterError> {
    check_text(topic)?;
    if topic.contains(['+', '#']) { Err(FilterError::Wildcard) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), FilterError> {
    match text.len() {
        0 => Err(FilterError::Empty),
        actual if actual > MAX_TOPIC_BYTES => Err(FilterError::TooLong { actual }),
        _ if text.contains('\0') => Err(FilterError::Null),
        _ => Ok(()),
    }
}

/// Whether a valid filter matches a topic name.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if filter.starts_with(['+', '#']) && topic.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether a valid filter matches every topic name that another matches.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    // A wildcard at the begin matches no reserved topic.
    if wide.starts_with(['+', '#']) && narrow.starts_with('$') {
        return false;
    }
    let mut narrows = narrow.split('/');
    for wanted in wide.split('/') {
        match (wanted, narrows.next()) {
            ("#", _) => return true,
            ("+", Some(level)) if level != "#" => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    narrows.next().is_none()
}

/// Whether some topic name matches both of two valid filters.
#[must_use]
pub fn overlaps(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    let mut first = true;
    // So far only the empty text matches both, which is no topic name.
    let mut empty = false;
    loop {
        let (one, other) = match (ones.next(), others.next()) {
            (None, None) => return true,
            // "a/#" matches "a", too.
            (Some(rest), None) | (None, Some(rest)) => return rest == "#" && !empty,
            (Some(one), Some(other)) => (one, other),
        };
        let wild = |level: &str| matches!(level, "+" | "#");
        let reserved = |level: &str| first && level.starts_with('$');
        let meets = match (wild(one), wild(other)) {
            (true, true) => true,
            (true, false) => !reserved(other),
            (false, true) => !reserved(one),
            (false, false) => one == other,
        };
        if !meets {
            return false;
        }
        if one == "#" || other == "#" {
            return true;
        }
        empty = first && (one.is_empty() || other.is_empty());
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_are_checked() {
        let check = |filter: &str, expected: Result<(), FilterError>| {
            assert_eq!(validate(filter), expected, "{filter:?}");
        };
        for good in
            ["#", "+", "/", "a", "a/b", "a/+/c", "+/+", "/+", "a/#", "+/#", "$SYS/#", "a//b", "Fläche/1"]
        {
            check(good, Ok(()));
        }
        check("", Err(FilterError::Empty));
        check("a\0b", Err(FilterError::Null));
        check("a/#/b", Err(FilterError::Hash));
        check("a#", Err(FilterError::Hash));
        check("##", Err(FilterError::Hash));
        check("a+/b", Err(FilterError::Plus));
        check("a/++", Err(FilterError::Plus));
        check("$share/g/a", Err(FilterError::Shared));
        check(&"x".repeat(MAX_TOPIC_BYTES), Ok(()));
        check(&"x".repeat(MAX_TOPIC_BYTES + 1), Err(FilterError::TooLong { actual: MAX_TOPIC_BYTES + 1 }));
        assert_eq!(validate_topic("a/+"), Err(FilterError::Wildcard));
        assert_eq!(validate_topic("a/b"), Ok(()));
    }

    /// The examples of MQTT 3.1.1, section 4.7, and the edges beside them.
    #[test]
    fn filters_match_as_the_standard_says() {
        let check = |filter: &str, topic: &str, expected: bool| {
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        };
        check("sport/tennis/player1/#", "sport/tennis/player1", true);
        check("sport/tennis/player1/#", "sport/tennis/player1/ranking", true);
        check("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true);
        check("sport/tennis/player1/#", "sport/tennis/player10", false);
        check("sport/#", "sport", true);
        check("sport/tennis/+", "sport/tennis/player1", true);
        check("sport/tennis/+", "sport/tennis/player1/ranking", false);
        check("sport/+", "sport", false);
        check("sport/+", "sport/", true);
        check("+/+", "/finance", true);
        check("/+", "/finance", true);
        check("+", "/finance", false);
        check("#", "$SYS/monitor", false);
        check("+/monitor/Clients", "$SYS/monitor/Clients", false);
        check("$SYS/#", "$SYS/", true);
        check("$SYS/monitor/+", "$SYS/monitor/Clients", true);
        check("a/$b", "a/$b", true);
        check("a/+", "a/$b", true);
        check("ACCOUNTS", "Accounts", false);
    }

    #[test]
    fn a_wide_filter_covers_a_narrow_one() {
        let check = |wide: &str, narrow: &str, expected: bool| {
            assert_eq!(covers(wide, narrow), expected, "{wide} over {narrow}");
        };
        check("a/#", "a", true);
        check("a/#", "a/+/c/#", true);
        check("a/#", "#", false);
        check("a/#", "+/b", false);
        check("+/b/#", "+/b/c", true);
        check("+/b/#", "$SYS/b/c", false);
        check("#", "$SYS/#", false);
        check("+", "#", false);
        check("a/+", "a/#", false);
        check("a/b", "a/+", false);
        check("a/+/c", "a/b/c", true);
        check("a/+", "a", false);
    }

    #[test]
    fn overlaps_are_found() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(overlaps(one, other), expected, "{one} and {other}");
            assert_eq!(overlaps(other, one), expected, "{other} and {one}");
        };
        check("a/+/c", "a/b/#", true);
        check("a/+", "a/b/c", false);
        check("a/#", "a", true);
        check("a/+", "a", false);
        check("#", "$SYS/a", false);
        check("+/a", "$SYS/a", false);
        check("+/a", "#", true);
        check("a/#", "b/#", false);
        check("/#", "+", false);
        check("/#", "+/", true);
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just(""), Just("a"), Just("b"), Just("$x")]
    }

    fn filter_text() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 1 => Just("+")];
        (proptest::collection::vec(level, 1..=3), any::<bool>())
            .prop_map(|(levels, open)| levels.join("/") + if open { "/#" } else { "" })
            .prop_filter("an empty filter is none", |filter| validate(filter).is_ok())
    }

    /// Every topic of up to four levels over the same words: enough to witness any overlap of filters with at
    /// most three levels and a `#`.
    fn universe() -> Vec<String> {
        const WORDS: [&str; 4] = ["", "a", "b", "$x"];
        let mut topics: Vec<String> = WORDS.map(str::to_owned).to_vec();
        let mut longest = topics.clone();
        for _ in 1..4 {
            longest = longest.iter().flat_map(|topic| WORDS.map(|word| format!("{topic}/{word}"))).collect();
            topics.extend_from_slice(&longest);
        }
        topics.retain(|topic| !topic.is_empty());
        topics
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(filter in any::<String>(), topic in any::<String>()) {
            if validate(&filter).is_ok() {
                prop_assert!(overlaps(&filter, &filter), "{filter:?} overlaps itself");
                if filter.ends_with('#') && matches(&filter, &topic) {
                    let longer = format!("{topic}/more");
                    prop_assert!(matches(&filter, &longer), "{filter:?} on {longer:?}");
                }
            }
            if validate_topic(&topic).is_ok() && validate(&topic).is_ok() {
                prop_assert!(matches(&topic, &topic));
            }
        }

        #[test]
        fn what_is_covered_is_matched(wide in filter_text(), narrow in filter_text()) {
            let mut narrowed = universe().into_iter().filter(|topic| matches(&narrow, topic));
            let holds = narrowed.all(|topic| matches(&wide, &topic));
            // "+/#" matches all that "#" does, and is not found to cover it: a refusal on the safe side.
            prop_assert!(!covers(&wide, &narrow) || holds, "{wide} over {narrow}");
            if !narrow.contains(['+', '#']) {
                prop_assert_eq!(covers(&wide, &narrow), matches(&wide, &narrow));
            }
            prop_assert!(covers(&narrow, &narrow));
        }

        #[test]
        fn an_overlap_is_a_topic_that_both_match(one in filter_text(), other in filter_text()) {
            let witness = universe().into_iter().find(|topic| matches(&one, topic) && matches(&other, topic));
            prop_assert_eq!(overlaps(&one, &other), witness.is_some(), "{} and {}: {:?}", one, other, witness);
        }
    }
}
