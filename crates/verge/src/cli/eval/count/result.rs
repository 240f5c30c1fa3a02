//! What was counted, as JSON and as text.

use std::io::Write;

use serde_json::{Map, Value, json};
use verge_domain::countable::{Countability, LineSightings};
use verge_scene::interval::{DirectionTally, LineTally};
use verge_scene::{Crossing, SceneInterval, SceneLine, SceneReport, SceneSettings, ZoneEvent};

use super::files::Frame;
use super::health::CameraHealth;

/// The counts of one folder.
pub(super) struct Counted<'a> {
    pub(super) data: String,
    pub(super) settings: &'a SceneSettings,
    pub(super) frames: &'a [Frame],
    pub(super) report: SceneReport,
    pub(super) health: CameraHealth,
    /// Objects that were followed.
    pub(super) tracks: u64,
    /// Frames that came a second.
    pub(super) frames_per_s: Option<f64>,
    /// How often objects are seen before and behind lines, of those over which enough has gone.
    pub(super) sightings: Vec<LineSightings>,
}

impl Counted<'_> {
    /// All intervals together.
    fn total(&self) -> Option<SceneInterval> {
        let mut all = self.report.intervals.iter();
        let mut total = all.next()?.clone();
        all.for_each(|interval| total.merge(interval));
        Some(total)
    }

    pub(super) fn json(&self) -> Value {
        let total = self.total();
        let mut object = json!({
            "data": self.data,
            "frames": self.frames.len(),
            "judged": self.report.intervals.iter().map(|interval| u64::from(interval.frames)).sum::<u64>(),
            "from": self.frames.first().map(|frame| seconds(frame.at)),
            "to": self.frames.last().map(|frame| seconds(frame.at)),
            "observed_s": total.as_ref().map_or(json!(0.0), |total| seconds(total.observed)),
            "tracks": self.tracks,
            "frames_per_s": self.frames_per_s.map(rounded),
            "intervals": self.report.intervals.iter().map(|interval| self.interval(interval)).collect::<Vec<_>>(),
            "health": self.health.json(),
        });
        if let (Some(object), Some(total)) = (object.as_object_mut(), total) {
            object.extend(self.places(&total));
            for seen in &self.sightings {
                object["lines"][seen.line.as_str()]["sightings"] =
                    json!({ "before": seen.before, "after": seen.after, "verdict": seen.verdict });
            }
        }
        object
    }

    fn interval(&self, interval: &SceneInterval) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "at most a day")]
        let length = self.settings.interval().length_ms() as f64 / 1e3;
        let mut object = Map::new();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age")]
        object.insert("from".to_owned(), seconds(interval.from.0 as f64 / 1e3));
        object.insert("length_s".to_owned(), seconds(length));
        object.insert("observed_s".to_owned(), seconds(interval.observed));
        object.insert("partial".to_owned(), json!(interval.partial.holds()));
        object.insert("why".to_owned(), json!(interval.partial.reasons().collect::<Vec<_>>()));
        object.extend(self.places(interval));
        Value::Object(object)
    }

    fn places(&self, interval: &SceneInterval) -> Map<String, Value> {
        let lines = self.settings.lines().iter().zip(&interval.lines);
        let lines: Map<_, _> = lines.map(|(line, tally)| (line.name.to_string(), self.line(tally))).collect();
        let zones = self.settings.zones().iter().zip(&interval.zones);
        let zones: Map<_, _> = zones
            .map(|((name, zone), tally)| {
                let has_ground = self.settings.has_ground();
                let value = json!({
                    "occupancy": interval.mean(tally.occupied).map(rounded),
                    "entered": tally.entered,
                    "mean_speed_mps": (tally.speed.1 > 0.0).then(|| rounded(tally.speed.0 / tally.speed.1)),
                    "queue_mean": interval.mean(tally.waiting).map(rounded),
                    "queue_max": tally.queue_max,
                    "queue_m_max": (has_ground && zone.stop_line.is_some()).then(|| rounded(tally.queue_metres_max)),
                });
                (name.to_string(), value)
            })
            .collect();
        let arms = self.settings.arms();
        let mut od = Map::new();
        for (number, &count) in interval.trips.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (&arms[number / arms.len()], &arms[number % arms.len()]);
            let row = od.entry(from.to_string()).or_insert_with(|| json!({}));
            row[to.as_str()] = json!(count);
        }
        let mut places = Map::new();
        places.insert("lines".to_owned(), Value::Object(lines));
        places.insert("zones".to_owned(), Value::Object(zones));
        places.insert("od".to_owned(), Value::Object(od));
        places
    }

    fn line(&self, tally: &LineTally) -> Value {
        let direction = |tally: &DirectionTally| {
            let mut object = Map::new();
            object.insert("total".to_owned(), json!(tally.total()));
            for (class, count) in self.settings.classes().iter().zip(&tally.counts) {
                object.insert(class.to_string(), json!(count));
            }
            Value::Object(object)
        };
        let headway = |tally: &DirectionTally| {
            tally.headway().map(|(median, short)| {
                json!({
                    "median": rounded(median),
                    "below_2s": rounded(short),
                    "gap_mean": tally.mean_gap().map(rounded),
                })
            })
        };
        let speeds = tally.speeds();
        let mut object = json!({
            "forward": direction(&tally.forward),
            "backward": direction(&tally.backward),
            "unresolved": tally.unresolved,
            "headway_s": { "forward": headway(&tally.forward), "backward": headway(&tally.backward) },
        });
        if self.settings.has_ground() {
            object["speed_mps"] = json!({ "mean": speeds.time_mean().map(rounded), "space_mean": speeds.space_mean().map(rounded) });
        }
        object
    }

    /// The events, one JSON object a line, in order of their times.
    pub(super) fn write_events(&self, out: &mut impl Write) -> std::io::Result<()> {
        let crossing = |one: &Crossing| {
            let line = &self.settings.lines()[one.line].name;
            json!({
                "kind": "crossing",
                "t": seconds(one.at),
                "frame": self.frame_at(one.at),
                "line": line,
                "direction": if one.forward { "forward" } else { "backward" },
                "label": self.settings.classes()[one.class],
                "track": one.track,
                "speed_mps": one.speed.map(rounded),
            })
        };
        let event = |one: &ZoneEvent| {
            json!({
                "kind": one.kind.as_str(),
                "t": seconds(one.from),
                "until": one.until.map(seconds),
                "frame": self.frame_at(one.from),
                "zone": self.settings.zones()[one.zone].0,
                "label": one.track.map(|(_, class)| &self.settings.classes()[class]),
                "track": one.track.map(|(track, _)| track),
                "value": rounded(one.value),
            })
        };
        let crossings = self.report.crossings.iter().map(|one| (one.at, crossing(one)));
        let ended = self.report.events.iter().filter(|one| one.until.is_some());
        let mut all: Vec<(f64, Value)> = crossings.chain(ended.map(|one| (one.from, event(one)))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.iter().try_for_each(|(_, value)| writeln!(out, "{value}"))
    }

    /// How often what crosses a line is seen, for people.
    fn seen(&self, line: &SceneLine) -> String {
        let Some(seen) = self.sightings.iter().find(|seen| seen.line == line.name) else {
            return String::new();
        };
        let word = match seen.verdict {
            Countability::Good => "good",
            Countability::Few => "few",
            Countability::TooFew => "too few",
        };
        format!("; seen {} times before and {} times behind: {word}", seen.before, seen.after)
    }

    /// The name of the first frame at or after a time.
    fn frame_at(&self, at: f64) -> Option<&str> {
        let next = self.frames.partition_point(|frame| frame.at < at);
        self.frames.get(next).or(self.frames.last()).map(|frame| frame.name.as_str())
    }

    /// For people.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Some(total) = self.total() else { return writeln!(out, "{}: no frames", self.data) };
        let partial = total.partial.reasons().collect::<Vec<_>>().join(", ");
        writeln!(
            out,
            "{}: {} frames, {:.1} s observed, {} tracks{}",
            self.data,
            self.frames.len(),
            total.observed,
            self.tracks,
            if partial.is_empty() { String::new() } else { format!(", partial ({partial})") }
        )?;
        for words in self.health.words() {
            writeln!(out, "  camera: {words}")?;
        }
        for (line, tally) in self.settings.lines().iter().zip(&total.lines) {
            let counts = |tally: &DirectionTally| {
                let classes =
                    self.settings.classes().iter().zip(&tally.counts).filter(|(_, count)| **count > 0);
                let classes: Vec<String> = classes.map(|(class, count)| format!("{class} {count}")).collect();
                let classes =
                    if classes.is_empty() { String::new() } else { format!(" ({})", classes.join(", ")) };
                format!("{}{classes}", tally.total())
            };
            let speed =
                tally.speeds().time_mean().map_or_else(String::new, |speed| format!(", {speed:.1} m/s"));
            writeln!(
                out,
                "  line {}: forward {}, backward {}, unresolved {}{speed}{}",
                line.name,
                counts(&tally.forward),
                counts(&tally.backward),
                tally.unresolved,
                self.seen(line),
            )?;
        }
        for ((name, _), tally) in self.settings.zones().iter().zip(&total.zones) {
            let share = |sum: f64| total.mean(sum).unwrap_or(0.0);
            writeln!(
                out,
                "  zone {name}: {} entered, occupied {:.1} %, queue {:.1} on average, {} at most",
                tally.entered,
                100.0 * share(tally.occupied),
                share(tally.waiting),
                tally.queue_max
            )?;
        }
        let arms = self.settings.arms();
        for (number, count) in total.trips.iter().enumerate().filter(|(_, count)| **count > 0) {
            writeln!(out, "  {} to {}: {count}", arms[number / arms.len()], arms[number % arms.len()])?;
        }
        Ok(())
    }
}

/// Milliseconds are kept; cut, so that a time stays in its interval.
fn seconds(at: f64) -> Value {
    json!((at * 1e3 + 1e-4).floor() / 1e3)
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
