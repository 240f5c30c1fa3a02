//! Under which keys the store holds what outlives a restart.

use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};
use verge_domain::stage::{Checkpoint, KEY_SEPARATOR, LEARNT_KEY};
use verge_domain::verdict::Subject;

use super::machine::{MACHINE, MISSING_STATE};

/// First part of the key of open events.
pub(super) const EVENTS: &str = "events";
/// First part of the key of a judge's state: the store may evict those for want of room.
pub(super) const STATE: &str = LEARNT_KEY;
/// First part of the key of a maintenance window.
pub(super) const MAINTENANCE: &str = "maintenance";
/// First part of the key of a shelved alarm.
pub(super) const SHELVING: &str = "shelving";
/// First part of the key of what all subjects of a judge have taught it together.
pub(super) const POOL: &str = "pool";

/// First part of the key of the settings under which a judge has learnt.
const SETTINGS: &str = "settings";

/// Names never contain control characters, so this separates them unambiguously.
pub(super) const SEPARATOR: char = KEY_SEPARATOR;

pub(super) fn key(kind: &str, judge: &JudgeId, subject: &Subject) -> String {
    let signal = subject.signal.as_ref().map_or("", SignalId::as_str);
    format!(
        "{kind}{SEPARATOR}{judge}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{signal}",
        subject.source, subject.device
    )
}

/// The same with the state of the machine in which it learns, where each has an instance of its own.
pub(super) fn key_in_state(kind: &str, judge: &JudgeId, subject: &Subject, state: Option<&str>) -> String {
    let mut key = key(kind, judge, subject);
    if let Some(state) = state {
        key.push(SEPARATOR);
        key.push_str(state);
    }
    key
}

/// Kind, judge and subject of a key, and the state of the machine.
pub(super) fn parse_key(key: &str) -> Option<(&str, JudgeId, Subject, Option<&str>)> {
    let mut parts = key.split(SEPARATOR);
    let kind = parts.next()?;
    let judge = JudgeId::new(parts.next()?).ok()?;
    let source = SourceId::new(parts.next()?).ok()?;
    let device = DeviceId::new(parts.next()?).ok()?;
    let signal = Some(parts.next()?).filter(|signal| !signal.is_empty());
    let signal = signal.map(SignalId::new).transpose().ok()?;
    let state = parts.next();
    parts.next().is_none().then_some((kind, judge, Subject { source, device, signal }, state))
}

/// The key of what a judge has learnt of a subject, in this state of its machine where it learns apart by states.
#[must_use]
pub fn learnt_key(judge: &JudgeId, subject: &Subject, state: Option<&str>) -> String {
    key_in_state(STATE, judge, subject, state)
}

/// The subject of a learnt state, and the state of the machine.
#[must_use]
pub fn learnt_subject(key: &str) -> Option<(Subject, Option<&str>)> {
    let (kind, _, subject, state) = parse_key(key)?;
    (kind == STATE).then_some((subject, state))
}

/// The key of what all subjects of a judge have taught it together.
#[must_use]
pub fn pool_key(judge: &JudgeId) -> String {
    format!("{POOL}{SEPARATOR}{judge}")
}

/// The key of the settings under which a judge has learnt what is saved of it.
#[must_use]
pub fn settings_key(judge: &JudgeId) -> String {
    format!("{SETTINGS}{SEPARATOR}{judge}")
}

/// Whether a key is that of the settings under which a judge has learnt.
#[must_use]
pub fn is_settings_key(key: &str) -> bool {
    judge_of_settings(key).is_some()
}

/// The judge whose settings are saved under a key.
pub(super) fn judge_of_settings(key: &str) -> Option<&str> {
    key.strip_prefix(SETTINGS)?.strip_prefix(SEPARATOR)
}

/// The judge whose record of all its subjects is saved under a key.
pub(super) fn pooled_judge(key: &str) -> Option<&str> {
    key.strip_prefix(POOL)?.strip_prefix(SEPARATOR)
}

/// The judge and the source that a checkpoint belongs to; `None` where it belongs to no judge.
#[must_use]
pub fn subject_of(checkpoint: &Checkpoint) -> Option<(JudgeId, SourceId)> {
    let (kind, judge, subject, _) = parse_key(&checkpoint.key)?;
    // Windows and the states of machines concern the judges of all classes.
    (![MAINTENANCE, SHELVING, MACHINE, MISSING_STATE].contains(&kind)).then_some((judge, subject.source))
}

/// The judge whose learning is saved under a key: of one subject, of all its subjects together, or under which settings
/// that was learnt.
#[must_use]
pub fn judge_taught(key: &str) -> Option<&str> {
    let mut parts = key.split(SEPARATOR);
    let (kind, judge) = (parts.next()?, parts.next()?);
    [STATE, POOL, SETTINGS].contains(&kind).then_some(judge)
}
