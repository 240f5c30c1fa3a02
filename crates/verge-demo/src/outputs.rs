//! What else the gateway shows of its verdicts: state topics upstream, and a point that a PLC polls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use verge_pipeline::status::Snapshot;

const WITHIN: Duration = Duration::from_secs(2);
/// "Read input registers" of block 0, from 100 to 114: see docs/modbus.md.
const REQUEST: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 4, 0, 100, 0, 15];
/// Header of the answer, function and number of bytes.
const HEADER: usize = 9;
/// Where the counter of events stands in a block.
const EVENTS: usize = 14;

/// The outputs beside the uplink, one a line.
pub(super) fn lines(status: &Snapshot, raised: u64) -> Vec<String> {
    let states = status.states.iter().map(|states| {
        format!(
            "state topics: {} points retained upstream on verge/demo-gateway/state/DEVICE/JUDGE/…, {} messages",
            states.topics, states.published
        )
    });
    let servers = status.servers.iter().map(|server| {
        let of_point = "a PLC that polls register 114 of pump-1, vibration-high, at";
        match polled(&server.listening) {
            Ok(events) => {
                let events = verge_wire::counted(events.into(), "event");
                format!("{of_point} {} reads {events}, as upstream ({raised})", server.listening)
            }
            Err(error) => format!("{of_point} {} reads nothing: {error:#}", server.listening),
        }
    });
    states.chain(servers).collect()
}

/// Polls once as a PLC does.
fn polled(address: &str) -> anyhow::Result<u16> {
    let mut connection = TcpStream::connect(address).context("no connection")?;
    connection.set_read_timeout(Some(WITHIN)).context("a time-out")?;
    connection.write_all(&REQUEST).context("no request")?;
    let mut answer = [0; HEADER + 2 * (EVENTS + 1)];
    connection.read_exact(&mut answer).context("no answer")?;
    let at = HEADER + 2 * EVENTS;
    Ok(u16::from_be_bytes([answer[at], answer[at + 1]]))
}
