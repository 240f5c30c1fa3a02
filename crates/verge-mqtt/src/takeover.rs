//! Whether a broker closes connections as it does when another client connects under the same client identifier.

use std::time::Duration;

use crate::words::{CLOSED, RESET};

/// A connection that lasted longer was not closed for another that fights for the name.
const SHORT: Duration = Duration::from_secs(30);
/// This number of short connections in a row is a pattern.
const ROW: u8 = 3;

/// Connections in a row that stood for a short time before the broker closed them.
#[derive(Debug, Default)]
pub(crate) struct Takeovers {
    row: u8,
}

impl Takeovers {
    /// An attempt failed or a connection broke. `stood`: for how long, where the broker closed it with nothing
    /// unanswered. Says what the pattern suggests, once there is one. A broker that stopped closes once and is then not
    /// reached.
    pub(crate) fn lost(&mut self, stood: Option<Duration>, client_id: &str) -> Option<String> {
        if stood.is_none_or(|stood| stood >= SHORT) {
            self.row = 0;
            return None;
        }
        self.row = self.row.saturating_add(1);
        (self.row >= ROW).then(|| {
            format!(
                "{} times in a row within {} s of accepting it, as brokers do when another client connects under the same \
                 client_id ({client_id}): does a second gateway of this id run, or a tool under this client_id? Stop it, or \
                 give one of them another gateway.id or client_id",
                self.row,
                SHORT.as_secs()
            )
        })
    }

    /// The same, for a reason in words.
    pub(crate) fn explained(&mut self, reason: String, stood: Option<Duration>, client_id: &str) -> String {
        let stood = stood.filter(|_| reason == CLOSED || reason == RESET);
        match self.lost(stood, client_id) {
            Some(pattern) => format!("{reason} {pattern}"),
            None => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_client_is_suspected_only_by_the_pattern() {
        let (short, long) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(60)));
        let check = |history: &[Option<Duration>], expected: bool| {
            let mut takeovers = Takeovers::default();
            let last = history.iter().fold(None, |_, stood| takeovers.lost(*stood, "verge-g"));
            assert_eq!(last.is_some(), expected, "{history:?}: {last:?}");
        };
        check(&[short], false);
        check(&[short, short], false);
        check(&[short, short, short], true);
        check(&[short, short, short, short], true);
        // A broker that is started again and again is not reached in between.
        check(&[short, None, short, None, short], false);
        check(&[short, short, long, short], false);
        let mut takeovers = Takeovers::default();
        let mut lost = |reason: &str| takeovers.explained(reason.to_owned(), short, "verge-g");
        assert_eq!(lost(CLOSED), CLOSED);
        assert_eq!(lost("nothing listens there"), "nothing listens there");
        assert_eq!(lost(CLOSED), CLOSED);
        assert_eq!(lost(RESET), RESET);
        assert!(lost(CLOSED).contains("client_id (verge-g)"));
    }
}
