//! `verge model bench`: models over frames side by side on this machine.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use verge_engine::runtime::Search;
use verge_engine::{ModelLimits, Optimisation, ProcessorClass, Provider, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::ModelFiles;
use verge_models::gate::bootstrap::ALPHA;
use verge_models::gate::{Agreed, Cost, GateDecision, Rules};

use super::super::output::{Progress, json_line};
use super::super::runtime::{PROVIDERS, parse_provider};
use super::measure::{
    Pictures, SATURATION_LEAST, SATURATION_PICTURES, Subject, Took, may_saturate, saturation,
};
use super::probe;

/// Looks of each model after which a measurement ends.
const LOOKS: usize = 200;
/// Time of each model after which it ends too, once every picture was looked at.
const LONG: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    after_help = "Each model looks at each picture in turn, in one thread, so that whatever else runs on the machine \
slows all alike; times are those of preparing the picture, running the model and reading its outputs, without decoding the JPEG. \
Load time and memory are those of a process of its own.

Agreement is that with the first card: best class, boxes (overlap of one half, same class), or score within 10 %; where the first \
saturates, with that file as it is written. Every file is also \
run as it is written, without the library's optimisation: where less than 95 % of the answers agree, and the processor may \
overflow on its weights (x86 without VNNI, weights of more than 7 bits), it does, and its answers here are wrong."
)]
pub(super) struct BenchArgs {
    /// Cards of models over frames; the first is the one that the others are held against
    #[arg(value_name = "CARD", required = true)]
    cards: Vec<PathBuf>,
    /// Pictures: a folder of JPEGs, of images/, or of folders of JPEGs; 32 are drawn without it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What runs them; the provider must be a feature of this build and part of the library
    #[arg(long, value_name = PROVIDERS, value_parser = parse_provider, default_value = "cpu")]
    provider: Provider,
    /// Only this many pictures, evenly spread over all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// What was found of one model.
struct Measured {
    card: PathBuf,
    name: String,
    version: String,
    bytes: u64,
    load_ms: f64,
    memory: Option<u64>,
    took: Vec<Took>,
    /// With the first; nothing where it answers in another way.
    agreed: Option<Agreed>,
    saturation: Agreed,
    /// The processor may overflow on it.
    may_saturate: bool,
}

pub(super) fn bench(args: &BenchArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let search = Search { provider: args.provider, ..wiring::user_runtime_search() };
    let runtime = Runtime::load(&search).exit_with(Exit::Unavailable)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let pictures = match &args.data {
        Some(folder) => Pictures::of_folder(folder, limit).exit_with(Exit::BadInput)?,
        None => Pictures::drawn()?,
    };
    let mut progress = Progress::new();
    let mut measured = Vec::new();
    let mut subjects = Vec::new();
    for card in &args.cards {
        progress.show(&format!("{} is loaded", card.display()))?;
        let card = card.with_extension("toml");
        let limits = ModelLimits::default();
        let probed = probe::in_a_child(&card, runtime.path(), limits.max_file_bytes, false)
            .exit_with(Exit::BadInput)?;
        let mut subject = Subject::load(&runtime, &card, limits)?;
        progress.show(&format!("{} is held against itself as written", card.display()))?;
        let saturation = saturation(&runtime, &ModelFiles::of_card(&card), &mut subject, &pictures, None)
            .and_then(|agreed| agreed.context("without a limit of time it is found out"))
            .exit_with(Exit::BadInput)?;
        let known = subject.model.card();
        let weights = card.parent().unwrap_or(std::path::Path::new("")).join(&known.file);
        measured.push(Measured {
            name: known.identity.name.to_string(),
            version: known.identity.version.to_string(),
            bytes: weights.metadata().map_or(0, |file| file.len()),
            load_ms: probed.load_ms,
            memory: probed.memory,
            took: Vec::new(),
            agreed: Some(Agreed::default()),
            saturation,
            may_saturate: may_saturate(&subject.model),
            card,
        });
        subjects.push(subject);
    }
    // What the library makes of a file that saturates is no reference.
    let reference = if measured[0].saturates() {
        let limits = ModelLimits { optimisation: Optimisation::AsWritten, ..ModelLimits::default() };
        Some(Subject::load(&runtime, &measured[0].card, limits)?)
    } else {
        None
    };
    measure(&mut subjects, reference, &mut measured, &pictures, &mut progress).exit_with(Exit::BadInput)?;
    progress.clear()?;
    let (chosen, why) = choose(&measured, pictures.frames.len());
    if as_json {
        let models: Vec<Value> = measured.iter().map(|one| one.json(pictures.frames.len())).collect();
        let line = json!({
            "processor": ProcessorClass::here().as_str(), "provider": runtime.provider().name(), "pictures": pictures.frames.len(), "drawn": pictures.are_drawn,
            "models": models, "use": measured[chosen].card, "why": why,
        });
        json_line(out, &line)?;
    } else {
        print(&measured, (&pictures, args.provider), out).context("standard output")?;
        writeln!(out, "\nuse {}: {why}", measured[chosen].card.display()).context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn measure(
    subjects: &mut [Subject],
    mut reference: Option<Subject>,
    measured: &mut [Measured],
    pictures: &Pictures,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let longest = LONG * u32::try_from(subjects.len()).unwrap_or(1);
    let mut looks = 0;
    for (number, frame) in pictures.frames.iter().cycle().enumerate() {
        let is_first_pass = number < pictures.frames.len();
        if !is_first_pass && (looks >= LOOKS || began.elapsed() > longest) {
            break;
        }
        looks += 1;
        progress.show(&format!("{looks} looks of each model"))?;
        let mut answers = Vec::with_capacity(subjects.len());
        for (subject, one) in subjects.iter_mut().zip(measured.iter_mut()) {
            let (answer, took) = subject.look(frame).with_context(|| one.card.display().to_string())?;
            one.took.push(took);
            answers.push(answer);
        }
        if is_first_pass {
            let written = reference.as_mut().map(|reference| reference.look(frame)).transpose()?;
            let written = written.map(|(answer, _)| answer);
            let (first, right) =
                (reference.as_ref().unwrap_or(&subjects[0]), written.as_ref().unwrap_or(&answers[0]));
            for ((subject, one), answer) in subjects.iter().zip(measured.iter_mut()).zip(&answers) {
                let agreed = first.agrees(right, subject, answer);
                one.agreed = one.agreed.zip(agreed).map(|(sum, one)| sum.and(one));
            }
        }
    }
    Ok(())
}

/// The place of a share among values in order.
pub(super) fn at(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundred looks"
    )]
    let place = (share * values.len() as f64) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

impl Measured {
    fn cost(&self) -> Cost {
        let cpu = self.took.iter().map(|took| took.cpu).collect();
        Cost { cpu_ms: at(cpu, 0.5), p95_ms: self.wall(0.95), bytes: self.bytes, memory: self.memory }
    }

    fn wall(&self, share: f64) -> f64 {
        at(self.took.iter().map(|took| took.wall).collect(), share)
    }

    /// Its answers here are not those of the file.
    fn saturates(&self) -> bool {
        self.may_saturate && self.saturation.share() < SATURATION_LEAST
    }

    /// Whether its answers are those of the first.
    fn accepted(&self) -> Option<GateDecision> {
        self.agreed.map(|agreed| Rules::default().unlabelled(agreed))
    }

    fn json(&self, pictures: usize) -> Value {
        let Cost { cpu_ms, p95_ms, bytes, memory } = self.cost();
        let agreement = self.agreed.map(|agreed| {
            let (low, high) = agreed.bounds(ALPHA);
            json!({ "share": agreed.share() * 100.0, "low": low * 100.0, "high": high * 100.0, "of": agreed.of })
        });
        json!({
            "card": self.card, "name": self.name, "version": self.version, "bytes": bytes, "load_ms": self.load_ms,
            "memory": memory, "cpu_ms": cpu_ms, "p50_ms": self.wall(0.5), "p95_ms": p95_ms, "p99_ms": self.wall(0.99),
            "looks": self.took.len(), "agreement": agreement,
            "saturation": {
                "agreement": self.saturation.share() * 100.0, "pictures": pictures.min(2 * SATURATION_PICTURES),
                "saturates": self.saturates(),
            },
        })
    }
}

/// The file to use here, by its place, and why.
fn choose(measured: &[Measured], pictures: usize) -> (usize, String) {
    let first = &measured[0];
    let rules = Rules::default();
    let fits = |one: &Measured| !one.saturates() && one.accepted().is_some_and(|decision| decision.passes);
    // Anything that runs right is better than a first that does not.
    let is_better = |one: &Measured| first.saturates() || rules.cost(&first.cost(), &one.cost()).passes;
    let better = (1..measured.len()).filter(|index| fits(&measured[*index]) && is_better(&measured[*index]));
    let cpu = |index: usize| measured[index].cost().cpu_ms;
    if let Some(chosen) = better.min_by(|one, other| cpu(*one).total_cmp(&cpu(*other))) {
        let (new, old) = (measured[chosen].cost(), first.cost());
        let cost =
            format!("{:.2} ms of CPU instead of {:.2} ({:.2}x)", new.cpu_ms, old.cpu_ms, new.times(&old));
        let agreed = measured[chosen].accepted().map(|decision| decision.reason).unwrap_or_default();
        let why = if first.saturates() {
            format!("{} {}; {agreed} with that file as it is written; {cost}", first.name, saturates(first))
        } else {
            format!("{cost}, and {agreed}")
        };
        return (chosen, why);
    }
    let reason = |one: &Measured| {
        if one.saturates() {
            format!("{} {}", one.name, saturates(one))
        } else {
            match one.accepted() {
                Some(decision) if !decision.passes => format!("{}: {}", one.name, decision.reason),
                Some(_) => format!("{}: {}", one.name, rules.cost(&first.cost(), &one.cost()).reason),
                None => format!("{} answers in another way", one.name),
            }
        }
    };
    let others: Vec<String> = measured[1..].iter().map(reason).collect();
    let few = if pictures < SATURATION_PICTURES { " (few pictures prove little)" } else { "" };
    let why = match (measured.len(), first.saturates()) {
        (1, true) => saturates(first),
        (1, false) => "it runs here as it is written".to_owned(),
        (_, true) => format!("nothing better was named, and {}; {}", saturates(first), others.join("; ")),
        (_, false) => others.join("; "),
    };
    (0, format!("{why}{few}"))
}

fn saturates(one: &Measured) -> String {
    format!(
        "saturates on this processor ({}): {:.1} % of the answers are those of the file as written; requantise with --for \
         x86",
        ProcessorClass::here().as_str(),
        one.saturation.share() * 100.0
    )
}

fn print(
    measured: &[Measured],
    (pictures, provider): (&Pictures, Provider),
    out: &mut impl Write,
) -> std::io::Result<()> {
    const MIB: f64 = 1_048_576.0;
    let drawn = if pictures.are_drawn { "drawn " } else { "" };
    writeln!(
        out,
        "{} {drawn}pictures, processor of kind {}, models run on {}",
        pictures.frames.len(),
        ProcessorClass::here().as_str(),
        provider.name()
    )?;
    writeln!(
        out,
        "  CPU ms     p50     p95     p99   load ms  memory MiB  file MiB  agrees %  as written %  card"
    )?;
    for one in measured {
        let Cost { cpu_ms, p95_ms, bytes, memory } = one.cost();
        #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
        let mib = |bytes: u64| bytes as f64 / MIB;
        let memory = memory.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", mib(bytes)));
        let agreed =
            one.agreed.map_or_else(|| "-".to_owned(), |agreed| format!("{:.1}", agreed.share() * 100.0));
        writeln!(
            out,
            "{cpu_ms:8.2}{:8.2}{p95_ms:8.2}{:8.2}{:10.1}{memory:>12}{:10.2}{agreed:>10}{:14.1}  {}",
            one.wall(0.5),
            one.wall(0.99),
            one.load_ms,
            mib(bytes),
            one.saturation.share() * 100.0,
            one.card.display()
        )?;
        if one.saturates() {
            writeln!(out, "          {}", saturates(one))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, cpu: f64, same: f64, as_written: f64) -> Measured {
        Measured {
            card: PathBuf::from(format!("{name}.toml")),
            name: name.to_owned(),
            version: "1".to_owned(),
            bytes: 1_000,
            load_ms: 1.0,
            memory: None,
            took: vec![Took { wall: cpu, cpu }; 100],
            agreed: Some(Agreed { same, of: 100.0 }),
            saturation: Agreed { same: as_written, of: 100.0 },
            may_saturate: true,
        }
    }

    #[test]
    fn the_file_to_use_is_fast_and_right() {
        let check = |others: Vec<Measured>, expected: usize, part: &str| {
            let mut all = vec![measured("float", 10.0, 100.0, 100.0)];
            all.extend(others);
            let (chosen, why) = choose(&all, 100);
            assert_eq!(chosen, expected, "{why}");
            assert!(why.contains(part), "{why}");
        };
        check(vec![], 0, "as it is written");
        check(vec![measured("int8", 6.0, 99.0, 99.0)], 1, "0.60x");
        check(vec![measured("int8", 9.8, 99.0, 99.0)], 0, "not faster");
        check(vec![measured("int8", 6.0, 85.0, 99.0)], 0, "agree");
        check(vec![measured("int8", 6.0, 99.0, 80.0)], 0, "saturates");
        check(vec![measured("a", 6.0, 99.0, 99.0), measured("b", 4.0, 99.0, 99.0)], 2, "0.40x");
        // Less than 5 % faster than the one before it, and the fastest.
        check(vec![measured("a", 6.0, 99.0, 99.0), measured("b", 5.9, 99.0, 99.0)], 2, "0.59x");
    }

    #[test]
    fn where_the_first_saturates_the_fastest_that_runs_right_is_used() {
        let all = [
            measured("int8", 5.0, 60.0, 60.0),
            measured("seven", 6.0, 99.0, 99.0),
            measured("float", 10.0, 100.0, 100.0),
            measured("other", 2.0, 70.0, 100.0),
        ];
        let (chosen, why) = choose(&all, 100);
        assert_eq!(chosen, 1, "{why}");
        assert!(why.contains("int8 saturates") && why.contains("as it is written"), "{why}");
    }
}
