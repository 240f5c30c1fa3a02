//! Values that neither their name nor their time distinguishes: one name stands for several series.

use verge_domain::reading::{Reading, SharedBy};
use verge_domain::time::UtcMillis;

/// Up to this many readings are compared one by one.
const FEW: usize = 8;
/// Bits of the filter for each reading: with this number, names rarely share one.
const WORDS_EACH: usize = 4;

/// Finds them. Keeps its room from message to message.
#[derive(Debug, Default)]
pub(crate) struct SharedNames {
    filter: Vec<u64>,
    order: Vec<(Key, usize)>,
}

/// Names seen before are not made again, so that their addresses in memory distinguish them.
type Key = (usize, usize, Option<UtcMillis>);

fn key(reading: &Reading) -> Key {
    let place = |name: &str| name.as_ptr().addr();
    (place(reading.signal.as_str()), place(reading.device.as_str()), reading.captured_at)
}

fn differ(one: &Reading, other: &Reading) -> bool {
    one.value.to_bits() != other.value.to_bits()
}

impl SharedNames {
    /// Adds the positions of readings that have the name and the time of an earlier one and another value.
    pub(crate) fn find(&mut self, readings: &[Reading], out: &mut Vec<(usize, SharedBy)>) {
        if readings.len() <= FEW {
            let mut earlier = readings;
            while let Some((reading, rest)) = earlier.split_last() {
                earlier = rest;
                let name = reading.signal.as_str().as_ptr();
                let mut same = rest.iter().filter(|other| other.signal.as_str().as_ptr() == name);
                if same.any(|other| key(other) == key(reading) && differ(other, reading)) {
                    out.push((rest.len(), SharedBy::Time));
                }
            }
        } else if self.may_repeat(readings) {
            self.order.clear();
            self.order.extend(readings.iter().map(key).zip(0..));
            self.order.sort_unstable();
            for pair in self.order.windows(2) {
                let [(one, first), (other, second)] = pair else { continue };
                if let (true, Some(first), Some(reading)) =
                    (one == other, readings.get(*first), readings.get(*second))
                    && differ(first, reading)
                {
                    out.push((*second, SharedBy::Time));
                }
            }
        }
    }

    /// Whether a signal may stand there twice: wrong at times, but never when it says no.
    fn may_repeat(&mut self, readings: &[Reading]) -> bool {
        let words = readings.len().saturating_mul(WORDS_EACH).next_power_of_two();
        self.filter.clear();
        self.filter.resize(words, 0);
        let bits = words.trailing_zeros().saturating_add(6);
        readings.iter().any(|reading| {
            let (signal, device, _) = key(reading);
            // Multiplication spreads addresses over the upper bits (Knuth, The Art of Computer Programming, 6.4).
            let mixed = u64::try_from(signal ^ device.rotate_left(17)).unwrap_or_default();
            let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 64u32.saturating_sub(bits);
            let word = usize::try_from(hash >> 6).unwrap_or_default();
            let bit = 1u64 << (hash & 63);
            let Some(word) = self.filter.get_mut(word) else { return true };
            let set = *word & bit != 0;
            *word |= bit;
            set
        })
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, SignalId};

    use super::*;

    #[test]
    fn values_that_nothing_distinguishes_are_found() {
        let devices = ["a", "b"].map(|name| DeviceId::new(name).unwrap());
        let signals: Vec<SignalId> =
            (0..1000).map(|number| SignalId::new(&format!("s{number}")).unwrap()).collect();
        let reading = |device: usize, signal: usize, at: Option<i64>, value: f64| Reading {
            captured_at: at.map(UtcMillis),
            ..Reading::of(devices[device].clone(), signals[signal].clone(), value)
        };
        let mut names = SharedNames::default();
        let mut check = |readings: &[Reading], expected: &[usize]| {
            let mut found = Vec::new();
            names.find(readings, &mut found);
            let expected: Vec<_> = expected.iter().map(|at| (*at, SharedBy::Time)).collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&[reading(0, 0, None, 1.0), reading(0, 0, None, 2.0)], &[1]);
        check(&[reading(0, 0, None, 1.0), reading(0, 0, None, 1.0)], &[]);
        check(&[reading(0, 0, None, 1.0), reading(1, 0, None, 2.0), reading(0, 1, None, 2.0)], &[]);
        check(&[reading(0, 0, Some(1), 1.0), reading(0, 0, Some(2), 2.0)], &[]);
        check(&[reading(0, 0, Some(1), 1.0), reading(0, 0, None, 2.0)], &[]);
        let mut many: Vec<Reading> = (0..1000).map(|number| reading(number % 2, number, None, 1.0)).collect();
        check(&many, &[]);
        many.push(reading(0, 500, None, 1.0));
        check(&many, &[]);
        many.push(reading(1, 501, None, 2.0));
        check(&many, &[1001]);
        many.push(reading(1, 501, Some(7), 3.0));
        check(&many, &[1001]);
    }
}
