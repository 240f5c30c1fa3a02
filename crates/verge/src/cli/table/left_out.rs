//! Parts of a file that are not used: for each kind the number, and the first.

use verge_domain::excerpt::Excerpt;

/// The kinds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum LeftKind {
    AboveHeader,
    BelowHeader,
    BelowValues,
    WithoutTime,
    UnreadTime,
    BadQuality,
    #[cfg(feature = "eval")]
    NoNumber,
}

impl LeftKind {
    /// In words, for one and for several.
    pub(in crate::cli) const fn words(self, count: u64) -> &'static str {
        let (one, several) = match self {
            Self::AboveHeader => ("line above the header", "lines above the header"),
            Self::BelowHeader => ("line between header and values", "lines between header and values"),
            Self::BelowValues => ("line below the values", "lines below the values"),
            Self::WithoutTime => ("row without a time", "rows without a time"),
            Self::UnreadTime => ("row whose time cannot be read", "rows whose time cannot be read"),
            Self::BadQuality => ("value of bad quality", "values of bad quality"),
            #[cfg(feature = "eval")]
            Self::NoNumber => ("cell that is no number", "cells that are no number"),
        };
        if count == 1 { one } else { several }
    }
}

/// What is left out of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Left {
    pub(in crate::cli) kind: LeftKind,
    pub(in crate::cli) count: u64,
    /// Line of the first.
    pub(in crate::cli) line: usize,
    /// The first itself.
    pub(in crate::cli) came: Excerpt,
}

/// All kinds, in the order in which they were first met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct LeftOut(Vec<Left>);

impl LeftOut {
    pub(in crate::cli) fn add(&mut self, kind: LeftKind, line: usize, text: &str) {
        match self.0.iter_mut().find(|left| left.kind == kind) {
            Some(left) => left.count += 1,
            None => self.0.push(Left { kind, count: 1, line, came: Excerpt::of(text.as_bytes()) }),
        }
    }

    /// What was left out later.
    pub(in crate::cli) fn append(&mut self, later: &Self) {
        self.0.extend_from_slice(&later.0);
    }

    pub(in crate::cli) fn kinds(&self) -> &[Left] {
        &self.0
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = if self.count > 1 { "first in " } else { "" };
        write!(f, "{} {} ({first}line {}: {})", self.count, self.kind.words(self.count), self.line, self.came)
    }
}
