//! `access.toml` in the state folder: who may log in. `verge users` writes it, a running gateway reads it again when it changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::role::{LoginError, Role, check_label, check_name, check_password};
use super::secret::{NoRandom, PasswordHash, fingerprint, random_secret};

/// Name of the file in the state folder.
const FILE: &str = "access.toml";
/// Nobody has that many logins.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Logins at most.
pub const MAX_USERS: usize = 256;
/// Tokens of one login at most.
pub const MAX_TOKENS: usize = 32;
const HEAD: &str = "# Logins of the dashboard, written by `verge users`. It holds no password and no token, only what proves them.\n\n";

/// All logins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    /// By name.
    #[serde(default)]
    pub users: BTreeMap<String, User>,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What it may do.
    pub role: Role,
    /// What proves its password; a login without one has tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Its tokens, for programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ApiToken>,
}

impl User {
    /// Whether it has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// What it is for.
    pub label: String,
    pub(crate) sha256: String,
}

/// Why logins cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is damaged.
    #[error(
        "{path} is not as `verge users` writes it: {reason}; correct it, or remove it and add the logins again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A name, a password or a label.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The login exists.
    #[error(
        "there is a login {0:?} already; `verge users password` changes its password, `verge users rm` removes it"
    )]
    Exists(String),
    /// The login does not exist.
    #[error("there is no login {name:?}; there {}", known_words(known))]
    Missing {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// More than fit.
    #[error("{0}")]
    TooMany(String),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

fn known_words(known: &[String]) -> String {
    if known.is_empty() { "is none yet".to_owned() } else { format!("are {}", known.join(", ")) }
}

impl AccessFile {
    /// Where it stands.
    #[must_use]
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Reads it; without a file there are no logins.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn load(state_dir: &Path) -> Result<Self, AccessError> {
        Self::load_file(&Self::path(state_dir))
    }

    /// Reads a file of this form, wherever it stands.
    pub(super) fn load_file(path: &Path) -> Result<Self, AccessError> {
        let damaged = |reason: String| AccessError::Damaged { path: path.to_owned(), reason };
        match fs::metadata(path) {
            Ok(found) if found.len() > MAX_FILE_BYTES => {
                return Err(damaged(format!("{} bytes, at most {MAX_FILE_BYTES} are expected", found.len())));
            }
            _ => {}
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(AccessError::Read { path: path.to_owned(), error }),
        };
        let file: Self = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        for (name, user) in &file.users {
            check_name(name)?;
            if user.password.as_ref().is_some_and(|text| PasswordHash::read(text).is_none()) {
                return Err(damaged(format!("the password of {name} is no argon2id hash")));
            }
        }
        Ok(file)
    }

    /// Writes it, whole or not at all, for the owner of the state folder alone: whoever runs the command, the gateway reads it.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, state_dir: &Path) -> Result<(), AccessError> {
        let path = Self::path(state_dir);
        let text = toml::to_string_pretty(self).expect("names, texts and lists are TOML");
        write_private(&path, format!("{HEAD}{text}").as_bytes())
            .map_err(|error| AccessError::Write { path, error })
    }

    /// Adds a login.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn add(&mut self, name: &str, role: Role, password: Option<&str>) -> Result<(), AccessError> {
        check_name(name)?;
        if self.users.contains_key(name) {
            return Err(AccessError::Exists(name.to_owned()));
        }
        if self.users.len() >= MAX_USERS {
            return Err(AccessError::TooMany(format!("there are {MAX_USERS} logins, which is the maximum")));
        }
        let password = password.map(proof_of).transpose()?;
        self.users.insert(name.to_owned(), User { role, password, tokens: Vec::new() });
        Ok(())
    }

    /// Gives a login another password. Its browsers are logged out.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn set_password(&mut self, name: &str, password: &str) -> Result<(), AccessError> {
        let proof = proof_of(password)?;
        self.user(name)?.password = Some(proof);
        Ok(())
    }

    /// Makes a token for a login. It is shown once, here.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn make_token(&mut self, name: &str, label: &str) -> Result<String, AccessError> {
        check_label(label)?;
        let token = random_secret()?;
        let tokens = &mut self.user(name)?.tokens;
        if tokens.len() >= MAX_TOKENS {
            let text = format!(
                "{name} has {MAX_TOKENS} tokens, which is the maximum; remove the login, or some of them"
            );
            return Err(AccessError::TooMany(text));
        }
        tokens.push(ApiToken { label: label.to_owned(), sha256: fingerprint(token.as_bytes()) });
        Ok(token)
    }

    /// Removes a login, or only its tokens with a label.
    ///
    /// # Errors
    /// There is none.
    pub fn remove(&mut self, name: &str, label: Option<&str>) -> Result<(), AccessError> {
        let tokens = &mut self.user(name)?.tokens;
        let Some(label) = label else {
            self.users.remove(name);
            return Ok(());
        };
        let known: Vec<String> = tokens.iter().map(|token| token.label.clone()).collect();
        tokens.retain(|token| token.label != label);
        if tokens.len() == known.len() {
            return Err(AccessError::Missing { name: format!("{name}, token {label}"), known });
        }
        Ok(())
    }

    fn user(&mut self, name: &str) -> Result<&mut User, AccessError> {
        let known = self.users.keys().cloned().collect();
        self.users.get_mut(name).ok_or_else(|| AccessError::Missing { name: name.to_owned(), known })
    }
}

fn proof_of(password: &str) -> Result<String, AccessError> {
    check_password(password)?;
    Ok(PasswordHash::of(password)?.written())
}

/// Replaces a file at once: mode 0600, with the owner of its folder. A cut leaves the one before, or the new one.
///
/// # Errors
/// It cannot be written; then the one before is there as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = (|| {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        let (owner, own) = (fs::metadata(folder)?, file.metadata()?);
        if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) {
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // What remains beside it is in nobody's way: the next attempt removes it.
        fs::remove_file(&beside).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_come_back_as_they_were_written_and_no_secret_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AccessFile::load(folder.path()).unwrap();
        assert_eq!(file, AccessFile::default());
        file.add("anna", Role::Operator, Some("a long password")).unwrap();
        file.add("grafana", Role::Viewer, None).unwrap();
        let token = file.make_token("grafana", "the \"wall\"").unwrap();
        file.save(folder.path()).unwrap();
        let path = AccessFile::path(folder.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("long password") && !text.contains(&token), "{text}");
        assert_eq!(AccessFile::load(folder.path()).unwrap(), file);
        file.remove("grafana", Some("the \"wall\"")).unwrap();
        assert!(file.users["grafana"].tokens.is_empty());
        file.remove("grafana", None).unwrap();
        file.save(folder.path()).unwrap();
        assert_eq!(AccessFile::load(folder.path()).unwrap(), file);
    }

    #[test]
    fn what_cannot_be_done_is_said_in_words() {
        let mut file = AccessFile::default();
        let refused = |result: Result<(), AccessError>, words: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(file.add("anna", Role::Viewer, Some("short")), "has 5 characters, expected 12");
        refused(
            file.set_password("anna", "a long password"),
            "there is no login \"anna\"; there is none yet",
        );
        file.add("anna", Role::Viewer, Some("a long password")).unwrap();
        refused(file.add("anna", Role::Admin, None), "there is a login \"anna\" already");
        refused(file.remove("ann", None), "there is no login \"ann\"; there are anna");
        refused(file.make_token("anna", "").map(drop), "label");
        for index in 0..MAX_TOKENS {
            file.make_token("anna", &index.to_string()).unwrap();
        }
        refused(file.make_token("anna", "more").map(drop), "32 tokens");
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = AccessFile::path(folder.path());
        for text in [
            "[users.anna",
            "[users.anna]\nrole = \"root\"",
            "[users.anna]\nrole = \"viewer\"\npassword = \"x\"",
            "odd = 1",
        ] {
            fs::write(&path, text).unwrap();
            let error = AccessFile::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains("access.toml") && error.contains("verge users"), "{error}");
        }
    }
}
