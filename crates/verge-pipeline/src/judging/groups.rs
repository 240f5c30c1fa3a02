//! Alarms that come together are reported as one: those of one machine within a short time, and a flood of them.
//!
//! The first alarm is reported at once, as it is. What joins it is for the record (`info`, lane `verdict`) and names the event
//! that stands for it; that one is reported again with what it stands for, and ends when the last of them has ended. Critical
//! alarms are reported one by one, and so are limits that people set.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::group::{AlarmGroup, GroupKind, GroupMember};
use verge_domain::id::{EventId, Lane};
use verge_domain::stage::Checkpoint;
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Detector, Event, EventChange, EventState, Severity, Verdict};

use super::Decision;
use super::saved_life::{SavedReport, machine_of};

/// First part of the key under which groups are saved.
pub(super) const GROUPS: &str = "groups";

/// Alarms within this time are counted for a flood (EEMUA 191: ten alarms in ten minutes begin one…
const FLOOD_SPAN: Duration = Duration::from_secs(600);
/// …and it is over when fewer than five come in ten minutes).
const FLOOD_ENDS_BELOW: usize = 5;
/// An event that stands for others is reported again after this time at the earliest when something joins it.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Groups at once; further alarms are reported one by one.
const MOST_GROUPS: usize = 256;
/// Open events of one group; further alarms are reported one by one.
const MOST_OPEN: usize = 4_096;

/// Which alarms are reported together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSettings {
    /// What a machine alarms within this time after its last alarm joins it; zero for never.
    pub within: Duration,
    /// More alarms than these in ten minutes are a flood; zero for never.
    pub flood: usize,
}

/// The groups of one set of judges.
#[derive(Debug, Default)]
pub(super) struct AlarmGroups {
    settings: Option<GroupSettings>,
    key: String,
    /// Name of this set of judges, which tells it from another with the same store.
    name: String,
    groups: Vec<OpenGroup>,
    /// The latest alarms, for floods. Not saved: after a restart they are counted anew.
    recent: VecDeque<(UtcMillis, GroupMember)>,
}

/// An alarm that others have joined, or may still join.
#[derive(Debug, Serialize, Deserialize)]
struct OpenGroup {
    /// Its event, as it was last reported.
    head: SavedReport,
    head_open: bool,
    group: AlarmGroup,
    /// When it was joined last.
    joined: UtcMillis,
    /// The events that joined and go on.
    open: Vec<EventId>,
    /// When it was reported last, and whether something has joined since then.
    reported: UtcMillis,
    pending: bool,
    /// What is new in one of the others and was not reported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<EventChange>,
}

impl AlarmGroups {
    /// From now on alarms are grouped. `name` tells the groups of this set of judges from those of another.
    pub(super) fn set(&mut self, settings: GroupSettings, name: &str) {
        self.settings = Some(settings);
        self.key = format!("{GROUPS}{}{name}", super::saved::SEPARATOR);
        name.clone_into(&mut self.name);
    }

    /// The name of this set of judges.
    pub(super) fn set_name(&self) -> &str {
        &self.name
    }

    /// Takes up what was saved, if it is of this set of judges.
    pub(super) fn restore(&mut self, key: &str, state: &[u8]) {
        if key != self.key {
            return;
        }
        match serde_json::from_slice::<Vec<OpenGroup>>(state) {
            Ok(groups) => self.groups = groups,
            Err(error) => tracing::error!(
                %error, "saved groups of alarms are damaged: events that are open are reported one by one"
            ),
        }
    }

    /// Arranges the verdicts from this place on.
    pub(super) fn arrange(&mut self, from: usize, now: Moment, out: &mut Decision) {
        let quiet = out.verdicts.len() == from && !self.groups.iter().any(|group| group.is_due(now.wall));
        if quiet || (self.settings.is_none() && self.groups.is_empty()) {
            return;
        }
        let (mut changed, mut ended) = (false, Vec::new());
        for verdict in &mut out.verdicts[from..] {
            let Some(event) = verdict.event else { continue };
            changed |= match self.groups.iter().position(|group| group.has(event.id)) {
                Some(place) => {
                    let (is_over, change) = self.groups[place].follow(verdict, event, now.wall);
                    if is_over {
                        let group = self.groups.remove(place);
                        ended.extend(group.cleared(event.id, now.wall));
                    }
                    change
                }
                None => self.begin(verdict, event, now.wall),
            };
        }
        let verdicts = &mut out.verdicts;
        for group in self.groups.iter_mut().filter(|group| group.pending) {
            // What was raised a moment ago says at once what it stands for.
            let own = |verdict: &&mut Verdict| verdict.event.is_some_and(|event| event.id == group.head.id());
            if let Some(verdict) = verdicts[from..].iter_mut().rev().find(own) {
                group.stand_for(verdict, now.wall);
            } else if group.is_due(now.wall) {
                verdicts.push(group.report(EventState::Updated, now.wall));
                changed = true;
            }
        }
        out.verdicts.extend(ended);
        if changed {
            out.checkpoints.push(self.saved());
        }
    }

    /// A new event. Returns whether groups have changed.
    fn begin(&mut self, verdict: &mut Verdict, event: Event, now: UtcMillis) -> bool {
        let Some(settings) = self.settings else { return false };
        if event.state != EventState::Raised || !is_groupable(verdict) {
            return false;
        }
        self.groups.retain(|group| group.group.others > 0 || now.since(group.joined) <= settings.within);
        let member = member_of(verdict, event.id);
        let is_critical = verdict.severity == Severity::Critical;
        let of_machine = |group: &&mut OpenGroup| {
            settings.within > Duration::ZERO
                && group.group.kind == GroupKind::Machine
                && group.head.is_of_machine(machine_of(verdict))
                && now.since(group.joined) <= settings.within
                && group.open.len() < MOST_OPEN
        };
        if let Some(group) = self.groups.iter_mut().find(of_machine).filter(|_| !is_critical) {
            demote(verdict, group.head.id());
            group.join(member, now);
            return true;
        }
        // Only what people see makes a flood.
        self.recent.retain(|(at, _)| now.since(*at) <= FLOOD_SPAN);
        let before = self.recent.len();
        self.recent.push_back((now, member.clone()));
        if before > settings.flood.max(FLOOD_ENDS_BELOW) {
            self.recent.pop_front();
        }
        if is_critical {
            return false;
        }
        let floods = settings.flood > 0 && before >= FLOOD_ENDS_BELOW;
        let flood = |group: &&mut OpenGroup| {
            group.group.kind == GroupKind::Flood && floods && group.open.len() < MOST_OPEN
        };
        if let Some(group) = self.groups.iter_mut().find(flood) {
            demote(verdict, group.head.id());
            group.join(member, now);
            return true;
        }
        let begins_flood = settings.flood > 0 && before >= settings.flood;
        let Some(head) = SavedReport::of(verdict).filter(|_| self.groups.len() < MOST_GROUPS) else {
            return false;
        };
        let kind = if begins_flood { GroupKind::Flood } else { GroupKind::Machine };
        let mut group = OpenGroup::new(head, kind, now);
        if begins_flood {
            let earlier = self.recent.iter().take(self.recent.len() - 1).map(|(_, member)| member.clone());
            earlier.for_each(|member| group.list(member));
            verdict.group = Some(group.group.clone());
        }
        self.groups.push(group);
        true
    }

    fn saved(&self) -> Checkpoint {
        let state = (!self.groups.is_empty())
            .then(|| serde_json::to_vec(&self.groups).expect("groups hold finite numbers and text only"));
        Checkpoint { key: self.key.clone(), state }
    }
}

impl OpenGroup {
    fn new(head: SavedReport, kind: GroupKind, now: UtcMillis) -> Self {
        let group = AlarmGroup { kind, others: 0, members: Vec::new() };
        Self {
            head,
            head_open: true,
            group,
            joined: now,
            open: Vec::new(),
            reported: now,
            pending: false,
            change: None,
        }
    }

    fn has(&self, event: EventId) -> bool {
        self.head.id() == event || self.open.contains(&event)
    }

    fn list(&mut self, member: GroupMember) {
        self.group.others = self.group.others.saturating_add(1);
        if self.group.members.len() < AlarmGroup::MOST_LISTED {
            self.group.members.push(member);
        }
    }

    fn join(&mut self, member: GroupMember, now: UtcMillis) {
        self.open.push(member.event);
        self.list(member);
        (self.joined, self.pending) = (now, true);
    }

    /// Whether what has joined is to be reported.
    fn is_due(&self, now: UtcMillis) -> bool {
        self.pending && now.since(self.reported) >= REPORT_EVERY
    }

    /// A verdict of one of its events. Returns whether the group is over, and whether it has changed.
    fn follow(&mut self, verdict: &mut Verdict, event: Event, now: UtcMillis) -> (bool, bool) {
        let ends = event.state == EventState::Cleared;
        if event.id != self.head.id() {
            let is_critical = verdict.severity == Severity::Critical;
            if is_critical {
                self.head.raise(Severity::Critical);
            }
            let escalation = event.change.filter(|change| change.is_escalation());
            if is_critical || escalation.is_some() {
                // At once: the verdict of its own is for the record.
                (self.pending, self.reported) = (true, UtcMillis(0));
                self.change = escalation.or(self.change);
                self.put_first(event.id);
            }
            demote(verdict, self.head.id());
            if ends {
                self.open.retain(|open| *open != event.id);
            }
            return (ends && self.open.is_empty() && !self.head_open, ends);
        }
        if self.group.others > 0 {
            self.stand_for(verdict, now);
        }
        verdict.severity = verdict.severity.max(self.head.severity());
        if let Some(head) = SavedReport::of(verdict) {
            self.head = head;
        }
        if ends && !self.open.is_empty() {
            // It stands for the others still.
            self.head_open = false;
            verdict.event = Some(Event { state: EventState::Updated, ..event });
        }
        (ends && self.open.is_empty(), ends)
    }

    /// The end of its event, unless this event is the one that ended last.
    fn cleared(&self, last: EventId, now: UtcMillis) -> Option<Verdict> {
        (last != self.head.id()).then(|| self.with_group(self.head.repeated(EventState::Cleared, now)))
    }

    /// What is new about one of the others is said first: whoever reads the report must see what it is about.
    fn put_first(&mut self, event: EventId) {
        if let Some(place) = self.group.members.iter().position(|member| member.event == event) {
            self.group.members[..=place].rotate_right(1);
        }
    }

    /// A verdict of its event says what that stands for, and what is new in it.
    fn stand_for(&mut self, verdict: &mut Verdict, now: UtcMillis) {
        (self.pending, self.reported) = (false, now);
        verdict.group = Some(self.group.clone());
        let open = verdict.event.as_mut().filter(|event| event.state == EventState::Updated);
        if let Some((event, change)) = open.zip(self.change.take()) {
            event.change = event.change.or(Some(change));
        }
    }

    fn report(&mut self, state: EventState, now: UtcMillis) -> Verdict {
        let mut verdict = self.head.repeated(state, now);
        self.stand_for(&mut verdict, now);
        verdict
    }

    fn with_group(&self, verdict: Verdict) -> Verdict {
        Verdict { group: Some(self.group.clone()), ..verdict }
    }
}

/// Whether it asks for a person, and was found by what learns or watches on its own.
fn is_groupable(verdict: &Verdict) -> bool {
    verdict.lane == Lane::Alarm && !matches!(verdict.detector, Detector::Threshold | Detector::Rate)
}

fn member_of(verdict: &Verdict, event: EventId) -> GroupMember {
    let (device, signal) = (verdict.subject.device.clone(), verdict.subject.signal.clone());
    GroupMember { device, signal, judge: verdict.judge.clone(), event }
}

/// For the record: another event stands for it.
fn demote(verdict: &mut Verdict, head: EventId) {
    (verdict.severity, verdict.lane) = (Severity::Info, Lane::Verdict);
    if let Some(event) = &mut verdict.event {
        event.group = Some(head);
    }
}
