//! The passwords of a file of logins, for servers beside the dashboard.

use std::path::PathBuf;

use super::file::{AccessError, AccessFile, User};
use super::role::MAX_PASSWORD_BYTES;
use super::secret::PasswordHash;

/// A file as `verge users` writes it.
#[derive(Debug, Clone)]
pub struct PasswordFile(PathBuf);

impl PasswordFile {
    /// Those of this file. It is read when somebody logs in.
    #[must_use]
    pub const fn of_file(path: PathBuf) -> Self {
        Self(path)
    }

    /// Users with a password.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn count(&self) -> Result<usize, AccessError> {
        let file = AccessFile::load_file(&self.0)?;
        Ok(file.users.values().filter(|user| user.has_password()).count())
    }

    /// Whether this is the password of that user. Takes memory and time on purpose: never in a thread that others wait for.
    #[must_use]
    pub fn matches(&self, user: &str, password: &str) -> bool {
        if password.len() > MAX_PASSWORD_BYTES {
            return false;
        }
        let file = AccessFile::load_file(&self.0).unwrap_or_else(|error| {
            tracing::error!(%error, "nobody can log in with a password");
            AccessFile::default()
        });
        let proof = |user: &User| PasswordHash::read(user.password.as_ref()?);
        let known = file.users.get(user).and_then(proof);
        known.unwrap_or_else(PasswordHash::of_nobody).matches(password)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn a_password_is_that_of_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AccessFile::default();
        file.add("anna", Role::Viewer, Some("a long password")).unwrap();
        file.add("bert", Role::Viewer, None).unwrap();
        let passwords = PasswordFile::of_file(AccessFile::path(folder.path()));
        assert_eq!((passwords.matches("anna", "a long password"), passwords.count().unwrap()), (false, 0));
        file.save(folder.path()).unwrap();
        assert!(passwords.matches("anna", "a long password"));
        assert!(!passwords.matches("bert", "a long password") && !passwords.matches("anna", ""));
        assert_eq!(passwords.count().unwrap(), 1);
        std::fs::write(AccessFile::path(folder.path()), "[users").unwrap();
        assert!(!passwords.matches("anna", "a long password") && passwords.count().is_err());
    }
}
