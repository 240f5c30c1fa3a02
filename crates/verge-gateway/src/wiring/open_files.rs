//! How many connections of devices fit into the files that the system lets this process open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use verge_broker::FrontLimits;

/// A connection of a device is two files here: to the device, and to the broker behind the listener.
const FILES_OF_A_CONNECTION: u64 = 2;
/// What everything else takes: the store, uplinks, control systems, viewers of the dashboard, enrolment.
const FILES_OF_ALL_ELSE: u64 = 512;

/// Raises the limit of this process to what the system allows, and takes no more connections than fit into it: beyond it the
/// store and the uplinks would find no file either.
pub(super) fn within(limits: FrontLimits) -> FrontLimits {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current =
        if current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
            current
        } else {
            maximum
        };
    let wanted = limits.connections;
    let connections = connections_within(wanted, current);
    if connections < wanted {
        tracing::warn!(
            connections,
            "the system lets this process open {} files, which is less than local.max_connections = {wanted} needs ({}): raise \
             LimitNOFILE of the unit (or ulimit -n), or lower the setting",
            current.unwrap_or_default(),
            files_of(wanted)
        );
    }
    FrontLimits { connections, ..limits }
}

fn files_of(connections: usize) -> u64 {
    (connections as u64).saturating_mul(FILES_OF_A_CONNECTION).saturating_add(FILES_OF_ALL_ELSE)
}

/// `files`: `None` where there is no limit.
fn connections_within(wanted: usize, files: Option<u64>) -> usize {
    let Some(files) = files else { return wanted };
    // A system with fewer files than that gets some devices all the same.
    let fit = files.saturating_sub(FILES_OF_ALL_ELSE).max(files / 2) / FILES_OF_A_CONNECTION;
    usize::try_from(fit).map_or(wanted, |fit| fit.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files_that_there_are() {
        assert_eq!(connections_within(4096, None), 4096);
        assert_eq!(connections_within(4096, Some(65_536)), 4096);
        assert_eq!(connections_within(4096, Some(files_of(4096))), 4096);
        assert_eq!(connections_within(4096, Some(files_of(4096) - 1)), 4095);
        assert_eq!(connections_within(10_000, Some(20_000)), 9_744);
        assert_eq!(connections_within(4096, Some(1024)), 256);
        assert_eq!(connections_within(4096, Some(256)), 64);
    }

    #[test]
    fn the_limit_of_this_process_is_raised_to_what_the_system_allows() {
        let limits = FrontLimits { connections: 1, ..FrontLimits::default() };
        assert_eq!(within(limits), limits);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
