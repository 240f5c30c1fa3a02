//! Both models on pictures: what each says, and what that costs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{bail, ensure};
use serde_json::{Value, json};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_models::card::Provenance;
use verge_models::gate::Rules;
use verge_models::head::matrix::greatest;
use verge_models::head::{Head, Matrix, Samples};
use verge_vision::viewer::Inference;

use super::super::super::output::Progress;
use super::super::super::pictures::{PictureFiles, PictureLimits};
use super::super::measure::Subject;
use super::command::{TRIED, UNKNOWN};
use super::data::{self, Dropped, Kept};
use super::gate::{Answer, Answers};

/// Share of the tried pictures on which file and head have to agree.
const SAME: f64 = 0.9;

/// What a model says of a frame, where it has the class.
pub(super) fn said_by(
    model: &mut Subject,
    class: &str,
    frame: &EncodedFrame,
) -> anyhow::Result<Option<String>> {
    if !model.model.labels().iter().any(|label| label.as_str() == class) {
        return Ok(None);
    }
    best(model, frame).map(Some)
}

fn best(model: &mut Subject, frame: &EncodedFrame) -> anyhow::Result<String> {
    let (Inference::Classes(classes), _) = model.look(frame)? else { bail!("a classifier gives classes") };
    let best = classes.first().and_then(|class| model.model.labels().get(class.label));
    Ok(best.map(ToString::to_string).unwrap_or_default())
}

/// The file says what the head says.
pub(super) fn same_as_head(
    new: &mut Subject,
    head: &Head,
    features: &Matrix,
    (kept, samples): (&[Kept], &Samples),
    labels: &[String],
) -> anyhow::Result<()> {
    let step = (kept.len() / TRIED).max(1);
    let places: Vec<usize> = (0..kept.len()).step_by(step).take(TRIED).collect();
    let rows: Vec<usize> = places.iter().map(|place| samples.pictures[*place][0]).collect();
    let mut files = PictureFiles::new(PictureLimits::default());
    let mut same = 0;
    for (place, (said, _)) in places.iter().zip(head.answer(&features.chosen(&rows))) {
        let path = &kept[*place].labelled.path;
        let frame = files.read(path, DeviceId::new("finetune")?)?;
        let Ok(frame) = frame else { bail!("{}: it is no picture any more", path.display()) };
        let answer = best(new, &frame)?;
        same += usize::from(answer == labels[greatest(&said)]);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few pictures")]
    let share = same as f64 / places.len().max(1) as f64;
    ensure!(
        share >= SAME,
        "the new file answers as its head does for {same} of {} pictures: the library runs the layers before it in another way \
         than they were read; --tap last may do",
        places.len()
    );
    Ok(())
}

/// Notes what both models say of pictures that were not trained with. Gives why the new one is refused, where it is.
pub(super) fn noted(
    answers: &Answers,
    rules: &Rules,
    report: &mut Value,
    made: &mut Provenance,
) -> Option<String> {
    report["hold_out"] = answers.json();
    report["hold_out"]["unknown"] = json!(answers.share_of(UNKNOWN));
    let (top1, low, high) = answers.share();
    made.figures.insert("hold-out top-1 %".to_owned(), top1);
    made.bounds.insert("hold-out top-1 %".to_owned(), [low, high]);
    let guesses = answers.guesses(1, "of the hold-out");
    guesses.or_else(|| answers.worse(rules, "on the hold-out"))
}

/// Both models on pictures that were not trained with.
pub(super) fn hold_out(
    folder: &Path,
    (old, new): (&mut Subject, &mut Subject),
    classes: &[String],
    mut known: Vec<Kept>,
    progress: &mut Progress,
) -> anyhow::Result<Answers> {
    let all = data::find(folder)?;
    let strange = all.iter().find(|one| !classes.contains(&one.class));
    if let Some(one) = strange {
        bail!("{}: its class {:?} has no pictures to train with", one.path.display(), one.class);
    }
    let trained = known.len();
    let mut dropped = Dropped::default();
    let mut answers = data::read(&all, &mut known, &mut dropped, progress, |read| {
        let class = read.labelled.class.clone();
        let old = said_by(old, &class, &read.frame)?;
        Ok(Answer { new: best(new, &read.frame)?, old, class, group: 0 })
    })?;
    ensure!(
        !answers.is_empty(),
        "{}: no picture of it can be tested with: {} show what was trained with, {} are damaged",
        folder.display(),
        dropped.duplicate.len(),
        dropped.damaged.len()
    );
    let groups = data::groups(&known);
    answers.iter_mut().zip(&groups[trained..]).for_each(|(answer, group)| answer.group = *group);
    // What says the same as a picture of the training is no test, no more than a double of it.
    let seen: BTreeSet<usize> = groups[..trained].iter().copied().collect();
    let found = answers.len();
    answers.retain(|answer| !seen.contains(&answer.group));
    ensure!(
        !answers.is_empty(),
        "{}: each of its {found} pictures is like one that was trained with, or of a folder that was: take pictures of another day or place",
        folder.display()
    );
    Ok(Answers(answers))
}
