//! When the states of judges are made durable: in small steps, so that no commit becomes large.

use std::hash::Hasher;
use std::time::Duration;

use verge_domain::stage::{Checkpoint, Judge, SAVE_EVERY};
use verge_domain::time::{Moment, Monotonic};

use super::containment::contained;
use super::{Decision, JudgeSet, keys};

/// Bytes of states handed out at once; a single larger state is handed out alone.
pub const STATES_AT_ONCE: usize = 512 << 10;

/// One pass over all judges, in steps of [`STATES_AT_ONCE`].
#[derive(Debug)]
pub struct SavePass {
    /// The instance that comes next.
    next: usize,
    which: Which,
}

/// Which of the changed states a pass takes.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// Those that are due at this time, when the pass began.
    Due(Monotonic),
    /// Those that are saved with every pass.
    Small,
    All,
}

impl SavePass {
    const fn of(which: Which) -> Self {
        Self { next: 0, which }
    }

    /// Over the judges that are due. Begin one every [`SAVE_EVERY`].
    #[must_use]
    pub const fn of_due(now: Monotonic) -> Self {
        Self::of(Which::Due(now))
    }

    /// Over all judges with a small state, due or not: before the gateway stops.
    #[must_use]
    pub const fn of_small() -> Self {
        Self::of(Which::Small)
    }

    /// Over all judges: before the gateway stops.
    #[must_use]
    pub const fn of_all() -> Self {
        Self::of(Which::All)
    }
}

/// When one instance is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct SaveTime(Monotonic);

impl SaveTime {
    /// The first time. Instances that are saved with every pass are due at once; those with a longer period are spread
    /// over it, by a sequence that fills it evenly whatever their number.
    pub(super) fn first(index: usize, every: Duration, now: Monotonic) -> Self {
        if every <= SAVE_EVERY {
            return Self(now);
        }
        // The golden ratio in 64 bits: the fractions of its multiples lie evenly in 0..1.
        let turns = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let part = u32::try_from(turns >> 44).unwrap_or(u32::MAX);
        Self(now.after(every.saturating_mul(part) / (1 << 20)))
    }
}

/// Distinguishes a state from the last one saved without a copy of it: a checksum of 64 bits, of this process alone.
/// Two successive states with the same checksum by chance (one pair in 2^64) cost one saving.
pub(super) fn checksum(state: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(state);
    hasher.finish()
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// States that have changed since they were last handed out, up to the limit of one step. Returns whether the pass
    /// continues: then call it again when these are durable.
    pub fn save(&mut self, pass: &mut SavePass, now: Moment, out: &mut Decision) -> bool {
        let mut bytes = 0;
        if pass.next == 0 {
            self.save_machines(now, out);
            self.save_pools(out);
            self.contacts.save(self.groups.set_name(), &self.sources, out);
            self.save_settings(out);
        }
        for index in pass.next..self.instances.capacity() {
            let Some(instance) = self.instances.get_mut(index) else { continue };
            let small = instance.judge.save_every() <= SAVE_EVERY;
            let taken = match pass.which {
                Which::Due(now) => now >= instance.save_time.0,
                Which::Small => small,
                Which::All => true,
            };
            if !taken {
                continue;
            }
            if bytes >= STATES_AT_ONCE {
                pass.next = index;
                return true;
            }
            if let Which::Due(now) = pass.which {
                instance.save_time = SaveTime(now.after(instance.judge.save_every()));
            }
            // A judge with few observations has learnt nothing yet, and must not displace what others have learnt.
            if !small && instance.is_new() {
                continue;
            }
            let spec = &self.specs[instance.judge_index];
            let doing = "saving its state";
            let saved = contained(instance, spec, &self.counters, doing, now, out, |instance, _| {
                instance.changed_state(&spec.name)
            });
            bytes += saved.iter().flatten().map(state_bytes).sum::<usize>();
            out.checkpoints.extend(saved.flatten());
        }
        false
    }
}

impl<D, J> JudgeSet<D, J> {
    /// What the instances of each judge share, where it has changed. It is small.
    fn save_pools(&mut self, out: &mut Decision) {
        for (_, spec) in self.specs.iter() {
            let Some(state) = spec.pool.as_ref().and_then(|pool| pool.save()) else { continue };
            let checksum = checksum(&state);
            if self.pools_saved.insert(spec.name.clone(), checksum) != Some(checksum) {
                out.checkpoints.push(Checkpoint { key: keys::pool_key(&spec.name), state: Some(state) });
            }
        }
    }
}

impl<D, J> JudgeSet<D, J> {
    /// Under which settings the judges learn, where that has changed.
    pub(super) fn save_settings(&mut self, out: &mut Decision) {
        for (_, spec) in self.specs.iter().filter(|(_, spec)| !spec.fingerprint.is_empty()) {
            if self.settings_saved.get(&spec.name) != Some(&spec.fingerprint) {
                self.settings_saved.insert(spec.name.clone(), spec.fingerprint.clone());
                let (key, state) = (keys::settings_key(&spec.name), spec.fingerprint.to_bytes());
                out.checkpoints.push(Checkpoint { key, state: Some(state) });
            }
        }
    }
}

/// How large a state is.
pub(crate) fn state_bytes(checkpoint: &Checkpoint) -> usize {
    checkpoint.state.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use verge_domain::finding::Finding;
    use verge_domain::id::{EventId, JudgeId, SourceId};
    use verge_domain::observation::Observable;
    use verge_domain::policy::EventPolicy;
    use verge_domain::reading::{Inbound, SourceIndex};
    use verge_domain::stage::{RestoreError, Scope};
    use verge_domain::time::{Moment, UtcMillis};
    use verge_domain::verdict::{Detector, Severity};

    use super::super::tests::Words;
    use super::super::{Fingerprint, InputPattern, Inputs, JudgeSpec, StateRules};
    use super::*;
    use crate::counters::Counters;

    const STATE: usize = 13 << 10;
    const EVERY: Duration = Duration::from_secs(600);

    /// Its state is either large and changes with every reading, or small and saved with every pass.
    struct Learner {
        seen: u8,
        bytes: usize,
    }

    impl Judge for Learner {
        fn observe(&mut self, _observed: Observable<'_>, _received: Moment, _findings: &mut Vec<Finding>) {
            self.seen = self.seen.wrapping_add(1);
        }
        fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
        fn save(&self) -> Option<Vec<u8>> {
            Some(vec![self.seen; self.bytes])
        }
        fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
            self.seen = *state.first().ok_or(RestoreError::Foreign)?;
            Ok(())
        }
        fn save_every(&self) -> Duration {
            if self.bytes > 1 { EVERY } else { SAVE_EVERY }
        }
    }

    fn set(bytes: usize) -> JudgeSet<Words, Learner> {
        let spec = JudgeSpec {
            name: JudgeId::new("j").unwrap(),
            detector: Detector::Threshold,
            scope: Scope::Signal,
            policy: EventPolicy {
                severity: Severity::Warning,
                critical_when: None,
                lane: verge_domain::id::Lane::Alarm,
                raise_after: Duration::ZERO,
                clear_after: Duration::ZERO,
                update_every: None,
            },
            inputs: Inputs::readings(vec![InputPattern { source: SourceIndex(0), signals: None }]),
            expect: Vec::new(),
            machine: None,
            states: StateRules::NONE,
            model: None,
            smaller: None,
            candidate: None,
            tags: Arc::default(),
            pool: None,
            fingerprint: Fingerprint::default(),
            limits: Arc::default(),
            make: Box::new(move |_| Learner { seen: 0, bytes }),
        };
        let sources = vec![SourceId::new("s").unwrap()];
        let counters = Arc::new(Counters::new(sources.clone()));
        JudgeSet::new(Words, vec![spec], sources, counters, || EventId([0; 16]), at(0))
    }

    fn at(second: u64) -> Moment {
        Moment::from_wall(UtcMillis(second as i64 * 1000))
    }

    fn send(set: &mut JudgeSet<Words, Learner>, second: u64, devices: usize) {
        for device in 0..devices {
            let message = Inbound::of(SourceIndex(0), "t", format!("d{device} temp 1"), at(second));
            set.message(&message, at(second), &mut Decision::default());
        }
    }

    /// Steps of one pass: what each hands out.
    fn pass(set: &mut JudgeSet<Words, Learner>, mut pass: SavePass) -> Vec<Vec<Checkpoint>> {
        let mut steps = Vec::new();
        loop {
            let mut out = Decision::default();
            let goes_on = set.save(&mut pass, at(0), &mut out);
            steps.push(out.checkpoints);
            if !goes_on {
                return steps;
            }
        }
    }

    #[test]
    fn large_states_are_spread_over_their_time_and_each_is_saved_once_in_it() {
        let mut set = set(STATE);
        let mut saved: HashMap<String, Vec<u64>> = HashMap::new();
        for second in (0..=1300).step_by(10) {
            send(&mut set, second, 1000);
            let steps = pass(&mut set, SavePass::of_due(at(second).mono));
            let total: usize = steps.iter().flatten().map(state_bytes).sum();
            // An even share is 17 states.
            assert!(total <= 20 * STATE, "{} states after {second} s", total / STATE);
            for checkpoint in steps.into_iter().flatten() {
                saved.entry(checkpoint.key).or_default().push(second);
            }
        }
        assert_eq!(saved.len(), 1000);
        for times in saved.values() {
            assert!(times.len() >= 2 && times.windows(2).all(|two| two[1] - two[0] == 600), "{times:?}");
        }
    }

    #[test]
    fn all_states_are_handed_out_in_steps_and_those_that_have_not_changed_are_not() {
        let mut set = set(STATE);
        for second in 0..7 {
            send(&mut set, second, 100);
        }
        assert_eq!(pass(&mut set, SavePass::of_all()), [Vec::new()], "too few readings");
        send(&mut set, 7, 100);
        assert_eq!(pass(&mut set, SavePass::of_small()), [Vec::new()], "they are large");
        let steps = pass(&mut set, SavePass::of_all());
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 20]);
        assert_eq!(pass(&mut set, SavePass::of_all()), [Vec::new()]);
        send(&mut set, 8, 1);
        assert_eq!(pass(&mut set, SavePass::of_all())[0].len(), 1);
        // The restored state is the saved one.
        let saved: Vec<Checkpoint> = steps.into_iter().flatten().collect();
        let mut after = super::tests::set(STATE);
        after.restore(&saved, at(2), &mut Decision::default());
        assert_eq!(pass(&mut after, SavePass::of_all()), [Vec::new()]);
    }

    #[test]
    fn small_states_are_saved_with_every_pass() {
        let mut set = set(1);
        for second in [3, 13, 23] {
            send(&mut set, second, 50);
            assert_eq!(pass(&mut set, SavePass::of_due(at(second).mono))[0].len(), 50);
        }
    }
}
