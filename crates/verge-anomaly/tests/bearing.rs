//! Real bearings (Case Western Reserve University): a baseline learnt on the first part of the normal record says
//! nothing on its rest and finds every fault at once. Skipped where `VERGE_DATA` names no data.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use verge_anomaly::{VibrationDetector, VibrationSettings};

/// Of the fault records, and what the normal one is brought down to.
const RATE_HZ: f64 = 12_000.0;

/// Of the normal record, whatever its index says: only then do the lines of its spectrum lie where the fault
/// records have theirs (147.9, 161, 360, 449.7, 479 and 599 Hz).
const NORMAL_RATE_HZ: f64 = 48_000.0;

const FAULTS: [&str; 4] = [
    "12k_Drive_End_B007_0_118.DE.npy",
    "12k_Drive_End_IR007_0_105.DE.npy",
    "12k_Drive_End_OR007_at_6_0_130.DE.npy",
    "12k_Drive_End_IR021_0_209.DE.npy",
];

/// An alarm: two blocks in a row of at most this probability.
const LEVEL: f64 = 1e-4;

/// An array of float32, as NumPy writes it (format version 1).
fn samples(folder: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(folder.join(name)).unwrap();
    assert_eq!(&bytes[..7], b"\x93NUMPY\x01", "{name}");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let numbers = bytes[10 + header..].chunks_exact(4);
    numbers.map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
}

/// Seconds from the start at which alarms begin, and the number of blocks judged.
fn alarms(detector: &mut VibrationDetector, samples: &[f64], rate_hz: f64) -> (Vec<f64>, usize) {
    let (mut alarms, mut judged, mut in_a_row) = (Vec::new(), 0, 0);
    for (index, sample) in samples.iter().enumerate() {
        let Some(judgement) = detector.observe(*sample).and_then(|found| found.judgement) else { continue };
        judged += 1;
        in_a_row = if judgement.p_value <= LEVEL { in_a_row + 1 } else { 0 };
        if in_a_row == 2 {
            alarms.push((index + 1) as f64 / rate_hz);
        }
    }
    (alarms, judged)
}

fn check(folder: &Path, block: usize, normal_rate_hz: f64) {
    let settings = |rate_hz: f64| VibrationSettings::new(rate_hz, Some(RATE_HZ), block).unwrap();
    let mut detector = VibrationDetector::new(settings(normal_rate_hz));
    let normal = samples(folder, "normal_0_97.first_half.DE.npy");
    let (false_alarms, judged) = alarms(&mut detector, &normal, normal_rate_hz);
    eprintln!(
        "block {block}, normal at {normal_rate_hz} Hz: {judged} blocks judged, alarms {false_alarms:?}"
    );
    assert!(false_alarms.is_empty() && judged >= 27, "{judged} {false_alarms:?}");
    detector.gap();
    let learnt = detector.save();
    for fault in FAULTS {
        let mut detector = VibrationDetector::new(settings(RATE_HZ));
        detector.restore(&learnt).unwrap();
        let (found, _) = alarms(&mut detector, &samples(folder, fault), RATE_HZ);
        eprintln!("  {fault}: found after {found:?} s");
        assert!(
            found.len() == 1 && found[0] <= 0.5,
            "{fault}: once, within half a second, and for good: {found:?}"
        );
    }
}

#[test]
fn every_fault_is_found_within_half_a_second_and_the_normal_record_is_quiet() {
    let Some(data) = env::var_os("VERGE_DATA").map(PathBuf::from) else {
        eprintln!("skipped: VERGE_DATA names no folder of measuring data");
        return;
    };
    let folder = data.join("cwru_bearing");
    for block in [256, 512] {
        check(&folder, block, NORMAL_RATE_HZ);
    }
    // And with the rate that the index gives.
    for block in [512, 1024, 2048] {
        check(&folder, block, RATE_HZ);
    }
}
