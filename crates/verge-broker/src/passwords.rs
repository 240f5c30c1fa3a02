//! Logins of devices that cannot do certificates: `NAME:HASH`, a line each, as `mosquitto_passwd` writes them, or with
//! argon2id hashes.

use std::collections::HashMap;

use rumqttc::Login;
use tokio::sync::Semaphore;
use verge_tls::{MosquittoHash, PasswordHash};

/// Most logins.
const MAX_LOGINS: usize = 10_000;
/// Longest name and password that are looked at. MQTT allows 64 KiB of each.
const MAX_WORD_BYTES: usize = 256;
/// Passwords that are compared at the same time: each takes 20 ms of a core, and all share one memory.
static COMPARING: Semaphore = Semaphore::const_new(1);

/// All logins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerPasswords(HashMap<String, StoredPassword>);

/// What is stored of one password.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StoredPassword {
    Argon(PasswordHash),
    Mosquitto(MosquittoHash),
}

/// What is wrong with a file of logins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct PasswordsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what is expected. Never what stands there: it may be a password.
    pub fault: &'static str,
}

impl StoredPassword {
    fn read(text: &str) -> Option<Self> {
        let argon = PasswordHash::read(text).map(Self::Argon);
        argon.or_else(|| MosquittoHash::read(text).map(Self::Mosquitto))
    }

    fn matches(&self, password: &str) -> bool {
        match self {
            Self::Argon(hash) => hash.matches(password),
            Self::Mosquitto(hash) => hash.matches(password),
        }
    }
}

impl BrokerPasswords {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, PasswordsError> {
        let mut all = HashMap::new();
        for (line, number) in text.lines().zip(1..) {
            let fault = |fault| PasswordsError { line: number, fault };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or(fault("expected NAME:HASH"))?;
            if !is_name(name) {
                return Err(fault("a name has 1 to 128 bytes and none of + # / $ : @ or control characters"));
            }
            let stored = StoredPassword::read(hash).ok_or(fault(
                "expected a hash that begins with $argon2id$ or $7$, as `verge broker passwd` writes it",
            ))?;
            if all.insert(name.to_owned(), stored).is_some() {
                return Err(fault("this name stands there twice"));
            }
            if all.len() > MAX_LOGINS {
                return Err(fault("a file has at most 10000 logins"));
            }
        }
        Ok(Self(all))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those whose hash mosquitto has made, by name: it guards a short password less well.
    #[must_use]
    pub fn of_mosquitto(&self) -> Vec<&str> {
        let made = self.0.iter().filter(|(_, stored)| matches!(stored, StoredPassword::Mosquitto(_)));
        let mut names: Vec<&str> = made.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Whether a name has the same password in both.
    pub(crate) fn agrees_with(&self, before: &Self, name: &str) -> bool {
        self.0.get(name).is_some_and(|now| before.0.get(name) == Some(now))
    }

    /// The name of a client, where its password is right. A name that does not exist takes as long as one with an argon2id hash;
    /// hashes of mosquitto, and words that are too long, take another time, from which names may be guessed: none is a secret.
    pub(crate) async fn name_of(&self, login: Option<&Login>) -> Option<String> {
        let Login { username, password } = login?;
        if username.len() > MAX_WORD_BYTES || password.len() > MAX_WORD_BYTES {
            return None;
        }
        let stored = self.0.get(username).cloned();
        let (name, password) = (username.clone(), password.clone());
        // It is never closed.
        let turn = COMPARING.acquire().await.ok()?;
        let compared = tokio::task::spawn_blocking(move || {
            // Nobody waits for it any more where the client has left, but it still takes its memory and time.
            let _turn = turn;
            match stored {
                Some(stored) => stored.matches(&password),
                None => PasswordHash::of_nobody().matches(&password),
            }
        });
        compared.await.ok()?.then_some(name)
    }
}

/// Whether a name can be a client's: it becomes a client identifier, and a level of topics.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let odd = |character: char| character.is_control() || matches!(character, '+' | '#' | '/' | '$' | ':');
    (1..=128).contains(&name.len()) && !name.starts_with('@') && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_is_known_by_its_name_and_password() {
        let hash = PasswordHash::of("correct horse").unwrap().written();
        let mosquitto = "$7$101$BBI6q9U/G1rMxmuv$7Npf9C6kMuyrGkKJ7Vf6qYzy1wcDLldF++XdxRKvVYMADssUcrNVL5bulsn7i1EaRq1JEG+L+85PP+OzeMbgOQ==";
        let text = format!("# devices\npump-1:{hash}\n\nold:{mosquitto}\n");
        let all = BrokerPasswords::parse(&text).unwrap();
        assert_eq!((all.len(), all.of_mosquitto()), (2, vec!["old"]));
        let check = async |name: &str, password: &str, expected: bool| {
            let login = Login::new(name, password);
            assert_eq!(all.name_of(Some(&login)).await.is_some(), expected, "{name} {password}");
        };
        check("pump-1", "correct horse", true).await;
        check("pump-1", "correct", false).await;
        check("old", "correct", true).await;
        check("old", "", false).await;
        check("nobody", "", false).await;
        check(&"x".repeat(300), "", false).await;
        assert_eq!(all.name_of(None).await, None);
        let other = BrokerPasswords::parse(&format!("old:{mosquitto}\n")).unwrap();
        assert!(other.agrees_with(&all, "old") && !other.agrees_with(&all, "pump-1"));
    }

    #[test]
    fn what_is_no_login_is_named_by_its_line_alone() {
        let check = |text: &str, line: usize| {
            let error = BrokerPasswords::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        };
        check("pump-1", 1);
        check("# x\npump-1:secret", 2);
        check("pump/1:$7$", 1);
        let good = PasswordHash::of("x").unwrap().written();
        check(&format!("a:{good}\na:{good}"), 2);
    }
}
