//! How the alarms of a gateway stand to what is known to be wrong in the plant.

use std::collections::BTreeMap;

use super::faults::{PlantFault, PlantFaultKind};
use super::{DAY_S, Plant, PlantRun};

/// An alarm, as a person in the control room gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantAlarm {
    /// When it was raised, in UTC seconds.
    pub at_s: i64,
    /// Positions of the tags that it names.
    pub tags: Vec<usize>,
    /// It names more tags of an alarm that was counted: it can be true, and not false once more.
    pub again: bool,
    /// The judge that raised it, and what it found.
    pub raised_by: RaisedBy,
}

/// The judge that raised an alarm, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RaisedBy {
    /// Its name.
    pub judge: String,
    /// The stable text of the member.
    pub member: String,
}

/// What an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// It names a tag that something is wrong with: the position of the fault.
    True(usize),
    /// A consequence of a fault that is over: the way back is strange too.
    Aftermath,
    /// Nothing is wrong with its tags. The day counts from 0.
    False {
        /// Day since the begin.
        day: i64,
    },
}

/// False alarms by time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FalseAlarms {
    /// On the first day.
    pub first_day: u32,
    /// In the first week, the first day included.
    pub first_week: u32,
    /// In the second week.
    pub second_week: u32,
    /// In the third week.
    pub third_week: u32,
}

impl FalseAlarms {
    fn add(&mut self, day: i64) {
        self.first_day += u32::from(day == 0);
        match day {
            0..7 => self.first_week += 1,
            7..14 => self.second_week += 1,
            _ => self.third_week += 1,
        }
    }
}

/// What one judge raised by one member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberAlarms {
    /// Its false alarms.
    pub false_alarms: FalseAlarms,
    /// Faults that it found before the others.
    pub found: u32,
}

/// What becomes of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultOutcome {
    /// What goes wrong.
    pub kind: PlantFaultKind,
    /// Position of its tag.
    pub tag: usize,
    /// When it begins, in UTC seconds.
    pub from_s: i64,
    /// When it is over.
    pub to_s: i64,
    /// Seconds from its begin to the first alarm, and who raised that; `None` where it was missed.
    pub found: Option<(i64, RaisedBy)>,
    /// Seconds from its begin to the first event of its tag that was noted while a judge still learned, which is no alarm.
    pub noted: Option<i64>,
}

/// All alarms of one plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantScore {
    /// False alarms of all judges.
    pub false_alarms: FalseAlarms,
    /// Alarms after the end of a fault of their tag, which count neither way.
    pub aftermath: u32,
    /// Faults, in the order of time.
    pub faults: Vec<FaultOutcome>,
    /// The same by judge and member.
    pub by_member: BTreeMap<RaisedBy, MemberAlarms>,
    /// False alarms, with their day.
    pub false_ones: Vec<(i64, PlantAlarm)>,
}

/// False alarms on the first day at most.
pub const MOST_ON_FIRST_DAY: u32 = 4;
/// False alarms in the third week at most.
pub const MOST_IN_THIRD_WEEK: u32 = 2;
/// Faults of nine that must be found.
pub const LEAST_FOUND: usize = 8;

/// A fault may be found up to this number of readings after its end.
const GRACE_READINGS: i64 = 30;

/// What an alarm is, in this plant.
fn kind_of(alarm: &PlantAlarm, faults: &[PlantFault], begin_s: i64, run: PlantRun) -> AlarmKind {
    let grace_s = GRACE_READINGS * run.interval_s();
    let of_tag = |fault: &&(usize, &PlantFault)| alarm.tags.contains(&fault.1.tag);
    let numbered: Vec<(usize, &PlantFault)> = faults.iter().enumerate().collect();
    let during =
        |(_, fault): &&(usize, &PlantFault)| (fault.from_s..=fault.to_s + grace_s).contains(&alarm.at_s);
    let after = |(_, fault): &&(usize, &PlantFault)| (fault.to_s..=fault.to_s + DAY_S).contains(&alarm.at_s);
    if let Some((number, _)) = numbered.iter().filter(of_tag).find(during) {
        AlarmKind::True(*number)
    } else if numbered.iter().filter(of_tag).any(|fault| after(&fault)) {
        AlarmKind::Aftermath
    } else {
        AlarmKind::False { day: (alarm.at_s - begin_s).div_euclid(DAY_S) }
    }
}

impl PlantScore {
    /// Scores the alarms of a plant, in the order of time.
    #[must_use]
    pub fn of(plant: &Plant, alarms: &[PlantAlarm]) -> Self {
        Self::of_faults(plant.faults(), plant.begin_s, plant.run, alarms)
    }

    fn of_faults(faults: &[PlantFault], begin_s: i64, run: PlantRun, alarms: &[PlantAlarm]) -> Self {
        let outcome = |fault: &PlantFault| {
            let PlantFault { kind, tag, from_s, to_s, .. } = *fault;
            FaultOutcome { kind, tag, from_s, to_s, found: None, noted: None }
        };
        let mut score = Self {
            false_alarms: FalseAlarms::default(),
            aftermath: 0,
            faults: faults.iter().map(outcome).collect(),
            by_member: BTreeMap::new(),
            false_ones: Vec::new(),
        };
        for alarm in alarms {
            let member = score.by_member.entry(alarm.raised_by.clone()).or_default();
            match kind_of(alarm, faults, begin_s, run) {
                AlarmKind::True(number) => {
                    let outcome = &mut score.faults[number];
                    if outcome.found.is_none() {
                        outcome.found = Some((alarm.at_s - outcome.from_s, alarm.raised_by.clone()));
                        member.found += 1;
                    }
                }
                AlarmKind::Aftermath | AlarmKind::False { .. } if alarm.again => {}
                AlarmKind::Aftermath => score.aftermath += 1,
                AlarmKind::False { day } => {
                    member.false_alarms.add(day);
                    score.false_alarms.add(day);
                    score.false_ones.push((day, alarm.clone()));
                }
            }
        }
        score
    }

    /// Takes events into account that were noted while a judge still learned, by time and position of their tag.
    pub fn note(&mut self, (at_s, tag): (i64, usize), run: PlantRun) {
        let grace_s = GRACE_READINGS * run.interval_s();
        let during = |fault: &&mut FaultOutcome| {
            fault.tag == tag && (fault.from_s..=fault.to_s + grace_s).contains(&at_s)
        };
        if let Some(fault) = self.faults.iter_mut().find(during) {
            fault.noted.get_or_insert(at_s - fault.from_s);
        }
    }

    /// Faults that no alarm found, and that were noted while a judge still learned.
    #[must_use]
    pub fn only_noted(&self) -> usize {
        self.faults.iter().filter(|fault| fault.found.is_none() && fault.noted.is_some()).count()
    }

    /// Faults that were found.
    #[must_use]
    pub fn found(&self) -> usize {
        self.faults.iter().filter(|fault| fault.found.is_some()).count()
    }

    /// Whether it meets all three marks.
    #[must_use]
    pub fn meets_marks(&self) -> bool {
        self.false_alarms.first_day <= MOST_ON_FIRST_DAY
            && self.false_alarms.third_week <= MOST_IN_THIRD_WEEK
            && self.found() >= LEAST_FOUND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: PlantFault =
        PlantFault { tag: 3, kind: PlantFaultKind::Step, from_s: 800_000, to_s: 810_000, off: 1.0 };

    fn score(alarms: &[(i64, usize)]) -> PlantScore {
        let raised_by = |member: &str| RaisedBy { judge: "unusual".to_owned(), member: member.to_owned() };
        let alarm = |&(at_s, tag): &(i64, usize)| PlantAlarm {
            at_s,
            tags: vec![tag],
            again: false,
            raised_by: raised_by("level"),
        };
        let alarms: Vec<_> = alarms.iter().map(alarm).collect();
        PlantScore::of_faults(&[FAULT], 0, PlantRun::Minutes, &alarms)
    }

    #[test]
    fn an_alarm_is_true_while_its_tag_is_faulty_and_neither_on_the_way_back() {
        let found = score(&[(800_060, 3), (800_120, 3), (811_799, 3), (811_801, 3), (896_400, 3)]);
        assert_eq!((found.found(), found.aftermath, found.false_alarms), (1, 2, FalseAlarms::default()));
        assert_eq!(found.faults[0].found.as_ref().map(|found| found.0), Some(60));
        assert_eq!(found.by_member.values().map(|member| member.found).sum::<u32>(), 1);
        let missed = score(&[(800_060, 4), (799_999, 3), (896_401, 3)]);
        assert_eq!((missed.found(), missed.false_alarms.second_week), (0, 3));
    }

    #[test]
    fn what_is_noted_while_learning_finds_no_fault_and_is_counted_apart() {
        let mut missed = score(&[]);
        for noted in [(799_999, 3), (800_500, 4), (800_060, 3), (800_600, 3), (811_801, 3)] {
            missed.note(noted, PlantRun::Minutes);
        }
        assert_eq!((missed.found(), missed.only_noted(), missed.faults[0].noted), (0, 1, Some(60)));
        let mut found = score(&[(800_060, 3)]);
        found.note((800_060, 3), PlantRun::Minutes);
        assert_eq!((found.found(), found.only_noted()), (1, 0));
    }

    #[test]
    fn false_alarms_are_counted_by_day_and_week() {
        let expected = FalseAlarms { first_day: 1, first_week: 2, second_week: 1, third_week: 1 };
        let found = score(&[(0, 1), (DAY_S, 1), (7 * DAY_S, 1), (14 * DAY_S, 1)]);
        assert_eq!(found.false_alarms, expected);
        assert!(!found.meets_marks());
        assert!(score(&[]).faults[0].found.is_none());
    }
}
