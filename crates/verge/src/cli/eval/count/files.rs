//! The frames of a folder: their names, times and boxes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;
use verge_domain::scheme::ClassScheme;
use verge_domain::time::{Moment, UtcMillis};
use verge_scene::SeenBox;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// Its name, without the ending.
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) at: f64,
    /// What a detector sees in it; `None` where a model is still to look.
    pub(super) boxes: Option<Vec<SeenBox>>,
}

impl Frame {
    /// When it was captured, on the clocks of those that reckon with its receipt.
    pub(super) fn moment(&self) -> Moment {
        Moment::from_wall(UtcMillis((self.at * 1000.0).round() as i64))
    }
}

/// The latest time that is believed: the year 9999.
const LAST: f64 = 253_402_207_200.0;
/// Longest line of a file of detections, in bytes.
const MAX_LINE: usize = 16 << 20;

#[derive(Debug, Deserialize)]
struct Row {
    frame: String,
    t: f64,
}

/// The rows of `times.csv`, in their order.
pub(super) fn times(path: &Path) -> anyhow::Result<Vec<(String, f64)>> {
    let open = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = csv::Reader::from_reader(BufReader::new(open));
    let mut rows: Vec<(String, f64)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (number, row) in reader.deserialize::<Row>().enumerate() {
        let line = number + 2;
        let place = || format!("{}:{line}", path.display());
        let Row { frame, t } = row.map_err(|error| anyhow!("{}: {error}; expected frame,t", place()))?;
        ensure!(is_time(t), "{}: t is {t}; expected seconds since 1970", place());
        if let Some(first) = known.insert(frame.clone(), line) {
            bail!("{}: frame {frame:?} has a time in line {first} already", place());
        }
        rows.push((frame, t));
    }
    Ok(rows)
}

fn is_time(t: f64) -> bool {
    (0.0..=LAST).contains(&t)
}

#[derive(Debug, Deserialize)]
struct DetectionFile {
    frame: String,
    t: Option<f64>,
    #[serde(default)]
    objects: Vec<DetectedObject>,
}

#[derive(Debug, Deserialize)]
struct DetectedObject {
    label: String,
    #[serde(default = "certain")]
    score: f64,
    #[serde(rename = "box")]
    area: [f64; 4],
}

const fn certain() -> f64 {
    1.0
}

/// What gives a frame without a row in `times.csv` its time.
#[derive(Debug, Clone)]
pub(super) enum FrameClock {
    /// The rows; a frame that is not among them is a fault.
    Rows(Vec<(String, f64)>),
    /// Frames a second, from 1970 on.
    Rate(f64),
    /// Each frame says its own.
    Own,
}

/// Reads a file of detections. Frames come in the order of `times.csv`, those without a line there hold no object; else in the
/// order of the file.
pub(super) fn detections(
    path: &Path,
    clock: &FrameClock,
    scheme: &ClassScheme,
    least: f64,
) -> anyhow::Result<Vec<Frame>> {
    let open = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = BufReader::new(open);
    let mut frames: Vec<Frame> = Vec::new();
    let mut places = HashMap::new();
    if let FrameClock::Rows(rows) = clock {
        for (name, at) in rows {
            places.insert(name.clone(), frames.len());
            frames.push(Frame { name: name.clone(), at: *at, boxes: Some(Vec::new()) });
        }
    }
    let mut read: HashMap<String, usize> = HashMap::new();
    let mut bytes = Vec::new();
    for line in 1_usize.. {
        let place = || format!("{}:{line}", path.display());
        bytes.clear();
        let mut limited = std::io::Read::take(&mut reader, MAX_LINE as u64);
        limited.read_until(b'\n', &mut bytes).with_context(place)?;
        if bytes.is_empty() {
            break;
        }
        ensure!(bytes.len() < MAX_LINE, "{}: longer than {MAX_LINE} bytes", place());
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let found: DetectionFile = serde_json::from_slice(&bytes).map_err(|error| {
            anyhow!("{}: {error}; expected {{\"frame\": NAME, \"t\": SECONDS, \"objects\": [{{\"label\", \"score\", \"box\"}}]}}", place())
        })?;
        if let Some(first) = read.insert(found.frame.clone(), line) {
            bail!("{}: frame {:?} stands in line {first} already", place(), found.frame);
        }
        let boxes = boxes(&found, scheme, least).with_context(place)?;
        match (clock, places.get(&found.frame)) {
            (FrameClock::Rows(_), Some(&position)) => frames[position].boxes = Some(boxes),
            (FrameClock::Rows(_), None) => {
                bail!("{}: times.csv has no row for frame {:?}", place(), found.frame)
            }
            (FrameClock::Rate(_) | FrameClock::Own, _) => {
                #[expect(clippy::cast_precision_loss, reason = "a number of frames")]
                let at = match clock {
                    FrameClock::Rate(rate) => frames.len() as f64 / rate,
                    _ => found.t.with_context(|| {
                        format!("{}: no t; expected seconds since 1970, times.csv or --fps", place())
                    })?,
                };
                ensure!(is_time(at), "{}: t is {at}; expected seconds since 1970", place());
                frames.push(Frame { name: found.frame, at, boxes: Some(boxes) });
            }
        }
    }
    Ok(frames)
}

fn boxes(found: &DetectionFile, scheme: &ClassScheme, least: f64) -> anyhow::Result<Vec<SeenBox>> {
    let mut boxes = Vec::new();
    for (number, DetectedObject { label, score, area }) in found.objects.iter().enumerate() {
        let place = || format!("objects[{number}]");
        let [left, top, width, height] = *area;
        ensure!((0.0..=1.0).contains(score), "{}: score is {score}; expected 0 to 1", place());
        let is_sound = area.iter().all(|edge| edge.abs() <= 1e6) && width >= 0.0 && height >= 0.0;
        ensure!(is_sound, "{}: box is {area:?}; expected left, top, width and height in pixels", place());
        if *score < least {
            continue;
        }
        if let Some(class) = scheme.class_of(label) {
            boxes.push(SeenBox {
                class,
                score: *score,
                left,
                top,
                right: left + width,
                bottom: top + height,
            });
        }
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scheme() -> ClassScheme {
        ClassScheme::new(vec![("car".to_owned(), vec!["car".to_owned(), "van".to_owned()])]).unwrap()
    }

    fn read(text: &str, clock: &FrameClock) -> anyhow::Result<Vec<Frame>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.jsonl");
        fs::write(&path, text).unwrap();
        detections(&path, clock, &scheme(), 0.2)
    }

    #[test]
    fn frames_without_detections_are_frames_and_labels_are_classes() {
        let line = r#"{"frame": "b", "t": 7, "objects": [{"label": "van", "score": 0.9, "box": [1, 2, 3, 4]},
            {"label": "cat", "score": 0.9, "box": [1, 2, 3, 4]}, {"label": "car", "score": 0.1, "box": [1, 2, 3, 4]}]}"#;
        let line = line.replace('\n', "");
        let frames =
            read(&line, &FrameClock::Rows(vec![("a".to_owned(), 1.0), ("b".to_owned(), 2.0)])).unwrap();
        let seen = SeenBox { class: 0, score: 0.9, left: 1.0, top: 2.0, right: 4.0, bottom: 6.0 };
        let frame = |name: &str, at: f64, boxes| Frame { name: name.to_owned(), at, boxes: Some(boxes) };
        assert_eq!(frames, [frame("a", 1.0, vec![]), frame("b", 2.0, vec![seen])]);
        assert_eq!(read(&line, &FrameClock::Own).unwrap()[0].at, 7.0);
        assert_eq!(read(&line, &FrameClock::Rate(10.0)).unwrap()[0].at, 0.0);
    }

    #[test]
    fn what_is_wrong_is_found_by_file_and_line() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", read(text, &FrameClock::Own).unwrap_err());
            assert!(error.contains("d.jsonl:2") && error.contains(expected), "{error}");
        };
        let good = r#"{"frame": "a", "t": 1, "objects": []}"#;
        check(&format!("{good}\nnonsense"), "expected {");
        check(&format!("{good}\n{good}"), "frame \"a\" stands in line 1 already");
        check(&format!("{good}\n{}", r#"{"frame": "b", "objects": []}"#), "no t; expected");
        check(&format!("{good}\n{}", r#"{"frame": "b", "t": -1, "objects": []}"#), "t is -1");
        let with = |object: &str| format!("{good}\n{{\"frame\": \"b\", \"t\": 2, \"objects\": [{object}]}}");
        check(&with(r#"{"label": "car", "score": 2, "box": [1, 2, 3, 4]}"#), "score is 2; expected 0 to 1");
        check(&with(r#"{"label": "car", "score": 1, "box": [1, 2, -3, 4]}"#), "box is [1.0, 2.0, -3.0, 4.0]");
        check(&with(r#"{"label": "car", "score": 1, "box": [1, 2, 3]}"#), "expected {");
        let rows = FrameClock::Rows(vec![("z".to_owned(), 1.0)]);
        assert!(format!("{:#}", read(good, &rows).unwrap_err()).contains("no row for frame \"a\""));
    }
}
