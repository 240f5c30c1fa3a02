//! The tails of all members: from what they see in a reading to how probable the strangest of it is.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use super::MEMBERS;
use super::views::Views;
use crate::excursions::Excursions;
use crate::tail::{BinPlace, Mark, Tail};

/// Readings that one score of each member is made of.
const WINDOWS: [u32; MEMBERS.len()] = [1, 20, 12, 5, 40, 4, 6, 100];

/// Where each member learnt a reading.
pub(super) type Marks = [Mark; MEMBERS.len()];
/// None learnt it.
pub(super) const NO_MARKS: Marks = [Mark::NONE; MEMBERS.len()];

/// One tail for each member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tails([Tail; MEMBERS.len()]);

/// What a reading is to the members, before they learn it.
pub(super) struct MemberScores {
    /// Probability by each.
    pub(super) members: [f64; MEMBERS.len()],
    /// The smallest of them; one while all is usual.
    pub(super) smallest: f64,
    /// The same, whatever people said.
    pub(super) without_labels: f64,
    /// Whose that is.
    pub(super) strangest: usize,
    places: [Option<(BinPlace, f64)>; MEMBERS.len()],
}

impl Tails {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|member| Tail::over(WINDOWS[member], 2 * member as u32)))
    }

    pub(super) fn judge(&mut self, views: &Views, excursions: &Excursions) -> MemberScores {
        let mut judged = MemberScores {
            members: [1.0; MEMBERS.len()],
            smallest: 1.0,
            without_labels: 1.0,
            strangest: 0,
            places: [None; MEMBERS.len()],
        };
        for (member, (tail, score)) in self.0.iter_mut().zip(views.scores).enumerate() {
            let Some(score) = score else { continue };
            let (p, place) = tail.judge(score);
            judged.without_labels = judged.without_labels.min(p);
            let p = if p < 1.0 && excursions.is_harmless(member, score) { 1.0 } else { p };
            judged.places[member] = Some((place, score));
            judged.members[member] = p;
            if p < judged.smallest {
                (judged.smallest, judged.strangest) = (p, member);
            }
        }
        judged
    }

    /// The smallest probability by laws that end nowhere, see [`Tail::open_ended`].
    pub(super) fn open_ended(&self, judged: &MemberScores) -> f64 {
        let members = self.0.iter().zip(judged.places).zip(judged.members);
        members
            .filter(|(_, p)| *p < 1.0)
            .filter_map(|((tail, place), _)| place.map(|(place, score)| tail.open_ended(place, score)))
            .fold(1.0, f64::min)
    }

    /// Learns what was judged last.
    pub(super) fn learn(&mut self, judged: &MemberScores) -> Marks {
        let mut marks = NO_MARKS;
        for ((tail, mark), place) in self.0.iter_mut().zip(&mut marks).zip(judged.places) {
            if let Some((place, score)) = place {
                *mark = tail.learn_at(place, score);
            }
        }
        marks
    }

    /// Undoes what was learnt.
    pub(super) fn forget(&mut self, marks: &[Marks]) {
        for marks in marks {
            for (tail, &mark) in self.0.iter_mut().zip(marks) {
                tail.forget(mark);
            }
        }
    }

    /// Whether the strangest score lies far beyond the one with probability `p`, see [`Tail::is_far`].
    pub(super) fn is_far(&self, judged: &MemberScores, p: f64) -> bool {
        let strangest = judged.places[judged.strangest];
        strangest.is_some_and(|(_, score)| self.0[judged.strangest].is_far(score, p))
    }

    /// The score of a member that has probability `p`.
    pub(super) fn quantile(&self, member: usize, p: f64, open_ended: bool) -> Option<f64> {
        let tail = &self.0[member];
        if open_ended { tail.open_quantile(p) } else { tail.quantile(p) }
    }

    /// The score of a member that 98 % stay below, see [`Tail::usual`].
    pub(super) fn usual(&self, member: usize) -> Option<f64> {
        self.0[member].usual()
    }

    /// Readings that are remembered.
    pub(super) fn weight(&self) -> f64 {
        self.0[0].weight()
    }

    pub(super) fn set_half_life(&mut self, readings: u32) {
        self.0.iter_mut().for_each(|tail| tail.set_half_life(readings));
    }

    pub(super) fn check(&self) -> Result<(), RestoreError> {
        self.0.iter().try_for_each(Tail::check)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.iter().map(Tail::heap_bytes).sum()
    }
}
