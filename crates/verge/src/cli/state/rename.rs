//! Names that a file has for what is named otherwise here.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::Args;
use verge_domain::id::{DeviceId, SignalId, SourceId};
use verge_domain::verdict::Subject;

use super::file::LearntState;

/// What has another name here than in the file.
#[derive(Debug, Default, Args)]
pub(super) struct RenameArgs {
    /// A source that has another name here; may be given more than once, as the next two
    #[arg(long, value_name = "OLD=NEW")]
    source: Vec<OtherName>,
    /// A device that has another name here
    #[arg(long, value_name = "OLD=NEW")]
    device: Vec<OtherName>,
    /// A signal that has another name here
    #[arg(long, value_name = "OLD=NEW")]
    signal: Vec<OtherName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OtherName {
    old: String,
    new: String,
}

impl FromStr for OtherName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
        let (old, new) = named.ok_or("expected the name in the file and the one here, as in pump-1=P101")?;
        Ok(Self { old: old.to_owned(), new: new.to_owned() })
    }
}

impl RenameArgs {
    /// Gives the states of a file the names that they have here.
    pub(super) fn rename(&self, states: &mut [LearntState]) -> anyhow::Result<()> {
        for (what, names) in [("source", &self.source), ("device", &self.device), ("signal", &self.signal)] {
            let is_named = |old: &str, Subject { source, device, signal }: &Subject| match what {
                "source" => source.as_str() == old,
                "device" => device.as_str() == old,
                _ => signal.as_ref().is_some_and(|signal| signal.as_str() == old),
            };
            for (at, OtherName { old, .. }) in names.iter().enumerate() {
                if !states.iter().any(|state| is_named(old, &state.subject)) {
                    return Err(anyhow!("--{what} {old}=…: no {what} in the file is named {old:?}"));
                }
                if names[..at].iter().any(|before| before.old == *old) {
                    return Err(anyhow!("--{what} {old}=… is given twice"));
                }
            }
        }
        let mut before = HashMap::new();
        for state in states {
            let old = state.subject.clone();
            self.rename_one(&mut state.subject)?;
            let new = (state.subject.clone(), state.in_state.clone());
            if let Some(other) = before.insert(new, old.clone()) {
                let (other, old, new) = (words(&other), words(&old), words(&state.subject));
                return Err(anyhow!("{other} and {old} of the file would both become {new}"));
            }
        }
        Ok(())
    }

    fn rename_one(&self, subject: &mut Subject) -> anyhow::Result<()> {
        let new_name = |names: &[OtherName], old: &str| {
            names.iter().find(|name| name.old == old).map(|name| name.new.clone())
        };
        if let Some(new) = new_name(&self.source, subject.source.as_str()) {
            subject.source = SourceId::new(&new).with_context(|| format!("--source …={new}"))?;
        }
        if let Some(new) = new_name(&self.device, subject.device.as_str()) {
            subject.device = DeviceId::new(&new).with_context(|| format!("--device …={new}"))?;
        }
        let signal = subject.signal.as_ref();
        if let Some(new) = signal.and_then(|signal| new_name(&self.signal, signal.as_str())) {
            subject.signal = Some(SignalId::new(&new).with_context(|| format!("--signal …={new}"))?);
        }
        Ok(())
    }
}

fn words(Subject { source, device, signal }: &Subject) -> String {
    let signal = signal.as_ref().map_or_else(String::new, |signal| format!(" {signal}"));
    format!("{device}{signal} ({source})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<LearntState> {
        let state = |device: &str| LearntState {
            subject: Subject {
                source: SourceId::new("plc").unwrap(),
                device: DeviceId::new(device).unwrap(),
                signal: Some(SignalId::new("temp").unwrap()),
            },
            in_state: None,
            bytes: vec![1],
        };
        vec![state("pump-1"), state("pump-2")]
    }

    fn renamed(source: &[&str], device: &[&str], signal: &[&str]) -> Result<Vec<String>, String> {
        let names = |names: &[&str]| names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>();
        let names = RenameArgs { source: names(source)?, device: names(device)?, signal: names(signal)? };
        let mut states = states();
        names.rename(&mut states).map_err(|error| error.to_string())?;
        Ok(states.iter().map(|state| words(&state.subject)).collect())
    }

    #[test]
    fn what_has_another_name_here_is_found_under_it() {
        let none = renamed(&[], &[], &[]).unwrap();
        assert_eq!(none, ["pump-1 temp (plc)", "pump-2 temp (plc)"]);
        let all = renamed(&["plc=line-2"], &["pump-2=P=102"], &["temp=TI101"]).unwrap();
        assert_eq!(all, ["pump-1 TI101 (line-2)", "P=102 TI101 (line-2)"]);
        // Two names change places.
        let swapped = renamed(&[], &["pump-1=pump-2", "pump-2=pump-1"], &[]).unwrap();
        assert_eq!(swapped, ["pump-2 temp (plc)", "pump-1 temp (plc)"]);
    }

    #[test]
    fn a_name_that_fits_nothing_or_makes_two_one_is_refused() {
        let check = |device: &[&str], expected: &str| {
            assert_eq!(renamed(&[], device, &[]).unwrap_err(), expected);
        };
        check(&["pump-3=P103"], "--device pump-3=…: no device in the file is named \"pump-3\"");
        check(&["pump-1=a", "pump-1=b"], "--device pump-1=… is given twice");
        check(
            &["pump-1=pump-2"],
            "pump-1 temp (plc) and pump-2 temp (plc) of the file would both become pump-2 temp (plc)",
        );
        check(&["pump-1"], "expected the name in the file and the one here, as in pump-1=P101");
    }
}
