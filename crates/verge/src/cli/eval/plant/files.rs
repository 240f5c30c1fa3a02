//! A plant as files, to be judged by other commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use verge_eval::plant::tags::TAGS;
use verge_eval::plant::{Plant, PlantReading, PlantRun};
use verge_gateway::exit::{Exit, ExitWith};

use crate::cli::eval::write_file;
use crate::cli::output::Progress;
use crate::cli::say;
use crate::describe;
use verge_domain::time::UtcMillis;

/// Writes a plant as a recording, a table for each device, its faults, and a configuration that reads it.
pub(super) fn write(folder: &Path, mut plant: Plant, run: PlantRun, config: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    write_file(&folder.join("verge.toml"), config, "configuration")?;
    write_file(&folder.join("faults.csv"), &faults(&plant), "faults")?;
    write_readings(folder, &mut plant, run).exit_with(Exit::Failure)
}

/// As RFC 3339 has it.
fn iso(millis: i64) -> String {
    describe::stamp(UtcMillis(millis)).replacen(' ', "T", 1)
}

fn faults(plant: &Plant) -> String {
    let mut text = String::from("device,signal,kind,from,to,off\n");
    for fault in plant.faults() {
        let tag = &TAGS[fault.tag];
        let [from, to] = [fault.from_s, fault.to_s].map(|at_s| iso(at_s * 1000));
        let (kind, off) = (fault.kind.as_str(), fault.off + 0.0);
        writeln!(text, "{},{},{kind},{from},{to},{off:.2}", tag.device, tag.signal).expect("text takes text");
    }
    text
}

fn write_readings(folder: &Path, plant: &mut Plant, run: PlantRun) -> anyhow::Result<()> {
    let create = |name: &str| {
        let path = folder.join(name);
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(BufWriter::new(file))
    };
    let mut recording = create("plant.jsonl")?;
    let mut tables = BTreeMap::new();
    for device in TAGS.chunk_by(|one, next| one.device == next.device) {
        // Devices whose tags stand apart have one table all the same.
        let name = device[0].device;
        if !tables.contains_key(name) {
            let mut table = create(&format!("{name}.csv"))?;
            let signals = TAGS.iter().filter(|tag| tag.device == name).map(|tag| tag.signal);
            writeln!(table, "time,{}", signals.collect::<Vec<_>>().join(","))?;
            tables.insert(name, table);
        }
    }
    let mut progress = Progress::new();
    let mut step = Vec::new();
    let mut steps = 0_i64;
    while plant.read(&mut step).is_some() {
        steps += 1;
        if steps % 10_000 == 0 {
            progress.show(&format!(
                "{} of {} readings of each tag",
                steps,
                run.days() * 86_400 / run.interval_s()
            ))?;
        }
        let mut messages = Vec::new();
        for (name, table) in &mut tables {
            let of_device: Vec<&PlantReading> =
                step.iter().filter(|reading| TAGS[reading.tag].device == *name).collect();
            let Some(last) = of_device.last() else { continue };
            let tags = TAGS.iter().enumerate().filter(|(_, tag)| tag.device == *name);
            let value_of = |index: usize| {
                of_device.iter().find(|reading| reading.tag == index).map(|reading| reading.value.to_string())
            };
            let cells: Vec<String> = tags.map(|(index, _)| value_of(index).unwrap_or_default()).collect();
            writeln!(table, "{},{}", iso(last.at_ms), cells.join(","))?;
            let payload: serde_json::Map<String, serde_json::Value> = of_device
                .iter()
                .map(|reading| (TAGS[reading.tag].signal.to_owned(), reading.value.into()))
                .collect();
            let line = serde_json::json!({
                "tst": iso(last.at_ms), "topic": format!("plant/{name}"), "payload": payload,
            });
            messages.push((last.at_ms, line));
        }
        messages.sort_by_key(|(at_ms, _)| *at_ms);
        messages.iter().try_for_each(|(_, line)| writeln!(recording, "{line}"))?;
    }
    recording.flush()?;
    tables.values_mut().try_for_each(Write::flush)?;
    progress.clear()?;
    say(&format!("readings: {}", folder.display()));
    Ok(())
}
