//! What logins may do, and how they are named.

use serde::{Deserialize, Serialize};

verge_domain::words! {
    /// What a login may do. Each may do what those before it may.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Role {
        /// To see.
        Viewer = "viewer",
        /// To acknowledge, shelve and label as well.
        Operator = "operator",
        /// To do everything.
        Admin = "admin",
    }
}

/// Longest name of a login, in bytes: it is part of who did what in verdicts.
const MAX_LOGIN_BYTES: usize = 64;
/// Shortest password, in characters.
const MIN_PASSWORD_CHARS: usize = 12;
/// Longest password, in bytes: each is hashed.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1024;
/// Longest label of a token, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// Why a name, a password or a label cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The name of a login.
    #[error(
        "the name {0:?} cannot be used: expected 1 to {MAX_LOGIN_BYTES} letters, digits and any of . _ - @, such as \"anna\""
    )]
    Name(String),
    /// A password that is too short.
    #[error("the password has {0} characters, expected {MIN_PASSWORD_CHARS} at least: take several words")]
    Short(usize),
    /// A password that is too long.
    #[error("the password has {0} bytes, expected {MAX_PASSWORD_BYTES} at most")]
    Long(usize),
    /// The label of a token.
    #[error(
        "the label {0:?} cannot be used: expected 1 to {MAX_LABEL_BYTES} bytes without control characters, such as \"prometheus\""
    )]
    Label(String),
}

/// Checks the name of a login.
pub(crate) fn check_name(name: &str) -> Result<(), LoginError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let is_name = !name.is_empty() && name.len() <= MAX_LOGIN_BYTES && name.bytes().all(fits);
    if is_name { Ok(()) } else { Err(LoginError::Name(name.to_owned())) }
}

/// Checks a new password.
pub(crate) fn check_password(password: &str) -> Result<(), LoginError> {
    let chars = password.chars().count();
    if chars < MIN_PASSWORD_CHARS {
        return Err(LoginError::Short(chars));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(LoginError::Long(password.len()));
    }
    Ok(())
}

/// Checks the label of a token.
pub(crate) fn check_label(label: &str) -> Result<(), LoginError> {
    let is_label =
        !label.is_empty() && label.len() <= MAX_LABEL_BYTES && !label.chars().any(char::is_control);
    if is_label { Ok(()) } else { Err(LoginError::Label(label.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_passwords_and_labels_are_checked() {
        assert!(check_name("anna.b@plant-7_x").is_ok());
        for odd in ["", "a b", "ä", "<b>", "a/b", &"x".repeat(65)] {
            assert_eq!(check_name(odd), Err(LoginError::Name(odd.to_owned())));
        }
        assert_eq!(check_password("elevenchars"), Err(LoginError::Short(11)));
        assert!(check_password("twelve chars").is_ok() && check_password("ääääääääääää").is_ok());
        assert_eq!(check_password(&"x".repeat(1025)), Err(LoginError::Long(1025)));
        assert!(check_label("Grafana at the centre").is_ok());
        assert!(check_label("").is_err() && check_label("a\nb").is_err());
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
