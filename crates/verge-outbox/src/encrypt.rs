//! A store that gets a key: what it holds in plain text is sealed in place, and no trace of the text is left in its files.

use rusqlite::TransactionBehavior;
use verge_domain::id::Lane;

use crate::checkpoints;
use crate::row::{Columns, Form, INSERT, SELECT};
use crate::schema;
use crate::store::Outbox;

/// Rows sealed in one go: their texts are in memory twice meanwhile.
const ROWS: i64 = 256;

/// Seals what is not sealed yet. A store that is encrypted already costs one look.
pub(crate) fn whole(outbox: &mut Outbox) -> Result<(), rusqlite::Error> {
    let Some(cipher) = &outbox.cipher else { return Ok(()) };
    if schema::key_check(&outbox.connection)?.is_some() {
        return Ok(());
    }
    tracing::info!("the store is being encrypted");
    let transaction = outbox.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for lane in Lane::ALL {
        let mut after = 0;
        loop {
            let (mut sealed, mut found) = (Vec::new(), false);
            {
                let mut statement = transaction.prepare_cached(SELECT[lane.index()])?;
                let mut rows = statement.query([after, i64::MAX, ROWS])?;
                while let Some(row) = rows.next()? {
                    after = row.get(0)?;
                    found = true;
                    if let Some((columns, Form::Plain)) = Columns::read(lane, row)? {
                        sealed.push((columns.with_bytes(&[]), columns.seal(cipher)));
                    }
                }
            }
            if !found {
                break;
            }
            let replace = INSERT[lane.index()].replacen("INSERT", "INSERT OR REPLACE", 1);
            let mut replace = transaction.prepare_cached(&replace)?;
            for (columns, bytes) in &sealed {
                let columns = columns.with_bytes(bytes);
                columns.insert_as_is(columns.crc(Form::Sealed), &mut replace)?;
            }
        }
    }
    let saved = checkpoints::read(&transaction, None)?;
    checkpoints::save(&transaction, &saved, Some(cipher))?;
    schema::set_key_check(&transaction, &cipher.check_value())?;
    transaction.commit()?;
    // Only a rewrite of the file takes the texts out of its free pages, and only an emptied log out of the log.
    outbox.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}
