//! What is counted, and how it is called.

use std::sync::Arc;

use verge_domain::finding::Member;
use verge_domain::id::{JudgeId, NameError, PlaceId, SignalId, Unit};
use verge_domain::verdict::ForecastMeasure;
use verge_scene::{SceneSettings, SceneZone, ZoneEventKind};

use super::live::LiveReport;
use super::measures::{FLOW_UNIT, LINE_MEASURES, ZONE_MEASURES};
use crate::forecast::ForecastSettings;

/// What a judge counts before its cameras, and the names of its measures.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackSettings {
    pub(super) named: Arc<NamedScene>,
    /// What its model sees of the picture: left, top, right and bottom edge.
    pub(super) region: [f32; 4],
    /// When the objects that are followed are reported, beside the intervals.
    pub(super) live: Option<LiveReport>,
}

#[derive(Debug, PartialEq)]
pub(super) struct NamedScene {
    pub(super) scene: Arc<SceneSettings>,
    pub(super) conditions: Vec<ZoneCondition>,
    /// Zones in which something is an event.
    parts: Vec<SignalId>,
    /// Of each line, in the order of [`LINE_MEASURES`].
    pub(super) lines: Vec<Vec<MeasureName>>,
    /// Of each zone, in the order of [`ZONE_MEASURES`].
    pub(super) zones: Vec<Vec<MeasureName>>,
    pub(super) forecast: ForecastSettings,
    /// Of each line and then of each zone, in the order of the horizons.
    pub(super) ahead: Vec<Vec<MeasureName>>,
}

/// What is watched in a zone.
#[derive(Debug, PartialEq)]
pub(super) struct ZoneCondition {
    pub(super) zone: usize,
    pub(super) kind: ZoneEventKind,
    pub(super) member: Member,
    /// The zone, as verdicts name it.
    pub(super) part: SignalId,
    /// Objects up to which all is well.
    pub(super) most: f64,
}

/// A measure as a signal of the camera.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MeasureName {
    pub(super) signal: SignalId,
    pub(super) unit: Option<Unit>,
}

impl TrackSettings {
    /// Counts for the judge of this name. The classes of the scene are the labels of what it is given.
    ///
    /// # Errors
    /// The names of the judge and of a place are too long for a signal together.
    pub fn new(judge: &JudgeId, scene: SceneSettings) -> Result<Self, NameError> {
        Self::forecasting(judge, scene, ForecastSettings::default())
    }

    /// The same, and forecasts the flow over each line and the queue in each zone.
    ///
    /// # Errors
    /// See [`TrackSettings::new`].
    pub fn forecasting(
        judge: &JudgeId,
        scene: SceneSettings,
        forecast: ForecastSettings,
    ) -> Result<Self, NameError> {
        let name = |place: &PlaceId, measure: &str, unit: Option<&str>| {
            let signal = SignalId::new(&format!("{judge}.{place}.{measure}"))?;
            Ok(MeasureName { signal, unit: unit.and_then(|unit| Unit::new(unit).ok()) })
        };
        let of_line = |place: &PlaceId| {
            LINE_MEASURES.iter().map(|(_, word, unit)| name(place, word, *unit)).collect::<Result<_, _>>()
        };
        let of_zone = |place: &PlaceId| {
            ZONE_MEASURES.iter().map(|(_, word, unit)| name(place, word, *unit)).collect::<Result<_, _>>()
        };
        let lines = scene.lines().iter().map(|line| of_line(&line.name)).collect::<Result<_, _>>()?;
        let zones = scene.zones().iter().map(|(place, _)| of_zone(place)).collect::<Result<_, _>>()?;
        let ahead_of = |place: &PlaceId, measure: ForecastMeasure| {
            let unit = if measure == ForecastMeasure::Flow { FLOW_UNIT } else { None };
            let words = forecast.ahead_ms().map(|ahead_ms| format!("{measure}_in_{}", span_word(ahead_ms)));
            words.map(|word| name(place, &word, unit)).collect::<Result<_, _>>()
        };
        let flows = scene.lines().iter().map(|line| ahead_of(&line.name, ForecastMeasure::Flow));
        let queues = scene.zones().iter().map(|(place, _)| ahead_of(place, ForecastMeasure::Queue));
        let ahead = flows.chain(queues).collect::<Result<_, _>>()?;
        let mut conditions = Vec::new();
        for (zone, (place, rules)) in scene.zones().iter().enumerate() {
            let part = SignalId::new(place.as_str())?;
            let watched = watched(rules);
            conditions.extend(watched.map(|(kind, member, most)| {
                let part = part.clone();
                ZoneCondition { zone, kind, member, part, most }
            }));
        }
        let mut parts: Vec<_> = conditions.iter().map(|condition| condition.part.clone()).collect();
        parts.dedup();
        let scene = Arc::new(scene);
        let named = Arc::new(NamedScene { scene, conditions, parts, lines, zones, forecast, ahead });
        Ok(Self { named, region: [0.0, 0.0, 1.0, 1.0], live: None })
    }

    /// Its model sees this part of the picture alone: left, top, right and bottom edge.
    #[must_use]
    pub fn within(self, region: [f32; 4]) -> Self {
        Self { region, ..self }
    }

    /// It reports the objects that are followed whenever something about them changes.
    #[must_use]
    pub fn reporting(self, live: Option<LiveReport>) -> Self {
        Self { live, ..self }
    }

    /// Lines, zones, classes and ground.
    #[must_use]
    pub fn scene(&self) -> &SceneSettings {
        &self.named.scene
    }

    /// What is an event, zone by zone, as verdicts name both.
    pub fn events(&self) -> impl Iterator<Item = (&SignalId, Member)> {
        self.named.conditions.iter().map(|condition| (&condition.part, condition.member))
    }

    /// Zones in which something is an event, as verdicts name them.
    #[must_use]
    pub fn parts(&self) -> &[SignalId] {
        &self.named.parts
    }

    /// The names of all its measures.
    pub fn signals(&self) -> impl Iterator<Item = &SignalId> {
        self.named
            .lines
            .iter()
            .chain(&self.named.zones)
            .chain(&self.named.ahead)
            .flatten()
            .map(|name| &name.signal)
    }
}

/// A span as names of signals have it: `5m`, `90s`.
fn span_word(ms: u64) -> String {
    match ms / 1000 {
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// What of a zone is an event, and how many objects are none.
fn watched(zone: &SceneZone) -> impl Iterator<Item = (ZoneEventKind, Member, f64)> {
    let queue = zone.queue_from.map(|least| f64::from(least.saturating_sub(1)));
    let all = [
        (ZoneEventKind::Stopped, Member::Stopped, zone.stopped_after.map(|_| 0.0)),
        (ZoneEventKind::WrongWay, Member::WrongWay, zone.lane.map(|_| 0.0)),
        (ZoneEventKind::Person, Member::Person, (!zone.forbidden.is_empty()).then_some(0.0)),
        (ZoneEventKind::Queue, Member::Queue, queue),
    ];
    all.into_iter().filter_map(|(kind, member, most)| Some((kind, member, most?)))
}
