//! Looks at what was counted of versions on trial, and does what follows: the slots change first, then the gateway takes up what
//! they say. Whoever else has changed them is noticed here, too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use verge_models::ModelFiles;
use verge_models::store::{FACTORY, ModelStoreError, Slots};
use verge_models::trial::{ReturnCause, TrialNext, TrialPhase};
use verge_pipeline::clock::Clock;
use verge_pipeline::committer::{CommitHandle, CommitRequest};
use verge_pipeline::status::{AgreementStatus, MadeElsewhereStatus, ModelStatus, ReturnStatus};

use super::report::VersionEvent;
use super::{VersionTrial, version_of};
use crate::reload::{ReloadAnswer, ReloadDesk};
use crate::settings::Settings;
use crate::wiring::made::MadeElsewhere;
use crate::wiring::replacement::JudgesAtWork;

/// How often what was counted is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// In one of this many looks the slots are read, for changes that others made.
const READ_EVERY: u32 = 8;
/// A reload that failed is asked for again after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// UTC in ms, by the clock of the machine.
pub(super) fn now_ms() -> i64 {
    verge_models::store::now(0).as_millisecond()
}

/// What there is to say of managed models.
pub(in crate::wiring) struct ModelsAtWork {
    now: Mutex<Arc<Present>>,
    returned: Mutex<BTreeMap<String, ReturnStatus>>,
    /// What is to be reported, and not yet handed to the committer.
    events: Mutex<Vec<VersionEvent>>,
    reload: ReloadWish,
    made: MadeElsewhere,
}

struct Present {
    /// Each with its active version when that was loaded.
    managed: Vec<(ModelFiles, Option<String>)>,
    trials: Vec<Arc<VersionTrial>>,
    unsigned: bool,
    share: u32,
}

impl Present {
    fn of(settings: &Settings, at_work: &JudgesAtWork, trials: Vec<Arc<VersionTrial>>) -> Arc<Self> {
        let loaded = at_work.loaded();
        let frames = settings.models.iter().enumerate().map(|(place, files)| (files, loaded.get(place)));
        let windows = settings.autoencoders.iter().map(|files| (files, None));
        let managed = frames.chain(windows).filter_map(|(files, loaded)| {
            let store = files.store.as_ref()?;
            let (slots, _) = store.slots();
            // Slots that changed while models were loaded say otherwise than what is at work; a damaged version does, too.
            let is_whole = |id: &String| store.version(id).fault().is_none();
            let active = match loaded.map(|loaded| version_of(loaded, store)) {
                Some(at_work) if slots.active.as_ref().is_none_or(is_whole) => at_work,
                _ => slots.active,
            };
            Some((files.clone(), active))
        });
        let managed = managed.collect();
        Arc::new(Self {
            managed,
            trials,
            unsigned: settings.packages.unsigned,
            share: settings.packages.canary,
        })
    }
}

/// A reload that is due.
#[derive(Default)]
struct ReloadWish {
    is_due: Arc<AtomicBool>,
    is_asked: Arc<AtomicBool>,
    not_before: Arc<Mutex<Option<Instant>>>,
}

impl ReloadWish {
    fn wish(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// Asks, where it is due and nobody has asked.
    fn submit(&self, desk: &ReloadDesk) {
        let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = not_before.is_some_and(|time| Instant::now() < time);
        if is_early || self.is_asked.load(Ordering::Relaxed) || !self.is_due.swap(false, Ordering::Relaxed) {
            return;
        }
        self.is_asked.store(true, Ordering::Relaxed);
        let (due, asked, not_before) =
            (Arc::clone(&self.is_due), Arc::clone(&self.is_asked), Arc::clone(&self.not_before));
        let done = move |answer: &ReloadAnswer| {
            asked.store(false, Ordering::Relaxed);
            if !answer.is_ok() {
                tracing::error!("a version of a model is not taken up yet: {}", answer.words().join("; "));
                due.store(true, Ordering::Relaxed);
                *not_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + AGAIN);
            }
        };
        if !desk.submit_again(Box::new(done)) {
            // Another reload waits, or nobody carries any out yet.
            self.is_asked.store(false, Ordering::Relaxed);
            self.is_due.store(true, Ordering::Relaxed);
        }
    }
}

/// The task that watches them. It holds an end of the committer, and ends before that.
pub(in crate::wiring) struct ModelWatch(JoinHandle<()>);

impl ModelWatch {
    /// Ends it, and waits until it has.
    pub(in crate::wiring) async fn stop(self) {
        self.0.abort();
        // An aborted task has no result.
        drop(self.0.await);
    }
}

impl ModelsAtWork {
    pub(in crate::wiring) fn new(
        settings: &Settings,
        at_work: &JudgesAtWork,
        events: Vec<VersionEvent>,
    ) -> Arc<Self> {
        let made = MadeElsewhere::default();
        made.look(settings, at_work.loaded());
        Arc::new(Self {
            made,
            now: Mutex::new(Present::of(settings, at_work, at_work.trials(settings, &[]))),
            returned: Mutex::default(),
            events: Mutex::new(events),
            reload: ReloadWish::default(),
        })
    }

    /// Others are at work.
    pub(in crate::wiring) fn take_up(&self, settings: &Settings, at_work: &JudgesAtWork) {
        self.made.look(settings, at_work.loaded());
        let trials = at_work.trials(settings, &self.present().trials);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Present::of(settings, at_work, trials);
    }

    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Watches them from now on.
    pub(in crate::wiring) fn watch(
        self: &Arc<Self>,
        (commits, clock): (CommitHandle, Clock),
        desk: Arc<ReloadDesk>,
    ) -> ModelWatch {
        let models = Arc::clone(self);
        ModelWatch(tokio::spawn(async move {
            let mut looks = 0_u32;
            loop {
                let (own, commits) = (Arc::clone(&models), commits.clone());
                let reads = looks.is_multiple_of(READ_EVERY);
                looks = looks.wrapping_add(1);
                // Files and a queue that may be full are no work for this thread.
                let looked = tokio::task::spawn_blocking(move || own.look(reads, &commits, clock));
                drop(looked.await);
                models.reload.submit(&desk);
                tokio::time::sleep(LOOK).await;
            }
        }))
    }

    fn look(&self, reads: bool, commits: &CommitHandle, clock: Clock) {
        let present = self.present();
        for trial in present.trials.iter().filter(|trial| !trial.is_over()) {
            let next = trial.desk.with(|counted| counted.next(trial.at_work()));
            // Only what others do may change what was decided, and that is read in some looks.
            if next == TrialNext::Stay && !reads {
                continue;
            }
            if let Err(error) = self.act(trial, &next, present.share) {
                tracing::warn!(model = %trial.model, version = %trial.id, %error, "what is due for the version waits");
            }
        }
        if reads
            && present
                .managed
                .iter()
                .any(|(files, active)| differs(files, active.as_deref(), &present.trials))
        {
            self.reload.wish();
        }
        let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        let now = clock.now();
        let verdicts: Vec<_> = events.iter().filter_map(|event| event.verdict(now)).collect();
        if !verdicts.is_empty() {
            commits.submit(CommitRequest { verdicts, ..CommitRequest::of_time(now.mono) });
        }
    }

    /// Does what is due. The slots are durable before the gateway takes them up.
    fn act(&self, trial: &VersionTrial, next: &TrialNext, share: u32) -> Result<(), ModelStoreError> {
        let figures = trial.desk.with(|counted| counted.agreement());
        if *next == TrialNext::Stay && figures.passed.is_none() {
            return Ok(());
        }
        let (slots, _) = trial.store.read_slots()?;
        let is_looked = figures.passed.is_some() && slots.agreement.and_then(|known| known.passed).is_none();
        if *next == TrialNext::Stay && !is_looked {
            return Ok(());
        }
        let lock = trial.store.lock()?;
        let (slots, _) = trial.store.read_slots()?;
        if slots.unproved() != Some((&trial.id, trial.phase)) {
            // Somebody else has decided meanwhile.
            self.reload.wish();
            return Ok(());
        }
        let (id, now) = (&trial.id, now_ms());
        let counter = trial.store.version(id).counter();
        let looked = Slots { agreement: figures.passed.map(|_| figures), ..slots.clone() };
        let (changed, what) = match next {
            TrialNext::Stay => (looked, None),
            TrialNext::Confirm => (looked.proved(), None),
            TrialNext::ToCanary => {
                (looked.tried(TrialPhase::Canary, share, now), Some("it looks at some cameras from now on"))
            }
            TrialNext::ToActive => (looked.promoted(counter, now), Some("it is in use from now on")),
            TrialNext::Return(cause) => {
                let Some(returned) = slots.returned_from(id, now) else { return Ok(()) };
                trial.store.switch(&lock, &returned)?;
                self.returned(trial, cause, &returned);
                return Ok(());
            }
        };
        trial.store.switch(&lock, &changed)?;
        if let Some(what) = what {
            tracing::info!(model = %trial.model, version = %id, "{what}: {}", figures.words());
            trial.end();
            self.reload.wish();
        } else if *next == TrialNext::Confirm {
            trial.desk.with(verge_models::trial::Trial::confirmed);
            if trial.phase == TrialPhase::Unconfirmed {
                // From now on it is the version in use like any other.
                trial.end();
            }
            tracing::info!(model = %trial.model, version = %id, "the version has proved itself");
        }
        Ok(())
    }

    fn returned(&self, trial: &VersionTrial, cause: &ReturnCause, slots: &Slots) {
        tracing::error!(
            model = %trial.model, version = %trial.id, in_use = slots.active.as_deref().unwrap_or(FACTORY),
            "the version is not used any more: {}", cause.words()
        );
        let event = VersionEvent::returned((&trial.model, &trial.id), trial.identity.clone(), cause);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let status = ReturnStatus { version: trial.id.clone(), why: cause.words(), at: now_ms() };
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).insert(trial.model.clone(), status);
        trial.end();
        self.reload.wish();
    }

    /// What the status says of files that were made elsewhere.
    pub(in crate::wiring) fn made_elsewhere(&self) -> Vec<MadeElsewhereStatus> {
        self.made.status()
    }

    /// What the status says of them.
    pub(in crate::wiring) fn status(&self) -> Vec<ModelStatus> {
        let (present, returned) =
            (self.present(), self.returned.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let status = |(files, _): &(ModelFiles, Option<String>)| {
            let (slots, _) = files.store.as_ref()?.slots();
            let trial = present.trials.iter().find(|trial| trial.model == files.name);
            let of = trial.map(|trial| (trial, trial.desk.with(|counted| counted.clone())));
            let p95 = of.as_ref().map_or([None; 2], |(_, counted)| counted.p95());
            let [active_p95_ms, version_p95_ms] =
                p95.map(|span| span.map(|span| (span.as_secs_f64() * 1e6).round() / 1e3));
            let is_beside = of.as_ref().is_some_and(|(trial, _)| trial.phase != TrialPhase::Unconfirmed);
            let agreement = of.as_ref().filter(|_| is_beside).map(|(_, counted)| {
                let figures = counted.agreement();
                let percent = |share: f64| (share * 10.0).round() / 10.0;
                AgreementStatus {
                    frames: figures.frames,
                    percent: percent(figures.share),
                    low: percent(figures.low),
                    high: percent(figures.high),
                    passed: figures.passed,
                }
            });
            Some(ModelStatus {
                name: files.name.clone(),
                active: slots.active.clone().unwrap_or_else(|| FACTORY.to_owned()),
                confirmed: slots.active.is_none() || slots.confirmed,
                previous: slots.previous.clone(),
                candidate: slots.candidate.clone(),
                stage: slots.stage.clone(),
                share: slots.share,
                frames: of.as_ref().map(|(_, counted)| counted.frames()),
                failures: of.as_ref().map(|(_, counted)| counted.failures().0),
                agreement,
                active_p95_ms,
                version_p95_ms,
                left_out: of.as_ref().and_then(|(trial, _)| trial.left_out.clone()),
                returned: returned.get(&files.name).cloned(),
                unsigned: present.unsigned,
            })
        };
        present.managed.iter().filter_map(status).collect()
    }
}

/// Whether the slots of a model say otherwise than what is at work.
fn differs(files: &ModelFiles, active: Option<&str>, trials: &[Arc<VersionTrial>]) -> bool {
    let Some(store) = &files.store else { return false };
    // What cannot be read now says nothing.
    let Ok((slots, None)) = store.read_slots() else { return false };
    if slots.active.as_deref() != active {
        return true;
    }
    let trial = trials.iter().find(|trial| trial.model == files.name);
    match (slots.unproved(), trial) {
        (Some((id, phase)), Some(trial)) => {
            let share = slots.share.filter(|_| phase == TrialPhase::Canary);
            (id, phase, share) != (&*trial.id, trial.phase, trial.share)
        }
        // One that was confirmed is at work all the same.
        (None, Some(trial)) => trial.phase != TrialPhase::Unconfirmed,
        // A version in use that is damaged is no trial.
        (Some((_, phase)), None) => phase != TrialPhase::Unconfirmed,
        (None, None) => false,
    }
}
