//! What a check has found, and how it is printed.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use verge_gateway::config::{Fault, Origins, Warning};
use verge_gateway::exit::Exit;
use verge_mqtt::ProbeReport;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct CheckStep {
    /// Section of the configuration.
    section: String,
    what: String,
    ok: bool,
    result: String,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct CheckReport {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    pub(super) steps: Vec<CheckStep>,
}

impl CheckReport {
    /// The gravest: what is wrong with the configuration comes before what it leads to.
    pub(super) fn exit(&self) -> Exit {
        if !self.faults.is_empty() {
            return Exit::BadConfig;
        }
        let failed = |exit: Exit| self.steps.iter().any(|step| !step.ok && step.exit == exit);
        [Exit::BadConfig, Exit::Temporary, Exit::Unavailable]
            .into_iter()
            .find(|exit| failed(*exit))
            .unwrap_or(Exit::Fine)
    }

    pub(super) fn note(
        &mut self,
        section: &str,
        what: impl Into<String>,
        outcome: Result<String, String>,
        exit: Exit,
    ) {
        let ok = outcome.is_ok();
        let result = outcome.unwrap_or_else(|reason| reason);
        self.steps.push(CheckStep { section: section.to_owned(), what: what.into(), ok, result, exit });
    }

    pub(super) fn note_probe(&mut self, section: &str, probe: ProbeReport) {
        for step in probe.steps {
            self.note(section, step.what, step.outcome, Exit::Unavailable);
        }
        for remark in probe.remarks {
            self.warnings.push(Warning { key: format!("{section}.{}", remark.key), remark: remark.text });
        }
    }
}

/// The report, with the place of each warning as faults have theirs.
pub(super) fn in_json(report: &CheckReport, origins: &Origins) -> anyhow::Result<serde_json::Value> {
    let mut json = serde_json::to_value(report)?;
    let warnings = json.get_mut("warnings").and_then(serde_json::Value::as_array_mut);
    for (json, warning) in warnings.into_iter().flatten().zip(&report.warnings) {
        let place = origins.place(&warning.key).map(serde_json::to_value).transpose()?;
        if let (Some(json), Some(serde_json::Value::Object(mut place))) = (json.as_object_mut(), place) {
            json.append(&mut place);
        }
    }
    Ok(json)
}

/// The place of the key that a reason begins with, if it begins with one.
fn place_of(reason: &str, origins: &Origins) -> String {
    let key = reason.split([' ', ':']).next().unwrap_or_default();
    let place = Some(key).filter(|key| key.contains('.')).and_then(|key| origins.describe(key));
    place.map_or_else(String::new, |place| format!(" ({place})"))
}

pub(super) fn print(
    file: &Path,
    report: &CheckReport,
    origins: &Origins,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for fault in &report.faults {
        writeln!(out, "FAULT    {fault}")?;
    }
    for warning in &report.warnings {
        let place = origins.describe(&warning.key).map_or_else(String::new, |place| format!("{place}: "));
        writeln!(out, "warning  {place}{warning}")?;
    }
    for step in &report.steps {
        let mark = if step.ok { "ok     " } else { "FAILED " };
        let place = if step.ok { String::new() } else { place_of(&step.result, origins) };
        writeln!(out, "{mark}  {}: {}: {}{place}", step.section, step.what, step.result)?;
    }
    let failed = report.steps.iter().filter(|step| !step.ok).count();
    let verdict = match (report.faults.len(), failed) {
        (0, 0) => match report.warnings.len() {
            0 => "is good".to_owned(),
            1 => "is good, with one warning".to_owned(),
            warnings => format!("is good, with {warnings} warnings"),
        },
        (0, failed) => format!("is well formed, and {failed} of the things it names cannot be used"),
        (1, _) => "has one fault".to_owned(),
        (faults, _) => format!("has {faults} faults"),
    };
    writeln!(out, "{} {verdict}", file.display()).context("standard output")
}
