//! The measures on the labels of the benchmarks, against what is published of them. Skipped where `VERGE_DATA`
//! names no data.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use verge_eval::measure::ScoreProfile;
use verge_eval::measure::nab::{Series, at, best};
use verge_eval::measure::skab::{ChangePoints, RowCounts, ScoredRun};

/// A folder of the measuring data; without it, says that the test is skipped.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VERGE_DATA").map(|data| Path::new(&data).join(name));
    if folder.is_none() {
        eprintln!("skipped: VERGE_DATA names no folder of measuring data");
    }
    folder
}

/// Per series of NAB: its number of rows, and its windows.
fn nab(folder: &Path) -> Vec<(usize, Vec<RangeInclusive<usize>>)> {
    let labels = fs::read_to_string(folder.join("labels/combined_windows.json")).unwrap();
    let labels: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&labels).unwrap();
    let one = |(name, windows): (&String, &Vec<[String; 2]>)| {
        let text = fs::read_to_string(folder.join("data").join(name)).unwrap();
        let times: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        let row = |time: &str| times.iter().position(|known| *known == &time[..19]).unwrap();
        (times.len(), windows.iter().map(|[start, end]| row(start)..=row(end)).collect())
    };
    labels.iter().map(one).collect()
}

fn scored(
    corpus: &[(usize, Vec<RangeInclusive<usize>>)],
    score: impl Fn(usize, &[RangeInclusive<usize>]) -> f64,
) -> Vec<Series> {
    let one = |(rows, windows): &(usize, Vec<RangeInclusive<usize>>)| {
        let scores: Vec<f64> = (0..*rows).map(|row| score(row, windows)).collect();
        Series::new(&scores, windows).unwrap()
    };
    corpus.iter().map(one).collect()
}

#[test]
fn silence_is_0_and_the_first_row_of_each_window_is_100() {
    let Some(folder) = data("nab") else { return };
    let corpus = nab(&folder);
    let starts =
        |row: usize, windows: &[RangeInclusive<usize>]| windows.iter().any(|one| *one.start() == row);
    let perfect = scored(&corpus, |row, windows| f64::from(u8::from(starts(row, windows))));
    // The null detector of the benchmark gives every row the same.
    let null = scored(&corpus, |_, _| 0.5);
    for profile in ScoreProfile::ALL {
        let (perfect, null) = (best(&perfect, profile), best(&null, profile));
        assert_eq!(perfect.threshold, Some(1.0));
        let score = perfect.outcome.score().unwrap();
        assert!((score - 100.0).abs() < 1e-9, "{score}");
        assert_eq!((perfect.outcome.found, perfect.outcome.false_alarms), (perfect.outcome.windows, 0));
        assert_eq!((null.threshold, null.outcome.score()), (None, Some(0.0)));
    }
}

#[test]
fn a_random_detector_scores_what_is_published_of_it() {
    let Some(folder) = data("nab") else { return };
    let corpus = nab(&folder);
    let scores: Vec<f64> = (0..5_u64)
        .map(|seed| {
            let state = std::cell::Cell::new(seed + 1);
            let random = scored(&corpus, |_, _| {
                let mut next = state.get();
                next ^= next << 13;
                next ^= next >> 7;
                next ^= next << 17;
                state.set(next);
                (next >> 11) as f64 / (1_u64 << 53) as f64
            });
            let found = best(&random, ScoreProfile::STANDARD);
            let again = at(&random, ScoreProfile::STANDARD, found.threshold.unwrap());
            assert_eq!((again.found, again.false_alarms), (found.outcome.found, found.outcome.false_alarms));
            assert!((again.gain - found.outcome.gain).abs() < 1e-9);
            found.outcome.score().unwrap()
        })
        .collect();
    // Published: 11 to 17 on all 58 series; on a part, and with other numbers, about that.
    assert!(scores.iter().all(|score| (5.0..25.0).contains(score)), "{scores:?}");
}

#[test]
fn to_call_every_row_abnormal_scores_what_is_published_of_it() {
    let Some(folder) = data("skab") else { return };
    let (mut rows, mut changes) = (RowCounts::default(), ChangePoints::default());
    for group in ["valve1", "valve2", "other"] {
        let entries = fs::read_dir(folder.join("data").join(group)).unwrap();
        for path in entries.map(|entry| entry.unwrap().path()) {
            let text = fs::read_to_string(path).unwrap();
            let column = |column: usize| -> Vec<bool> {
                text.lines()
                    .skip(1)
                    .map(|line| line.split(';').nth(column).unwrap().parse::<f64>().unwrap() > 0.0)
                    .collect()
            };
            let (abnormal, change) = (column(9), column(10));
            let at_ms: Vec<i64> = (0..abnormal.len() as i64).map(|second| second * 1000).collect();
            let predicted = vec![true; abnormal.len()];
            let run =
                ScoredRun { at_ms: &at_ms, predicted: &predicted, abnormal: &abnormal, change: &change };
            rows = rows + run.rows().unwrap();
            changes = changes + run.change_points().unwrap();
        }
    }
    assert_eq!(format!("{:.3} {:.1} {:.1}", rows.f1(), rows.far(), rows.mar()), "0.696 1.0 0.0");
    // One alarm per run, at its first scored row, which is no change point in any.
    assert_eq!((changes.windows, changes.found, changes.false_alarms), (63, 0, 17));
}
