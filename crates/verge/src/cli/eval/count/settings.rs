//! `count.toml`: what is counted, by the keys of a judge, and the size of frames that are no pictures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use toml::Spanned;
use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::scheme::{ClassScheme, EVERY_OTHER};
use verge_scene::{Anchor, BlobUse, Footprint, FrameSize, Ground, SceneLine, SceneSettings, SceneZone};

/// What all objects are, where no classes are named.
const OBJECT: &str = "object";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountFile {
    track: TrackTable,
    #[serde(default)]
    data: DataTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DataTable {
    size: Option<[u32; 2]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackTable {
    detector: Option<Spanned<String>>,
    labels: Option<Vec<String>>,
    classes: Option<BTreeMap<String, Vec<String>>>,
    score: Option<f64>,
    interval: Option<Spanned<String>>,
    max_gap: Option<Spanned<String>>,
    blobs: Option<BlobWord>,
    ground: Option<Spanned<GroundTable>>,
    #[serde(default)]
    footprint: BTreeMap<String, Spanned<[f64; 2]>>,
    #[serde(default)]
    line: BTreeMap<String, Spanned<LineTable>>,
    #[serde(default)]
    zone: BTreeMap<String, Spanned<ZoneTable>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroundTable {
    picture: Vec<[f64; 2]>,
    metres: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineTable {
    from: [f64; 2],
    to: [f64; 2],
    anchor: Option<AnchorWord>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnchorWord {
    Bottom,
    Centre,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BlobWord {
    Off,
    Continue,
    Count,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneTable {
    polygon: Vec<[f64; 2]>,
    origin: Option<String>,
    destination: Option<String>,
    stop_line: Option<EndsOrLine>,
    lane: Option<EndsOrLine>,
    #[serde(default)]
    forbidden: Vec<String>,
    stopped_after: Option<String>,
    queue_from: Option<u32>,
}

/// Two points, or the line of this name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "two points, or the name of a line")]
enum EndsOrLine {
    Ends([[f64; 2]; 2]),
    Line(String),
}

/// How the frames of a folder are counted.
#[derive(Debug)]
pub(super) struct CountSettings {
    pub(super) scene: SceneSettings,
    pub(super) scheme: ClassScheme,
    /// Lowest score that counts.
    pub(super) score: f64,
    /// The size of frames, where it is written.
    pub(super) size: Option<FrameSize>,
}

/// The text of a file, for the lines of what is wrong in it.
struct CountSource<'a> {
    path: &'a Path,
    text: &'a str,
}

impl CountSource<'_> {
    fn at<T>(&self, value: &Spanned<T>) -> String {
        let start = value.span().start.min(self.text.len());
        let line = self.text[..start].matches('\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<CountSettings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let source = CountSource { path, text: &text };
    let file: CountFile = toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        anyhow!("{}:{line}: {}", path.display(), error.message())
    })?;
    let track = &file.track;
    if let Some(detector) = track.detector.as_ref().filter(|detector| *detector.get_ref() != "track") {
        bail!("{}: detector is {:?}; expected \"track\"", source.at(detector), detector.get_ref());
    }
    let scheme = scheme(track).with_context(|| path.display().to_string())?;
    let interval = span(&source, "track.interval", track.interval.as_ref(), Duration::from_secs(60))?;
    let interval = IntervalGrid::new(interval).with_context(|| {
        track
            .interval
            .as_ref()
            .map_or_else(String::new, |value| format!("{}: track.interval", source.at(value)))
    })?;
    let max_gap = span(&source, "track.max_gap", track.max_gap.as_ref(), Duration::from_secs(5))?;
    let blobs = match track.blobs {
        None | Some(BlobWord::Off) => BlobUse::Off,
        Some(BlobWord::Continue) => BlobUse::Continue,
        Some(BlobWord::Count) => BlobUse::Count,
    };
    let ground = track.ground.as_ref().map(|table| ground(&source, table)).transpose()?;
    let mut scene = SceneSettings::new(scheme.names().to_vec(), interval)
        .with_max_gap(max_gap.as_secs_f64())
        .with_ground(ground)
        .with_blobs(blobs, scheme.rest());
    for (name, size) in &track.footprint {
        let place = || format!("{}: track.footprint.{name}", source.at(size));
        let class = scheme.names().iter().position(|class| class.as_str() == name);
        let class = class.with_context(|| format!("{}: there is no class of this name", place()))?;
        let [length, width] = *size.get_ref();
        if !(0.1..=100.0).contains(&length) || !(0.1..=100.0).contains(&width) {
            bail!("{} is [{length}, {width}]; expected length and width from 0.1 to 100 m", place());
        }
        scene.measures(class, Footprint { length, width });
    }
    for (name, table) in &track.line {
        let place = || format!("{}: track.line.{name}", source.at(table));
        let LineTable { from, to, anchor } = table.get_ref().clone();
        let anchor = match anchor {
            None | Some(AnchorWord::Bottom) => Anchor::Bottom,
            Some(AnchorWord::Centre) => Anchor::Centre,
        };
        let name = PlaceId::new(name).with_context(place)?;
        scene.add_line(SceneLine { name, from, to, anchor }).with_context(place)?;
    }
    for (name, table) in &track.zone {
        let place = || format!("{}: track.zone.{name}", source.at(table));
        let zone = zone(track, &scheme, table.get_ref()).with_context(place)?;
        scene.add_zone(PlaceId::new(name).with_context(place)?, zone).with_context(place)?;
    }
    let size = file.data.size.map(|[width, height]| FrameSize { width, height });
    if size.is_some_and(|size| size.width == 0 || size.height == 0) {
        bail!("{}: data.size has a side of 0 pixels", path.display());
    }
    Ok(CountSettings { scene, scheme, score: track.score.unwrap_or(0.0), size })
}

fn scheme(track: &TrackTable) -> anyhow::Result<ClassScheme> {
    let classes = match (&track.labels, &track.classes) {
        (Some(_), Some(_)) => bail!("track.labels and track.classes are both set; expected one of them"),
        (Some(labels), None) => labels.iter().map(|label| (label.clone(), vec![label.clone()])).collect(),
        (None, Some(classes)) => {
            classes.iter().map(|(name, labels)| (name.clone(), labels.clone())).collect()
        }
        (None, None) => vec![(OBJECT.to_owned(), vec![EVERY_OTHER.to_owned()])],
    };
    let key = if track.classes.is_some() { "track.classes" } else { "track.labels" };
    ClassScheme::new(classes).context(key)
}

fn span(
    source: &CountSource<'_>,
    key: &str,
    text: Option<&Spanned<String>>,
    default: Duration,
) -> anyhow::Result<Duration> {
    let Some(text) = text else { return Ok(default) };
    duration(text.get_ref()).with_context(|| format!("{}: {key}", source.at(text)))
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text)
        .map_err(|_| anyhow!("{text:?} is no duration; expected one such as \"30s\" or \"5m\""))
}

fn ground(source: &CountSource<'_>, table: &Spanned<GroundTable>) -> anyhow::Result<Ground> {
    let place = || format!("{}: track.ground", source.at(table));
    let GroundTable { picture, metres } = table.get_ref();
    let four = |points: &Vec<[f64; 2]>, key: &str| {
        <[[f64; 2]; 4]>::try_from(points.as_slice())
            .map_err(|_| anyhow!("{}.{key} has {} points; expected four", place(), points.len()))
    };
    Ground::new(four(picture, "picture")?, four(metres, "metres")?).with_context(place)
}

fn zone(track: &TrackTable, scheme: &ClassScheme, table: &ZoneTable) -> anyhow::Result<SceneZone> {
    let arm = |name: &Option<String>| name.as_deref().map(PlaceId::new).transpose();
    let ends = |key: &str, ends: &Option<EndsOrLine>| match ends {
        None => Ok(None),
        Some(EndsOrLine::Ends(ends)) => Ok(Some(*ends)),
        Some(EndsOrLine::Line(name)) => {
            let line = track.line.get(name).map(Spanned::get_ref);
            let line = line
                .with_context(|| format!("{key} is {name:?}; expected two points or the name of a line"))?;
            Ok::<_, anyhow::Error>(Some([line.from, line.to]))
        }
    };
    let class = |name: &String| {
        let known = scheme.names().iter().position(|class| class.as_str() == name);
        known.with_context(|| {
            let names: Vec<&str> = scheme.names().iter().map(Label::as_str).collect();
            format!("forbidden names {name:?}; expected classes, here {}", names.join(", "))
        })
    };
    Ok(SceneZone {
        polygon: table.polygon.clone(),
        origin: arm(&table.origin).context("origin")?,
        destination: arm(&table.destination).context("destination")?,
        stop_line: ends("stop_line", &table.stop_line)?,
        lane: match &table.lane {
            Some(EndsOrLine::Ends(ends)) => Some(*ends),
            // The name of a lane says nothing about its direction.
            Some(EndsOrLine::Line(_)) | None => None,
        },
        forbidden: table.forbidden.iter().map(class).collect::<anyhow::Result<_>>()?,
        stopped_after: table
            .stopped_after
            .as_deref()
            .map(duration)
            .transpose()?
            .map(|span| span.as_secs_f64()),
        queue_from: table.queue_from,
    })
}
