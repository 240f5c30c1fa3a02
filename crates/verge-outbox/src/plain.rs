//! Whether the files of an encrypted store hold plain text: every row and state is sealed, and no text of a sealed one is
//! found anywhere else in the database or its log, free pages included.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::files::Files;
use crate::schema;

/// Bytes of text that are looked for: shorter ones are found in sealed bytes by chance.
const TEXT: usize = 8;
/// Texts that are looked for, at most.
const MAX_TEXTS: usize = 1 << 16;
const READ_BYTES: usize = 1 << 20;

/// Texts that must not be found in a file.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    texts: HashSet<[u8; TEXT]>,
}

fn texts_in(bytes: &[u8]) -> impl Iterator<Item = [u8; TEXT]> {
    let is_text = |text: &[u8; TEXT]| text.iter().all(|byte| (0x20..0x7f).contains(byte));
    bytes.windows(TEXT).filter_map(|text| text.try_into().ok()).filter(is_text)
}

impl Texts {
    /// Takes the printable texts in these bytes, which are stored sealed.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.texts.len() < MAX_TEXTS {
            self.texts.extend(texts_in(bytes));
        }
    }

    /// Leaves out what stands in the store in plain text by design: names of tables, routes and links.
    pub(crate) fn without_names(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let names = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL UNION SELECT name FROM sqlite_schema
                     UNION SELECT route FROM mark UNION SELECT link FROM sent UNION SELECT key FROM meta";
        let mut statement = connection.prepare(names)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for text in texts_in(row.get::<_, String>(0)?.as_bytes()) {
                self.texts.remove(&text);
            }
        }
        Ok(())
    }

    /// Pages of the file in which one of them is found.
    fn pages_with(&self, path: &Path, page_bytes: u64) -> io::Result<u64> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened?,
        };
        // Most places are ruled out by two bytes.
        let mut starts = vec![false; 1 << 16];
        for text in &self.texts {
            starts[usize::from(u16::from_le_bytes([text[0], text[1]]))] = true;
        }
        let mut pages = HashSet::new();
        let (mut buffer, mut at, mut kept) = (vec![0; READ_BYTES], 0_u64, 0);
        loop {
            let read = file.read(&mut buffer[kept..])?;
            if read == 0 {
                return Ok(pages.len() as u64);
            }
            let filled = &buffer[..kept + read];
            for (offset, text) in filled.windows(TEXT).enumerate() {
                if starts[usize::from(u16::from_le_bytes([text[0], text[1]]))] && self.texts.contains(text) {
                    pages.insert((at + offset as u64) / page_bytes);
                }
            }
            let (length, next) = (filled.len(), filled.len().min(TEXT - 1));
            buffer.copy_within(length - next..length, 0);
            at += (length - next) as u64;
            kept = next;
        }
    }

    /// Looks through the database and its log, in words.
    pub(crate) fn look(&self, database: &Path, page_bytes: u64) -> io::Result<Vec<String>> {
        if self.texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let mut found = Vec::new();
        for path in [database, Path::new(&log)] {
            let pages = self.pages_with(path, page_bytes)?;
            if pages > 0 {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let page = if pages == 1 { "page holds" } else { "pages hold" };
                found.push(format!("{name}: {pages} {page} text of stored verdicts or states"));
            }
        }
        Ok(found)
    }
}

/// Other stores in the folder of an encrypted one that hold plain text, as far as can be seen: those set aside, and
/// copies that were left there.
pub(crate) fn copies(files: &Files) -> io::Result<Vec<PathBuf>> {
    let own = files.database();
    let mut copies = Vec::new();
    for path in files.stores()? {
        if path != own && !is_sealed(&path) {
            copies.push(path);
        }
    }
    copies.sort();
    Ok(copies)
}

/// Reads without writing anything beside it.
fn is_sealed(path: &Path) -> bool {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .and_then(|connection| schema::is_sealed(&connection))
        .unwrap_or(false)
}
