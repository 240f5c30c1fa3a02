//! Verdicts as CloudEvents 1.0: the JSON batch format of the specification (section 4), each event with the JSON twin of a
//! verdict or tombstone as its data.

use serde::Serialize;
use serde_json::Value;
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::UtcMillis;

use crate::WireError;
use crate::json::alone;
use crate::portable::CborReader;
use crate::time::to_rfc3339;
use crate::tombstone::WireTombstone;
use crate::verdict::WireVerdict;

/// One event. `id` is the identity of the verdict, so that who has it knows it again.
#[derive(Serialize)]
struct CloudEvent {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'static str,
    data: Value,
}

/// Writes rows as one batch.
pub(crate) fn write_batch(
    envelope: &Envelope,
    rows: &[StoredRow],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let events = rows.iter().map(|row| CloudEvent::of(envelope, row)).collect::<Result<Vec<_>, _>>()?;
    serde_json::to_writer(out, &events).map_err(WireError::Unreadable)
}

impl CloudEvent {
    fn of(envelope: &Envelope, row: &StoredRow) -> Result<Self, WireError> {
        let Envelope { gateway, epoch, lane, .. } = envelope;
        let mut id = format!("{epoch}/{lane}/{}", row.seq);
        let make = |id: String, kind: String, subject: Option<String>, at: UtcMillis, data: Value| Self {
            specversion: "1.0",
            id,
            source: format!("urn:verge:{gateway}"),
            kind,
            subject,
            time: to_rfc3339(at),
            datacontenttype: "application/json",
            data,
        };
        if let Some(tombstone) = WireTombstone::of_row(row) {
            let data = alone(gateway, *epoch, *lane, &tombstone);
            return Ok(make(id, "verge.withdrawn".to_owned(), None, row.decided, data));
        }
        let verdict: WireVerdict<'_> = CborReader::read_all(&row.bytes, "stored row")?;
        let data = alone(gateway, *epoch, *lane, &verdict);
        let (_, verdict) = verdict.into_verdict(*lane)?;
        let mut kind = format!("verge.{}", verdict.body.kind());
        if let Some(event) = &verdict.event {
            let state = event.state.as_str();
            kind = format!("{kind}.{state}");
            if envelope.volatile {
                // Without a number until the store works; its event tells it from others.
                id = format!("{id}/{}/{state}", event.id);
            }
        }
        let (device, signal) = (&verdict.subject.device, &verdict.subject.signal);
        let subject =
            signal.as_ref().map_or_else(|| device.to_string(), |signal| format!("{device}/{signal}"));
        Ok(make(id, kind, Some(subject), verdict.times.decided, data))
    }
}
