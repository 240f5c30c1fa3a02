//! How alarms stand, out of verdicts about the health of detectors.
//!
//! An alarm of a component is active while an event is open that stands for it; several may at a time.

use std::collections::BTreeMap;

use verge_domain::finding::Member;
use verge_domain::id::{EventId, JudgeId};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{ActionKind, Body, EventState, Severity, Subject, Verdict};

use super::settings::{AlarmCode, SiteSettings};

/// Events behind one alarm at most; further ones change nothing.
const MAX_OPEN: usize = 1024;

verge_domain::words! {
    /// How a detector's logic fails.
    #[derive(Default)]
    pub enum LogicError {
        /// It never shows a vehicle.
        #[default]
        AlwaysOff = "always_off",
        /// It always shows one.
        AlwaysOn = "always_on",
        /// It changes its mind.
        Intermittent = "intermittent",
    }
}

impl LogicError {
    fn of(member: Member, value: Option<f64>) -> Self {
        match member {
            Member::Stuck | Member::Frozen if value.is_some_and(|value| value > 0.0) => Self::AlwaysOn,
            Member::Duplicate | Member::Flicker | Member::UnexplainedMotion => Self::Intermittent,
            _ => Self::AlwaysOff,
        }
    }
}

/// Which alarm: of a component by its position, or of the main component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AlarmPlace {
    pub(super) component: Option<usize>,
    pub(super) code: AlarmCode,
}

/// How an alarm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlarmView {
    pub(super) place: AlarmPlace,
    pub(super) active: bool,
    pub(super) acknowledged: bool,
    pub(super) suspended: bool,
    pub(super) logic: LogicError,
    /// Since when it is active or inactive.
    pub(super) at: UtcMillis,
    /// The event by which it is.
    pub(super) event: Option<EventId>,
}

/// What a verdict changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlarmNews {
    /// It has become active or inactive, or waits to be acknowledged anew.
    Issue(AlarmView),
    /// It was acknowledged at this time.
    Acknowledged(AlarmView, UtcMillis),
}

#[derive(Debug, Clone)]
struct OpenFault {
    event: EventId,
    since: UtcMillis,
    acknowledged: bool,
    logic: LogicError,
}

#[derive(Debug, Clone, Default)]
struct AlarmState {
    open: Vec<OpenFault>,
    /// When it became inactive, and by which event.
    ended: Option<(UtcMillis, EventId)>,
    /// Of an inactive alarm.
    acknowledged: bool,
    logic: LogicError,
}

/// The alarms of a site.
#[derive(Debug, Clone)]
pub(super) struct AlarmBook {
    states: BTreeMap<AlarmPlace, AlarmState>,
    /// Alarms that never were active are inactive since then.
    began: UtcMillis,
    /// Critical events that no alarm stands for.
    pub(super) left_out: u64,
}

impl AlarmBook {
    pub(super) fn new(site: &SiteSettings, began: UtcMillis) -> Self {
        let of_component = |(index, component): (usize, &super::SiteComponent)| {
            let place = move |code| AlarmPlace { component: Some(index), code };
            let codes = [false, true].map(|is_logic| component.code(is_logic));
            let reports = |code: &AlarmCode| component.judges_of(*code).next().is_some();
            codes.into_iter().filter(reports).map(place).collect::<Vec<_>>()
        };
        let places = site.components.iter().enumerate().flat_map(of_component);
        let other = site.other.then_some(AlarmPlace { component: None, code: AlarmCode::Other });
        let states = places.chain(other).map(|place| (place, AlarmState::default())).collect();
        Self { states, began, left_out: 0 }
    }

    /// All alarms, active or not.
    pub(super) fn views(&self) -> impl Iterator<Item = AlarmView> + '_ {
        self.states.iter().map(|(place, state)| self.view_of(*place, state))
    }

    /// One of them; `None` where the component has no such alarm.
    pub(super) fn view(&self, place: AlarmPlace) -> Option<AlarmView> {
        self.states.get(&place).map(|state| self.view_of(place, state))
    }

    fn view_of(&self, place: AlarmPlace, state: &AlarmState) -> AlarmView {
        let first = state.open.iter().map(|fault| (fault.since, fault.event)).min_by_key(|(since, _)| *since);
        let (at, event) = first.or(state.ended).unzip();
        AlarmView {
            place,
            active: first.is_some(),
            acknowledged: match first {
                Some(_) => state.open.iter().all(|fault| fault.acknowledged),
                None => state.acknowledged,
            },
            suspended: false,
            logic: state.open.first().map_or(state.logic, |fault| fault.logic),
            at: at.unwrap_or(self.began),
            event,
        }
    }

    /// Events that are open no more go, though the verdict of their end may never come: an outage can be longer than the
    /// store.
    pub(super) fn forget_ended(&mut self, present: &Self) {
        for (place, state) in &mut self.states {
            let open = present.states.get(place).map(|present| present.open.as_slice()).unwrap_or_default();
            state.open.retain(|fault| open.iter().any(|known| known.event == fault.event));
        }
    }

    /// An inactive alarm is acknowledged: no event is open that would say so.
    pub(super) fn acknowledge_inactive(&mut self, place: AlarmPlace) {
        if let Some(state) = self.states.get_mut(&place) {
            state.acknowledged = true;
        }
    }

    /// Takes up a verdict, and says what it changes.
    pub(super) fn fold(&mut self, site: &SiteSettings, verdict: &Verdict) -> Vec<AlarmNews> {
        let places = places_of(site, verdict);
        if places.is_empty() && is_critical_event(verdict) {
            self.left_out += u64::from(verdict.event.is_some_and(|event| event.state == EventState::Raised));
        }
        places.into_iter().filter_map(|place| self.fold_into(place, verdict)).collect()
    }

    fn fold_into(&mut self, place: AlarmPlace, verdict: &Verdict) -> Option<AlarmNews> {
        let event = verdict.event.as_ref()?;
        let state = self.states.get_mut(&place)?;
        let (logic, acknowledged) = (logic_of(verdict), event.handling.acknowledged.is_some());
        if event.state == EventState::Cleared {
            let at = time_of(verdict);
            state.open.retain(|fault| fault.event != event.id);
            (state.logic, state.acknowledged, state.ended) = (logic, acknowledged, Some((at, event.id)));
            // What is open was so at that time: it is cleared by a later verdict.
            let stays = state.open.iter().any(|fault| fault.since <= at);
            let inactive = AlarmView {
                place,
                active: false,
                acknowledged,
                suspended: false,
                logic,
                at,
                event: Some(event.id),
            };
            return (!stays).then_some(AlarmNews::Issue(inactive));
        }
        let fault = OpenFault { event: event.id, since: event.since, acknowledged, logic };
        let known = state.open.iter().position(|known| known.event == event.id);
        let before = known.map(|index| state.open[index].acknowledged);
        match known {
            Some(index) => state.open[index] = fault,
            None if state.open.len() < MAX_OPEN => state.open.push(fault),
            None => return None,
        }
        let others = || state.open.iter().filter(|other| other.event != event.id);
        let goes_first = others().all(|other| other.since > event.since);
        let all = others().all(|other| other.acknowledged) && acknowledged;
        let (at, of) = (event.since, Some(event.id));
        let active =
            AlarmView { place, active: true, acknowledged: all, suspended: false, logic, at, event: of };
        let did = verdict.action.as_ref().map(|action| action.kind);
        match (event.state, did) {
            (_, Some(ActionKind::Acknowledged)) => {
                let at = event.handling.acknowledged.unwrap_or_else(|| time_of(verdict));
                let view = self.view(place)?;
                view.acknowledged.then_some(AlarmNews::Acknowledged(view, at))
            }
            (EventState::Raised, _) => goes_first.then_some(AlarmNews::Issue(active)),
            // It got worse after it was acknowledged, or it is the first that is known of it.
            _ if before == Some(true) && !acknowledged || before.is_none() && goes_first => {
                Some(AlarmNews::Issue(active))
            }
            _ => None,
        }
    }
}

/// The alarms that the event of a verdict stands for.
pub(super) fn places_of(site: &SiteSettings, verdict: &Verdict) -> Vec<AlarmPlace> {
    let Some(event) = &verdict.event else { return Vec::new() };
    // What joins another alarm is for the record (info), and a fault of its own detector all the same.
    if event.learning || verdict.severity < Severity::Warning && event.group.is_none() {
        return Vec::new();
    }
    let member = match &verdict.body {
        Body::Health(health) => Some(health.cause),
        _ => None,
    };
    let of_components = member.into_iter().flat_map(|member| {
        let is_logic = AlarmCode::is_logic_error(member);
        site.components.iter().enumerate().filter_map(move |(index, component)| {
            let code = component.code(is_logic);
            let is_own = component.device == verdict.subject.device
                && component.judges_of(code).any(|judge| *judge == verdict.judge);
            is_own.then_some(AlarmPlace { component: Some(index), code })
        })
    });
    let mut places: Vec<AlarmPlace> = of_components.collect();
    if places.is_empty() && site.other && is_critical_event(verdict) {
        places.push(AlarmPlace { component: None, code: AlarmCode::Other });
    }
    places
}

fn is_critical_event(verdict: &Verdict) -> bool {
    verdict.severity == Severity::Critical && verdict.event.is_some_and(|event| !event.learning)
}

fn logic_of(verdict: &Verdict) -> LogicError {
    match &verdict.body {
        Body::Health(health) => LogicError::of(health.cause, health.value),
        _ => LogicError::default(),
    }
}

/// When something was so: by the device's clock where that is trusted.
pub(super) fn time_of(verdict: &Verdict) -> UtcMillis {
    let trusted = verdict.times.captured.filter(|_| verdict.times.clock == DeviceClock::Trusted);
    trusted.unwrap_or(verdict.times.received)
}

/// Whether a judge may say anything of a site's alarms or counts.
pub(super) fn is_about(site: &SiteSettings, judge: &JudgeId, subject: &Subject) -> bool {
    site.other
        || site.components.iter().any(|component| {
            component.device == subject.device && component.faults.iter().any(|fault| fault.judge == *judge)
        })
}
