//! Alarms against labelled rows.

use std::ops::Range;

/// How the alarms of a series stand to its labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Events {
    /// Rows.
    pub readings: usize,
    /// Rows with a label.
    pub labelled: usize,
    /// Stretches of labelled readings.
    pub events: usize,
    /// Rows with an alarm.
    pub alarms: usize,
    /// Alarms on readings without a label.
    pub false_alarms: usize,
    /// Per event found, the readings from its first to its first alarm.
    pub delays: Vec<usize>,
}

impl Events {
    /// Labels and alarms of the rows of one series.
    #[must_use]
    pub fn of(labels: &[bool], alarms: &[bool]) -> Self {
        let stretches = stretches(labels);
        let delay = |event: &Range<usize>| alarms[event.clone()].iter().position(|alarm| *alarm);
        let counted = alarms.iter().zip(labels).filter(|(alarm, _)| **alarm);
        Self {
            readings: labels.len(),
            labelled: labels.iter().filter(|label| **label).count(),
            events: stretches.len(),
            alarms: counted.clone().count(),
            false_alarms: counted.filter(|(_, label)| !**label).count(),
            delays: stretches.iter().filter_map(delay).collect(),
        }
    }

    /// Adds those of another series.
    pub fn add(&mut self, other: &Self) {
        self.readings += other.readings;
        self.labelled += other.labelled;
        self.events += other.events;
        self.alarms += other.alarms;
        self.false_alarms += other.false_alarms;
        self.delays.extend(&other.delays);
    }

    /// Median delay in readings; of two in the middle, the later.
    #[must_use]
    pub fn median_delay(&self) -> Option<usize> {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }
}

/// Stretches of labelled readings.
#[must_use]
pub fn stretches(labels: &[bool]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut found = Vec::new();
    for equal in labels.chunk_by(|a, b| a == b) {
        let end = start + equal.len();
        if equal[0] {
            found.push(start..end);
        }
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<bool> {
        text.chars().map(|one| one == '1').collect()
    }

    #[test]
    fn an_event_is_found_by_its_first_alarm() {
        let labels = rows("0011100110001");
        let alarms = rows("1000100110000");
        let expected =
            Events { readings: 13, labelled: 6, events: 3, alarms: 4, false_alarms: 1, delays: vec![2, 0] };
        let mut found = Events::of(&labels, &alarms);
        assert_eq!(found, expected);
        assert_eq!(found.median_delay(), Some(2));
        found.add(&expected);
        assert_eq!((found.events, found.delays.len(), found.median_delay()), (6, 4, Some(2)));
        assert_eq!(Events::of(&[], &[]), Events::default());
        assert_eq!(Events::default().median_delay(), None);
        assert_eq!(stretches(&rows("1101")), [0..2, 3..4]);
    }
}
