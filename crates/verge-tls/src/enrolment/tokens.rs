//! One-time tokens: what a device proves itself by before it has a certificate. Stored are their hashes; each has an end.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

use crate::certificate::hex;
use crate::unreadable;

/// In the authority's folder.
const FILE: &str = "enrol.tokens";
/// Random bytes in a token: no hash that takes time is needed for those.
const TOKEN_BYTES: usize = 20;
/// Tokens at most, and bytes of their file.
const MOST_TOKENS: usize = 10_000;
const MOST_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The tokens of an authority. The program that makes them and the one that takes them may be two.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
}

/// A token that was just made.
pub struct EnrolmentToken {
    /// What the device gets. It stands nowhere else.
    pub text: String,
    /// Its end, in seconds since 1970.
    pub until: i64,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokensState {
    /// Tokens that can be used.
    pub open: usize,
    /// Tokens whose time is over.
    pub expired: usize,
}

/// Why the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The file cannot be read or written.
    #[error("{0}")]
    File(String),
    /// A line of it has another form.
    #[error(
        "{path}: line {line} is no token, expected NAME DAYS END HASH as `verge certs token` writes it: remove the line"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// It is a link or something else.
    #[error("{path} is no regular file, expected one that `verge certs token` has made: remove it")]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// There are too many.
    #[error(
        "there are {MOST_TOKENS} tokens already: those that have expired are removed with the next one, others by removing their lines"
    )]
    TooMany,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a token")]
    Random,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    /// For which its certificate is valid.
    days: u32,
    until: i64,
    hash: Vec<u8>,
}

/// What the file holds.
#[derive(Debug, Default)]
struct Read {
    tokens: Vec<Entry>,
    /// The first line that is none, counted from 1.
    damaged: Option<usize>,
}

/// What is done about lines that are no token.
#[derive(Debug, Clone, Copy)]
enum Damaged {
    /// Where people look.
    Refused,
    /// Where devices wait: one line must not keep all of them out.
    PassedOver,
}

impl Entry {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (name, days, until, hash) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let pairs = hash.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        let hash: Vec<u8> = bytes.collect::<Option<_>>()?;
        let is_whole = hash.len() == 32 && words.next().is_none();
        is_whole.then_some(Self {
            name: name.to_owned(),
            days: days.parse().ok()?,
            until: until.parse().ok()?,
            hash,
        })
    }

    fn written(&self) -> String {
        let Self { name, days, until, hash } = self;
        format!("{name} {days} {until} {}\n", hex(hash))
    }

    fn is_for(&self, name: &str, hash: &[u8], now: i64) -> bool {
        // The hash is compared whatever the name is.
        let is_hash = verify_slices_are_equal(hash, &self.hash).is_ok();
        is_hash && self.name == name && now < self.until
    }
}

fn hash_of(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

impl Tokens {
    /// Of the authority in this folder. The file need not be there.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(FILE) }
    }

    /// Their file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes one, in place of an earlier one for the same name.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn make(&self, name: &str, days: u32, seconds: i64, now: i64) -> Result<EnrolmentToken, TokenFault> {
        let mut bytes = [0; TOKEN_BYTES];
        rand::fill(&mut bytes).map_err(|_| TokenFault::Random)?;
        let text = hex(&bytes);
        let until = now + seconds;
        let hash = hash_of(&text);
        self.change(Damaged::Refused, |tokens| {
            tokens.retain(|token| token.name != name && now < token.until);
            if tokens.len() >= MOST_TOKENS {
                return Err(TokenFault::TooMany);
            }
            tokens.push(Entry { name: name.to_owned(), days, until, hash });
            Ok(())
        })?;
        Ok(EnrolmentToken { text, until })
    }

    /// For how many days the certificate of this token is valid; `None` where there is no such token.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn days_of(&self, name: &str, token: &str, now: i64) -> Result<Option<u32>, TokenFault> {
        let (tokens, hash) = (self.all()?.tokens, hash_of(token));
        let found: Vec<u32> =
            tokens.iter().filter(|entry| entry.is_for(name, &hash, now)).map(|entry| entry.days).collect();
        Ok(found.first().copied())
    }

    /// Uses one up; `false` where there is none any more.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn use_up(&self, name: &str, token: &str, now: i64) -> Result<bool, TokenFault> {
        let hash = hash_of(token);
        self.change(Damaged::PassedOver, |tokens| {
            let before = tokens.len();
            tokens.retain(|entry| !entry.is_for(name, &hash, now));
            Ok(tokens.len() < before)
        })
    }

    /// How many there are.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn state(&self, now: i64) -> Result<TokensState, TokenFault> {
        let Read { tokens, damaged } = self.all()?;
        if let Some(line) = damaged {
            return Err(TokenFault::Line { path: self.path.clone(), line });
        }
        let open = tokens.iter().filter(|token| now < token.until).count();
        Ok(TokensState { open, expired: tokens.len() - open })
    }

    /// Whether one could be used up: the file must be written then.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn check_writable(&self) -> Result<(), TokenFault> {
        self.change(Damaged::Refused, |_| Ok(()))
    }

    /// The first line that is no token, counted from 1: where tokens are used it is passed over.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn damaged_line(&self) -> Result<Option<usize>, TokenFault> {
        Ok(self.all()?.damaged)
    }

    /// Reads them, and writes what is left, while nobody else does.
    fn change<T>(
        &self,
        rule: Damaged,
        change: impl FnOnce(&mut Vec<Entry>) -> Result<T, TokenFault>,
    ) -> Result<T, TokenFault> {
        let Some(mut file) = self.open(true)? else {
            return Err(TokenFault::File(self.path.display().to_string()));
        };
        let fault = |error: std::io::Error| TokenFault::File(unreadable(&self.path, &error));
        file.lock().map_err(fault)?;
        let Read { tokens: before, damaged } = self.read(&mut file)?;
        if let (Damaged::Refused, Some(line)) = (rule, damaged) {
            return Err(TokenFault::Line { path: self.path.clone(), line });
        }
        let mut tokens = before.clone();
        let done = change(&mut tokens)?;
        if tokens != before {
            let text: String = tokens.iter().map(Entry::written).collect();
            // In place, as the lock is on this very file. Cut off behind: what a power failure interrupts has lines of before
            // at its end, and never none.
            file.rewind().and_then(|()| file.write_all(text.as_bytes())).map_err(fault)?;
            file.set_len(text.len() as u64).and_then(|()| file.sync_all()).map_err(fault)?;
        }
        Ok(done)
    }

    /// As they are while nobody writes them.
    fn all(&self) -> Result<Read, TokenFault> {
        let Some(mut file) = self.open(false)? else { return Ok(Read::default()) };
        file.lock_shared().map_err(|error| TokenFault::File(unreadable(&self.path, &error)))?;
        self.read(&mut file)
    }

    fn open(&self, to_write: bool) -> Result<Option<File>, TokenFault> {
        let fault = |error: std::io::Error| TokenFault::File(unreadable(&self.path, &error));
        let mut options = OpenOptions::new();
        options.read(true).write(to_write);
        // The folder may be another user's than this one: no link of theirs is followed, and what is given away is new.
        let found = match std::fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound && !to_write => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match options.create_new(true).mode(0o600).open(&self.path) {
                    // What an administrator makes belongs to whoever owns the folder, as the gateway must write it.
                    Ok(file) => self.given_away(&file).map(|()| Some(file)).map_err(fault),
                    // Another program was first.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => self.open(to_write),
                    Err(error) => Err(fault(error)),
                };
            }
            Err(error) => return Err(fault(error)),
        };
        if !found.is_file() {
            return Err(TokenFault::Kind { path: self.path.clone() });
        }
        let file = options.open(&self.path).map_err(fault)?;
        let opened = file.metadata().map_err(fault)?;
        if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
            return Err(TokenFault::Kind { path: self.path.clone() });
        }
        Ok(Some(file))
    }

    fn given_away(&self, file: &File) -> std::io::Result<()> {
        let Some(folder) = self.path.parent() else { return Ok(()) };
        let (folder, own) = (std::fs::metadata(folder)?, file.metadata()?);
        if (folder.uid(), folder.gid()) == (own.uid(), own.gid()) {
            return Ok(());
        }
        fchown(file, Some(folder.uid()), Some(folder.gid()))
    }

    fn read(&self, file: &mut File) -> Result<Read, TokenFault> {
        let mut bytes = Vec::new();
        let fault = |error: std::io::Error| TokenFault::File(unreadable(&self.path, &error));
        file.take(MOST_FILE_BYTES).read_to_end(&mut bytes).map_err(fault)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut read = Read::default();
        // A last line without its end was being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (at, line) in whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match Entry::read(line) {
                Some(entry) => read.tokens.push(entry),
                None => read.damaged = read.damaged.or(Some(at + 1)),
            }
        }
        Ok(read)
    }
}
