//! Whether the files of an open store are still in place. SQLite continues in files that were deleted or moved without
//! an error, and what is committed there is lost.

use std::fs;
use std::path::PathBuf;

use rusqlite::config::DbConfig;
use verge_domain::stage::Displaced;

use crate::backup;
use crate::files::create_private_folder;
use crate::origin::FileId;
use crate::store::Outbox;

/// What is not in its place any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The database, alone or with its folder; whether something else lies there.
    Database { replaced: bool },
    /// The log only; what it held is still in reach.
    Log,
}

impl Outbox {
    /// Looks whether database and log are where they were. Where they are not, what is stored is brought to where the next
    /// start finds it.
    pub(crate) fn look_at_place(&mut self) -> Result<(), Displaced> {
        let Some(missing) = self.missing() else { return Ok(()) };
        let database = self.files.database();
        let (what, then) = match missing {
            Missing::Log => {
                let what = format!(
                    "the log of the store, {}, was deleted, moved or replaced",
                    self.files.log().display()
                );
                (what, self.fold_in())
            }
            Missing::Database { replaced } => {
                // What lies there now is not ours to write to.
                self.guard = None;
                let kept = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                if let Err(error) = kept {
                    tracing::debug!(%error, "the log is folded in where the store lies now");
                }
                let happened = if replaced { "replaced" } else { "deleted or moved" };
                let what = format!("the store {} was {happened}", database.display());
                (what, self.rescue(replaced))
            }
        };
        Err(Displaced { what, then })
    }

    fn missing(&self) -> Option<Missing> {
        let guard = self.guard.as_ref()?;
        match FileId::at(&self.files.database()) {
            Ok(Some(found)) if found.is(&guard.database()) => {}
            Ok(found) => return Some(Missing::Database { replaced: found.is_some() }),
            // A folder that cannot be read just now.
            Err(error) => {
                tracing::debug!(%error, "cannot look whether the store is in its place");
                return None;
            }
        }
        let own = guard.log()?;
        match FileId::at(&self.files.log()) {
            Ok(found) if found.is_none_or(|found| !found.is(&own)) => Some(Missing::Log),
            Ok(_) | Err(_) => None,
        }
    }

    /// Brings what the log holds into the database, which is in its place.
    fn fold_in(&self) -> String {
        match self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)) {
            Ok(0) => "what it held was brought into the database".to_owned(),
            Ok(_) => "what it held could not be brought into the database: somebody reads it".to_owned(),
            Err(error) => format!("what it held could not be brought into the database: {error}"),
        }
    }

    /// Writes what the store holds to where the next start takes it up, or beside what lies there.
    fn rescue(&self, replaced: bool) -> String {
        let name = self.epoch.to_string();
        let folder = if replaced {
            self.files.quarantine(&name)
        } else {
            create_private_folder(self.files.folder()).map(|()| self.files.folder().to_owned())
        };
        let written = folder.map_err(|error| error.to_string()).and_then(|folder| {
            let to: PathBuf = folder.join("outbox.db");
            backup::write_to(&self.connection, &to).map(|_| to).map_err(|error| {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                format!("{error}{}", source.unwrap_or_default())
            })
        });
        match written {
            Ok(to) if replaced => {
                format!("what it held is kept as {} and not sent by itself", to.display())
            }
            Ok(to) => format!("what it held was written to {}, and is sent under a new epoch", to.display()),
            Err(error) => format!("what it held could not be written to its place: {error}"),
        }
    }
}

/// Whether a file is not the one that lies under its name.
pub(crate) fn is_displaced(file: &fs::File, path: &std::path::Path) -> bool {
    let Ok(own) = file.metadata().map(|about| FileId::of(&about)) else { return false };
    FileId::at(path).is_ok_and(|found| found.is_none_or(|found| !found.is(&own)))
}
