//! One judge over frames, held against its model and ready to look.

use std::sync::Arc;

use verge_domain::frame::{GivenUp, View};
use verge_domain::id::{JudgeIndex, Label};
use verge_domain::scheme::{ClassScheme, UnknownLabel, unknown_label};
use verge_domain::stage::CropCount;
use verge_engine::RecurrentState;
use verge_models::FrameModel;
use verge_models::card::ModelTask;
use verge_models::trial::LookKind;

use crate::candidate::{WatchedModel, processor_time};
use crate::cascade::Cascade;
use crate::detect::{DEFAULT_SCORE, ObjectChoice, Tile};
use crate::follow::FollowMemory;
use crate::gate::{GateSettings, JudgedFrame};
use crate::memory::Memory;
use crate::model_run::{LookedPart, ModelRun, OutputReader, SharedModelRun};
use crate::picture::Picture;
use crate::preprocess::Region;
use crate::viewer::{InferenceError, ViewerError, VisionJudge};

/// One judge, ready to look.
pub(crate) struct JudgeRun {
    pub(crate) model: usize,
    pub(crate) region: Region,
    /// Parts of the region that its detector looks at besides.
    pub(crate) tiles: Vec<Tile>,
    /// Crops around what it found before, in the place of the whole, at most.
    pub(crate) follow: usize,
    pub(crate) top: usize,
    pub(crate) score: f32,
    pub(crate) labels: Vec<Label>,
    pub(crate) objects: ObjectChoice,
    /// Lowest value of a map that belongs to a region, where one is set.
    pub(crate) map_above: Option<f32>,
    pub(crate) gate: Option<GateSettings>,
    /// The second model that looks at what it finds.
    then: Option<Cascade>,
    /// The same with the smaller model, which looks under overload.
    smaller: Option<Box<Self>>,
    /// Where others look with the same model at the same part of frames: the lowest score of them all.
    shared: Option<f32>,
    /// The same with a version that is on trial, and its position among the models that are watched.
    pub(crate) candidate: Option<(Box<Self>, usize)>,
}

impl JudgeRun {
    pub(crate) fn new(judge: &VisionJudge, models: &[Arc<FrameModel>]) -> Result<Self, ViewerError> {
        let model = &models[judge.model];
        let names = judge.classes.as_ref().map_or(model.labels(), ClassScheme::names);
        let known = |label: &str, names: &[Label]| match unknown_label(label, names) {
            None => Ok(()),
            Some(UnknownLabel { label, nearest }) => Err(ViewerError::UnknownLabel { label, nearest }),
        };
        if let Some(UnknownLabel { label, nearest }) =
            judge.classes.iter().flat_map(|classes| classes.unknown(model.labels())).next()
        {
            return Err(ViewerError::UnknownLabel { label, nearest });
        }
        let label =
            |label: &String| known(label, names).map(|()| Label::new(label).expect("it is one of the names"));
        let stated = judge.score.or(model.frames().output.score);
        let score = stated.unwrap_or(match model.frames().task {
            // The best few classes are an answer whatever their probability.
            ModelTask::Classify | ModelTask::Reconstruct | ModelTask::Anomaly => 0.0,
            ModelTask::Detect => DEFAULT_SCORE,
        });
        let mut scores = vec![score; names.len()];
        for (label, score) in &judge.scores {
            known(label, names)?;
            let of = scores.iter_mut().zip(names).find(|(_, name)| name.as_str() == label);
            *of.expect("it is one of the names").0 = *score;
        }
        let objects = ObjectChoice::new(scores, judge.classes.as_ref(), model);
        let labels = judge.labels.iter().map(label).collect::<Result<_, _>>()?;
        let then = judge.then.as_ref().map(|then| Cascade::new(then, names, models)).transpose()?;
        let smaller = judge.smaller.map(|at| Self::smaller(judge, at, models)).transpose()?;
        let VisionJudge { model, region, tiles, follow, top, gate, .. } = *judge;
        let tiles = Tile::of(region, tiles);
        Ok(Self {
            model,
            region,
            tiles,
            follow,
            top,
            score,
            labels,
            objects,
            map_above: stated,
            gate,
            then,
            smaller,
            shared: None,
            candidate: None,
        })
    }

    /// The judge as [`Self::new`] makes it, and beside it with the first version on trial of a model that it looks with.
    pub(crate) fn on_trial(
        judge: &VisionJudge,
        models: &[Arc<FrameModel>],
        watched: &[WatchedModel],
    ) -> Result<Self, ViewerError> {
        let mut versions = watched.iter().enumerate().filter_map(|(place, watched)| {
            Some((judge.with_version(watched.active, watched.candidate.as_ref()?.model)?, place))
        });
        let candidate = match versions.next() {
            Some((judge, place)) => Some((Box::new(Self::new(&judge, models)?), place)),
            None => None,
        };
        Ok(Self { candidate, ..Self::new(judge, models)? })
    }

    /// The judge with the model that looks in the place of its own under overload.
    fn smaller(judge: &VisionJudge, at: usize, models: &[Arc<FrameModel>]) -> Result<Box<Self>, ViewerError> {
        let (own, smaller) = (models[judge.model].frames(), &models[at]);
        let model = || smaller.card().identity.name.to_string();
        if smaller.frames().task != own.task {
            let (task, expected) = (smaller.frames().task.as_str(), own.task.as_str());
            return Err(ViewerError::OtherTask { model: model(), task, expected });
        }
        if !smaller.frames().state.is_empty() {
            return Err(ViewerError::SmallerKeeps { model: model() });
        }
        Ok(Box::new(Self::new(&VisionJudge { model: at, smaller: None, ..judge.clone() }, models)?))
    }

    /// As it looks when this is given up.
    fn under(&self, given_up: GivenUp) -> &Self {
        self.smaller.as_deref().filter(|_| given_up >= GivenUp::Models).unwrap_or(self)
    }

    /// Lets judges share what a detector finds in a frame, where they look with it at the same part; under overload, too.
    pub(crate) fn share(judges: &mut [Option<Self>]) {
        for given_up in [GivenUp::Nothing, GivenUp::Models] {
            for at in 0..judges.len() {
                let Some(own) = judges[at].as_ref().map(|own| own.under(given_up)) else { continue };
                let all = judges.iter().flatten().map(|other| other.under(given_up));
                // Crops are each judge's own.
                let alike = all.filter(|other| {
                    own.model == other.model && own.part() == other.part() && own.follow + other.follow == 0
                });
                let (count, least) = alike
                    .fold((0, 1.0_f32), |(count, least), one| (count + 1, least.min(one.objects.least())));
                let shared = (count > 1).then_some(least);
                let Some(own) = &mut judges[at] else { continue };
                match (given_up, &mut own.smaller) {
                    (GivenUp::Models, Some(smaller)) => smaller.shared = shared,
                    // It looks with the same model as ever, and may share it with others then.
                    (GivenUp::Models, None) => own.shared = least_of(own.shared, shared),
                    _ => own.shared = shared,
                }
            }
        }
    }

    /// What of frames it looks at.
    fn part(&self) -> LookedPart {
        LookedPart { region: self.region, tiles: self.tiles.len() }
    }

    /// Lets it look at the frame that was last decoded, if its gate is open.
    pub(crate) fn look(
        &self,
        judge: JudgeIndex,
        (models, picture): (&mut [SharedModelRun], &Picture),
        of: JudgedFrame<'_>,
        (memory, crops): (&mut Memory, &mut CropCount),
    ) -> Result<View, InferenceError> {
        let remembered = memory.of(judge, &models[self.model].0, self.region);
        if let Some(settings) = &self.gate
            && !remembered.gate.is_open(settings, of, self.region)
        {
            return Ok(View::Still);
        }
        let run = self.under(of.given_up);
        let model = models[run.model].1.as_mut().expect("a whole viewer");
        let part = run.part();
        let mut view = match &mut model.reader {
            OutputReader::Detector(detector) if run.follow == 0 && model.found == Some(part) => {
                detector.recall();
                View::Detections(detector.report(&run.objects, (picture.width(), picture.height())))
            }
            _ => {
                // What a model remembers from frame to frame is each judge's own.
                let is_shared = run.shared.is_some() && model.runner.contract().states.is_empty();
                if is_shared {
                    model.found = None;
                }
                let mut none = RecurrentState::default();
                let is_own = run.model == self.model;
                let state = if is_own { &mut remembered.state } else { &mut none };
                let seen = (of, &mut remembered.follow);
                let kind = if run.follow > 0 { LookKind::Parts } else { LookKind::First };
                let view = run.ask(kind, (model, picture), state, seen)?;
                if is_shared {
                    model.found = Some(part);
                }
                model.looked_for = Some(judge);
                view
            }
        };
        self.keep_labels(&mut view);
        remembered.gate.looked(&view, of);
        if let (1.., View::Detections(view)) = (self.follow, &view) {
            remembered.follow.keep(view);
        }
        if let (Some(then), View::Detections(view)) = (&self.then, &mut view)
            && let Some(second) = &mut models[then.model()].1
        {
            then.name_kinds(second, (picture, of), view, &mut remembered.crops, crops);
        }
        Ok(view)
    }

    /// Looks at the frame that was last decoded as if it were alone: nothing is remembered, and no second model asked. Nothing of a
    /// model that keeps something from frame to frame, which would mean nothing.
    pub(crate) fn look_alone(
        &self,
        (models, picture): (&mut [SharedModelRun], &Picture),
        of: JudgedFrame<'_>,
    ) -> Result<Option<View>, InferenceError> {
        let model = models[self.model].1.as_mut().expect("a whole viewer");
        if !model.runner.contract().states.is_empty() {
            return Ok(None);
        }
        let (state, follow) = (&mut RecurrentState::default(), &mut FollowMemory::default());
        let mut view = self.ask(LookKind::Again, (model, picture), state, (of, follow))?;
        self.keep_labels(&mut view);
        Ok(Some(view))
    }

    /// Leaves the labels that are reported.
    fn keep_labels(&self, view: &mut View) {
        if self.labels.is_empty() {
            return;
        }
        match view {
            View::Classification(view) => view.labels.retain(|one| self.labels.contains(&one.label)),
            View::Detections(view) => view.objects.retain(|one| self.labels.contains(&one.label)),
            View::Reconstruction(_) | View::Appearance(_) | View::Still => {}
        }
    }

    /// Runs the model on the frame that was last decoded, and notes the run where it is watched.
    fn ask(
        &self,
        kind: LookKind,
        (model, picture): (&mut ModelRun, &Picture),
        state: &mut RecurrentState,
        seen: (JudgedFrame<'_>, &mut FollowMemory),
    ) -> Result<View, InferenceError> {
        let began = model.watch.as_ref().map(|_| processor_time());
        let result = self.run(model, picture, state, seen);
        if let Some((watch, began)) = model.watch.as_mut().zip(began) {
            watch.note(kind, result.as_ref().err(), processor_time().saturating_sub(began));
        }
        result
    }

    fn run(
        &self,
        model: &mut ModelRun,
        picture: &Picture,
        state: &mut RecurrentState,
        (of, follow): (JudgedFrame<'_>, &mut FollowMemory),
    ) -> Result<View, InferenceError> {
        let (size, until) = ((picture.width(), picture.height()), of.until);
        let least = self.shared.unwrap_or(self.objects.least());
        if self.follow > 0 {
            let looks_at_whole =
                follow.plan(of.motion, (self.region, self.follow), [pixels(size), pixels(model.size)]);
            model.find_in_tiles(picture, &follow.crops, least, until)?;
            if let (OutputReader::Detector(detector), false) = (&mut model.reader, looks_at_whole) {
                detector.without_whole();
                detector.join_tiles();
                return Ok(View::Detections(detector.report(&self.objects, size)));
            }
        } else {
            model.find_in_tiles(picture, &self.tiles, least, until)?;
        }
        let placement = model.preprocess.fill(picture, self.region, model.runner.input());
        let reader = &mut model.reader;
        let is_shared = self.shared.is_some();
        model.runs += 1;
        model.runner.run(state, until, |outputs| match reader {
            OutputReader::Classifier(classifier) => {
                let (_, elements) = outputs.get(0)?;
                let view = classifier.classify(elements, self.top, self.score)?;
                Ok::<_, InferenceError>(View::Classification(view))
            }
            OutputReader::Detector(detector) => {
                detector.find(outputs, placement, least)?;
                detector.join_tiles();
                if is_shared {
                    detector.keep();
                }
                Ok(View::Detections(detector.report(&self.objects, size)))
            }
            OutputReader::Comparison(comparison) => {
                Ok(View::Reconstruction(comparison.mean_square_error(outputs)?))
            }
            OutputReader::Appearance(reader) => {
                Ok(View::Appearance(reader.read(outputs, placement, self.map_above, size)?))
            }
        })
    }
}

/// Sides in pixels.
#[expect(clippy::cast_precision_loss, reason = "sides of frames and inputs")]
const fn pixels((width, height): (u32, u32)) -> [f32; 2] {
    [width as f32, height as f32]
}

/// The lesser of two scores, where both are there.
fn least_of(one: Option<f32>, other: Option<f32>) -> Option<f32> {
    [one, other].into_iter().flatten().reduce(f32::min)
}
