//! Columns that say in which state the machine of a judge was.

use std::collections::BTreeMap;

use anyhow::Context;
use verge_codec::{CodecSettings, DeviceRule, NumberSettings, SourceSettings};
use verge_domain::id::SignalId;
use verge_domain::reading::SourceIndex;
use verge_gateway::settings::{Carries, JudgeSection, Settings};
use verge_pipeline::judging::StateSignal;

use super::columns::{Of, Values};
use crate::cli::table::Table;

/// The signals that a judge depends on.
pub(super) struct StateColumns {
    signals: Vec<StateSignal>,
    /// What comes through another source than the table's is handed over as of that source.
    table: SourceIndex,
}

impl StateColumns {
    pub(super) fn of(judge: &JudgeSection, table: SourceIndex) -> Self {
        let mut signals: Vec<StateSignal> = Vec::new();
        for state in judge.states.signals() {
            if !signals.iter().any(|known| known.signal == state.signal) {
                signals.push(state.clone());
            }
        }
        Self { signals, table }
    }

    pub(super) fn signals(&self) -> impl Iterator<Item = &SignalId> {
        self.signals.iter().map(|state| &state.signal)
    }

    /// Whether a signal says in which state the machine is.
    pub(super) fn has(&self, signal: &SignalId) -> bool {
        self.signals().any(|known| known == signal)
    }

    /// The source of such a signal, where it is not that of the table.
    pub(super) fn source_of(&self, signal: &SignalId) -> Option<SourceIndex> {
        let state = self.signals.iter().find(|state| state.signal == *signal)?;
        Some(state.source).filter(|source| *source != self.table)
    }

    /// Adds the columns of these signals, which need not be among those that are judged.
    pub(super) fn add(
        &self,
        judge: &JudgeSection,
        table: &Table,
        values: &mut Vec<Values>,
    ) -> anyhow::Result<()> {
        for signal in self.signals() {
            if values.iter().any(|known| known.signals().contains(signal)) {
                continue;
            }
            let column = table.column(signal.as_str()).with_context(|| {
                format!("the judge {} depends on the state that the signal {signal} says", judge.name)
            })?;
            let time = values.first().map_or_else(Vec::new, |first| first.time.clone());
            let (of, decimal) = (Of::Signal(signal.clone()), table.decimal(column)?);
            values.push(Values { column, of, decimal, time, quality: None });
        }
        Ok(())
    }

    /// How cells of other sources are read: with the scale and the words of their source, and as of the device that
    /// sends the state, where that is another.
    pub(super) fn decode(
        &self,
        settings: &Settings,
        table: &SourceSettings,
        only: &mut [Option<SourceSettings>],
    ) {
        for state in &self.signals {
            if state.source == self.table {
                continue;
            }
            let position = usize::from(state.source.0);
            let mut read = table.clone();
            if let CodecSettings::Number(number) = &mut read.codec {
                let (scale, offset, words) =
                    match settings.sources.get(position).map(|source| &source.carries) {
                        Some(Carries::Readings(SourceSettings {
                            codec: CodecSettings::Number(own), ..
                        })) => (own.scale, own.offset, own.words.clone()),
                        _ => (1.0, 0.0, BTreeMap::new()),
                    };
                *number = NumberSettings { scale, offset, words, ..number.clone() };
            }
            if let Some(device) = &state.device {
                read.device = DeviceRule::Fixed(device.clone());
            }
            if let Some(slot) = only.get_mut(position) {
                *slot = Some(read);
            }
        }
    }
}
