//! Whether the write-ahead log lost commits that were durable, and whose it is.
//!
//! SQLite reads its log up to the first frame whose checksum is wrong, and silently forgets what is behind. After a crash
//! that is right: at most the last transaction is torn, and nobody has seen it. Where two or more transactions end behind
//! that frame, the first of them was synced before the second was written, so the medium has lost what was visible.
//! (File format: sqlite.org, "The WAL File Format". This cannot detect damage within the very last transaction.)

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Larger pages do not exist.
const MAX_PAGE_BYTES: u32 = 65_536;

/// Whether commits that were durable are behind a damaged frame. A log that is missing or not even begun has lost nothing.
pub(crate) fn has_lost_commits(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut log = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(false);
    }
    let big_endian = header[3] & 1 == 1;
    let page_bytes = number(&header, 8);
    let mut sum = checksum(big_endian, (0, 0), &header[..24]);
    let sound = header[..3] == [0x37, 0x7f, 0x06] && sum == (number(&header, 24), number(&header, 28));
    if !page_bytes.is_power_of_two() || !(512..=MAX_PAGE_BYTES).contains(&page_bytes) {
        // Without the size of a page nothing can be followed; an intact log has it.
        return Ok(!sound && header.iter().any(|&byte| byte != 0));
    }
    let salts = (number(&header, 16), number(&header, 20));
    let mut page = vec![0; page_bytes as usize];
    let mut frame = [0; FRAME_HEADER_BYTES];
    let (mut broken, mut commits_behind) = (!sound, 0);
    while fill(&mut log, &mut frame)? && fill(&mut log, &mut page)? {
        let is_of_this_log = (number(&frame, 8), number(&frame, 12)) == salts;
        if !broken {
            let next = checksum(big_endian, checksum(big_endian, sum, &frame[..8]), &page);
            if is_of_this_log && next == (number(&frame, 16), number(&frame, 20)) {
                sum = next;
                continue;
            }
            broken = true;
        }
        // The frame's page count is set where a transaction ends.
        commits_behind += usize::from(is_of_this_log && number(&frame, 4) != 0);
    }
    Ok(commits_behind >= 2)
}

/// The two numbers by which a log is known. While a store is open, the first counts up each time SQLite begins its log
/// again; a new log draws both at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salts(pub(crate) u32, pub(crate) u32);

impl Salts {
    /// Where they stand in the header.
    pub(crate) const OFFSET: u64 = 16;
    /// New beginnings that may have passed unnoticed: commits that carried no verdict.
    const UNNOTICED: u32 = 1 << 16;

    pub(crate) fn of(bytes: [u8; 8]) -> Self {
        Self(number(&bytes, 0), number(&bytes, 4))
    }

    /// Whether a log with these is the noted one, or one that the same handle began after it.
    pub(crate) fn follows(self, noted: Self) -> bool {
        self == noted || (1..Self::UNNOTICED).contains(&self.0.wrapping_sub(noted.0))
    }
}

/// Those of a log that SQLite would read; `None` if it is missing or not begun.
pub(crate) fn salts(path: &Path) -> io::Result<Option<Salts>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut &file, &mut header)? || file.metadata()?.len() <= HEADER_BYTES as u64 {
        return Ok(None);
    }
    let sum = checksum(header[3] & 1 == 1, (0, 0), &header[..24]);
    let sound = header[..3] == [0x37, 0x7f, 0x06] && sum == (number(&header, 24), number(&header, 28));
    Ok(sound.then(|| Salts(number(&header, 16), number(&header, 20))))
}

fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Checksum of the log, in words of the byte order that its header states.
fn checksum(big_endian: bool, start: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    bytes.chunks_exact(8).fold(start, |(one, two), pair| {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let one = one.wrapping_add(word(0)).wrapping_add(two);
        (one, two.wrapping_add(word(4)).wrapping_add(one))
    })
}
