//! A new version of a model beside the old one, on the same pictures: what is lost, what it costs, and the files that are written
//! where the gate lets it pass. Commands that make a model out of another share this.

mod bed;
mod compare;
mod outcome;
mod pictures;
mod proving;
mod written;

use anyhow::anyhow;
use verge_gateway::exit::{Exit, ExitWith};

pub(super) use bed::Bed;
pub(super) use compare::{Answers, costs};
pub(super) use outcome::Proof;
pub(super) use pictures::Prepared;
pub(super) use proving::{Pays, Proving, Tried, folder, refused, show};

/// Refuses what `--max-drop` cannot be.
pub(super) fn check_max_drop(points: f64) -> anyhow::Result<()> {
    if (0.0..=100.0).contains(&points) {
        return Ok(());
    }
    Err(anyhow!("--max-drop {points}: from 0 to 100 points are expected")).exit_with(Exit::Usage)
}
