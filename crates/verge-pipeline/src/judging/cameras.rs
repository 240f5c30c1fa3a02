//! Observations of cameras: that frames arrive, and what models see in them.

use slab::Slab;
use verge_domain::frame::SceneSketch;
use verge_domain::id::JudgeIndex;
use verge_domain::live::LiveScene;
use verge_domain::observation::{Camera, Captured, Observable, Observation};
use verge_domain::reading::Reading;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Decoder, Judge};
use verge_domain::time::Moment;

use super::instance::Instance;
use super::machine::MachineStates;
use super::spec::Specs;
use super::{Decision, JudgeSet, Observes, Turn};

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// The instances that look at a camera, by their index, and what they need to observe.
    fn turn(
        &mut self,
        camera: &Camera,
        received: Moment,
        now: Moment,
    ) -> (&[usize], &mut Slab<Instance<J>>, &Specs<J>, &mut MachineStates, Turn<'_>) {
        let (findings, naming) = (&mut self.findings, &mut self.naming);
        let (counters, room) = (&*self.counters, &*self.room);
        let measured = &mut self.measured;
        let turn = Turn {
            counters,
            room,
            findings,
            measured,
            naming,
            received,
            now,
            by_smaller: false,
            sound: true,
            grown: false,
        };
        (self.streams.of_camera(camera), &mut self.instances, &self.specs, &mut self.machines, turn)
    }

    /// What the judges of a camera know of the scene before it, for drawing.
    #[must_use]
    pub fn sketches(&self, camera: &Camera) -> Vec<(JudgeIndex, SceneSketch)> {
        let instances = self.streams.of_camera(camera).iter().map(|&index| &self.instances[index]);
        instances.filter_map(|instance| Some((instance.judge_index, instance.judge.sketch()?))).collect()
    }

    /// The same under the judges' names, for people who watch.
    #[must_use]
    pub fn scene(&self, camera: &Camera) -> LiveScene {
        let sketches = self.sketches(camera).into_iter();
        sketches.map(|(judge, sketch)| (self.specs[judge].name.clone(), sketch)).collect()
    }

    /// Before the instances that look at a camera observe: what they have learnt is carried over, if that is still to be done.
    fn renew_camera(&mut self, camera: &Camera, now: Moment, out: &mut Decision) {
        if self.renewals.are_due() {
            self.renew_all(self.streams.of_camera(camera).to_vec(), now, out);
        }
    }

    /// Judges that a frame has arrived; the consequences are added to `out`.
    ///
    /// # Errors
    /// More devices than the limit, or a judge has panicked.
    pub fn arrival(
        &mut self,
        camera: &Camera,
        captured: Captured,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), Reason> {
        let from = out.verdicts.len();
        let is_known = self.streams.record_camera(camera, received.mono);
        let found_again = !is_known && self.open_camera(camera, now, out)?;
        self.renew_camera(camera, now, out);
        let (indices, instances, specs, machines, mut turn) = self.turn(camera, received, now);
        for &index in indices {
            let instance = &mut instances[index];
            let spec = &specs[instance.judge_index];
            if spec.inputs.observes == Observes::Arrivals
                && machines.admits(instance, captured.time(received.wall), received)
            {
                turn.observe(instance, spec, Observable::Arrival(captured), out);
            }
        }
        let (sound, grown) = (turn.sound, turn.grown || found_again);
        self.report_overdue(received, out);
        self.end_turn(grown, now, out);
        self.groups.arrange(from, now, out);
        if sound { Ok(()) } else { Err(Reason::Defect) }
    }

    /// Judges what was seen in one frame; the consequences are added to `out`. What the frame says of its camera comes first,
    /// then reports, in the order of the judges, then the events that errors cause.
    pub fn observation(&mut self, observation: Observation, now: Moment, out: &mut Decision) {
        let Observation { camera, captured, received, look, shortfall, mut views, by_candidate } =
            observation;
        if views.is_empty() && look.is_none() {
            return;
        }
        let counters = std::sync::Arc::clone(&self.counters);
        let refuse = |reason| {
            if let Some(source) = counters.source(camera.source) {
                source.refuse(camera.device.as_str(), None, &Rejection::whole(reason));
            }
        };
        let from = out.verdicts.len();
        let is_known = self.streams.record_camera(&camera, received.mono);
        let opened = if is_known { Ok(false) } else { self.open_camera(&camera, now, out) };
        let found_again = match opened {
            Ok(found_again) => found_again,
            Err(reason) => return refuse(reason),
        };
        self.renew_camera(&camera, now, out);
        let (indices, instances, specs, machines, mut turn) = self.turn(&camera, received, now);
        turn.by_smaller = shortfall.is_by_smaller();
        let at = captured.time(received.wall);
        for (look, &index) in look.iter().flat_map(|look| indices.iter().map(move |index| (look, index))) {
            let instance = &mut instances[index];
            let spec = &specs[instance.judge_index];
            if spec.inputs.looks && machines.admits(instance, at, received) {
                turn.observe(instance, spec, Observable::Look(look, captured), out);
            }
        }
        if !turn.sound {
            refuse(Reason::Defect);
        }
        let sees = |judge| specs.get(judge).is_some_and(|spec| spec.inputs.sees());
        views.retain(|&(judge, _)| sees(judge));
        views.sort_by_key(|&(judge, _)| specs[judge].inputs.observes == Observes::Errors);
        for (judge, view) in views {
            let mut is_of_judge = |index: usize| {
                let instance = &mut instances[index];
                instance.judge_index == judge && machines.admits(instance, at, received)
            };
            let Some(index) = indices.iter().copied().find(|&index| is_of_judge(index)) else { continue };
            let sound = turn.view(
                &mut instances[index],
                &specs[judge],
                (view, captured),
                by_candidate.contains(&judge),
                out,
            );
            if !sound {
                refuse(Reason::Defect);
            } else if specs[judge].inputs.observes == Observes::Errors
                && let Some(source) = counters.source(camera.source)
            {
                source.readings_judged_total.add(1);
            }
        }
        let grown = turn.grown || found_again;
        self.judge_measures(received, now, out);
        self.end_turn(grown, now, out);
        self.groups.arrange(from, now, out);
    }
}
