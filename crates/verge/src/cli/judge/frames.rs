//! Pictures and recorded frames through a judge over frames.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use verge_codec::FrameDecoders;
use verge_domain::frame::{EncodedFrame, Shortfall, View};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::{Camera, Observation};
use verge_domain::reading::{Decoded, SourceIndex};
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Decoder, Seen, ViewRequest, Viewer};
use verge_domain::time::Moment;
use verge_pipeline::clock::Clock;
use verge_pipeline::judging::Undecoded;
use verge_vision::annotate::{shapes_of, shapes_of_scene};
use verge_vision::mask::masks_of;
use verge_vision::{FrameViewer, Memory, PrivacyMask};

use super::trial::JudgeTrial;
use super::{INTERVAL, JudgeArgs, JudgeSummary, VerdictPrinter, is_table, samples_in, time_of};
use crate::cli::file_name::file_name;
use crate::cli::output::Progress;
use crate::cli::pictures::{self, PictureFiles};
use crate::cli::recording::Recording;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeRules, JudgeSection, Settings};
use verge_gateway::wiring::{self, Autoencoders, Vision};

/// The folder of pictures in which the judge sees nothing that it is sure enough of.
const UNSORTED: &str = "unsorted";

/// What looks at the frames of files.
pub(super) struct Frames<'a> {
    settings: &'a Settings,
    /// The source that pictures without a message count as of.
    source: SourceIndex,
    device: Option<DeviceId>,
    interval: Duration,
    annotate: Option<PathBuf>,
    sort: Option<PathBuf>,
    vision: Vision,
    viewer: FrameViewer,
    /// The judge watches when frames arrive, not what they show.
    arrivals: bool,
    files: PictureFiles,
    decoders: FrameDecoders,
    clock: Clock,
}

/// One input, which is judged by itself.
struct FrameReplay<'a, W> {
    trial: JudgeTrial<'a, W, Undecoded>,
    /// What the model remembers of each camera.
    memories: Vec<(Camera, Memory)>,
    frames: u64,
}

impl<'a> Frames<'a> {
    pub(super) fn new(
        args: &JudgeArgs,
        settings: &'a Settings,
        judge: &JudgeSection,
    ) -> anyhow::Result<Self> {
        let (inputs, arrivals) = match &judge.rules {
            JudgeRules::Frames(rules) => (&rules.inputs, false),
            JudgeRules::Readings(rules) => (&rules.inputs, true),
        };
        let source = inputs.first().context("a judge has an input")?.source;
        let vision = Vision::load(settings)?.context("the one judge looks at frames")?;
        let device = args.input.device.as_deref().map(DeviceId::new).transpose();
        if let Some(folder) = &args.annotate {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(Self {
            settings,
            source,
            device: device.context("--device").exit_with(Exit::Usage)?,
            interval: args.input.interval.unwrap_or(INTERVAL),
            annotate: args.annotate.clone(),
            sort: args.sort.clone(),
            viewer: vision.viewer()?,
            vision,
            arrivals,
            files: PictureFiles::new(pictures::limits_of(settings, source)),
            decoders: wiring::frame_decoders(settings)?,
            clock: Clock::start(),
        })
    }

    /// What it looks with.
    pub(super) const fn vision(&self) -> &Vision {
        &self.vision
    }

    /// Judges one input: pictures, a folder of them, or a recording.
    pub(super) fn input(
        &mut self,
        paths: &[PathBuf],
        (printer, models): (&VerdictPrinter, &Autoencoders),
        out: &mut impl Write,
    ) -> anyhow::Result<JudgeSummary> {
        let Some(path) = paths.first() else { return Ok(JudgeSummary::default()) };
        let is_of_pictures = path.is_dir() || pictures::is_picture(path);
        let has_times = !is_of_pictures && !is_table(path) && samples_in(path).is_none();
        let usable = || {
            ensure!(
                has_times || !self.arrivals,
                "{}: this judge watches when frames arrive; give it a recording of messages (JSON lines, as \
                 `mosquitto_sub -F %j` writes them)",
                path.display()
            );
            Ok(())
        };
        usable().exit_with(Exit::Usage)?;
        let trial = JudgeTrial::new(self.settings, printer, models, Undecoded, out);
        let mut replay = FrameReplay { trial, memories: Vec::new(), frames: 0 };
        if is_of_pictures {
            let mut progress = Progress::new();
            let files = paths.iter().map(|path| pictures::find(path)).collect::<anyhow::Result<Vec<_>>>();
            let files = files.exit_with(Exit::BadInput)?.concat();
            for (number, file) in files.iter().enumerate() {
                progress.show(&format!("{number} of {} pictures", files.len()))?;
                self.picture(file, &mut replay)?;
            }
            progress.clear()?;
        } else {
            self.recording(path, &mut replay)?;
        }
        Ok(JudgeSummary { observations: replay.frames, ..replay.trial.end()? })
    }

    /// A picture is a camera's only frame, unless all are said to be of one device: then they are its series.
    fn picture<W: Write>(&mut self, file: &Path, replay: &mut FrameReplay<'_, W>) -> anyhow::Result<()> {
        let (device, at) = match &self.device {
            Some(device) => (device.clone(), time_of(replay.trial.messages, self.interval)),
            None => {
                replay.trial.start_anew(Undecoded);
                replay.memories.clear();
                (pictures::device_of(file).exit_with(Exit::Usage)?, self.clock.now().wall)
            }
        };
        replay.trial.messages += 1;
        let received = replay.trial.let_time_pass(at)?;
        let frame = match self.files.read(file, device).exit_with(Exit::BadInput)? {
            Ok(frame) => frame,
            Err(rejection) => {
                replay.trial.refuse(self.source, &file.display().to_string(), None, &rejection);
                return Ok(());
            }
        };
        let name = file.file_name().map(PathBuf::from).unwrap_or_default();
        self.frame(self.source, &frame, received, (&name, Some(file)), replay)
    }

    fn recording<W: Write>(&mut self, path: &Path, replay: &mut FrameReplay<'_, W>) -> anyhow::Result<()> {
        let mut decoded = Decoded::default();
        for recorded in Recording::open(path).exit_with(Exit::BadInput)? {
            let (line, recorded) = recorded.exit_with(Exit::BadInput)?;
            replay.trial.show()?;
            let Some(message) = replay.trial.received(recorded, line)? else { continue };
            self.decoders.decode(&message, &mut decoded);
            for rejection in &decoded.rejections {
                replay.trial.refuse(message.source, &message.topic, Some(message.payload.len()), rejection);
            }
            let Some(frame) = decoded.items.pop() else { continue };
            let device = file_name(frame.device.as_str());
            let name = PathBuf::from(format!("{device}-{:06}.jpg", replay.trial.messages));
            self.frame(message.source, &frame, message.received, (&name, None), replay)?;
        }
        Ok(())
    }

    fn frame<W: Write>(
        &mut self,
        source: SourceIndex,
        frame: &EncodedFrame,
        received: Moment,
        (name, file): (&Path, Option<&Path>),
        replay: &mut FrameReplay<'_, W>,
    ) -> anyhow::Result<()> {
        let camera = Camera { source, device: frame.device.clone() };
        let captured = frame.captured();
        let arrived = self.arrivals && replay.trial.arrival(&camera, captured, received)?;
        // A judge that does not look at this camera says nothing of it, as in the gateway.
        let judges = self.vision.judges().of(&camera);
        if judges.is_empty() {
            replay.frames += u64::from(arrived);
            return Ok(());
        }
        let memory = memory_of(&mut replay.memories, &camera);
        let mut seen = Seen::default();
        let request = ViewRequest {
            camera: &camera,
            frame,
            received,
            judges: &judges,
            until: None,
            shortfall: Shortfall::default(),
        };
        if let Err(reason) = self.viewer.view(request, memory, &mut seen) {
            let rejection = Rejection::of_picture(reason, &frame.bytes);
            replay.trial.refuse(source, &name.display().to_string(), Some(frame.bytes.len()), &rejection);
            return Ok(());
        }
        let Seen { look, views, .. } = seen;
        if let Some((folder, file)) = self.sort.as_deref().zip(file) {
            sort(folder, file, &views)?;
        }
        let look = look.map(Box::new);
        let of_views =
            self.annotate.as_ref().map(|_| views.iter().flat_map(|(_, view)| shapes_of(view)).collect());
        replay.frames += 1;
        let observation = Observation {
            camera: camera.clone(),
            captured,
            received,
            look,
            shortfall: Shortfall::default(),
            views,
            by_candidate: Vec::new(),
        };
        replay.trial.observation(observation, file)?;
        let Some((folder, of_views)) = self.annotate.as_ref().zip::<Vec<_>>(of_views) else { return Ok(()) };
        let masks = masks_of(self.viewer.masks(), &camera).map(PrivacyMask::to_shape);
        let heat = judges.iter().filter_map(|&judge| self.viewer.heat_map(judge));
        // What is followed stands for what the model sees.
        let sketches = replay.trial.sketches(&camera);
        let of_views = if sketches.is_empty() { of_views } else { Vec::new() };
        let of_scenes = sketches.iter().flat_map(|(_, sketch)| shapes_of_scene(sketch));
        let shapes: Vec<_> = masks.chain(heat).chain(of_views).chain(of_scenes).collect();
        pictures::annotate(self.viewer.picture(), &shapes, &folder.join(name))
    }
}

/// Copies a picture to those of its class.
fn sort(folder: &Path, file: &Path, views: &[(JudgeIndex, View)]) -> anyhow::Result<()> {
    let seen = views.iter().find_map(|(_, view)| match view {
        View::Still => Some(None),
        View::Classification(seen) => Some(seen.labels.first().map(|best| best.label.to_string())),
        _ => None,
    });
    let is_of_classes = || seen.context("--sort is for judges that classify (detector = \"classify\")");
    let class = is_of_classes().exit_with(Exit::Usage)?;
    let class = folder.join(class.map_or_else(|| UNSORTED.to_owned(), |class| file_name(&class)));
    fs::create_dir_all(&class).with_context(|| format!("cannot make the folder {}", class.display()))?;
    let name = file.file_name().unwrap_or_default();
    // Pictures of other folders may have the same name.
    let numbered = |number: u32| match number {
        0 => PathBuf::from(name),
        number => PathBuf::from(format!("{number}-{}", name.display())),
    };
    let mut free = (0..).map(|number| class.join(numbered(number))).filter(|path| !path.exists());
    let to = free.next().context("a name")?;
    fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

fn memory_of<'a>(memories: &'a mut Vec<(Camera, Memory)>, camera: &Camera) -> &'a mut Memory {
    let index = memories.iter().position(|(known, _)| known == camera).unwrap_or_else(|| {
        memories.push((camera.clone(), Memory::default()));
        memories.len() - 1
    });
    &mut memories[index].1
}
