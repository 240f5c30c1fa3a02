//! The file that carries what a judge has learnt: a header, a line for each state, and a checksum of all, as JSON lines.
//!
//! ```text
//! {"verge_state":1,"version":"0.1.0","gateway":"plant-a","judge":"unusual","detector":"auto","exported":1764432000000,
//!  "settings":{…},"states":2,"pool":true}
//! {"source":"pumps","device":"pump-1","signal":"vibration","state":"…base64…"}
//! {"source":"pumps","device":"pump-1","signal":"flow","in":"1","state":"…"}
//! {"pool":"…"}
//! {"sha256":"… of all lines before"}
//! ```
//!
//! Nothing of it is believed before the checksum fits.

use std::collections::HashSet;
use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use verge_domain::id::{DeviceId, SignalId, SourceId};
use verge_domain::verdict::Subject;
use verge_pipeline::judging::Fingerprint;

/// The version of the form of the file.
const VERSION: u32 = 1;
/// A longer line is none of ours: states take some 14 KB, those of the largest shapes a megabyte.
const LONGEST_LINE: u64 = 8 << 20;
/// Characters of a state of a machine: a number as text.
const LONGEST_STATE_NAME: usize = 64;

/// What stands at the head of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StateHeader {
    verge_state: u32,
    /// The version of the program that wrote it.
    pub(super) version: String,
    pub(super) gateway: String,
    pub(super) judge: String,
    pub(super) detector: String,
    /// When it was written, UTC ms.
    pub(super) exported: i64,
    /// Under which settings it was learnt, where that is known.
    pub(super) settings: Option<Fingerprint>,
    /// The number of states.
    pub(super) states: usize,
    /// Whether the record of the judge's alarms is in it.
    pub(super) pool: bool,
}

/// What a judge has learnt of one subject.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LearntState {
    pub(super) subject: Subject,
    /// In which state of the machine.
    pub(super) in_state: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StateFile {
    pub(super) header: StateHeader,
    pub(super) states: Vec<LearntState>,
    pub(super) pool: Option<Vec<u8>>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateFileError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is no file of `verge state export`")]
    Foreign,
    #[error(
        "it is of version {found} of this form, written by verge {by}; this program ({}) reads version {VERSION}: export it \
         with this version, or import it with that one", env!("CARGO_PKG_VERSION")
    )]
    OtherVersion { found: u64, by: String },
    #[error("it ends early, after {found} of {expected} states: copy it again")]
    Truncated { found: usize, expected: usize },
    #[error("its checksum does not fit: it was damaged or changed; copy it again")]
    Checksum,
    #[error("line {line} is no state: it was damaged or changed; copy it again")]
    Line { line: usize },
    #[error(
        "its states take more than {limit} bytes, the share of the store for learnt states: raise gateway.states_cap"
    )]
    TooLarge { limit: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum StateLine {
    State {
        source: String,
        device: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
        in_state: Option<String>,
        state: String,
    },
    Pool {
        pool: String,
    },
    End {
        sha256: String,
    },
}

impl StateFile {
    /// With a header that fits.
    pub(super) fn new(mut header: StateHeader, states: Vec<LearntState>, pool: Option<Vec<u8>>) -> Self {
        (header.states, header.pool) = (states.len(), pool.is_some());
        Self { header, states, pool }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut digest = Sha256::new();
        let mut put = |line: Vec<u8>, out: &mut dyn Write| {
            digest.update(&line);
            digest.update(b"\n");
            out.write_all(&line)?;
            out.write_all(b"\n")
        };
        put(serde_json::to_vec(&self.header)?, out)?;
        for LearntState { subject, in_state, bytes } in &self.states {
            let line = StateLine::State {
                source: subject.source.to_string(),
                device: subject.device.to_string(),
                signal: subject.signal.as_ref().map(ToString::to_string),
                in_state: in_state.clone(),
                state: STANDARD.encode(bytes),
            };
            put(serde_json::to_vec(&line)?, out)?;
        }
        if let Some(pool) = &self.pool {
            put(serde_json::to_vec(&StateLine::Pool { pool: STANDARD.encode(pool) })?, out)?;
        }
        let end = StateLine::End { sha256: hex(&digest.finalize()) };
        writeln!(out, "{}", serde_json::to_string(&end)?)
    }

    /// Reads a file whose states take up to `limit` bytes.
    pub(super) fn read(input: &mut impl BufRead, limit: u64) -> Result<Self, StateFileError> {
        let mut lines = CheckedLines { input, digest: Sha256::new(), line: Vec::new(), number: 0 };
        let header = lines.next()?.ok_or(StateFileError::Foreign)?;
        let header = read_header(header)?;
        let (mut states, mut pool) = (Vec::new(), None);
        let (mut bytes, mut seen) = (0_u64, HashSet::new());
        loop {
            let before = lines.digest.clone();
            let number = lines.number + 1;
            let found = states.len();
            let Some(line) = lines.next()? else {
                return Err(StateFileError::Truncated { found, expected: header.states });
            };
            let damaged = || StateFileError::Line { line: number };
            let decode = |text: &str| STANDARD.decode(text).map_err(|_| damaged());
            match serde_json::from_slice(line).map_err(|_| damaged())? {
                StateLine::State { source, device, signal, in_state, state } => {
                    let subject = subject_of(&source, &device, signal.as_deref()).ok_or_else(damaged)?;
                    let is_name = |name: &String| {
                        name.len() <= LONGEST_STATE_NAME && !name.chars().any(char::is_control)
                    };
                    let is_new = seen.insert((source, device, signal, in_state.clone()));
                    if !is_new || states.len() >= header.states || !in_state.iter().all(is_name) {
                        return Err(damaged());
                    }
                    let decoded = decode(&state)?;
                    bytes += decoded.len() as u64;
                    if bytes > limit {
                        return Err(StateFileError::TooLarge { limit });
                    }
                    states.push(LearntState { subject, in_state, bytes: decoded });
                }
                StateLine::Pool { pool: text } if pool.is_none() => pool = Some(decode(&text)?),
                StateLine::Pool { .. } => return Err(damaged()),
                StateLine::End { sha256 } => {
                    let fits = sha256 == hex(&before.finalize()) && lines.next()?.is_none();
                    let is_whole = states.len() == header.states && pool.is_some() == header.pool;
                    if !(fits && is_whole) {
                        return Err(StateFileError::Checksum);
                    }
                    return Ok(Self { header, states, pool });
                }
            }
        }
    }
}

/// The head says what the rest is: only of its own version is more asked than that.
fn read_header(line: &[u8]) -> Result<StateHeader, StateFileError> {
    let read: serde_json::Value = serde_json::from_slice(line).map_err(|_| StateFileError::Foreign)?;
    let found = read["verge_state"].as_u64().ok_or(StateFileError::Foreign)?;
    if found != u64::from(VERSION) {
        let by = read["version"].as_str().unwrap_or("of an unknown version").chars().take(32).collect();
        return Err(StateFileError::OtherVersion { found, by });
    }
    serde_json::from_value(read).map_err(|_| StateFileError::Line { line: 1 })
}

impl StateHeader {
    /// Of what is exported now by this program.
    pub(super) fn now(
        (gateway, judge, detector): (String, String, String),
        exported: i64,
        settings: Option<Fingerprint>,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (verge_state, states, pool) = (VERSION, 0, false);
        Self { verge_state, version, gateway, judge, detector, exported, settings, states, pool }
    }
}

/// Lines of bounded length, and the checksum of those that were read.
struct CheckedLines<'a, R> {
    input: &'a mut R,
    digest: Sha256,
    line: Vec<u8>,
    number: usize,
}

impl<R: BufRead> CheckedLines<'_, R> {
    /// The next line without its end; `None` behind the last. One that is not ended counts as none: the file was cut.
    fn next(&mut self) -> Result<Option<&[u8]>, StateFileError> {
        self.line.clear();
        self.number += 1;
        self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        self.digest.update(&self.line);
        if self.line.len() as u64 >= LONGEST_LINE {
            return Err(if self.number == 1 {
                StateFileError::Foreign
            } else {
                StateFileError::Line { line: self.number }
            });
        }
        Ok(self.line.strip_suffix(b"\n"))
    }
}

fn subject_of(source: &str, device: &str, signal: Option<&str>) -> Option<Subject> {
    let signal = signal.map(SignalId::new).transpose().ok()?;
    Some(Subject { source: SourceId::new(source).ok()?, device: DeviceId::new(device).ok()?, signal })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn sample() -> StateFile {
        let state = |signal: Option<&str>, in_state: Option<&str>| LearntState {
            subject: subject_of("plc", "pump 1", signal).unwrap(),
            in_state: in_state.map(str::to_owned),
            bytes: (0..=255).collect(),
        };
        let mut settings = Fingerprint::default();
        settings.note("detector", "auto");
        let of = ("plant".to_owned(), "unusual".to_owned(), "auto".to_owned());
        let header = StateHeader::now(of, 1_764_432_000_000, Some(settings));
        let states = vec![state(Some("temp"), None), state(None, None), state(Some("temp"), Some("1"))];
        StateFile::new(header, states, Some(vec![1, 2, 3]))
    }

    fn written(file: &StateFile) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.write(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<StateFile, StateFileError> {
        StateFile::read(&mut &*bytes, LIMIT)
    }

    #[test]
    fn what_is_written_is_read() {
        let file = sample();
        assert_eq!(read(&written(&file)).unwrap(), file);
        let empty = StateFile::new(file.header, Vec::new(), None);
        assert_eq!(read(&written(&empty)).unwrap(), empty);
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_refused_as_a_whole() {
        let bytes = written(&sample());
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "cut to {length}");
        }
        for place in 0..bytes.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[place] ^= bit;
                assert!(read(&changed).is_err(), "bit {bit:#x} of byte {place}");
            }
        }
        let cut = read(&bytes[..bytes.len() / 2]).unwrap_err();
        assert_eq!(cut.to_string(), "it ends early, after 1 of 3 states: copy it again");
        let more = [&bytes[..], b"{}\n"].concat();
        assert!(matches!(read(&more), Err(StateFileError::Checksum)));
    }

    #[test]
    fn another_form_or_another_version_is_named() {
        assert!(matches!(read(b"time,value\n1,2\n"), Err(StateFileError::Foreign)));
        assert!(matches!(read(b"{\"a\":1}\n"), Err(StateFileError::Foreign)));
        assert!(matches!(read(&[0; 100]), Err(StateFileError::Foreign)));
        let newer = read(b"{\"verge_state\":2,\"version\":\"9.1.0\",\"form\":\"new\"}\n...").unwrap_err();
        assert!(
            newer.to_string().starts_with("it is of version 2 of this form, written by verge 9.1.0;"),
            "{newer}"
        );
    }

    #[test]
    fn memory_is_bounded_by_the_share_of_the_store() {
        let bytes = written(&sample());
        let refused = StateFile::read(&mut &*bytes, 700).unwrap_err();
        assert!(matches!(refused, StateFileError::TooLarge { limit: 700 }), "{refused}");
        assert!(StateFile::read(&mut &*bytes, 768).is_ok());
        let endless = io::repeat(b'{');
        assert!(matches!(
            StateFile::read(&mut io::BufReader::new(endless), LIMIT),
            Err(StateFileError::Foreign)
        ));
    }

    #[test]
    fn what_names_no_subject_or_comes_twice_is_refused() {
        let check = |change: &dyn Fn(&mut StateFile)| {
            let mut file = sample();
            change(&mut file);
            assert!(read(&written(&file)).is_err());
        };
        check(&|file| file.states[1] = file.states[0].clone());
        check(&|file| file.states[2].in_state = Some("1\u{1f}2".to_owned()));
        check(&|file| file.header.states = 2);
        check(&|file| file.header.pool = false);
    }
}
