//! Keys of `[judge.NAME]` with `detector = "track"`: where and what is counted before a camera.

use std::time::Duration;

use verge_scene::{Anchor, BlobUse};

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{Map, Table, Value};
use super::super::units::Span;
use super::judge::{RawAsking, RawEvents, RawGate, RawJudge, RawThen};
use super::{DAY, HOUR, SECOND};

/// A point of a line.
const FOUR: &str = "four points [x, y]";
/// How far ahead is forecast.
pub(super) const SPANS_AHEAD: &str = r#"durations, multiples of the interval, such as "5m" and "15m""#;

declare! {
    /// A file that says only what is counted.
    struct TrackSections {
        track: Option<RawJudge> = table::<RawJudge>().required(),
        data: RawCountData = table::<RawCountData>().or(""),
    }

    /// `[data]` of such a file.
    struct RawCountData {
        size: Option<[f64; 2]> = point(),
    }

    /// Detector `track`.
    struct RawTrack with events: RawEvents, asking: RawAsking {
        labels: Option<Vec<String>> = texts("labels of the model"),
        classes: Option<Map<Vec<String>>> = text_lists("labels of the model, or \"*\" for all others"),
        scores: Option<Map<f64>> = word_values(),
        score: f32 = share().or("0.1"),
        interval: Span = span(SECOND, DAY).or("1m"),
        max_gap: Span = span(Duration::from_millis(100), HOUR).or("5s"),
        forecast: Option<Vec<String>> = texts(SPANS_AHEAD),
        report: RawTrackReport = word::<RawTrackReport>().or("interval"),
        blobs: BlobUse = word::<BlobUse>().or("off"),
        gate: Option<RawGate> = table::<RawGate>(),
        tiles: usize = whole(1, 2).or("1"),
        follow: usize = whole(0, 8).or("0"),
        then: Option<RawThen> = table::<RawThen>(),
        ground: Option<RawSceneGround> = table::<RawSceneGround>(),
        footprint: Option<Map<[f64; 2]>> = pairs("length and width in metres, such as [4.5, 1.8]"),
        line: Option<Map<RawSceneLine>> = named_tables::<RawSceneLine>(),
        zone: Option<Map<RawSceneZone>> = named_tables::<RawSceneZone>(),
    }

    /// What is reported beside events.
    words RawTrackReport { "interval" => Interval, "change" => Change }

    words for BlobUse { "off" => Off, "continue" => Continue, "count" => Count }

    /// Four places in the picture and on the ground.
    struct RawSceneGround {
        picture: Option<Vec<[f64; 2]>> = points(FOUR).required(),
        metres: Option<Vec<[f64; 2]>> = points(FOUR).required(),
    }

    /// A line that is crossed.
    struct RawSceneLine {
        from: Option<[f64; 2]> = point().required(),
        to: Option<[f64; 2]> = point().required(),
        anchor: Anchor = word::<Anchor>().or("bottom"),
    }

    words for Anchor { "bottom" => Bottom, "centre" => Centre }

    /// A part of the picture.
    struct RawSceneZone {
        polygon: Option<Vec<[f64; 2]>> = points("corners [x, y] in shares of the picture").required(),
        origin: Option<String> = name(),
        destination: Option<String> = name(),
        stop_line: Option<RawEnds> = ends(),
        lane: Option<RawEnds> = ends(),
        forbidden: Option<Vec<String>> = texts("classes of this judge"),
        stopped_after: Option<Span> = span(SECOND, DAY),
        queue_from: Option<u32> = whole(1, 1_000),
    }
}

/// Two points, or the line of this name.
#[derive(Debug, Clone)]
pub(crate) enum RawEnds {
    Points([[f64; 2]; 2]),
    Line(String),
}

impl Setting for RawEnds {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(name) => Some(Self::Line(name.clone())),
            _ => <[[f64; 2]; 2]>::try_from(Vec::of(value)?).ok().map(Self::Points),
        }
    }
}
