//! Models over frames side by side: what they say of the same pictures, and what that takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use rustix::time::{ClockId, clock_gettime};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_engine::{EditableModel, ModelLimits, Optimisation, ProcessorClass, RecurrentState, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::gate::average_precision::FoundObject;
use verge_models::gate::{Agreed, Divergence};
use verge_models::quantise::may_overflow;
use verge_models::{FrameModel, ModelFiles};
use verge_vision::annotate;
use verge_vision::classify::ScoredClass;
use verge_vision::detect::CandidateBox;
use verge_vision::trial::drawn;
use verge_vision::viewer::Inference;
use verge_vision::{FrameViewer, SourceMasks, ViewerSettings, VisionJudge};

use super::super::pictures::{self, PictureFiles, PictureLimits};

/// Pictures on which a file as the library runs it is held against the file as it is written.
pub(in crate::cli) const SATURATION_PICTURES: usize = 32;
/// Share of answers that must agree there.
pub(in crate::cli) const SATURATION_LEAST: f64 = 0.95;
/// Score from which a box counts where the card says none.
const SCORE: f32 = 0.25;
/// Classes that are this much less probable than the best are as good as it: of pictures of no meaning many are.
const TIE: f32 = 0.1;
/// Classes that are read of an answer: of as many as these the probabilities are compared.
const TOP: usize = 32;
/// Those of them that may tie with the best.
const TIED: usize = 5;
/// Numbers that differ by less than this share of the larger are the same.
const SAME_NUMBER: f64 = 0.1;

/// Pictures that models look at.
pub(in crate::cli) struct Pictures {
    /// As cameras send them.
    pub(in crate::cli) frames: Vec<EncodedFrame>,
    /// They were drawn: nobody gave any.
    pub(in crate::cli) are_drawn: bool,
}

impl Pictures {
    /// Those of a folder: its own, those of its folder `images`, or those of all its folders; at most `limit`, evenly spread.
    pub(in crate::cli) fn of_folder(folder: &Path, limit: usize) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for folder in folders(folder)? {
            found.extend(pictures::find(&folder)?);
        }
        let spread = limit.min(found.len());
        let paths = (0..spread).map(|number| &found[number * found.len() / spread]);
        let mut files = PictureFiles::new(PictureLimits::default());
        let read = |path: &PathBuf| match files.read(path, DeviceId::new("bench")?)? {
            Ok(frame) => Ok(frame),
            Err(reason) => bail!("{}: no frame: {reason}", path.display()),
        };
        Ok(Self { frames: paths.map(read).collect::<anyhow::Result<_>>()?, are_drawn: false })
    }

    /// Drawn ones.
    pub(in crate::cli) fn drawn() -> anyhow::Result<Self> {
        let mut files = PictureFiles::new(PictureLimits::default());
        let draw = |number: usize| {
            let picture = drawn(u32::try_from(number)?);
            let bytes = annotate::encode(&picture)?;
            files.of_bytes(bytes, DeviceId::new("bench")?)?.map_err(|reason| anyhow!("{reason}"))
        };
        Ok(Self {
            frames: (0..SATURATION_PICTURES).map(draw).collect::<anyhow::Result<_>>()?,
            are_drawn: true,
        })
    }
}

pub(in crate::cli) fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let images = folder.join("images");
    if images.is_dir() {
        return Ok(vec![images]);
    }
    let cannot = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?;
    let paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    if paths.iter().any(|path| pictures::is_picture(path)) {
        return Ok(vec![folder.to_owned()]);
    }
    let mut folders: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(if folders.is_empty() { vec![folder.to_owned()] } else { folders })
}

/// A model that is measured.
pub(in crate::cli) struct Subject {
    pub(in crate::cli) model: Arc<FrameModel>,
    viewer: FrameViewer,
    limits: ModelLimits,
}

/// What one look took, in ms.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Took {
    pub(in crate::cli) wall: f64,
    pub(in crate::cli) cpu: f64,
}

impl Subject {
    /// Loads the model of a card.
    pub(in crate::cli) fn load(runtime: &Runtime, card: &Path, limits: ModelLimits) -> anyhow::Result<Self> {
        Self::of_files(runtime, &ModelFiles::of_card(card), limits)
    }

    /// The same; it says how probable each of its classes is, not the best alone.
    pub(in crate::cli) fn load_for_all(
        runtime: &Runtime,
        card: &Path,
        limits: ModelLimits,
    ) -> anyhow::Result<Self> {
        let model =
            FrameModel::load(runtime, &ModelFiles::of_card(card), limits).exit_with(Exit::BadInput)?;
        let all = model.labels().len().max(1);
        Self::with_classes(Arc::new(model), limits, all)
    }

    /// Loads a model.
    fn of_files(runtime: &Runtime, files: &ModelFiles, limits: ModelLimits) -> anyhow::Result<Self> {
        let model = Arc::new(FrameModel::load(runtime, files, limits).exit_with(Exit::BadInput)?);
        Self::of_model(model, limits)
    }

    /// A model that is loaded.
    pub(in crate::cli) fn of_model(model: Arc<FrameModel>, limits: ModelLimits) -> anyhow::Result<Self> {
        Self::with_classes(model, limits, TOP)
    }

    fn with_classes(model: Arc<FrameModel>, limits: ModelLimits, top: usize) -> anyhow::Result<Self> {
        let settings = ViewerSettings {
            models: vec![Arc::clone(&model)],
            judges: vec![Some(VisionJudge { top, ..VisionJudge::of(0) })],
            looks: Vec::new(),
            masks: SourceMasks::default(),
            names: Vec::new(),
            max_picture_bytes: wiring::picture_bytes(PictureLimits::default().max_pixels),
            watched: Vec::new(),
        };
        let viewer = FrameViewer::new(&settings).exit_with(Exit::BadInput)?;
        Ok(Self { model, viewer, limits })
    }

    /// Looks at a picture: what it says, and what that took without decoding.
    pub(in crate::cli) fn look(&mut self, frame: &EncodedFrame) -> anyhow::Result<(Inference, Took)> {
        self.look_down_to(frame, self.least())
    }

    /// The score from which a box counts.
    pub(in crate::cli) fn least(&self) -> f32 {
        self.model.frames().output.score.unwrap_or(SCORE)
    }

    /// Width and height of the picture that it looked at last.
    pub(in crate::cli) fn size(&self) -> (u32, u32) {
        (self.viewer.picture().width(), self.viewer.picture().height())
    }

    /// The same with boxes down to a score.
    pub(in crate::cli) fn look_down_to(
        &mut self,
        frame: &EncodedFrame,
        least: f32,
    ) -> anyhow::Result<(Inference, Took)> {
        self.viewer.decode(frame)?;
        let (began, cpu) = (Instant::now(), cpu_ms(ClockId::ProcessCPUTime));
        let seen = self.viewer.infer(JudgeIndex(0), least, &mut RecurrentState::default(), None)?;
        let took =
            Took { wall: began.elapsed().as_secs_f64() * 1e3, cpu: cpu_ms(ClockId::ProcessCPUTime) - cpu };
        Ok((seen, took))
    }

    /// How far an answer of this model is that of another; labels are compared by their text.
    pub(in crate::cli) fn agrees(&self, own: &Inference, other: &Self, answer: &Inference) -> Option<Agreed> {
        let label = |of: &Self, index: usize| of.model.labels().get(index).map(ToString::to_string);
        match (own, answer) {
            (Inference::Classes(own), Inference::Classes(answer)) => {
                let best = own.first().map(|class| label(self, class.label));
                let same = best == answer.first().map(|class| label(other, class.label));
                Some(Agreed::of_answers([same]))
            }
            (Inference::Objects(own), Inference::Objects(answer)) => {
                let found = |of: &Self, objects: &[CandidateBox]| {
                    let object = |one: &CandidateBox| {
                        let [left, top, right, bottom] = one.corners.map(f64::from);
                        let text = label(of, one.label);
                        let class = self.model.labels().iter().position(|own| Some(own.to_string()) == text);
                        FoundObject {
                            class: class.unwrap_or(usize::MAX),
                            area: [left, top, right - left, bottom - top],
                            score: one.score.into(),
                        }
                    };
                    objects.iter().map(object).collect::<Vec<_>>()
                };
                Some(Agreed::of_boxes(&found(self, own), &found(other, answer)))
            }
            (Inference::Reconstruction(own), Inference::Reconstruction(answer)) => {
                Some(same_number(*own, *answer))
            }
            (Inference::Appearance(own), Inference::Appearance(answer)) => {
                Some(same_number(own.score, answer.score))
            }
            _ => None,
        }
    }
}

/// How far the probabilities of an answer are from those of another of a model with the same labels; nothing where it gives none.
pub(in crate::cli) fn divergence(old: &Inference, new: &Inference) -> Option<Divergence> {
    let (Inference::Classes(old), Inference::Classes(new)) = (old, new) else { return None };
    let both = |class: &ScoredClass| {
        let same = new.iter().find(|other| other.label == class.label)?;
        Some((f64::from(class.probability), f64::from(same.probability)))
    };
    Some(Divergence::of(&old.iter().filter_map(both).collect::<Vec<_>>()))
}

/// Whether the best class of one answer is the best of another, or as good as that.
fn tied(one: &[ScoredClass], other: &[ScoredClass]) -> Agreed {
    let (Some(best), Some(first)) = (one.first(), other.first()) else { return Agreed::of_answers([true]) };
    let same = other.iter().take(TIED).find(|class| class.label == best.label);
    Agreed::of_answers([same.is_some_and(|same| same.probability >= first.probability - TIE)])
}

fn same_number(one: f64, other: f64) -> Agreed {
    Agreed::of_answers([(one - other).abs() <= SAME_NUMBER * one.abs().max(other.abs())])
}

/// Time of the processor that this process or this thread has taken, in ms.
pub(in crate::cli) fn cpu_ms(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ms = now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6;
    ms
}

/// Whether this processor may overflow on a model. Only then a low agreement of the file as it runs with the file as it is written
/// means that it saturates: rounding alone, which differs between both, changes one in ten boxes of small detectors.
pub(in crate::cli) fn may_saturate(model: &FrameModel) -> bool {
    let read = EditableModel::read(model.graph().bytes());
    read.map_or(true, |model| may_overflow(&model, ProcessorClass::here()))
}

/// How a file as the library runs it agrees with the file as it is written; nothing where `until` passes before that is known.
pub(in crate::cli) fn saturation(
    runtime: &Runtime,
    files: &ModelFiles,
    subject: &mut Subject,
    pictures: &Pictures,
    until: Option<Instant>,
) -> anyhow::Result<Option<Agreed>> {
    let limits = ModelLimits { optimisation: Optimisation::AsWritten, ..subject.limits };
    let mut written = Subject::of_files(runtime, files, limits)?;
    let mut agreed = Agreed::default();
    for frame in pictures.frames.iter().take(2 * SATURATION_PICTURES) {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        let (run, _) = subject.look(frame)?;
        let (as_written, _) = written.look(frame)?;
        let one = match (&run, &as_written) {
            (Inference::Classes(run), Inference::Classes(classes)) if pictures.are_drawn => {
                tied(run, classes)
            }
            _ => subject.agrees(&run, &written, &as_written).context("a model answers in one way")?,
        };
        agreed = agreed.and(one);
    }
    Ok(Some(agreed))
}
