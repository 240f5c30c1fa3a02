//! The durable store, as `[gateway]` describes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use verge_domain::id::Lane;
use verge_outbox::{OutboxSettings, StoreKey, StoreKeyError};
use verge_pipeline::committer::Retention;
use verge_tls::Secret;

use super::Check;
use crate::config::{Fault, RawGateway, RawSecret, RawWhenFull, Size, Span, Warning};

/// Folder of the store within the state folder.
const STORE_FOLDER: &str = "store";
/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where and how verdicts are kept. Files are named, not yet read.
#[derive(Debug, Clone)]
pub struct StoreSection {
    /// Everything but the key.
    settings: OutboxSettings,
    key: KeySource,
    /// After what time undelivered verdicts become summaries.
    pub lives: Retention,
}

/// Where the key of an encrypted store comes from.
#[derive(Debug, Clone)]
enum KeySource {
    /// The store is not encrypted.
    Absent,
    /// From the environment.
    Given(Secret),
    /// From a file of its own.
    File(PathBuf),
    /// From the folder of credentials that systemd gives to a service.
    Credential(String),
}

/// Why there is no key although one is configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfiguredKeyError {
    /// The file cannot be read.
    #[error("gateway.{key}: cannot read {}: {source} (`verge outbox new-key FILE` makes a key)", path.display())]
    File {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("gateway.{key}: {} can be read by others: take the right from them (chmod 600)", path.display())]
    Open {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The process was given no credentials.
    #[error(
        "gateway.store_key_credential: {CREDENTIALS} is not set: the service needs LoadCredential={name}:…"
    )]
    NoCredentials {
        /// Name of the credential.
        name: String,
    },
    /// What stands there is no key.
    #[error("gateway.{key}: {source}")]
    NotAKey {
        /// Key of the configuration.
        key: &'static str,
        /// What is wrong.
        source: StoreKeyError,
    },
}

impl StoreSection {
    /// The store's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// How long, and up to which size, verdicts are kept that no uplink waits for.
    pub(super) fn replay_window(&self) -> (Span, Size) {
        (Span(self.settings.replay_age), Size(self.settings.replay_bytes))
    }

    /// Bytes that learnt states may take of it.
    #[must_use]
    pub fn states_bytes(&self) -> u64 {
        self.settings.states_bytes
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        !matches!(self.key, KeySource::Absent)
    }

    /// The settings with the key read.
    ///
    /// # Errors
    /// The key cannot be read, or is none.
    pub fn build(&self) -> Result<OutboxSettings, ConfiguredKeyError> {
        Ok(OutboxSettings { key: self.read_key()?, ..self.settings.clone() })
    }

    fn read_key(&self) -> Result<Option<StoreKey>, ConfiguredKeyError> {
        let (key, text) = match &self.key {
            KeySource::Absent => return Ok(None),
            KeySource::Given(secret) => ("store_key", secret.reveal().as_bytes().to_vec()),
            KeySource::File(path) => ("store_key_file", read_private("store_key_file", path)?),
            KeySource::Credential(name) => {
                const KEY: &str = "store_key_credential";
                let folder = std::env::var_os(CREDENTIALS)
                    .ok_or_else(|| ConfiguredKeyError::NoCredentials { name: name.clone() })?;
                let path = Path::new(&folder).join(name);
                // systemd has seen to the rights of this folder.
                (
                    KEY,
                    std::fs::read(&path).map_err(|source| ConfiguredKeyError::File {
                        key: KEY,
                        path,
                        source,
                    })?,
                )
            }
        };
        StoreKey::parse(&text).map(Some).map_err(|source| ConfiguredKeyError::NotAKey { key, source })
    }
}

fn read_private(key: &'static str, path: &Path) -> Result<Vec<u8>, ConfiguredKeyError> {
    use std::os::unix::fs::PermissionsExt;
    let fault = |source| ConfiguredKeyError::File { key, path: path.to_owned(), source };
    let about = std::fs::metadata(path).map_err(fault)?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(ConfiguredKeyError::Open { key, path: path.to_owned() });
    }
    std::fs::read(path).map_err(fault)
}

pub(super) fn check_store(check: &mut Check<'_>, raw: &RawGateway) -> StoreSection {
    if raw.replay_bytes >= raw.store_cap {
        let expected = format!("less than gateway.store_cap ({})", raw.store_cap);
        let remedy = "write a smaller replay_bytes or a larger store_cap below [gateway]";
        let value = raw.replay_bytes.to_string();
        check.faults.push(Fault::at_text("gateway.replay_bytes", &value, expected).remedy(remedy));
    }
    let lives = Retention {
        verdict: raw.verdict_life.0,
        telemetry: raw.telemetry_life.0,
        interval: raw.summary_interval.0,
    };
    for (name, life) in [("verdict_life", lives.verdict), ("telemetry_life", lives.telemetry)] {
        if let Some(life) = life.filter(|life| *life < MIN_LIFE) {
            let expected = format!(r#""never" or at least {}"#, crate::config::Span(MIN_LIFE));
            let key = format!("gateway.{name}");
            let remedy = format!("write {name} = \"1m\" or more, or \"never\"");
            check
                .faults
                .push(Fault::at_text(key, &crate::config::Span(life).to_string(), expected).remedy(remedy));
        }
    }
    let settings = OutboxSettings {
        dir: check.path(&raw.state_dir).join(STORE_FOLDER),
        cap_bytes: raw.store_cap.0,
        replay_age: raw.replay_age.0,
        replay_bytes: raw.replay_bytes.0,
        states_bytes: check_states_cap(check, raw),
        ballast_bytes: raw.ballast.0,
        drop_oldest: raw.when_full == RawWhenFull::DropOldest,
        lives: Lane::ALL.map(|lane| lives.of(lane)),
        key: None,
    };
    StoreSection { settings, key: check_key(check, raw), lives }
}

/// Of the store, learnt states may take this part by default, up to [`MAX_DEFAULT_STATES`].
const DEFAULT_STATES_PART: u64 = 8;
const MAX_DEFAULT_STATES: u64 = 256 << 20;

/// Bytes of learnt states that the store takes. Verdicts need the rest.
fn check_states_cap(check: &mut Check<'_>, raw: &RawGateway) -> u64 {
    let cap = raw.store_cap.0;
    let Some(states) = raw.states_cap else {
        return (cap / DEFAULT_STATES_PART).min(MAX_DEFAULT_STATES);
    };
    if states.0 > cap / 2 {
        let expected = format!("at most half of gateway.store_cap ({})", raw.store_cap);
        let remedy = format!("write states_cap = \"{}\" or less", crate::config::Size(cap / 2));
        check.faults.push(Fault::at_text("gateway.states_cap", &states.to_string(), expected).remedy(remedy));
    } else if raw.replay_bytes.0.saturating_add(states.0) > cap {
        check.warnings.push(Warning {
            key: "gateway.states_cap".to_owned(),
            remark: format!(
                "{states}, with gateway.replay_bytes ({}) more than gateway.store_cap ({}): the replay window will be \
                 shorter",
                raw.replay_bytes, raw.store_cap
            ),
        });
    }
    states.0
}

/// Below this a lost connection of a moment would already turn verdicts into summaries.
const MIN_LIFE: Duration = Duration::from_secs(60);

fn check_key(check: &mut Check<'_>, raw: &RawGateway) -> KeySource {
    let given = [
        ("store_key", raw.store_key.is_some()),
        ("store_key_file", raw.store_key_file.is_some()),
        ("store_key_credential", raw.store_key_credential.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let key = format!("gateway.{second}");
        check.faults.push(
            Fault::new(key, format!("a second key beside {first}"), "one of them")
                .remedy(format!("take {first} or {second} out")),
        );
    }
    match (&raw.store_key, &raw.store_key_file, &raw.store_key_credential) {
        (Some(RawSecret(text)), ..) => KeySource::Given(Secret::new(text.clone())),
        (_, Some(file), _) => KeySource::File(check.path(file)),
        (.., Some(name)) => {
            if name.contains('/') || name == ".." {
                let expected = "a name without slashes, as in LoadCredential=NAME:PATH";
                let remedy = "write the name alone, and the path in the unit of the service";
                check
                    .faults
                    .push(Fault::at_text("gateway.store_key_credential", name, expected).remedy(remedy));
            }
            KeySource::Credential(name.clone())
        }
        (None, None, None) => KeySource::Absent,
    }
}
