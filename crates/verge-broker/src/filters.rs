//! What rumqttd's process remembers of its clients for as long as it runs: a log for each topic filter that it has seen.
//!
//! Shared by the guard, which lets filters and connections through, and the supervisor, which starts the process again with
//! smaller logs where there are many.

use std::collections::HashMap;
use std::str::Split;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Filters of one process, of all devices.
pub(crate) const MOST_FILTERS: usize = 4096;

/// The filters that the broker's process knows, and the connections that it has. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct KnownFilters(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Filters that were added.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// Processes that were started.
    start: u64,
    /// The last process that knew it.
    filters: HashMap<String, u64>,
    /// Of the present one.
    present: usize,
    levels: Levels,
    connections: usize,
    most_connections: usize,
}

/// The levels of all filters, as a tree.
#[derive(Debug, Default)]
struct Levels {
    below: HashMap<Box<str>, Self>,
    ends: bool,
}

/// A connection to the broker; counted while it lives.
#[derive(Debug)]
pub(crate) struct Connected(KnownFilters);

impl KnownFilters {
    /// Another process is about to start, which knows none.
    pub(crate) fn started(&self) {
        let mut known = self.lock();
        known.start += 1;
        known.present = 0;
        known.most_connections = known.connections;
    }

    /// Which process it is. Asked for when that has accepted a connection, so that none of that connection's filters counts as
    /// one of a process before.
    pub(crate) fn start(&self) -> u64 {
        self.lock().start
    }

    /// A connection to the process of this number subscribes to a filter. `false` where the process knows too many.
    pub(crate) fn note(&self, filter: &str, start: u64) -> bool {
        let mut known = self.lock();
        let before = known.filters.get(filter).copied();
        if before.is_some_and(|before| before >= start) {
            return true;
        }
        let is_present = start == known.start;
        if is_present && known.present >= MOST_FILTERS {
            return false;
        }
        known.present += usize::from(is_present);
        known.filters.insert(filter.to_owned(), start);
        if before.is_none() {
            known.levels.add(filter);
            if known.filters.len() > 2 * MOST_FILTERS {
                known.forget_earlier();
            }
            self.0.version.fetch_add(1, Ordering::Release);
        }
        true
    }

    /// Whether one of them matches a topic. One of an earlier process may be among them.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        self.lock().levels.matches(topic.split('/'))
    }

    /// Changes when there are others.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Of the present process.
    pub(crate) fn len(&self) -> usize {
        self.lock().present
    }

    /// One more connection.
    pub(crate) fn connect(&self) -> Connected {
        let mut known = self.lock();
        known.connections += 1;
        known.most_connections = known.most_connections.max(known.connections);
        drop(known);
        Connected(self.clone())
    }

    /// The most connections at a time since the process was started.
    pub(crate) fn most_connections(&self) -> usize {
        self.lock().most_connections
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_earlier(&mut self) {
        let start = self.start;
        self.filters.retain(|_, known| *known >= start);
        self.levels = Levels::default();
        self.filters.keys().for_each(|filter| self.levels.add(filter));
    }
}

impl Levels {
    fn add(&mut self, filter: &str) {
        let mut level = self;
        for name in filter.split('/') {
            level = level.below.entry(name.into()).or_default();
        }
        level.ends = true;
    }

    fn matches(&self, mut topic: Split<'_, char>) -> bool {
        if self.below.contains_key("#") {
            return true;
        }
        let Some(name) = topic.next() else { return self.ends };
        [name, "+"].iter().any(|name| self.below.get(*name).is_some_and(|below| below.matches(topic.clone())))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use verge_domain::filter;

    use super::*;

    #[test]
    fn filters_are_counted_for_one_process_and_kept_for_the_next() {
        let filters = KnownFilters::default();
        filters.started();
        let first = filters.start();
        assert!((0..MOST_FILTERS).all(|number| filters.note(&format!("a/{number}"), first)));
        assert!(!filters.note("b", first) && filters.note("a/7", first));
        assert_eq!(filters.len(), MOST_FILTERS);
        filters.started();
        assert_eq!(filters.len(), 0);
        assert!(filters.reads("a/7"), "the process before may still have a connection");
        assert!(filters.note("c", first), "of a connection that is about to end");
        let second = filters.start();
        assert!((0..MOST_FILTERS).all(|number| filters.note(&format!("b/{number}"), second)));
        assert!(!filters.note("d", second));
        assert_eq!((filters.len(), filters.reads("a/7"), filters.reads("b/7")), (MOST_FILTERS, false, true));
    }

    #[test]
    fn connections_are_counted_at_their_most() {
        let filters = KnownFilters::default();
        let (one, other) = (filters.connect(), filters.connect());
        drop(one);
        assert_eq!(filters.most_connections(), 2);
        filters.started();
        assert_eq!(filters.most_connections(), 1);
        drop(other);
    }

    fn text(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(levels), 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn a_topic_is_read_where_a_filter_matches_it(
            filters in proptest::collection::vec(text(&["a", "b", "", "+", "#"]), 0..6),
            topic in text(&["a", "b", ""]),
        ) {
            let known = KnownFilters::default();
            let valid = filters.iter().filter(|filter| filter::validate(filter).is_ok());
            let expected = valid.clone().any(|filter| filter::matches(filter, &topic));
            valid.for_each(|filter| assert!(known.note(filter, 0)));
            prop_assert_eq!(known.reads(&topic), expected, "{:?} {:?}", filters, topic);
        }
    }
}
