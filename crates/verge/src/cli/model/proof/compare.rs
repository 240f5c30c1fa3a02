//! Two models on the same pictures: what each says, whether they agree, what is lost, and what each costs.

use std::time::{Duration, Instant};

use anyhow::Context;
use verge_domain::frame::EncodedFrame;
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::gate::labelled::{compare, compare_detections};
use verge_models::gate::{Agreed, Cost, DetectionPair, Divergence, Drop, GateDecision, Pair, Rules};
use verge_vision::viewer::Inference;

use super::pictures::{PictureSet, Truth};
use crate::cli::labelled::objects::{found, truth};
use crate::cli::model::bench::at;
use crate::cli::model::measure::{Subject, Took, divergence};
use crate::cli::output::Progress;

/// Boxes down to this score count for average precision.
const SCORE: f32 = 0.01;
/// Looks of each model after which their times are known.
const LOOKS: usize = 200;
/// Looks of each at least, however long they take.
const FEW_LOOKS: usize = 16;
/// Time after which a measurement ends.
const LONG: Duration = Duration::from_secs(15);

/// What a model says of each picture.
pub(in crate::cli::model) struct Answers {
    seen: Vec<Inference>,
    sizes: Vec<(u32, u32)>,
}

/// Two models on the same pictures.
pub(in crate::cli::model) struct Compared {
    pub(in crate::cli::model) agreed: Agreed,
    /// How far the probabilities are apart, of models that give any.
    pub(in crate::cli::model) divergence: Divergence,
    pub(in crate::cli::model) drop: Option<Drop>,
}

impl Answers {
    pub(in crate::cli::model) fn of(
        subject: &mut Subject,
        set: &PictureSet,
        what: &str,
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        let least = if set.truths.is_some() { SCORE.min(subject.least()) } else { subject.least() };
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        for (number, frame) in set.frames.iter().enumerate() {
            progress.show(&format!("{what}: {number} of {} pictures", set.frames.len()))?;
            let answer = subject.look_down_to(frame, least).with_context(|| set.names[number].clone());
            let (answer, _) = answer.exit_with(Exit::BadInput)?;
            seen.push(answer);
            sizes.push(subject.size());
        }
        Ok(Self { seen, sizes })
    }
}

/// What is sure enough to be reported.
fn reported(answer: &Inference, least: f32) -> Inference {
    match answer {
        Inference::Objects(objects) => {
            Inference::Objects(objects.iter().filter(|one| one.score >= least).cloned().collect())
        }
        Inference::Classes(classes) => Inference::Classes(classes.clone()),
        Inference::Reconstruction(error) => Inference::Reconstruction(*error),
        Inference::Appearance(appearance) => Inference::Appearance(appearance.clone()),
    }
}

impl Compared {
    pub(in crate::cli::model) fn of(
        set: &PictureSet,
        (old, old_answers): (&Subject, &Answers),
        (new, new_answers): (&Subject, &Answers),
    ) -> anyhow::Result<Self> {
        let (mut agreed, mut apart) = (Agreed::default(), Divergence::default());
        for (old_answer, new_answer) in old_answers.seen.iter().zip(&new_answers.seen) {
            let (one, other) = (reported(old_answer, old.least()), reported(new_answer, old.least()));
            let same = old.agrees(&one, new, &other);
            agreed = agreed.and(same.context("a model answers in one way")?);
            apart = divergence(old_answer, new_answer).map_or(apart, |one| apart.and(one));
        }
        let drop = set.truths.as_ref().and_then(|truths| lost(truths, &set.groups, old_answers, new_answers));
        Ok(Self { agreed, divergence: apart, drop })
    }

    /// Whether the new one may take the place of the old one, as far as its answers go.
    pub(in crate::cli::model) fn decision(&self, rules: &Rules) -> GateDecision {
        match &self.drop {
            Some(drop) => rules.labelled(drop),
            None => rules.unlabelled(self.agreed),
        }
    }

    /// Of two, which loses less: on labels where there are some, else on the answers.
    pub(in crate::cli::model) fn is_better_than(&self, other: &Self) -> bool {
        let points = |one: &Self| one.drop.map_or(0.0, |drop| drop.points);
        let lost = |one: &Self| 1.0 - one.agreed.share();
        (points(self), lost(self)) < (points(other), lost(other))
    }
}

fn lost(truths: &[Truth], groups: &[usize], old: &Answers, new: &Answers) -> Option<Drop> {
    let best = |answer: &Inference| match answer {
        Inference::Classes(classes) => classes.first().map(|class| class.label),
        _ => None,
    };
    let found = |answer: &Inference| match answer {
        Inference::Objects(objects) => objects.iter().map(found).collect(),
        _ => Vec::new(),
    };
    let answers = old.seen.iter().zip(&new.seen).zip(&old.sizes);
    let (mut pairs, mut detections) = (Vec::new(), Vec::new());
    for ((truth_of, group), ((old, new), (width, height))) in truths.iter().zip(groups).zip(answers) {
        let group = *group;
        match truth_of {
            Truth::Class(class) => {
                pairs.push(Pair { old: best(old) == Some(*class), new: best(new) == Some(*class), group });
            }
            Truth::Objects(objects) => {
                let (width, height) = (f64::from(*width), f64::from(*height));
                let truths = objects.iter().map(|object| truth(*object, width, height)).collect();
                detections.push(DetectionPair { truths, old: found(old), new: found(new), group });
            }
        }
    }
    if detections.is_empty() { compare(&pairs) } else { compare_detections(&detections) }
}

/// What two models cost, looking at the same pictures in turn.
pub(in crate::cli::model) fn costs(
    old: (&mut Subject, u64),
    new: (&mut Subject, u64),
    frames: &[EncodedFrame],
    progress: &mut Progress,
) -> anyhow::Result<(Cost, Cost)> {
    let began = Instant::now();
    let mut took: [Vec<Took>; 2] = [Vec::new(), Vec::new()];
    for (look, frame) in frames.iter().cycle().enumerate().take(LOOKS) {
        if look >= FEW_LOOKS && began.elapsed() > LONG {
            break;
        }
        progress.show(&format!("time: {look} looks of each model"))?;
        // The first of two has the caches of another model.
        let turns = if look % 2 == 0 { [0, 1] } else { [1, 0] };
        for turn in turns {
            let subject = if turn == 0 { &mut *old.0 } else { &mut *new.0 };
            took[turn].push(subject.look(frame).exit_with(Exit::BadInput)?.1);
        }
    }
    let cost = |took: &[Took], bytes| Cost {
        cpu_ms: at(took.iter().map(|took| took.cpu).collect(), 0.5),
        p95_ms: at(took.iter().map(|took| took.wall).collect(), 0.95),
        bytes,
        memory: None,
    };
    Ok((cost(&took[0], old.1), cost(&took[1], new.1)))
}
