//! A site of RSMP (core 3.2.2) with the detectors of the signal exchange list of traffic light controllers (1.2.1).
//!
//! Checked by tests against the published schema; nobody has certified it.
//!
//! Reading order: [`SiteSettings`], what the site has; `incoming` and `message`, what travels; `alarms`, states of alarms
//! out of verdicts; `series`, even intervals of what is counted; `codes`, statuses by name; `site`,
//! the state machine, pure; `driver`, its connection; [`RsmpSink`], the end that a route holds; [`RsmpTrial`], for
//! `verge check`.

mod alarms;
mod codes;
mod driver;
mod incoming;
mod message;
mod packet;
mod series;
mod settings;
mod sink;
mod site;
mod target;
mod trial;

pub use crate::time::timestamp;
pub use codes::{MAIN_STATUSES, STATUSES, StatusCode};
pub use driver::{RsmpAccess, RsmpSettings};
pub use settings::{AlarmCode, DetectorKind, ErrorMode, FaultJudge, SiteComponent, SiteSettings};
pub use sink::RsmpSink;
pub use site::{AlarmOrder, IsShelved, SiteView};
pub use target::{RsmpTarget, RsmpTargetError};
pub use trial::RsmpTrial;

/// The version of the core that is spoken.
pub const CORE: &str = "3.2.2";
/// The version of the signal exchange list.
pub const SXL: &str = "1.2.1";
/// Components of a site at most.
pub const MAX_COMPONENTS: usize = 256;
