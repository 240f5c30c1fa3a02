//! Average precision as COCO computes it (Lin et al., "Microsoft COCO", 2014; cocodataset.org, "Detection
//! evaluation"): ten thresholds of overlap from .50 to .95, precision at 101 steps of recall, at most 100 objects
//! per picture and class, mean over the classes that occur. Sizes and crowds are not distinguished. A test compares
//! it with pycocotools.
//!
//! Written here, because the libraries that have it bring an image stack, XML and thread pools.

/// Objects of a picture and class that count, the surest.
const MAX_OBJECTS: usize = 100;
/// Thresholds of overlap: .50, .55, … .95.
const THRESHOLDS: usize = 10;
/// Steps of recall: 0, .01, … 1.
const RECALL_STEPS: usize = 101;

/// A labelled object: left, top, width, height in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledObject {
    /// Its class.
    pub class: usize,
    /// Its box.
    pub area: [f64; 4],
}

/// A detected object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundObject {
    /// Its class.
    pub class: usize,
    /// Its box.
    pub area: [f64; 4],
    /// How sure the model is.
    pub score: f64,
}

/// Average precision over a set of pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionScores {
    /// Mean over thresholds and classes.
    pub map: f64,
    /// At an overlap of .50, mean over classes.
    pub ap50: f64,
}

/// Collects pictures.
#[derive(Debug, Default)]
pub struct AveragePrecision {
    /// Per class: detections with, per threshold, whether each hits; and the number of labelled objects.
    classes: Vec<ClassRecord>,
    pictures: usize,
}

#[derive(Debug, Default, Clone)]
struct ClassRecord {
    hits: Vec<Hit>,
    truths: usize,
    /// The pictures that have labelled objects, and how many.
    truths_of: Vec<(usize, usize)>,
}

/// A detection: its score, whether it hits per threshold, and its picture.
type Hit = (f64, [bool; THRESHOLDS], usize);

/// Detections in order of their scores, for averages over other sets of the same pictures.
#[derive(Debug)]
pub struct RankedDetections {
    classes: Vec<ClassRecord>,
}

impl AveragePrecision {
    /// No picture yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of one picture.
    pub fn add(&mut self, truths: &[LabelledObject], found: &[FoundObject]) {
        let picture = self.pictures;
        self.pictures += 1;
        let classes = truths.iter().map(|one| one.class).chain(found.iter().map(|one| one.class));
        let Some(last) = classes.max() else { return };
        if self.classes.len() <= last {
            self.classes.resize(last + 1, ClassRecord::default());
        }
        for (class, record) in self.classes.iter_mut().enumerate() {
            let truths: Vec<[f64; 4]> =
                truths.iter().filter(|one| one.class == class).map(|one| one.area).collect();
            let mut found: Vec<&FoundObject> = found.iter().filter(|one| one.class == class).collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(MAX_OBJECTS);
            record.truths += truths.len();
            if !truths.is_empty() {
                record.truths_of.push((picture, truths.len()));
            }
            record.hits.extend(hits(&truths, &found).into_iter().map(|(score, hit)| (score, hit, picture)));
        }
    }

    /// The same, for averages over other sets of the pictures.
    #[must_use]
    pub fn ranked(&self) -> RankedDetections {
        let mut classes = self.classes.clone();
        classes.iter_mut().for_each(|record| record.hits.sort_by(|a, b| b.0.total_cmp(&a.0)));
        RankedDetections { classes }
    }

    /// The scores; `None` where no labelled object was seen.
    #[must_use]
    pub fn scores(&self) -> Option<PrecisionScores> {
        let precisions: Vec<[f64; THRESHOLDS]> =
            self.classes.iter().filter(|record| record.truths > 0).map(ClassRecord::precisions).collect();
        if precisions.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
        let classes = precisions.len() as f64;
        let mean = |of: fn(&[f64; THRESHOLDS]) -> f64| precisions.iter().map(of).sum::<f64>() / classes;
        Some(PrecisionScores { map: mean(|all| all.iter().sum::<f64>() / 10.0), ap50: mean(|all| all[0]) })
    }
}

/// Whether each detection, surest first, hits a labelled object that none before it has hit, per threshold.
fn hits(truths: &[[f64; 4]], found: &[&FoundObject]) -> Vec<(f64, [bool; THRESHOLDS])> {
    let mut taken = vec![[false; THRESHOLDS]; truths.len()];
    let judge = |one: &&FoundObject| {
        let overlaps: Vec<f64> = truths.iter().map(|truth| overlap(*truth, one.area)).collect();
        let hit = std::array::from_fn(|step| {
            // As the reference spaces them, to the last bit: overlaps of small boxes are simple fractions.
            #[expect(clippy::cast_precision_loss, reason = "ten steps")]
            let threshold = 0.5 + (0.95 - 0.5) / 9.0 * step as f64;
            let mut best: Option<usize> = None;
            let mut least = threshold.min(1.0 - 1e-10);
            for (index, overlap) in overlaps.iter().enumerate() {
                // Of equal ones the later counts, as in the reference.
                if !taken[index][step] && *overlap >= least {
                    least = *overlap;
                    best = Some(index);
                }
            }
            if let Some(index) = best {
                taken[index][step] = true;
            }
            best.is_some()
        });
        (one.score, hit)
    };
    found.iter().map(judge).collect()
}

impl ClassRecord {
    /// Average precision per threshold.
    fn precisions(&self) -> [f64; THRESHOLDS] {
        let mut ranked = self.hits.clone();
        // Stable, as in the reference: equal scores stay in the order of the pictures.
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        std::array::from_fn(|step| precision(self.truths, ranked.iter().map(|(_, hits, _)| hits[step])))
    }
}

impl RankedDetections {
    /// At an overlap of .50, mean over classes, where each picture counts as often as is said here, in the order in which the
    /// pictures were added; `None` where no labelled object is in them.
    #[must_use]
    pub fn ap50(&self, times: &[u32]) -> Option<f64> {
        let of = |picture: usize| times.get(picture).map_or(0, |times| *times as usize);
        let mut sum = 0.0;
        let mut classes = 0.0;
        for record in &self.classes {
            let truths: usize = record.truths_of.iter().map(|(picture, count)| of(*picture) * count).sum();
            if truths > 0 {
                let hits = record.hits.iter();
                sum += precision(
                    truths,
                    hits.flat_map(|(_, hit, picture)| std::iter::repeat_n(hit[0], of(*picture))),
                );
                classes += 1.0;
            }
        }
        (classes > 0.0).then(|| sum / classes)
    }
}

/// Average precision of detections in order of their scores.
#[expect(clippy::cast_precision_loss, reason = "numbers of objects, far below 2^53")]
fn precision(truths: usize, ranked: impl Iterator<Item = bool>) -> f64 {
    let mut right = 0_usize;
    let mut curve: Vec<(f64, f64)> = ranked
        .enumerate()
        .map(|(index, hit)| {
            right += usize::from(hit);
            (right as f64 / truths as f64, right as f64 / (index + 1) as f64)
        })
        .collect();
    // Precision at a recall is the best at this recall or beyond.
    let mut best = 0.0_f64;
    for (_, precision) in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let at = |recall: f64| {
        let index = curve.partition_point(|(reached, _)| *reached < recall);
        curve.get(index).map_or(0.0, |(_, precision)| *precision)
    };
    (0..RECALL_STEPS).map(|step| at(step as f64 * 0.01)).sum::<f64>() / RECALL_STEPS as f64
}

/// Intersection over union of boxes given by corner and size.
pub(super) fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let common = |axis: usize| {
        let end = (a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]);
        (end - a[axis].max(b[axis])).max(0.0)
    };
    let shared = common(0) * common(1);
    let union = a[2] * a[3] + b[2] * b[3] - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [LabelledObject; 2] = [
        LabelledObject { class: 0, area: [0.0, 0.0, 10.0, 10.0] },
        LabelledObject { class: 0, area: [20.0, 0.0, 10.0, 10.0] },
    ];

    fn found(x: f64, width: f64, score: f64) -> FoundObject {
        FoundObject { class: 0, area: [x, 0.0, width, 10.0], score }
    }

    #[track_caller]
    fn check(found: &[FoundObject], map: f64, ap50: f64) {
        let mut measure = AveragePrecision::new();
        measure.add(&TRUTH, found);
        let scores = measure.scores().unwrap();
        assert!((scores.map - map).abs() < 1e-9 && (scores.ap50 - ap50).abs() < 1e-9, "{scores:?}");
    }

    #[test]
    fn precision_is_averaged_over_recall_and_overlap() {
        check(&[found(0.0, 10.0, 0.9), found(20.0, 10.0, 0.8)], 1.0, 1.0);
        check(&[], 0.0, 0.0);
        // One of two found: precision 1 up to recall .5, which is 51 of 101 steps.
        check(&[found(0.0, 10.0, 0.9)], 51.0 / 101.0, 51.0 / 101.0);
        // An overlap of .8 counts at 7 of 10 thresholds.
        check(&[found(0.0, 8.0, 0.9)], 51.0 / 101.0 * 0.7, 51.0 / 101.0);
        // A second box on the same object is wrong, and ranks before the right one.
        let twice = [found(0.0, 10.0, 0.9), found(0.0, 10.0, 0.8), found(20.0, 10.0, 0.7)];
        check(&twice, (51.0 + 50.0 * 2.0 / 3.0) / 101.0, (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
        // A wrong class does no harm to this one, and does not count as one that occurs.
        let other = FoundObject { class: 3, ..found(0.0, 10.0, 0.95) };
        check(&[other, found(0.0, 10.0, 0.9), found(20.0, 10.0, 0.8)], 1.0, 1.0);
    }

    #[test]
    fn without_labels_there_is_no_score() {
        let mut measure = AveragePrecision::new();
        assert_eq!(measure.scores(), None);
        measure.add(&[], &[found(0.0, 1.0, 0.5)]);
        assert_eq!(measure.scores(), None);
    }
}
