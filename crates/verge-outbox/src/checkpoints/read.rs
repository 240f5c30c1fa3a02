//! What is saved, read back.

use rusqlite::{Connection, params};
use verge_domain::stage::Checkpoint;

use super::StateTable;
use super::form::{StateForm, open};
use crate::key::Cipher;
use crate::row::Binding;

/// Where states lie, in the order in which they are read: learnt ones longest unused first.
const ALL: [&str; 2] =
    ["SELECT key, crc, state FROM checkpoint ORDER BY key", "SELECT key, crc, state FROM learnt ORDER BY id"];

/// Calls `each` with the key and the state of all that can be read, and `faulty` with the names of the others.
pub(crate) fn each(
    connection: &Connection,
    cipher: Option<&Cipher>,
    binding: &Binding,
    mut each: impl FnMut(String, Vec<u8>),
    mut faulty: impl FnMut(&str),
) -> Result<(), rusqlite::Error> {
    for select in ALL {
        let mut statement = connection.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, crc, state): (String, i32, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let found =
                StateForm::of(&name, crc, &state, binding).and_then(|form| open(&name, &state, form, cipher));
            match found {
                Some((key, state)) => each(key, state),
                None => faulty(&name),
            }
        }
    }
    Ok(())
}

/// All that can be read; damaged ones are skipped and reported.
pub(crate) fn read(
    connection: &Connection,
    cipher: Option<&Cipher>,
    binding: &Binding,
) -> Result<Vec<Checkpoint>, rusqlite::Error> {
    let mut checkpoints = Vec::new();
    each(
        connection,
        cipher,
        binding,
        |key, state| checkpoints.push(Checkpoint { key, state: Some(state) }),
        |name| tracing::error!(key = %name.escape_debug(), "a saved state is damaged and was passed over"),
    )?;
    Ok(checkpoints)
}

/// Brings the states of a store, as far as they check, over into another, as they are stored. Says how many.
pub(crate) fn bring_over(
    old: &Connection,
    of_old: &Binding,
    new: &Connection,
    of_new: &Binding,
) -> Result<u64, rusqlite::Error> {
    let mut brought = 0;
    for (select, table) in ALL.into_iter().zip([StateTable::Kept, StateTable::Learnt]) {
        let mut put = new.prepare(table.put())?;
        let Ok(mut statement) = old.prepare(select) else { continue };
        let Ok(mut rows) = statement.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            let read = (|| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let Ok((name, crc, state)): Result<(String, i32, Vec<u8>), _> = read else { continue };
            let Some(form) = StateForm::of(&name, crc, &state, of_old) else {
                tracing::error!(key = %name.escape_debug(), "a saved state is damaged and was passed over");
                continue;
            };
            let crc = form.crc(&name, &state, of_new.seed());
            // Damage may show a state twice.
            brought += u64::from(put.execute(params![name, crc, state]).is_ok());
        }
    }
    Ok(brought)
}

/// How many are stored in plain text.
pub(crate) fn plain(connection: &Connection, binding: &Binding) -> Result<u64, rusqlite::Error> {
    let mut plain = 0;
    for select in ALL {
        let mut statement = connection.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, crc, state): (String, i32, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            plain += u64::from(StateForm::of(&name, crc, &state, binding) != Some(StateForm::Sealed));
        }
    }
    Ok(plain)
}
