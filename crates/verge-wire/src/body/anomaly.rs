//! The process is out of its expected range.

use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::frame::PixelBox;
use verge_domain::verdict::{Anomaly, RegionBox, Regions};

use super::Decided;
use crate::portable::{Omissible, Portable};
use crate::record::{cbor_array, parse_object, record, show_object, tuple};
use crate::words::{Occasion, Quantity, number, unit_words};

record! {
    Anomaly: "anomaly" {
        0 member,
        1 observed,
        2 expected optional,
        4 p_value optional,
        5 unit optional,
        6 contributions optional,
        7 feedback optional,
        8 distance optional,
        9 value optional,
        10 usual optional,
        12 value_unit optional,
        13 regions optional,
    }
}

record!(Regions: "regions" { 0 width, 1 height, 2 boxes });

tuple! {
    [RegionBox { area: PixelBox { x, y, width, height }, peak }] RegionBox: "region" { x, y, width, height, peak }
}

impl Omissible for Regions {
    fn is_absent(&self) -> bool {
        self.boxes.is_empty()
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
    fn words(&self, occasion: &Occasion<'_>) -> String {
        let (mut words, is_off) = match AnomalyWords(self) {
            words if occasion.is_cleared() => (words.cleared(occasion), false),
            words => match words.abating(occasion) {
                Some(words) => (words, false),
                None => (words.lasting(occasion), true),
            },
        };
        // A limit that an engineer has set says by itself how far is far.
        if let Some(distance) = self.distance.filter(|_| self.p_value.is_some() && is_off) {
            words += &format!(", distance {}", number(distance));
        }
        if !self.feedback.is_empty() {
            let Feedback { maintenance, real } = self.feedback;
            let labels =
                [(maintenance, "maintenance"), (real, "real")].into_iter().filter(|(count, _)| *count > 0);
            let labels: Vec<String> = labels
                .map(
                    |(count, label)| {
                        if count == 1 { label.to_owned() } else { format!("{label} {count} times") }
                    },
                )
                .collect();
            words += &format!(" [labelled {} before]", labels.join(", "));
        }
        words
    }

    fn observed(&self) -> Option<f64> {
        Some(self.observed)
    }
}

/// Says what an anomaly is.
struct AnomalyWords<'a>(&'a Anomaly);

impl AnomalyWords<'_> {
    /// That it is as usual again, and since when it was not: an event waits for some calm before it is cleared. `None`
    /// where what is shown is off still.
    fn abating(&self, occasion: &Occasion<'_>) -> Option<String> {
        let (seen, hour) = (self.seen(), occasion.hour());
        let is_value = matches!(self.0.member, Member::Level | Member::Mean | Member::Median);
        if !seen.is_within() || !(is_value || occasion.is_updated()) {
            return None;
        }
        let (value, normally) = (seen.value(), seen.normally());
        let now = match self.0.member {
            Member::Level | Member::Mean | Member::Median => format!("{value} is usual again{normally}"),
            Member::Profile => format!("{value} off its usual course for {hour} is usual again{normally}"),
            Member::Volatility => format!("steps of {value} are usual again{normally}"),
            Member::High | Member::Low | Member::Rise | Member::Fall => {
                format!("{value} is within the limit again{}", seen.within("expected"))
            }
            Member::Context | Member::TimeOfDay | Member::Shift => match self.shown() {
                // Where the signal lies says more than what a member makes of it.
                Some(shown) if !shown.is_usual() => return None,
                Some(shown) => format!("{} is usual again{}", shown.value(), shown.normally()),
                None => "as usual again".to_owned(),
            },
            _ => self.again()?.to_owned(),
        };
        Some(occasion.abating(now))
    }

    /// What it is, and for how long.
    fn lasting(&self, occasion: &Occasion<'_>) -> String {
        let (seen, shown, hour) = (self.seen(), self.shown(), occasion.hour());
        let what = match self.0.member {
            Member::High => format!("high, {}", seen.expected()),
            Member::Low => format!("low, {}", seen.expected()),
            Member::Rise => format!("rises fast, {}", seen.expected()),
            Member::Fall => format!("falls fast, {}", seen.expected()),
            Member::Level => format!("{} is unusual{}", seen.value(), seen.normally()),
            Member::Mean => {
                format!("{} is unusual as the mean of 20 readings{}", seen.value(), seen.normally())
            }
            Member::Median => {
                format!("{} is unusual as the median of 5 readings{}", seen.value(), seen.normally())
            }
            Member::Profile => format!("{} off its usual course for {hour}{}", seen.value(), seen.normally()),
            Member::Volatility => {
                format!("fluctuates more than usual: steps of {}{}", seen.value(), seen.normally())
            }
            Member::Context => shown.map_or_else(
                || "an unusual sequence of values".to_owned(),
                |shown| format!("{} after an unusual sequence of values{}", shown.value(), shown.normally()),
            ),
            Member::TimeOfDay => match shown {
                Some(shown) if shown.is_usual() => {
                    format!("{} at {hour} after an unusual sequence of values", shown.value())
                }
                Some(shown) => format!("{} is rare at {hour}{}", shown.value(), shown.normally()),
                None => format!("a value that is rare at {hour}"),
            },
            Member::Shift => shown.map_or_else(
                || "the last 100 readings lie otherwise than usual".to_owned(),
                |shown| {
                    let (value, normally) = (shown.value(), shown.normally());
                    format!("the last 100 readings lie otherwise than usual, lately around {value}{normally}")
                },
            ),
            Member::Machine => {
                format!("its signals do not fit together{}", self.named(|one| fitting(one, "fits")))
            }
            Member::Pattern => "a shape that it has not shown before".to_owned(),
            Member::Vibration => {
                format!("vibrates otherwise than usual{}", self.named(|one| format!("{}", one.signal)))
            }
            Member::Reconstruction => "not as its model knows it".to_owned(),
            Member::Appearance => format!("looks unlike what its model knows{}", self.places()),
            Member::Stopped => format!("stopped: {}", self.objects()),
            Member::WrongWay => format!("wrong way: {}", self.objects()),
            Member::Person => format!("not allowed here: {}", self.objects()),
            Member::Queue => format!("queue of {}{}", self.objects(), seen.within("expected")),
            Member::Silent
            | Member::Stuck
            | Member::Flat
            | Member::Noisy
            | Member::Saturated
            | Member::ClockSkewed
            | Member::Duplicate
            | Member::Frozen
            | Member::Dark
            | Member::Bright
            | Member::Blurred
            | Member::Covered
            | Member::LowContrast
            | Member::Moved
            | Member::Flicker
            | Member::Size
            | Member::UnexplainedMotion
            | Member::ModelFailed
            | Member::ModelSlow
            | Member::ModelUnproved
            | Member::ModelDisagrees
            | Member::ModelDamaged => self.0.member.as_str().to_owned(),
        };
        occasion.lasting(what + &self.farther())
    }

    /// The value beside what is usual of it, where that is farther out than what the member observes: the distance is its own.
    fn farther(&self) -> String {
        let looks_back =
            matches!(self.0.member, Member::Mean | Member::Median | Member::Profile | Member::Volatility);
        let Some(shown) = self.shown().filter(|shown| looks_back && !shown.is_usual()) else {
            return String::new();
        };
        let far = |seen: &Quantity| seen.range.distance(seen.value).unwrap_or_default();
        match far(&shown) > far(&self.seen()) {
            true => format!(", now {}{}", shown.value(), shown.normally()),
            false => String::new(),
        }
    }

    /// What is so again.
    fn cleared(&self, occasion: &Occasion<'_>) -> String {
        let (seen, hour) = (self.seen(), occasion.hour());
        let now = match self.0.member {
            Member::Profile => format!("{} off its usual course for {hour}{}", seen.value(), seen.normal()),
            Member::Volatility => format!("steps of {}{}", seen.value(), seen.normal()),
            Member::Context | Member::TimeOfDay | Member::Shift => self.shown().map_or_else(
                || "as usual again".to_owned(),
                |shown| format!("{}{}", shown.value(), shown.normal()),
            ),
            _ => match self.again() {
                Some(again) => again.to_owned(),
                None => format!("{}{}", seen.value(), seen.normal()),
            },
        };
        occasion.cleared(&now)
    }

    /// What is so again, of members whose statistic nobody is shown.
    fn again(&self) -> Option<&'static str> {
        match self.0.member {
            Member::Machine => Some("its signals fit together again"),
            Member::Pattern => Some("its shapes are known again"),
            Member::Vibration => Some("vibrates as usual again"),
            Member::Reconstruction => Some("as its model knows it again"),
            Member::Appearance => Some("looks as its model knows it again"),
            Member::Stopped => Some("nothing stands still"),
            Member::WrongWay => Some("nothing goes the wrong way"),
            Member::Person => Some("nothing that is not allowed here"),
            Member::Queue => Some("no queue"),
            _ => None,
        }
    }

    /// How many objects it is about.
    fn objects(&self) -> String {
        let number = self.0.observed.round();
        format!("{number} object{}", if number == 1.0 { "" } else { "s" })
    }

    /// What the member observed, in its unit.
    fn seen(&self) -> Quantity {
        let per = if matches!(self.0.member, Member::Rise | Member::Fall) { "/s" } else { "" };
        let unit = format!("{}{per}", unit_words(self.0.member, self.0.unit.as_ref()));
        Quantity { value: self.0.observed, range: self.0.expected, unit }
    }

    /// What the signal shows, in its unit.
    fn shown(&self) -> Option<Quantity> {
        let unit = self.0.value_unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
        Some(Quantity { value: self.0.value?, range: self.0.usual, unit })
    }

    /// Where in the frame, the most unusual first, in pixels.
    fn places(&self) -> String {
        let RegionBox { area: PixelBox { x, y, width, height }, .. } = match &self.0.regions.boxes[..] {
            [] => return String::new(),
            [first, ..] => *first,
        };
        let more = match self.0.regions.boxes.len().saturating_sub(1) {
            0 => String::new(),
            1 => " and 1 other place".to_owned(),
            more => format!(" and {more} other places"),
        };
        format!(": {width} x {height} px at {x}, {y}{more}")
    }

    /// Each signal that makes it so, after a colon.
    fn named(&self, words: impl Fn(&Contribution) -> String) -> String {
        let named: Vec<String> = self.0.contributions.iter().map(words).collect();
        if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
    }
}

/// One of several signals: its value, and what the others make likely.
fn fitting(one: &Contribution, how: &str) -> String {
    let seen = Quantity { value: one.observed, range: one.expected, unit: String::new() };
    format!("{} {}{}", one.signal, seen.value(), seen.within(how))
}
