//! `verge model quantize`: a model of 8 bit whole numbers out of one of ordinary numbers, and the proof of what it loses and gains.

mod outcome;
mod search;

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use verge_engine::{ModelLimits, Optimisation, ProcessorClass};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::gate::Rules;
use verge_models::quantise::shrink::Change;
use verge_models::quantise::{Bench, Quantiser, RangeMethod, Target};

use super::files::no_model;
use super::proof::{Bed, Pays, Prepared, Proving, check_max_drop, folder, refused, show};
use super::shrink::Shrinking;
use crate::cli::output::Progress;
use search::{Found, Search};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model quantize parts.toml --data pictures/ -o parts_int8
  verge model quantize vit.toml --dynamic --data pictures/ -o vit_int8
  verge model quantize vit.toml --bits 4 --max-drop 5 --data p/ -o vit_int4

The pictures are those that the cameras take: a folder of JPEGs, with labels \
where there are some (a folder per class or labels.csv; images/ and labels/ of \
YOLO). Ranges rest on 100 of them, the proof on all. With labels the new model \
may lose --max-drop points and must not be worse beyond chance (McNemar); \
without, 90 % of its answers must be those of the old one, as far as the \
pictures prove it. It must take less than 95 % of the processor time as well, \
unless bytes are the point (--keep-slower). Where it does not, nothing is \
written, and the command ends with 1.

--dynamic is for models of MatMul and Gemm (transformers): activations get their \
ranges while the model runs, convolutions stay float. --bits 4 is an option of size: \
weights take an eighth of the bytes, no time is gained (weights of convolutions \
are unpacked for every frame, which --keep-slower consents to), and it costs \
accuracy: --max-drop says how much, in points or, without labels, in answers of a \
hundred that are others. Both need pictures for the proof.

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
    /// How ranges are chosen; without it auto: minmax and mse, the better is kept
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Bits of a weight: 8, or 4 where bytes are the point (no faster)
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = bits)]
    bits: u8,
    /// Weights of MatMul and Gemm alone; activations are quantised while the model runs
    #[arg(long, conflicts_with_all = ["bits", "method"])]
    dynamic: bool,
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

fn bits(text: &str) -> Result<u8, String> {
    match text {
        "8" => Ok(8),
        "4" => Ok(4),
        _ => Err("8 or 4 is expected".to_owned()),
    }
}

impl QuantizeArgs {
    fn method(&self) -> Method {
        self.method.unwrap_or(Method::Auto)
    }

    /// Where weights alone are changed, how.
    fn change(&self) -> anyhow::Result<Option<Change>> {
        if self.dynamic {
            return Ok(Some(Change::Dynamic(self.target())));
        }
        if self.bits != 4 {
            return Ok(None);
        }
        if self.method.is_some() || self.processor.is_some() {
            let error = anyhow!(
                "--bits 4 goes without --method and --for: no range is looked for, and all processors run the same file"
            );
            return Err(error).exit_with(Exit::Usage);
        }
        Ok(Some(Change::FourBits))
    }

    fn target(&self) -> Target {
        let processor = match self.processor {
            Some(Processor::X86) => ProcessorClass::X86,
            Some(Processor::X86Vnni) => ProcessorClass::X86Vnni,
            Some(Processor::Arm) => ProcessorClass::Arm,
            None => ProcessorClass::here(),
        };
        Target { processor }
    }

    fn rules(&self) -> Rules {
        let Self { max_drop, strict, keep_slower, .. } = *self;
        Rules { max_drop, strict, keep_slower, ..Rules::default() }
    }

    /// The command, as it stands in `[made]`.
    fn command(&self) -> String {
        let target = self.target().processor.as_str();
        let mut command = if self.bits == 4 {
            format!("quantize --bits 4 --max-drop {}", self.max_drop)
        } else {
            format!("quantize --for {target} --max-drop {}", self.max_drop)
        };
        for (flag, is_given) in
            [("--dynamic", self.dynamic), ("--strict", self.strict), ("--keep-slower", self.keep_slower)]
        {
            if is_given {
                command = format!("{command} {flag}");
            }
        }
        command
    }
}

pub(super) fn quantize(args: &QuantizeArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if let Some(change) = args.change().inspect_err(|error| no_model(error, as_json, out))? {
        let shrinking = Shrinking {
            card: &args.card,
            data: &args.data,
            output: &args.output,
            limit: args.limit,
            change,
            runs_here: runs_here(args.target()),
            rules: args.rules(),
            command: args.command(),
        };
        return shrinking.run(as_json, out);
    }
    let mut progress = Progress::new();
    let result = made(args, &mut progress);
    progress.clear()?;
    match result {
        Ok(found) => found.proof.print(&found.head(&args.card), found.json(), as_json, out),
        Err(error) => {
            no_model(&error, as_json, out);
            Err(error)
        }
    }
}

fn made(args: &QuantizeArgs, progress: &mut Progress) -> anyhow::Result<Found> {
    check_max_drop(args.max_drop)?;
    let Bed { runtime, source, card, old: mut float, set, names } =
        Bed::open(&args.card, &args.data, &args.output, args.limit, "ranges need")?;
    let limits = ModelLimits::default();
    let mut prepared = Prepared::new(&set, &float.model);
    let model = float.model.clone();
    let bench = Bench { runtime: &runtime, path: &source, limits, contract: model.contract() };
    let target = args.target();
    let quantiser = Quantiser::new(model.graph(), bench, target, &mut prepared, &mut |done, all| {
        show(progress, "ranges", done, all);
    });
    let quantiser = quantiser.map_err(|error| refused(&source, error))?;
    let proving = Proving {
        runtime: &runtime,
        folder: folder()?,
        source: &source,
        card: &card,
        set: &set,
        limits: ModelLimits { optimisation: optimisation(target), ..limits },
        runs_here: runs_here(target),
        rules: args.rules(),
        pays: Pays::Time,
        command: args.command(),
        processor: target.processor.as_str(),
        suffix: "int8".to_owned(),
        progress,
    };
    let mut search = Search { proving, methods: args.method().tried(), quantiser: &quantiser, target };
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
