//! Values that are named by their position in an array: where its length changes, another value may stand there.

use std::collections::HashMap;

use verge_domain::id::DeviceId;
use verge_domain::reading::SharedBy;

use super::found::{Match, MessageMatches};
use super::pointer::PointerStep;
use crate::template::{NamePart, NameTemplate};

/// Devices whose arrays are remembered. A peer chooses names, so there is a bound: at it the table starts again from
/// nothing.
const REMEMBERED: usize = 8192;

/// The positions that one mapping names values by.
#[derive(Debug)]
pub(super) struct Positions {
    /// Which `*`.
    star: usize,
    lengths: HashMap<DeviceId, usize>,
    /// Of the message in hand: how many values, and the first of them among the items.
    count: usize,
    first: usize,
}

impl Positions {
    /// `None` where no name is a position. The elements of an array of bare numbers have nothing else to be named by.
    pub(super) fn of(template: &NameTemplate, steps: &[PointerStep]) -> Option<Self> {
        let beside = |part: &NamePart| matches!(part, NamePart::Pointer(pointer) if pointer.contains("/*/"));
        if template.parts().any(beside) {
            return None;
        }
        let stars = steps.iter().enumerate().filter(|(_, step)| **step == PointerStep::Any).map(|(at, _)| at);
        let inner =
            |star: usize| stars.clone().nth(star).is_some_and(|at| at.saturating_add(1) < steps.len());
        let star = template.parts().find_map(|part| match part {
            NamePart::Star(star) if inner(*star) => Some(*star),
            _ => None,
        })?;
        Some(Self { star, lengths: HashMap::new(), count: 0, first: 0 })
    }

    /// A message begins.
    pub(super) fn begin(&mut self) {
        self.count = 0;
    }

    /// A value of this mapping becomes the item at this place.
    pub(super) fn note(&mut self, found: &MessageMatches, value: &Match, item: usize) {
        if found.is_position(value, self.star) {
            if self.count == 0 {
                self.first = item;
            }
            self.count = self.count.saturating_add(1);
        }
    }

    /// At the end of a message: whether the device's array is as long as it was.
    pub(super) fn compare(&mut self, device: &DeviceId, shared: &mut Vec<(usize, SharedBy)>) {
        let count = self.count;
        if count == 0 {
            return;
        }
        match self.lengths.get_mut(device) {
            Some(length) if *length == count => {}
            Some(length) => {
                *length = count;
                shared.push((self.first, SharedBy::Position));
            }
            None => {
                if self.lengths.len() >= REMEMBERED {
                    self.lengths.clear();
                }
                self.lengths.insert(device.clone(), count);
            }
        }
    }
}
