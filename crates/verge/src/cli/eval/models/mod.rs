//! `verge eval models`: the marks of the commands that make models, measured by running those commands on public data.

mod bench;
mod delta;
mod finetune;
mod prices;
mod quantize;
mod round_trip;
mod side_by_side;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use crate::cli::output::json_line;
use crate::cli::say;
use bench::Workbench;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(
    after_help = "Each section runs the command as a user does, in a process of its own, and holds what it prints against \
the marks that this version is to reach. Ends with 1 where a mark is missed or not measured. What runs is shown on standard error; \
a command that takes ten minutes is ended.

round-trip takes a second, delta a few, bench a minute, finetune two, quantize three, prices seven, on two cores that are free.

Examples:
  verge eval models --data ../shared/data
  verge eval models --data ../shared/data --section finetune --draws 1
  verge --json eval models --data ../shared/data --section delta"
)]
pub(super) struct ModelsArgs {
    /// The folder of public models and pictures
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The folder of the cards of these models
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures/cards")]
    cards: PathBuf,
    /// Only this section; may be given more than once
    #[arg(long, value_name = "NAME")]
    section: Vec<String>,
    /// How often pictures are drawn for a mean
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    draws: u64,
}

/// A section: its name, and what measures it.
type Section = (&'static str, fn(&Workbench) -> anyhow::Result<Vec<Mark>>);

/// All of them, in the order in which they are printed.
const SECTIONS: &[Section] = &[
    ("round-trip", round_trip::marks),
    ("bench", side_by_side::marks),
    ("delta", delta::marks),
    ("quantize", quantize::marks),
    ("prices", prices::marks),
    ("finetune", finetune::marks),
];

/// A figure, and what it is to be.
struct Mark {
    what: String,
    found: f64,
    unit: &'static str,
    bound: Bound,
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// It is shown beside others; nothing is asked of it.
    Shown,
}

impl Mark {
    fn new(what: impl Into<String>, found: f64, unit: &'static str, bound: Bound) -> Self {
        Self { what: what.into(), found, unit, bound }
    }

    fn meets(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.found >= least,
            Bound::AtMost(most) => self.found <= most,
            Bound::Shown => true,
        }
    }

    fn json(&self, section: &str) -> serde_json::Value {
        let (least, most) = match self.bound {
            Bound::AtLeast(least) => (Some(least), None),
            Bound::AtMost(most) => (None, Some(most)),
            Bound::Shown => (None, None),
        };
        json!({
            "section": section, "what": self.what, "found": self.found, "unit": self.unit, "at_least": least,
            "at_most": most, "meets": self.meets(),
        })
    }
}

pub(super) fn models(args: &ModelsArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    for name in &args.section {
        let is_known = known.contains(&name.as_str());
        let checked = || {
            ensure!(is_known, "there is no section {name:?}; there are {}", known.join(", "));
            Ok(())
        };
        checked().exit_with(Exit::Usage)?;
    }
    let workbench = Workbench::new(&args.data, &args.cards, args.draws)?;
    let mut rows = Vec::new();
    let mut met = true;
    for (name, measure) in SECTIONS {
        if !args.section.is_empty() && !args.section.iter().any(|asked| asked == name) {
            continue;
        }
        let marks = match measure(&workbench) {
            Ok(marks) => marks,
            // The others are measured all the same.
            Err(error) => {
                met = false;
                say(&format!("section {name}: {error:#}"));
                rows.push(json!({ "section": name, "what": "not measured", "error": format!("{error:#}"), "meets": false }));
                continue;
            }
        };
        for mark in marks {
            met &= mark.meets();
            if as_json {
                rows.push(mark.json(name));
            } else {
                print(name, &mark, out).context("standard output")?;
            }
        }
    }
    if as_json {
        json_line(out, &json!({ "marks": rows, "meets": met }))?;
    }
    Ok(if met { Exit::Fine } else { Exit::Failure })
}

fn print(section: &str, mark: &Mark, out: &mut impl Write) -> std::io::Result<()> {
    let Mark { what, found, unit, bound } = mark;
    let outcome = if mark.meets() { "held" } else { "missed" };
    let wanted = match bound {
        Bound::AtLeast(least) => format!("at least {least} {unit}: {outcome}"),
        Bound::AtMost(most) => format!("at most {most} {unit}: {outcome}"),
        Bound::Shown => String::new(),
    };
    writeln!(out, "{section:<11} {what:<58} {found:>9.2} {unit:<4} {wanted}")
}
