//! A sensor or device is faulty.

use std::time::Duration;

use verge_domain::finding::Member;
use verge_domain::verdict::Health;

use super::Decided;
use crate::record::record;
use crate::words::{Occasion, Quantity, number, span, unit_words};

record! {
    Health: "health" {
        0 cause,
        1 observed,
        2 expected optional,
        4 distance optional,
        5 value optional,
        6 usual optional,
        8 value_unit optional,
    }
}

impl Decided for Health {
    fn words(&self, occasion: &Occasion<'_>) -> String {
        let cause = match self.cause {
            Member::ClockSkewed => "clock skewed",
            Member::LowContrast => "low contrast",
            Member::UnexplainedMotion => "unexplained motion",
            Member::ModelFailed => "model failed",
            Member::ModelSlow => "model slow",
            Member::ModelUnproved => "model unproved",
            Member::ModelDisagrees => "model disagrees",
            Member::ModelDamaged => "model damaged",
            other => other.as_str(),
        };
        if occasion.is_cleared() {
            return format!("{cause}: {}", occasion.cleared(again(self.cause)));
        }
        // An event waits for some calm before it is cleared.
        let seen = Quantity { value: self.observed, range: self.expected, unit: String::new() };
        if occasion.is_updated() && seen.is_within() {
            return occasion.abating(format!("{cause}: {}", again(self.cause)));
        }
        let words = format!("{cause}: {}", lasting(self));
        // A silence says by itself how long it lasts.
        if self.cause == Member::Silent { words } else { occasion.lasting(words) }
    }

    fn observed(&self) -> Option<f64> {
        Some(self.observed)
    }
}

fn lasting(health: &Health) -> String {
    let seen = |value: f64| Quantity { value, range: health.expected, unit: unit_words(health.cause, None) };
    let now = seen(health.observed);
    let normally = now.normally();
    let shown = health.value.map(|value| {
        let unit = health.value_unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
        Quantity { value, range: health.usual, unit }
    });
    let percent = || Quantity { unit: " %".to_owned(), ..now.times(100.0) };
    match health.cause {
        Member::Silent => silence(&now),
        Member::Stuck => {
            let times = health.observed.max(0.0);
            let times = if times == 1.0 { "once".to_owned() } else { format!("{times:.0} times") };
            let value = shown.map_or(String::new(), |shown| format!("{}, ", shown.value()));
            format!("{value}the same value {times}{normally}")
        }
        Member::Flat | Member::Noisy if let Some(shown) = &shown => {
            let how = if health.cause == Member::Flat { "hardly fluctuates" } else { "fluctuates too much" };
            format!("{how}, steps of {}{}", shown.value(), shown.normally())
        }
        Member::Flat => format!("varies by {} of the least that is usual{normally}", now.value()),
        Member::Noisy => {
            format!("fluctuates {} times as much as is usual at most{normally}", now.value())
        }
        Member::Saturated => {
            let share = percent();
            let at = shown.map_or("its greatest or its least value".to_owned(), |shown| {
                format!("cut off at {}", shown.value())
            });
            format!("{} of readings are {at}{}", share.value(), share.normally())
        }
        Member::ClockSkewed => {
            let ahead = if health.observed < 0.0 { "behind" } else { "ahead" };
            format!("its clock is {} {ahead}{normally}", seen(health.observed.abs()).value())
        }
        Member::Duplicate => {
            let share = percent();
            let (value, normally) = (share.value(), share.normally());
            format!("{value} of readings jump between two publishers of one name{normally}")
        }
        Member::Frozen => format!("the picture stands still for {}", now.value()),
        Member::Dark => format!("the picture is dark, brightness {} of 255{normally}", now.value()),
        Member::Bright => format!("{} of the picture is white{}", percent().value(), percent().normally()),
        Member::Blurred => format!("the picture has {} of its usual detail", percent().value()),
        Member::LowContrast => format!("the picture has {} of its usual contrast", percent().value()),
        Member::Covered => format!("{} of what it usually shows is hidden", percent().value()),
        Member::Moved if health.observed >= 1.0 => "the camera shows another scene".to_owned(),
        Member::Moved => format!("the picture is shifted by {} of its width", percent().value()),
        Member::Flicker => {
            format!("the brightness alternates by {}{}", percent().value(), percent().normally())
        }
        Member::Size => {
            let height = |value: Option<f64>| value.map_or(String::new(), |value| format!("x{value:.0}"));
            let (now, before) = (health.observed, health.expected.high.unwrap_or_default());
            let (high, usual) = (height(health.value), height(health.usual.high));
            format!("the picture has {now:.0}{high} pixels, normally {before:.0}{usual}")
        }
        Member::UnexplainedMotion => {
            let passages = health.observed.max(0.0);
            format!("{passages:.0} of the last passages are nothing that its model knows")
        }
        Member::ModelFailed => {
            "a new version of the model cannot be used, or its runs fail: the one before is used again"
                .to_owned()
        }
        Member::ModelSlow => {
            let (value, normally) = (now.value(), now.normally());
            format!("a new version of the model takes {value}{normally}: the one before is used again")
        }
        Member::ModelUnproved => format!(
            "the gateway was started {:.0} times with a new version of the model and ended before that was confirmed: the one \
             before is used again",
            health.observed.max(0.0)
        ),
        Member::ModelDisagrees => format!(
            "{} of the answers of a new version of the model are those of the active one{}: it is not used",
            percent().value(),
            percent().normally()
        ),
        Member::ModelDamaged => {
            "the stored version of the model that should be in use is damaged: another one is used".to_owned()
        }
        _ => format!("{}{normally}", now.value()),
    }
}

/// How long nothing was received, and how long that is normally at most: in seconds where they would read the same.
fn silence(now: &Quantity) -> String {
    const READS_AS_SECONDS: f64 = 120.0;
    let words = |seconds: f64| {
        let long = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds >= READS_AS_SECONDS);
        let millis = long.and_then(|long| u64::try_from(long.as_millis()).ok());
        millis.map_or_else(|| format!("{} s", number(seconds)), span)
    };
    let (lasted, most) = (words(now.value), now.range.high.map(words));
    if most.as_ref() == Some(&lasted) {
        let seconds = Quantity { unit: " s".to_owned(), ..now.times(1.0) };
        return format!("nothing received for {}", seconds.beside("normally"));
    }
    let normally = most.map_or(String::new(), |most| format!(" (normally at most {most})"));
    format!("nothing received for {lasted}{normally}")
}

/// What is so again.
fn again(cause: Member) -> &'static str {
    match cause {
        Member::Silent => "it sends again",
        Member::Stuck => "its value changes again",
        Member::Flat => "its value varies again",
        Member::Noisy => "its noise is as usual again",
        Member::Saturated => "its values are within its range again",
        Member::ClockSkewed => "its clock is right again",
        Member::Duplicate => "one publisher sends under the name again",
        Member::Frozen => "the picture moves again",
        Member::Dark | Member::Bright => "the picture is as bright as usual again",
        Member::Blurred => "the picture is sharp again",
        Member::LowContrast => "the picture has contrast again",
        Member::Covered => "it shows what it usually shows again",
        Member::Moved => "its view is known again",
        Member::Flicker => "the brightness is steady again",
        Member::Size => "the size of the picture is known again",
        Member::UnexplainedMotion => "its model knows what passes again",
        _ => "as usual again",
    }
}
