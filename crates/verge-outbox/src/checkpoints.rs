//! Saved states, each under its key with a checksum.

use rusqlite::{Connection, params};
use verge_domain::stage::Checkpoint;

use crate::key::Cipher;

/// Whether the state is sealed stands in the checksum, as with rows.
fn crc(key: &str, state: &[u8], sealed: bool) -> i32 {
    let start = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), state);
    let crc = if sealed { crc32c::crc32c_append(start, b"sealed") } else { start };
    crc.cast_signed()
}

pub(crate) fn save(
    transaction: &Connection,
    checkpoints: &[Checkpoint],
    cipher: Option<&Cipher>,
) -> Result<(), rusqlite::Error> {
    if checkpoints.is_empty() {
        return Ok(());
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM checkpoint WHERE key = ?1")?;
    for Checkpoint { key, state } in checkpoints {
        match (state, cipher) {
            (Some(state), None) => put.execute(params![key, crc(key, state, false), state])?,
            (Some(state), Some(cipher)) => {
                let sealed = cipher.seal(key.as_bytes(), state);
                put.execute(params![key, crc(key, &sealed, true), sealed])?
            }
            (None, _) => remove.execute([key])?,
        };
    }
    Ok(())
}

/// All that can be read; damaged ones are passed over and told.
pub(crate) fn read(
    connection: &Connection,
    cipher: Option<&Cipher>,
) -> Result<Vec<Checkpoint>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT key, crc, state FROM checkpoint ORDER BY key")?;
    let mut rows = statement.query([])?;
    let mut checkpoints = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, found, state): (String, i32, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let plain = (found == crc(&key, &state, false)).then_some(());
        let state = match plain {
            Some(()) => Some(state),
            None if found == crc(&key, &state, true) => {
                cipher.and_then(|cipher| cipher.open(key.as_bytes(), &state))
            }
            None => None,
        };
        match state {
            Some(state) => checkpoints.push(Checkpoint { key, state: Some(state) }),
            None => {
                tracing::error!(key = %key.escape_debug(), "a saved state is damaged and was passed over");
            }
        }
    }
    Ok(checkpoints)
}
