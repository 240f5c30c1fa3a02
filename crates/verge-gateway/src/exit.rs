//! Exit codes, after sysexits.h: scripts and supervisors decide by them.

use std::fmt;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// A fault that none of the others describes.
    Failure,
    /// The command line is wrong.
    Usage,
    /// Input data are wrong.
    BadInput,
    /// A broker or another service cannot be reached or refuses.
    Unavailable,
    /// It may work later: another gateway holds the state, the disk is full.
    Temporary,
    /// The configuration is wrong.
    BadConfig,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::BadInput => 65,
            Self::Unavailable => 69,
            Self::Temporary => 75,
            Self::BadConfig => 78,
        }
    }

    /// The code that an error carries, else [`Exit::Failure`].
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Self>().copied().unwrap_or(Self::Failure)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "all is well",
            Self::Failure => "failed",
            Self::Usage => "wrong usage",
            Self::BadInput => "bad input data",
            Self::Unavailable => "service unavailable",
            Self::Temporary => "temporary fault",
            Self::BadConfig => "bad configuration",
        })
    }
}

/// Says how the program should end if this error ends it.
pub trait ExitWith<T> {
    /// Attaches the code, once.
    ///
    /// # Errors
    /// The same error, with the code.
    fn exit_with(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ExitWith<T> for Result<T, E> {
    fn exit_with(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            // Its words stand in front of the message: twice would be once too often.
            if error.downcast_ref() == Some(&exit) { error } else { error.context(exit) }
        })
    }
}

/// What an error says without its exit code.
#[must_use]
pub fn reason(error: &anyhow::Error) -> String {
    let code = Exit::of(error).to_string();
    let words = error.chain().map(ToString::to_string).filter(|words| *words != code);
    words.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn the_code_is_found_under_later_context() {
        let check = |error: anyhow::Error, code: u8| assert_eq!(Exit::of(&error).code(), code, "{error:#}");
        check(anyhow!("x"), 1);
        let coded = || Err::<(), _>(anyhow!("x")).exit_with(Exit::BadConfig);
        check(coded().unwrap_err(), 78);
        check(coded().context("while reading").unwrap_err(), 78);
        check(coded().exit_with(Exit::Temporary).unwrap_err(), 75);
        let twice = coded().exit_with(Exit::BadConfig).unwrap_err();
        assert_eq!(format!("{twice:#}"), "bad configuration: x");
    }
}
