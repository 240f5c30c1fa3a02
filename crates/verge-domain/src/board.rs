//! The board: what each judge said last about each of its subjects, for readers that ask what is true now (pages, points of
//! a SCADA system, a status).
//!
//! A point of the board is one strand of events, the counts or the views of one judge about one subject. Names are its key:
//! a restart and a changed configuration keep them. Once other judges are at work, what is said of subjects that none of them
//! watches goes; an open event is cleared before, which is a word of its own.

use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;

use crate::action::ActionKind;
use crate::alarms::{AlarmFigures, PointCourse, StandingAlarms};
use crate::finding::Member;
use crate::id::{JudgeId, Lane, OperatorText, Seq};
use crate::time::UtcMillis;
use crate::verdict::{Body, Event, EventState, Subject, Verdict};

/// What a point holds of its judge and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointKind {
    /// The events of this strand, see [`Member::strand`].
    Events(Member),
    /// The newest interval that was counted.
    Counts,
    /// The newest view of a camera that was worth a verdict.
    View,
}

impl PointKind {
    /// The point that a verdict belongs to.
    #[must_use]
    pub const fn of(body: &Body) -> Self {
        match body {
            Body::Anomaly(anomaly) => Self::Events(anomaly.member.strand()),
            Body::Health(health) => Self::Events(health.cause.strand()),
            Body::Counts(_) | Body::Traffic(_) => Self::Counts,
            Body::Classification(_) | Body::Detections(_) => Self::View,
        }
    }
}

/// The last word about a point.
#[derive(Debug, Clone, PartialEq)]
pub struct LastWord {
    /// The verdict. Of one that was restored: the event as it was saved, with its last saved value.
    pub verdict: Verdict,
    /// Its number in its lane and in the present epoch. `None`: it was open when the gateway stopped and was restored; its
    /// judge has reported nothing about it since.
    pub seq: Option<Seq>,
    /// How the events of the point went on, this verdict included.
    pub course: PointCourse,
    /// Who acknowledged the open event, where that is known: since the start.
    pub acknowledged_by: Option<OperatorText>,
}

impl LastWord {
    /// The first word about a point; the board adds what went before.
    #[must_use]
    pub fn new(verdict: Verdict, seq: Option<Seq>) -> Self {
        Self { verdict, seq, course: PointCourse::default(), acknowledged_by: None }
    }

    /// Judge, subject and kind: no two points of a board share them.
    #[must_use]
    pub const fn point(&self) -> (&JudgeId, &Subject, PointKind) {
        (&self.verdict.judge, &self.verdict.subject, PointKind::of(&self.verdict.body))
    }

    /// Takes over who acknowledged the event, from the word before or from what this one reports.
    pub fn acknowledged_after(&mut self, before: Option<&Self>) {
        let event_of = |word: &Self| word.verdict.event.map(|event| event.id);
        let own = event_of(self);
        if self.verdict.event.is_none_or(|event| event.handling.acknowledged.is_none()) {
            return;
        }
        self.acknowledged_by = match self.verdict.action.as_deref() {
            Some(action) if action.kind == ActionKind::Acknowledged => Some(action.by.clone()),
            _ => before
                .filter(|before| event_of(before) == own)
                .and_then(|before| before.acknowledged_by.clone()),
        };
    }

    /// Its event, if that is open.
    #[must_use]
    pub fn open_event(&self) -> Option<&Event> {
        self.verdict.event.as_ref().filter(|event| event.state != EventState::Cleared)
    }
}

/// How many events are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OpenEvents {
    /// All of them.
    pub open: u64,
    /// Of those, by severity.
    pub critical: u64,
    /// See `critical`.
    pub warning: u64,
    /// See `critical`.
    pub info: u64,
    /// Of those: open before the start, and without a report of their judge since.
    pub restored: u64,
    /// Verdicts since the start that found no room on the board: what they said is not on it.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was committed behind a place in the order of commits, see [`Board::poll_behind`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CommittedWords {
    /// Verdicts that stood there and are not kept any more: the follower was too slow.
    pub missed: u64,
    /// What stands behind them.
    pub words: Vec<Arc<LastWord>>,
}

/// How many events a strand of a judge about a subject had raised when the gateway started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedBefore {
    /// The judge.
    pub judge: JudgeId,
    /// The subject.
    pub subject: Subject,
    /// The strand.
    pub strand: Member,
    /// How many, in the life of the store.
    pub count: u32,
}

/// Last words of one moment, and the place in the order of commits right behind them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoardCopy {
    /// From where [`Board::poll_behind`] goes on.
    pub place: u64,
    /// The words, in no order.
    pub words: Vec<Arc<LastWord>>,
}

/// What readers see of the board. Every call is quick, and none makes the data path wait.
pub trait Board: Send + Sync {
    /// The last words that `selected` picks, in no order. What they say is committed, and stays as it is.
    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>>;

    /// The same for one who then follows: nothing is missed between the words and what is behind the place, and nothing
    /// comes twice. See [`Board::follow`].
    fn copy(&self, selected: &dyn Fn(&LastWord) -> bool) -> BoardCopy;

    /// What was raised before the start, of points that raised anything. It stays as it is.
    fn raised_before(&self) -> &[RaisedBefore];

    /// How many alarms stand. Unlike [`Board::alarms`] it looks at no point.
    fn standing(&self) -> StandingAlarms;

    /// How many alarms stand and come.
    fn alarms(&self, now: UtcMillis) -> AlarmFigures;

    /// How many events are open.
    fn open_events(&self) -> OpenEvents;

    /// The present end of the order of commits. From the first call on, the newest verdicts are kept for followers, up to a
    /// bound; before it none is.
    fn follow(&self) -> u64;

    /// The place right behind a verdict of the present epoch, if it is still kept: where a follower that comes back goes on.
    fn place_behind(&self, lane: Lane, seq: Seq) -> Option<u64>;

    /// What was committed behind `place`, which advances. While that is nothing the task of `context` is woken by the next
    /// commit.
    fn poll_behind(&self, place: &mut u64, context: &mut Context<'_>) -> Poll<CommittedWords>;
}
