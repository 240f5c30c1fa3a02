//! `verge model prune`: weights near to zero become zero, so that fewer bytes are sent, and the proof of what that loses.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use verge_gateway::exit::Exit;
use verge_models::gate::Rules;
use verge_models::quantise::shrink::Change;

use super::shrink::Shrinking;

#[derive(Debug, Args)]
#[command(
    override_usage = "verge model prune [OPTIONS] --sparsity <SHARE> --data <DIR>\n                          -o <OUT> <CARD>",
    after_help = "Example:
  verge model prune parts.toml --sparsity 0.3 --data pictures/ -o parts_30

Of each layer with weights (Conv, Gemm, MatMul; not of depthwise convolutions) the share nearest to zero becomes zero; then mean and deviation of each channel \
are put back to what they were, on 20 of the pictures. What that gains is bytes: zeros pack well, in a package and in a delta. \
It gains no time, and it costs accuracy: of a MobileNet V2 with 30 % zeros several points, which docs/lifecycle.md measures. What \
pays in time is `verge model finetune`, which cuts layers off, and `verge model quantize`.

The pictures are those that the cameras take, with labels where there are some, as for `verge model quantize`. Printed are the bytes \
of the file and those in a package, the accuracy before and after repair, and the time, each beside the old model's. Refused, with 1 \
and without a file, is what loses more than --max-drop points (at the usual 1 point also what is worse beyond chance), what is not smaller in a \
package, and what \
is slower (--keep-slower takes that). Without labels 90 % of the answers must be those of the old model, or 100 less --max-drop where \
that is less.

Written are OUT.onnx, its card OUT.toml, OUT_labels.txt and OUT.report.json."
)]
pub(super) struct PruneArgs {
    /// The card of the float model
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// Share of the weights of each layer that become zero: 0.3 or 30%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    sparsity: f64,
    /// Pictures of the cameras: at least 16, better 100 or more
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The new model and its card, without an ending
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Points that may be lost on labelled pictures
    #[arg(long, value_name = "POINTS", default_value_t = Rules::default().max_drop)]
    max_drop: f64,
    /// The pictures must prove that no more is lost, not only show it
    #[arg(long)]
    strict: bool,
    /// Take it even where it is slower
    #[arg(long)]
    keep_slower: bool,
    /// Only this many pictures, evenly spread over all
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// A share, as a part of one or in percent.
fn share(text: &str) -> Result<f64, String> {
    let expected = || "a share between 0 and 1, or 1% to 99%, is expected".to_owned();
    let percent = text.strip_suffix('%');
    let number: f64 = percent.unwrap_or(text).trim().parse().map_err(|_| expected())?;
    // Thirty times all weights cannot be meant; one and a half may be either.
    let is_percent = percent.is_some() || number >= 2.0;
    let share = if is_percent { number / 100.0 } else { number };
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err(expected()) }
}

pub(super) fn prune(args: &PruneArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let PruneArgs { sparsity, max_drop, strict, keep_slower, .. } = *args;
    let flags = [(" --strict", strict), (" --keep-slower", keep_slower)];
    let flags: String = flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
    let shrinking = Shrinking {
        card: &args.card,
        data: &args.data,
        output: &args.output,
        limit: args.limit,
        change: Change::Prune(sparsity),
        runs_here: true,
        rules: Rules { max_drop, strict, keep_slower, ..Rules::default() },
        command: format!("prune --sparsity {sparsity} --max-drop {max_drop}{flags}"),
    };
    shrinking.run(as_json, out)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_parts_of_one_or_percent() {
        assert_eq!((share("0.3"), share("30%"), share("30")), (Ok(0.3), Ok(0.3), Ok(0.3)));
        for wrong in ["0", "1", "1.5", "100", "100%", "-0.1", "nan", "x", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
