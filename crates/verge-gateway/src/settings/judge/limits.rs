//! What a detector refuses, as faults of the keys that are to blame.

use std::fmt::Display;

use verge_anomaly::SettingsError;

use crate::config::{Fault, Span};
use crate::settings::Check;

pub(super) fn fitting<T>(check: &mut Check<'_>, section: &str, made: Result<T, SettingsError>) -> Option<T> {
    made.map_err(|error| check.faults.push(fault(section, &error))).ok()
}

fn fault(section: &str, error: &SettingsError) -> Fault {
    let expected = error.to_string();
    let at = |key: &str, value: &dyn Display, remedy: String| {
        Fault::new(format!("{section}.{key}"), value.to_string(), expected_of(&expected)).remedy(remedy)
    };
    let within =
        |key: &str, low: &dyn Display, high: &dyn Display| format!("write {key} from {low} to {high}");
    match error {
        SettingsError::NoLimit(keys) => {
            let first = keys.split(' ').next().unwrap_or(keys);
            Fault::missing(format!("{section}.{first}"), expected)
                .remedy(format!("add {first} = and a number below [{section}]"))
        }
        SettingsError::NotFinite { key, actual } => at(key, actual, format!("write {key} = and a number")),
        SettingsError::NotPositive { key, actual } => {
            at(key, actual, format!("write a number above 0 for {key}"))
        }
        SettingsError::OutOfRange { key, actual, low, high } => at(key, actual, within(key, low, high)),
        SettingsError::ClearWithoutLimit { clear, limit } => {
            at(clear, &"alone", format!("add {limit} = and a number, or take {clear} out"))
        }
        SettingsError::ClearsAboveLimit { clear_below, above } => at(
            "clear_below",
            clear_below,
            format!("write clear_below = {above} or less, or take the line out: it then clears at {above}"),
        ),
        SettingsError::ClearsBelowLimit { clear_above, below } => at(
            "clear_above",
            clear_above,
            format!("write clear_above = {below} or more, or take the line out: it then clears at {below}"),
        ),
        SettingsError::LimitsCross { below, above } => at(
            "below",
            below,
            format!("write below less than {above}; it alarms below the one and above the other"),
        ),
        SettingsError::ClearsBeyondOpposite { clear, clear_value, limit, limit_value } => {
            at(clear, clear_value, format!("write {clear} on the inner side of {limit} ({limit_value})"))
        }
        SettingsError::Span { key, actual, low, high } => {
            at(key, &format!("\"{}\"", Span(*actual)), within(key, &Span(*low), &Span(*high)))
        }
        SettingsError::NoCause => {
            at("causes", &"[]", "name one cause, or take the line out for all".to_owned())
        }
        SettingsError::NotHealth { member } => {
            at("causes", &member.as_str(), format!("take {:?} out of the list", member.as_str()))
        }
        SettingsError::Count { key, actual, low, high } => at(key, actual, within(key, low, high)),
        SettingsError::Horizon { actual, interval, most } => {
            let (interval, farthest) = (Span(*interval), Span(*interval * u32::try_from(*most).unwrap_or(1)));
            let remedy = format!("write multiples of the interval ({interval}) up to {farthest}");
            at("forecast", &format!("\"{}\"", Span(*actual)), remedy)
        }
        SettingsError::NotPowerOfTwo { key, actual } => {
            let near = actual.checked_next_power_of_two().map_or(1 << 10, |next| next.clamp(256, 16_384));
            at(key, actual, format!("write {key} = {near}"))
        }
        SettingsError::NotAMultiple { sample_rate_hz, analysis_rate_hz, .. } => at(
            "analysis_rate",
            analysis_rate_hz,
            format!("write analysis_rate = {}, or take the line out", sample_rate_hz / 2.0),
        ),
        SettingsError::NoRole => Fault::missing(format!("{section}.pulses"), expected)
            .remedy(format!("add pulses = \"SIGNAL\" or one of the others below [{section}]")),
        SettingsError::NothingToEstimate => at(
            "effective_length",
            &"it",
            "take the line out, or name pulses or presence, and presence or occupancy".to_owned(),
        ),
        SettingsError::NothingThatChanges => at(
            "reports",
            &"\"change\"",
            "take the line out, or name the signal of pulses or presence".to_owned(),
        ),
        SettingsError::SharedSignal { signal, second, .. } => at(
            second,
            &format!("\"{signal}\""),
            format!("name another signal for {second}, or take the line out"),
        ),
    }
}

fn expected_of(words: &str) -> String {
    format!("another value: {words}")
}
