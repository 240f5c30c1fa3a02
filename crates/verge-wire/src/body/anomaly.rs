//! The process is out of its expected range.

use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::verdict::{Anomaly, Event};

use super::Decided;
use crate::portable::Portable;
use crate::record::{cbor_array, parse_object, record, show_object};
use crate::words::{against, event_words, number, probability, unit_words};

record! {
    Anomaly: "anomaly" {
        0 member,
        1 observed,
        2 expected optional,
        4 p_value optional,
        5 unit optional,
        6 contributions optional,
        7 feedback optional,
    }
}

impl Portable for Contribution {
    cbor_array! {
        [Contribution { signal, share, observed, expected: Expected { low, high } }]
        "contribution" { signal, share, observed, low, high }
    }
    show_object! {
        [Contribution { signal, share, observed, expected }] { signal, share, observed, expected optional }
    }
    parse_object! {
        Contribution, [Contribution { signal, share, observed, expected }]
        "contribution" { signal, share, observed, expected optional }
    }
}

impl Decided for Anomaly {
    fn words(&self, event: Option<&Event>) -> String {
        let what = match self.member {
            Member::High => "high",
            Member::Low => "low",
            Member::Rise => "rises fast",
            Member::Fall => "falls fast",
            Member::Silent
            | Member::Stuck
            | Member::Flat
            | Member::Noisy
            | Member::Saturated
            | Member::ClockSkewed
            | Member::Duplicate => self.member.as_str(),
            Member::Level => "unusual level",
            Member::Mean => "unusual mean",
            Member::Profile => "far from the usual of the hour, by",
            Member::Median => "unusual median",
            Member::Volatility => "unusually restless",
            Member::Context => "unusual sequence",
            Member::TimeOfDay => "unusual value for the hour",
            Member::Shift => "unusual spread",
            Member::Machine => "signals unusual together",
            Member::Pattern => "unknown shape",
            Member::Vibration => "unusual vibration",
            Member::Reconstruction => "not as the model knows it, error",
        };
        let per = if matches!(self.member, Member::Rise | Member::Fall) { "/s" } else { "" };
        let unit = format!("{}{per}", unit_words(self.member, self.unit.as_ref()));
        let mut words = event_words(what, event) + &against(self.observed, &self.expected, &unit);
        if let Some(p) = self.p_value {
            words += &format!(", p {}", probability(p));
        }
        if !self.contributions.is_empty() {
            let named = self
                .contributions
                .iter()
                .map(|one| format!("{} {} ({:.0} %)", one.signal, number(one.observed), 100.0 * one.share));
            words += &format!(": {}", named.collect::<Vec<_>>().join(", "));
        }
        if !self.feedback.is_empty() {
            let Feedback { maintenance, real } = self.feedback;
            words += &format!(" [labelled {maintenance} x maintenance, {real} x real]");
        }
        words
    }

    fn observed(&self) -> Option<f64> {
        Some(self.observed)
    }
}
