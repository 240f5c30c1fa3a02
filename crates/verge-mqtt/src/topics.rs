//! From topic to source.

use std::collections::HashMap;

use verge_domain::filter::{self, CANARY_TOPIC};
use verge_domain::reading::SourceIndex;

/// Topics remembered with their source. When a peer invents more, the memory starts again: then matching costs
/// time, never space.
const MAX_REMEMBERED: usize = 4096;

/// Finds the source whose filter takes a topic; the first of them where several do.
#[derive(Debug)]
pub(crate) struct TopicMap {
    filters: Vec<(SourceIndex, String)>,
    remembered: HashMap<String, Option<SourceIndex>>,
}

impl TopicMap {
    pub(crate) fn new(filters: Vec<(SourceIndex, String)>) -> Self {
        Self { filters, remembered: HashMap::new() }
    }

    /// Adds filters behind the others.
    pub(crate) fn add(&mut self, filters: &[(SourceIndex, String)]) {
        self.filters.extend_from_slice(filters);
    }

    pub(crate) fn source_of(&mut self, topic: &str) -> Option<SourceIndex> {
        if let Some(&source) = self.remembered.get(topic) {
            return source;
        }
        let takes = |filter: &str| topic != CANARY_TOPIC && filter::matches(filter, topic);
        let source = self.filters.iter().find(|(_, filter)| takes(filter)).map(|&(source, _)| source);
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(topic.to_owned(), source);
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_source_takes_a_topic_and_memory_is_bounded() {
        let filters = [(0, "plant/+/level"), (1, "plant/#"), (2, "road/+"), (3, "+")];
        let mut topics =
            TopicMap::new(filters.map(|(index, filter)| (SourceIndex(index), filter.to_owned())).to_vec());
        for _ in 0..2 {
            let mut check = |topic: &str, expected: Option<u16>| {
                assert_eq!(topics.source_of(topic), expected.map(SourceIndex), "{topic}");
            };
            check("plant/tank/level", Some(0));
            check("plant/tank/flow", Some(1));
            check("road/1", Some(2));
            check("road/1/2", None);
            check("road", Some(3));
            check(CANARY_TOPIC, None);
        }
        for invented in 0..3 * MAX_REMEMBERED {
            assert_eq!(topics.source_of(&format!("road/{invented}")), Some(SourceIndex(2)));
            assert!(topics.remembered.len() <= MAX_REMEMBERED);
        }
    }
}
