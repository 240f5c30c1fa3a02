//! How much memory rumqttd's process takes. Its logs are never freed, and it counts short messages as a twentieth of what they take,
//! so that a reader with many filters could fill the machine.

use std::time::Duration;

use crate::embedded::SEGMENTS;
use crate::endpoint::SEGMENT_BYTES;
use crate::filters::KnownFilters;

/// How often it is looked at: in the meantime a device brings a few MiB.
const LOOK: Duration = Duration::from_millis(250);
/// Beside what connections take, without large packets.
const MOST_BYTES: u64 = 128 * 1024 * 1024;
/// What one reader that does not take what is sent to it can hold, in packets and at most.
const PACKETS: u64 = 64;
const MOST_PACKET_BYTES: u64 = 256 * 1024 * 1024;
/// Of a connection, in rumqttd: most of it is set aside for packets, and taken only where many have come and gone.
const CONNECTION_BYTES: u64 = 192 * 1024;
/// What a log takes, for each byte that rumqttd counts: of messages of a hundred bytes.
const TAKEN_BY_COUNTED: usize = 4;

/// A process that takes too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgrown {
    pub(super) bytes: u64,
    pub(super) most: u64,
}

/// What it may take, beside what connections take.
pub(super) const fn most_bytes(max_packet_bytes: usize) -> u64 {
    let packets = (max_packet_bytes as u64).saturating_mul(PACKETS);
    MOST_BYTES + if packets < MOST_PACKET_BYTES { packets } else { MOST_PACKET_BYTES }
}

/// Waits until the process takes too much.
pub(super) async fn outgrown(process: Option<u32>, most_bytes: u64, filters: &KnownFilters) -> Outgrown {
    loop {
        tokio::time::sleep(LOOK).await;
        let most = most_bytes + CONNECTION_BYTES * filters.most_connections() as u64;
        // A system that does not say so is none that the gateway is built for; the check that it works goes on.
        if let Some(bytes) = process.and_then(taken_by).filter(|bytes| *bytes > most) {
            return Outgrown { bytes, most };
        }
    }
}

/// Bytes of memory that a process takes for itself, without its program.
fn taken_by(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The size of a segment with which that many filters take half of what they may, and at most half of what it was.
pub(super) fn smaller_segment(before: usize, filters: usize, most_bytes: u64) -> usize {
    let half = usize::try_from(most_bytes / 2).unwrap_or(usize::MAX);
    let fitting = half / (SEGMENTS * TAKEN_BY_COUNTED * filters.max(1));
    fitting.min(before / 2).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_made_smaller_until_all_have_room() {
        const MIB: usize = 1024 * 1024;
        assert_eq!(smaller_segment(8 * MIB, 1, MOST_BYTES), 4 * MIB, "half at least");
        assert_eq!(smaller_segment(8 * MIB, 256, MOST_BYTES), 32 * 1024);
        assert_eq!(smaller_segment(32 * 1024, 256, MOST_BYTES), 16 * 1024);
        assert_eq!(smaller_segment(8 * MIB, 4096, MOST_BYTES), 4096, "rumqttd takes no less than 1024");
        assert_eq!(smaller_segment(4096, 0, MOST_BYTES), 4096);
        assert_eq!(most_bytes(64 * 1024), 132 * MIB as u64);
        assert_eq!(most_bytes(usize::MAX), 384 * MIB as u64);
    }

    #[test]
    fn what_a_process_takes_is_found() {
        let of_this = taken_by(std::process::id()).unwrap();
        assert!(of_this > 100 * 1024 && of_this < 1 << 40, "{of_this}");
        assert_eq!(taken_by(u32::MAX), None);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_allowed_for() {
        let (filters, own) = (KnownFilters::default(), Some(std::process::id()));
        let found = outgrown(own, 1024, &filters).await;
        assert!(found.bytes > found.most && found.most == 1024);
        let _connections: Vec<_> = (0..100_000).map(|_| filters.connect()).collect();
        let looking = tokio::time::timeout(10 * LOOK, outgrown(own, 1024, &filters));
        assert!(
            looking.await.is_err(),
            "this process takes less than {CONNECTION_BYTES} bytes for each of them"
        );
    }
}
