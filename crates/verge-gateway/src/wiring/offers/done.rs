//! Orders that were given, by their ids: one that comes again (a duplicate of MQTT, also after a restart) is answered as before and
//! not carried out twice.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use verge_domain::model_order::ModelAnswer;
use verge_models::store::FACTORY;
use verge_tls::replace_file;

use super::book::PRIVATE;

/// Orders that are remembered; the oldest makes room.
const MAX_KNOWN: usize = 64;
/// A report that is longer is not remembered: the order still is.
const MAX_REPORT: usize = 4 * 1024;
/// Bytes of all of them at most, ids and names of their full length included.
const MAX_BYTES: u64 = 512 * 1024;
/// Their file, beside the models.
const FILE: &str = "orders.json";

/// An order: where it came in, its id, and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderKey {
    pub(super) door: String,
    pub(super) id: String,
    /// Such as `promote parts active`: an id that is used again for something else is another order.
    pub(super) what: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownOrder {
    key: OrderKey,
    /// The version that it was about when it came first: it is about no other one later.
    version: String,
    /// What was answered, once it was carried out.
    done: Option<DoneOrder>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneOrder {
    state: String,
    report: String,
}

/// What is known of an order when it comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is carried out, if its model still has this version where it had it.
    With(String),
    /// It was.
    Before(ModelAnswer),
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(super) struct OrderBook {
    known: VecDeque<KnownOrder>,
    file: PathBuf,
}

/// States of answers, by their words.
const STATES: [&str; 3] = ["promoted", "rolled_back", "staged"];

impl OrderKey {
    pub(super) fn new(door: &str, id: String, what: String) -> Self {
        Self { door: door.to_owned(), id, what }
    }
}

impl OrderBook {
    /// Those on the disk, in this folder. What cannot be read is forgotten, and said.
    pub(super) fn load(folder: &Path) -> Self {
        let file = folder.join(FILE);
        let read = || -> io::Result<VecDeque<KnownOrder>> {
            let found = file.symlink_metadata()?;
            if !found.is_file() || found.len() > MAX_BYTES {
                return Err(io::Error::other("it is no file of orders"));
            }
            Ok(serde_json::from_slice(&fs::read(&file)?)?)
        };
        let mut known = read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %file.display(), %error, "orders about models that were carried out before are not known");
            }
            VecDeque::new()
        });
        known.truncate(MAX_KNOWN);
        Self { known, file }
    }

    /// An order comes; `version` gives the one that it is about, should it be new. That is durable before it is carried out.
    pub(super) fn begin(&mut self, key: &OrderKey, version: impl FnOnce() -> String) -> Begun {
        if let Some(answer) = self.answer(key) {
            return Begun::Before(answer);
        }
        if let Some(known) = self.known.iter().find(|known| known.key == *key) {
            return Begun::With(known.version.clone());
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        let version = version();
        self.known.push_back(KnownOrder { key: key.clone(), version: version.clone(), done: None });
        self.keep();
        Begun::With(version)
    }

    /// It was carried out.
    pub(super) fn end(&mut self, key: &OrderKey, answer: &ModelAnswer) {
        let ModelAnswer::Done { state, report, .. } = answer else { return };
        let report = if report.len() > MAX_REPORT { "null" } else { report };
        let done = Some(DoneOrder { state: (*state).to_owned(), report: report.to_owned() });
        match self.known.iter_mut().find(|known| known.key == *key) {
            Some(known) => known.done = done,
            None => {
                if self.known.len() >= MAX_KNOWN {
                    self.known.pop_front();
                }
                self.known.push_back(KnownOrder { key: key.clone(), version: String::new(), done });
            }
        }
        self.keep();
    }

    /// It could not be carried out for now, and was about no version yet: where it comes again, it is about what is there then.
    pub(super) fn forget(&mut self, key: &OrderKey) {
        let before = self.known.len();
        self.known.retain(|known| known.key != *key || known.version != FACTORY || known.done.is_some());
        if self.known.len() < before {
            self.keep();
        }
    }

    /// What was answered to an order that was carried out before.
    pub(super) fn answer(&self, key: &OrderKey) -> Option<ModelAnswer> {
        let done = self.known.iter().find(|known| known.key == *key)?.done.as_ref()?;
        let state = STATES.into_iter().find(|state| *state == done.state)?;
        Some(ModelAnswer::Done { state, report: done.report.clone(), repeated: true })
    }

    /// A full disk keeps no rollback from its work: it is remembered for as long as the gateway runs then.
    fn keep(&self) {
        let written = serde_json::to_vec(&self.known)
            .map_err(io::Error::from)
            .and_then(|bytes| replace_file(&self.file, &bytes, PRIVATE));
        if let Err(error) = written {
            tracing::warn!(path = %self.file.display(), %error, "an order about models is not remembered beyond a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, what: &str) -> OrderKey {
        OrderKey { door: "uplink wan".to_owned(), id: id.to_owned(), what: what.to_owned() }
    }

    fn done(state: &'static str, repeated: bool) -> ModelAnswer {
        ModelAnswer::Done { state, report: r#"{"active":"1-a"}"#.to_owned(), repeated }
    }

    #[test]
    fn an_order_about_no_version_that_must_wait_is_about_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = OrderBook::load(folder.path());
        let promote = key("a", "promote parts active");
        assert_eq!(book.begin(&promote, || FACTORY.to_owned()), Begun::With(FACTORY.to_owned()));
        book.forget(&promote);
        let mut book = OrderBook::load(folder.path());
        assert_eq!(book.begin(&promote, || "3-c".to_owned()), Begun::With("3-c".to_owned()));
        // With a version it stays one about that.
        book.forget(&promote);
        assert_eq!(book.begin(&promote, || panic!("it is known")), Begun::With("3-c".to_owned()));
    }

    #[test]
    fn an_order_that_comes_again_is_answered_as_before_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = OrderBook::load(folder.path());
        let rollback = key("a", "rollback parts");
        assert_eq!(book.begin(&rollback, || "2-b".to_owned()), Begun::With("2-b".to_owned()));
        // The gateway is killed before it knows what came of it: the order stays one about that version.
        let mut book = OrderBook::load(folder.path());
        assert_eq!(book.begin(&rollback, || panic!("it is known")), Begun::With("2-b".to_owned()));
        book.end(&rollback, &done("rolled_back", false));
        for mut book in [OrderBook::load(folder.path()), book] {
            assert_eq!(
                book.begin(&rollback, || panic!("it is known")),
                Begun::Before(done("rolled_back", true))
            );
            assert_eq!(book.answer(&rollback), Some(done("rolled_back", true)));
            // Another door, another id, another order.
            let other = OrderKey { door: "uplink lan".to_owned(), ..rollback.clone() };
            for other in [
                other,
                key("b", "rollback parts"),
                key("a", "rollback doors"),
                key("a", "promote parts active"),
            ] {
                assert_eq!(
                    book.begin(&other, || "3-c".to_owned()),
                    Begun::With("3-c".to_owned()),
                    "{other:?}"
                );
            }
        }
    }

    #[test]
    fn orders_that_are_remembered_are_bounded_and_what_cannot_be_read_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = OrderBook::load(folder.path());
        for number in 0..200 {
            let key = key(&format!("{number}{}", "x".repeat(250)), "rollback parts");
            book.begin(&key, || "1-a".to_owned());
            let report = "y".repeat(100_000);
            book.end(&key, &ModelAnswer::Done { state: "rolled_back", report, repeated: false });
        }
        let bytes = folder.path().join(FILE).metadata().unwrap().len();
        assert!(bytes < MAX_BYTES / 2, "{bytes}");
        assert_eq!(OrderBook::load(folder.path()).known.len(), MAX_KNOWN);
        for damage in ["", "[{", "{}", "[{\"key\": 1}]"] {
            fs::write(folder.path().join(FILE), damage).unwrap();
            assert!(OrderBook::load(folder.path()).known.is_empty(), "{damage}");
        }
        // A folder that cannot be written: a rollback is carried out all the same.
        let mut book = OrderBook::load(Path::new("/proc/none"));
        assert_eq!(
            book.begin(&key("a", "rollback parts"), || "1-a".to_owned()),
            Begun::With("1-a".to_owned())
        );
    }
}
