//! `verge model finetune`: a new head for a model that classifies, from pictures that people sorted, and a cheaper trunk where a
//! layer before the last is as good.

mod command;
mod data;
mod distil;
mod features;
mod from;
mod gate;
mod lesson;
mod tried;
mod words;
mod written;

use std::path::PathBuf;

use clap::Args;
pub(super) use command::finetune;
pub(super) use distil::{DistilArgs, distil};
use verge_models::head::Method;
use verge_vision::augment::Augmentation;

#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds a folder of JPEGs for each class, or labels.csv with the columns file and label (and group: \
pictures of one group say the same). Pictures in a folder within that of their class are a group, too, as are near doubles. \
`verge judge … --sort DIR` makes such a folder of what a model thinks.

Examples:
  verge model finetune parts.toml --data sorted/ -o parts-2
  verge model finetune parts.toml --data sorted/ --hold-out later/ -o parts-2
  verge model finetune parts.toml --data dim/ --rehearse old/ -o parts-2
  verge model finetune parts.toml --from a.json b.json -o parts-2

Some 20 pictures a class do for looks, textures and parts; fine print needs many instances. The head is put behind the cheapest \
layer that cross-validation finds as good as the best (--tap auto), and what lies behind that layer is cut off. A head that is no \
better than chance, or worse than the model is for the classes that both have, is refused: then this ends with 1 and writes \
nothing.

Detectors are not fine-tuned here: cut their objects out and sort those, for a classifier behind the detector. Training from \
nothing stays with PyTorch, see docs/models.md."
)]
pub(super) struct FinetuneArgs {
    /// The card of the model
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// Pictures whose classes are known
    #[arg(long, value_name = "DIR", required_unless_present = "from")]
    data: Option<PathBuf>,
    /// The new model: OUT.onnx, OUT.toml, OUT_labels.txt and OUT.report.json
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Pictures that are tested with, and never trained with; laid out as --data
    #[arg(long, value_name = "DIR")]
    hold_out: Option<PathBuf>,
    /// Pictures of before: they are trained with as well, and what the model knows of them may not be lost
    #[arg(long, value_name = "DIR")]
    rehearse: Option<PathBuf>,
    /// The tensor behind which the head is put: auto, last, or its name (two joined by a comma)
    #[arg(long, value_name = "TAP", default_value = "auto")]
    tap: String,
    /// How weights are found: by one solve, or by descent (more than 2,000 pictures)
    #[arg(long, value_name = "ridge|softmax", default_value = "ridge", value_parser = method)]
    method: Method,
    /// More pictures made of those that there are: flip, crop, light, jpeg
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = augmentation)]
    augment: Vec<Augmentation>,
    /// Without a class for pictures that are like none of the training
    #[arg(long)]
    no_unknown: bool,
    /// Write the sums that the head was solved from, for --from at a centre; they are not anonymous
    #[arg(long, value_name = "FILE")]
    statistics: Option<PathBuf>,
    /// Instead of pictures: files of --statistics of several places, made with the same model and --tap; solves for the pictures of all
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["data", "statistics", "rehearse", "augment", "method", "tap"])]
    from: Vec<PathBuf>,
    /// What may be lost on pictures of classes that both models have, in points
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    max_drop: f64,
    /// The pictures must prove that no more is lost, not only show it
    #[arg(long)]
    strict: bool,
}

fn method(text: &str) -> Result<Method, String> {
    Method::named(text).ok_or_else(|| "ridge or softmax".to_owned())
}

fn augmentation(text: &str) -> Result<Augmentation, String> {
    let known = Augmentation::ALL.into_iter().find(|(name, _)| *name == text);
    known.map(|(_, kind)| kind).ok_or_else(|| "flip, crop, light or jpeg".to_owned())
}
