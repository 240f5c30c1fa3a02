//! `track`: what moves before a camera, followed over frames and counted: lines, zones, trips. The counting is
//! `verge-scene`'s; here it becomes intervals, measures and events.

mod counts;
mod judge;
mod live;
mod measures;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use judge::TrackJudge;
pub use live::LiveReport;
pub use settings::TrackSettings;
