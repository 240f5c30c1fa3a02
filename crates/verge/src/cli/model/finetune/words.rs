//! What is printed.

use std::io::Write;

use anyhow::Context;
use serde_json::{Value, json};
use verge_gateway::exit::Exit;

use super::super::super::output::json_line;

/// Nothing is written, and why.
pub(super) fn refused(
    reason: String,
    mut report: Value,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if as_json {
        report["refused"] = json!(reason);
        json_line(out, &report)?;
    } else {
        writeln!(out, "refused, nothing is written: {reason}").context("standard output")?;
    }
    Ok(Exit::Failure)
}

/// The report, for people.
pub(super) fn print(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    let counts = report["counts"].as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(class, count)| format!("{class} {count}")).collect();
    writeln!(out, "pictures          {} ({})", report["samples"], counts.join(", "))?;
    let dropped = &report["dropped"];
    writeln!(
        out,
        "left out          {} doubles, {} damaged, {} blurred",
        dropped["duplicate"], dropped["damaged"], dropped["blurred"]
    )?;
    let taps = report["tap"].as_array().into_iter().flatten().filter_map(Value::as_str);
    writeln!(out, "head behind       {}", taps.collect::<Vec<_>>().join(" and "))?;
    for (what, key) in
        [("cross-validation", "cross_validation"), ("of before", "rehearsal"), ("hold-out", "hold_out")]
    {
        if report[key].is_object() {
            let (top1, low, high) = (
                number(&format!("/{key}/top1")),
                number(&format!("/{key}/low")),
                number(&format!("/{key}/high")),
            );
            let old = report[key]["drop"]["old"].as_f64().map(|old| format!("; the old model {old:.1} %"));
            writeln!(
                out,
                "{what:<17} {top1:.1} % right (95 %: from {low:.1}, to {high:.1}){}",
                old.unwrap_or_default()
            )?;
        }
    }
    let (before, after) = (number("/before/cpu_ms"), number("/after/cpu_ms"));
    if before > 0.0 {
        writeln!(out, "CPU of a frame    {after:.2} ms instead of {before:.2}")?;
    }
    writeln!(out, "bytes             {} instead of {}", report["after"]["bytes"], report["before"]["bytes"])?;
    writeln!(out, "written           {}", report["card"].as_str().unwrap_or_default())
}
