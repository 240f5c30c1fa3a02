//! Statuses of the signal exchange list: which are kept here, and by which names.

use crate::measures::{CLASSES, Measures};

/// What the values of the main component go up to.
const MOST: u64 = 65_535;

/// A status that detectors have.
#[derive(Debug, PartialEq, Eq)]
pub struct StatusCode {
    /// Its code.
    pub code: &'static str,
    /// The name of the time at which its interval began.
    pub begin: &'static str,
    /// The names of its values.
    pub values: &'static [&'static str],
    pub(super) measure: StatusMeasure,
}

/// What a status measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusMeasure {
    Vehicles,
    Speed,
    Occupancy,
    Classes,
}

impl StatusMeasure {
    /// A value by its name, where it is known of the whole interval.
    pub(super) fn value(self, measures: &Measures, name: &str) -> Option<u64> {
        if measures.is_partial() {
            return None;
        }
        let value = match self {
            Self::Vehicles => measures.vehicles(),
            Self::Speed => measures.speed().and_then(rounded),
            Self::Occupancy => {
                let percent = measures.occupancy().and_then(|share| rounded(100.0 * share));
                percent.map(|percent| percent.min(100))
            }
            Self::Classes => measures.of_class(name),
        };
        value.map(|value| value.min(MOST))
    }
}

/// A whole number; `None` of what is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite, and not negative")]
fn rounded(value: f64) -> Option<u64> {
    (value.is_finite() && value >= 0.0).then(|| value.round() as u64)
}

const fn status(
    code: &'static str,
    begin: &'static str,
    values: &'static [&'static str],
    measure: StatusMeasure,
) -> StatusCode {
    StatusCode { code, begin, values, measure }
}

/// Of each detector.
pub const STATUSES: [StatusCode; 4] = [
    status("S0201", "starttime", &["vehicles"], StatusMeasure::Vehicles),
    status("S0202", "starttime", &["speed"], StatusMeasure::Speed),
    status("S0203", "starttime", &["occupancy"], StatusMeasure::Occupancy),
    status("S0204", "starttime", &CLASSES, StatusMeasure::Classes),
];

/// Of the main component, for all detectors together.
pub const MAIN_STATUSES: [StatusCode; 4] = [
    status("S0205", "start", &["vehicles"], StatusMeasure::Vehicles),
    status("S0206", "start", &["speed"], StatusMeasure::Speed),
    status("S0207", "start", &["occupancy"], StatusMeasure::Occupancy),
    status("S0208", "start", &CLASSES, StatusMeasure::Classes),
];

/// The first and the last number of each run of codes in the signal exchange list.
const OF_SXL: [(u16, u16); 5] = [(1, 17), (19, 35), (91, 92), (95, 98), (201, 208)];

/// What a requested value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// One of [`STATUSES`], or of [`MAIN_STATUSES`] where `main`.
    Here { status: &'static StatusCode, main: bool },
    /// In the signal exchange list, and not among what detectors have.
    Elsewhere,
}

/// Finds a value by code and name.
///
/// # Errors
/// The signal exchange list has none such, in words.
pub(super) fn find(code: &str, name: &str) -> Result<Known, String> {
    let of = |list: &'static [StatusCode]| list.iter().find(|status| status.code == code);
    let here = of(&STATUSES)
        .map(|status| (status, false))
        .or_else(|| of(&MAIN_STATUSES).map(|status| (status, true)));
    if let Some((status, main)) = here {
        if name != status.begin && !status.values.contains(&name) {
            let known = status.values.join(", ");
            return Err(format!("{code} has no value {name:?}; it has {}, {known}", status.begin));
        }
        return Ok(Known::Here { status, main });
    }
    let digits = code
        .strip_prefix('S')
        .filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if OF_SXL.iter().any(|(first, last)| (*first..=*last).contains(&number)) => {
            Ok(Known::Elsewhere)
        }
        _ => Err(format!("the signal exchange list {} has no status {code:?}", super::SXL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_code_and_name() {
        let here = |code: &str, name: &str| matches!(find(code, name), Ok(Known::Here { .. }));
        assert!(here("S0201", "vehicles") && here("S0204", "MC") && here("S0208", "start"));
        assert_eq!(find("S0001", "signalgroupstatus"), Ok(Known::Elsewhere));
        for (code, name) in [
            ("S0201", "start"),
            ("S0018", "x"),
            ("S0099", "x"),
            ("S0209", "x"),
            ("s0201", "vehicles"),
            ("S+001", "x"),
        ] {
            assert!(find(code, name).is_err(), "{code} {name}");
        }
    }
}
