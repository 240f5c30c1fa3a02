//! `verge model quantize`: a model of 8 bit whole numbers out of one of ordinary numbers, and the proof of what it loses and gains.

mod compare;
mod outcome;
mod pictures;
mod search;
mod written;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use verge_engine::{ModelLimits, Optimisation, ProcessorClass, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::Card;
use verge_models::card::Meaning;
use verge_models::gate::Rules;
use verge_models::quantise::{
    Bench, FEW_PICTURES, LEAST_PICTURES, QuantiseError, Quantiser, RangeMethod, Target,
};

use super::files::{NewFiles, no_model};
use super::measure::Subject;
use crate::cli::output::Progress;
use crate::cli::pictures::PictureLimits;
use crate::cli::{say, words};
use pictures::{PictureSet, Prepared};
use search::{Found, Search};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  verge model quantize parts.toml --data pictures/ -o parts_int8

The pictures are those that the cameras take: a folder of JPEGs, with labels \
where there are some (a folder per class or labels.csv; images/ and labels/ of \
YOLO). Ranges rest on 100 of them, the proof on all. With labels the new model \
may lose --max-drop points and must not be worse beyond chance (McNemar); \
without, 90 % of its answers must be those of the old one, as far as the \
pictures prove it. It must take less than 95 % of the processor time as well, \
unless bytes are the point (--keep-slower). Where it does not, nothing is \
written, and the command ends with 1.

Weights have 7 bits on x86 without VNNI, which adds products of 8 bit numbers \
in 16 bits and overflows. --for makes a file for another machine; its speed is \
then measured there: verge model bench.

Written are OUT.onnx, its card OUT.toml, OUT_labels.txt and OUT.report.json.")]
pub(super) struct QuantizeArgs {
    /// The card of the float model
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// Pictures of the cameras: at least 16, better 100 or more
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The new model and its card, without an ending
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The kind of processor that it is made for; without it that of this machine
    #[arg(long = "for", value_name = "KIND")]
    processor: Option<Processor>,
    /// How ranges are chosen; auto: minmax and mse, the better is kept
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    method: Method,
    /// Points that may be lost on labelled pictures
    #[arg(long, value_name = "POINTS", default_value_t = Rules::default().max_drop)]
    max_drop: f64,
    /// The pictures must prove that no more is lost, not only show it
    #[arg(long)]
    strict: bool,
    /// Take it even where it is not faster
    #[arg(long)]
    keep_slower: bool,
    /// Only this many pictures, evenly spread over all
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Processor {
    /// x86 without VNNI: weights of 7 bits
    X86,
    /// x86 with VNNI: weights of 8 bits
    X86Vnni,
    /// Arm: activations with a sign
    Arm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// minmax and mse, the better is kept
    Auto,
    /// All that was seen
    Minmax,
    /// All but one number of ten thousand
    Percentile,
    /// The least mean square error
    Mse,
    /// The least loss of information
    Entropy,
}

impl Method {
    const fn tried(self) -> &'static [RangeMethod] {
        match self {
            Self::Auto => &[RangeMethod::MinMax, RangeMethod::Mse],
            Self::Minmax => &[RangeMethod::MinMax],
            Self::Percentile => &[RangeMethod::Percentile],
            Self::Mse => &[RangeMethod::Mse],
            Self::Entropy => &[RangeMethod::Entropy],
        }
    }
}

impl QuantizeArgs {
    fn target(&self) -> Target {
        let processor = match self.processor {
            Some(Processor::X86) => ProcessorClass::X86,
            Some(Processor::X86Vnni) => ProcessorClass::X86Vnni,
            Some(Processor::Arm) => ProcessorClass::Arm,
            None => ProcessorClass::here(),
        };
        Target { processor }
    }

    const fn rules(&self) -> Rules {
        Rules { max_drop: self.max_drop, strict: self.strict, keep_slower: self.keep_slower, agreement: 0.9 }
    }

    /// The command, as it stands in `[made]`.
    fn command(&self) -> String {
        let target = self.target().processor.as_str();
        let mut command = format!("quantize --for {target} --max-drop {}", self.max_drop);
        for (flag, is_given) in [("--strict", self.strict), ("--keep-slower", self.keep_slower)] {
            if is_given {
                command = format!("{command} {flag}");
            }
        }
        command
    }
}

pub(super) fn quantize(args: &QuantizeArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut progress = Progress::new();
    let result = made(args, &mut progress);
    progress.clear()?;
    match result {
        Ok(found) => outcome::tell(args, &found, as_json, out),
        Err(error) => {
            no_model(&error, as_json, out);
            Err(error)
        }
    }
}

fn made(args: &QuantizeArgs, progress: &mut Progress) -> anyhow::Result<Found> {
    if !(0.0..=100.0).contains(&args.max_drop) {
        return Err(anyhow!("--max-drop is from 0 to 100 points")).exit_with(Exit::Usage);
    }
    let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
    let card = args.card.with_extension("toml");
    let known = Card::load(&card).exit_with(Exit::BadInput)?;
    if known.meaning == Meaning::Windows {
        let error = anyhow!(
            "{}: a model over windows of readings: only models over frames are quantised",
            card.display()
        );
        return Err(error).exit_with(Exit::BadInput);
    }
    let names = NewFiles::of(&args.output)?;
    let source = card.parent().unwrap_or(std::path::Path::new("")).join(&known.file);
    names.are_free(&card, &source)?;
    let limits = ModelLimits::default();
    let mut float = Subject::load(&runtime, &card, limits)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let set = PictureSet::read(&args.data, limit, &float.model).exit_with(Exit::BadInput)?;
    if set.distinct < LEAST_PICTURES {
        let error = anyhow!(
            "{}: {} different pictures: ranges need at least {LEAST_PICTURES}, better 100 of all times of day",
            args.data.display(),
            set.distinct
        );
        return Err(error).exit_with(Exit::BadInput);
    }
    if set.distinct < FEW_PICTURES {
        say(&format!(
            "warning: {} pictures are few: what they do not show is cut off; better 100",
            set.distinct
        ));
    }
    let mut prepared =
        Prepared::new(&set, &float.model, wiring::picture_bytes(PictureLimits::default().max_pixels));
    let (dark, bright) = prepared.brightness().exit_with(Exit::BadInput)?;
    if u32::from(bright - dark) * 10 < 255 {
        let error = anyhow!(
            "{}: all pictures are alike: the samples of most lie between {dark} and {bright}, less than a tenth of the input's range: take \
             pictures with the camera uncovered and in light",
            args.data.display()
        );
        return Err(error).exit_with(Exit::BadInput);
    }
    let model = float.model.clone();
    let bench = Bench { runtime: &runtime, path: &source, limits, contract: model.contract() };
    let target = args.target();
    let quantiser = Quantiser::new(model.graph(), bench, target, &mut prepared, &mut |done, all| {
        show(progress, "ranges", done, all);
    });
    let quantiser = quantiser.map_err(|error| refused(&source, error))?;
    let text = std::fs::read_to_string(&card)
        .with_context(|| card.display().to_string())
        .exit_with(Exit::BadInput)?;
    let mut search = Search {
        args,
        runtime: &runtime,
        folder: tempfile::tempdir().context("a folder for what is tried").exit_with(Exit::Temporary)?,
        source: &source,
        card: &text,
        set: &set,
        quantiser: &quantiser,
        target,
        limits: ModelLimits { optimisation: optimisation(target), ..limits },
        progress,
    };
    search.search(&mut float, &mut prepared, &names)
}

/// A file that this processor cannot run right is tried as it is written.
fn optimisation(target: Target) -> Optimisation {
    if runs_here(target) { Optimisation::Full } else { Optimisation::AsWritten }
}

/// Whether a file is run by this processor as by the one that it is made for.
fn runs_here(target: Target) -> bool {
    let here = ProcessorClass::here();
    // 7 bits are right everywhere.
    target.processor == here || (target.processor, here) == (ProcessorClass::X86, ProcessorClass::X86Vnni)
}

fn show(progress: &mut Progress, what: &str, done: usize, all: usize) {
    // A terminal that is not there any more ends the command at its next line.
    drop(progress.show(&format!("{what}: {} %", done * 100 / all.max(1))));
}

fn refused(source: &std::path::Path, error: QuantiseError) -> anyhow::Error {
    if error.is_memory() {
        let why = anyhow!("{}: memory is refused, even for one tensor at a time: {error}", source.display());
        return why.context(Exit::Temporary);
    }
    let names_itself = matches!(error, QuantiseError::Graph(_) | QuantiseError::Picture { .. });
    let why = if names_itself {
        anyhow!(words(&error))
    } else {
        anyhow!("{}: {}", source.display(), words(&error))
    };
    why.context(Exit::BadInput)
}
