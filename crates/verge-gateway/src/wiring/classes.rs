//! Which judges share a thread with which: rules that take microseconds never wait for those that take milliseconds.

use verge_anomaly::JudgeSettings;
use verge_codec::CodecSettings;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Checkpoint, Scope};
use verge_pipeline::judging::{InputPattern, subject_of};

use crate::settings::{Carries, JudgeRules, JudgeSection, Overload, ReadingRules, Rule, Settings};

/// How much time a judge needs for what it looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JudgeClass {
    /// Microseconds for a reading.
    Prompt,
    /// It judges blocks of samples, or asks a model.
    Bulk,
}

/// How the judges and sources of a configuration are divided. A source that both classes look at comes to each by a
/// connection of its own.
pub(crate) struct Classes<'a> {
    settings: &'a Settings,
}

impl<'a> Classes<'a> {
    pub(crate) const fn of(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// The class in which a judge looks at a source. A judge that watches a whole device belongs to one class with all
    /// that it looks at.
    pub(crate) fn class_of(&self, rules: &ReadingRules, source: SourceIndex) -> JudgeClass {
        let is_dear = match &rules.rule {
            Rule::Autoencoder { .. } | Rule::Plain(JudgeSettings::Vibration(..)) => true,
            Rule::Plain(_) if scope_of(rules) == Scope::Device => {
                rules.inputs.iter().any(|input| self.is_of_blocks(input.source))
            }
            Rule::Plain(_) => self.is_of_blocks(source),
        };
        if is_dear { JudgeClass::Bulk } else { JudgeClass::Prompt }
    }

    fn is_of_blocks(&self, source: SourceIndex) -> bool {
        let source = self.settings.sources.get(usize::from(source.0));
        source.is_some_and(|source| match &source.carries {
            Carries::Readings(codec) => matches!(codec.codec, CodecSettings::Samples(_)),
            Carries::Frames(_) => false,
        })
    }

    /// What a judge of this class looks at.
    pub(super) fn inputs(&self, class: JudgeClass, rules: &ReadingRules) -> Vec<InputPattern> {
        let inputs = rules.inputs.iter();
        inputs.filter(|input| self.class_of(rules, input.source) == class).cloned().collect()
    }

    /// Whether readings of a source come to this class.
    pub(crate) fn receives(&self, class: JudgeClass, source: SourceIndex) -> bool {
        let judges = self.settings.judges.iter().filter_map(JudgeSection::readings);
        let looking = judges
            .flat_map(|rules| rules.inputs.iter().map(move |input| (rules, input.source)))
            .filter(|(_, looked_at)| *looked_at == source)
            .map(|(rules, source)| self.class_of(rules, source));
        let mut looking = looking.chain(self.classes_that_need(source)).peekable();
        match class {
            JudgeClass::Bulk => {
                self.is_of_blocks(source) || looking.any(|looking| looking == JudgeClass::Bulk)
            }
            JudgeClass::Prompt if self.is_of_blocks(source) => false,
            // What no judge looks at is decoded and counted all the same.
            JudgeClass::Prompt => {
                looking.peek().is_none() || looking.any(|looking| looking == JudgeClass::Prompt)
            }
        }
    }

    /// The classes of judges that depend on a state which this source reports.
    fn classes_that_need(&self, source: SourceIndex) -> impl Iterator<Item = JudgeClass> + '_ {
        let judges = self.settings.judges.iter();
        let needing = judges.filter(move |judge| judge.states.signals().any(|state| state.source == source));
        needing.flat_map(|judge| match &judge.rules {
            JudgeRules::Readings(rules) => {
                rules.inputs.iter().map(|input| self.class_of(rules, input.source)).collect()
            }
            JudgeRules::Frames(_) => vec![JudgeClass::Prompt],
        })
    }

    /// Sources of readings that come to bulk judges alone.
    pub(super) fn is_bulk_alone(&self, source: SourceIndex) -> bool {
        self.receives(JudgeClass::Bulk, source) && !self.receives(JudgeClass::Prompt, source)
    }

    /// Whether there is anything for this class.
    pub(super) fn has_bulk(&self) -> bool {
        self.readings().any(|(source, _)| self.receives(JudgeClass::Bulk, source))
    }

    fn readings(&self) -> impl Iterator<Item = (SourceIndex, &'a crate::settings::SourceSection)> + use<'a> {
        let sources = (0..).map(SourceIndex).zip(&self.settings.sources);
        sources.filter(|(_, source)| matches!(source.carries, Carries::Readings(_)))
    }

    /// Filters of the sources of readings that a connection subscribes to.
    pub(super) fn filters(
        &self,
        wanted: impl Fn(SourceIndex, Overload) -> bool,
    ) -> Vec<(SourceIndex, String)> {
        self.readings()
            .filter(|(index, source)| wanted(*index, source.overload))
            .map(|(index, source)| (index, source.filter.clone()))
            .collect()
    }

    /// What was saved of the judges of a class. Maintenance windows are those of both; what belongs to no judge
    /// any more is cleared by the prompt class.
    pub(super) fn saved(&self, class: JudgeClass, checkpoints: &[Checkpoint]) -> Vec<Checkpoint> {
        let owned = |checkpoint: &&Checkpoint| {
            let Some((judge, source)) = subject_of(checkpoint) else { return true };
            let judge = self.settings.judges.iter().find(|known| known.name == judge);
            let source = (0..).zip(&self.settings.sources).find(|(_, known)| known.name == source);
            let rules = judge.and_then(JudgeSection::readings).zip(source);
            let owner = rules
                .map_or(JudgeClass::Prompt, |(rules, (index, _))| self.class_of(rules, SourceIndex(index)));
            owner == class
        };
        checkpoints.iter().filter(owned).cloned().collect()
    }
}

/// What one instance of a judge watches. Expected devices are watched as a whole: they have no signal before they are
/// first received.
pub(crate) fn scope_of(rules: &ReadingRules) -> Scope {
    match rules {
        rules if !rules.expect.is_empty() => Scope::Device,
        rules if rules.arrivals => Scope::Camera,
        rules => rules.rule.scope(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const HEAD: &str = r#"
        [gateway]
        id = "g"
        state_dir = "state"
        [local]
        url = "mqtt://localhost:1883"
        [uplink.centre]
        url = "mqtt://localhost:1883"
        insecure_plaintext = true
        [source.alone]
        topic = "alone"
        codec = "number"
        device = "fixed:alone"
        signal = "s"
        [source.plant]
        topic = "plant/+"
        codec = "number"
        device = "topic:1"
        signal = "s"
        [source.blocks]
        topic = "blocks/+"
        codec = "samples_f32"
        device = "topic:1"
        signal = "s"
        [source.newest]
        topic = "newest/+"
        codec = "samples_i16"
        device = "topic:1"
        signal = "s"
        overload = "newest"
        [judge.alone]
        detector = "threshold"
        inputs = ["alone"]
        above = 1
    "#;

    fn settings(judges: &str) -> Settings {
        let loaded = config::parse(format!("{HEAD}{judges}"), Path::new("/gateway.toml"), []);
        assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
        Settings::check(&loaded.raw).unwrap()
    }

    /// Names of the sources that come to each class.
    #[track_caller]
    fn check(judges: &str, prompt: &[&str], bulk: &[&str]) {
        let settings = settings(judges);
        let classes = Classes::of(&settings);
        for (class, expected) in [(JudgeClass::Prompt, prompt), (JudgeClass::Bulk, bulk)] {
            let received = classes.filters(|source, _| classes.receives(class, source));
            let names: Vec<&str> = received
                .iter()
                .map(|(source, _)| settings.sources[usize::from(source.0)].name.as_str())
                .collect();
            assert_eq!(names, expected, "{class:?}");
        }
    }

    #[test]
    fn blocks_and_what_watches_them_are_apart_from_rules() {
        check("", &["alone", "plant"], &["blocks", "newest"]);
        let rule = r#"
            [judge.high]
            detector = "threshold"
            inputs = ["plant", "blocks"]
            above = 1
        "#;
        check(rule, &["alone", "plant"], &["blocks", "newest"]);
        // One instance for all that a device has: it goes where the blocks go.
        let expected = r#"
            [judge.silent]
            detector = "silence"
            inputs = ["plant", "blocks"]
            expect = ["pump"]
            after = "1m"
        "#;
        check(expected, &["alone"], &["plant", "blocks", "newest"]);
        check(&format!("{rule}{expected}"), &["alone", "plant"], &["plant", "blocks", "newest"]);
        let vibration = r#"
            [judge.bearing]
            detector = "vibration"
            inputs = ["plant"]
            sample_rate = 1000
            block = 256
        "#;
        check(vibration, &["alone"], &["plant", "blocks", "newest"]);
    }

    #[test]
    fn what_was_saved_goes_to_the_class_that_judges_it() {
        let settings = settings(
            r#"
            [judge.high]
            detector = "threshold"
            inputs = ["plant", "blocks"]
            above = 1
            "#,
        );
        let classes = Classes::of(&settings);
        let saved: Vec<Checkpoint> = [
            ["state", "high", "plant", "pump", "s"],
            ["state", "high", "blocks", "pump", "s"],
            ["events", "former", "blocks", "pump", "s"],
            ["maintenance", "", "", "pump", ""],
        ]
        .map(|parts| Checkpoint { key: parts.join("\u{1f}"), state: Some(Vec::new()) })
        .to_vec();
        let of = |class| {
            let own = classes.saved(class, &saved);
            own.iter().map(|own| saved.iter().position(|one| one.key == own.key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(JudgeClass::Prompt), [0, 2, 3]);
        assert_eq!(of(JudgeClass::Bulk), [1, 3]);
    }
}
