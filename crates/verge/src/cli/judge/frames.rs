//! Pictures and recorded frames through a judge over frames.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use verge_codec::FrameDecoders;
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Decoder, Viewer};
use verge_domain::time::{Moment, UtcMillis};
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::Reports;
use verge_vision::{FrameViewer, Memory};

use super::behind::Behind;
use super::refusals::Notes;
use super::{INTERVAL, JudgeArgs, Teller, Told, rejections, source_of, time_of};
use crate::cli::file_name::file_name;
use crate::cli::output::Progress;
use crate::cli::pictures::{self, PictureFiles};
use crate::cli::recording::Recording;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{FrameRules, Settings};
use verge_gateway::wiring::{self, Vision};

/// Position of the one judge of a trial.
const JUDGE: usize = 0;

/// One judge over frames at work on files.
pub(super) struct Trial<'a, W> {
    settings: &'a Settings,
    teller: Teller,
    /// The source that pictures without a message count as of.
    source: SourceIndex,
    device: Option<DeviceId>,
    interval: Duration,
    annotate: Option<PathBuf>,
    vision: Vision,
    viewer: FrameViewer,
    files: PictureFiles,
    decoders: FrameDecoders,
    clock: Clock,
    progress: Progress,
    out: &'a mut W,
}

/// Counts of one input, and what the judge remembers of it: each is a story of its own.
struct Tally<'a> {
    counters: Arc<Counters>,
    notes: Notes,
    cameras: HashMap<DeviceId, (Memory, Reports)>,
    behind: Behind<'a>,
    messages: u64,
    unknown_topics: u64,
    frames: u64,
    verdicts: u64,
}

impl<'a, W: Write> Trial<'a, W> {
    pub(super) fn new(
        args: &JudgeArgs,
        settings: &'a Settings,
        teller: Teller,
        rules: &FrameRules,
        out: &'a mut W,
    ) -> anyhow::Result<Self> {
        let vision = Vision::load(settings)?.context("the one judge looks at frames")?;
        let device = args.device.as_deref().map(DeviceId::new).transpose();
        if let Some(folder) = &args.annotate {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let source = *rules.inputs.first().context("a judge has an input")?;
        let decoders = wiring::frame_decoders(settings)?;
        Ok(Self {
            settings,
            teller,
            source,
            device: device.context("--device").exit_with(Exit::Usage)?,
            interval: args.interval.unwrap_or(INTERVAL),
            annotate: args.annotate.clone(),
            viewer: vision.viewer()?,
            files: PictureFiles::new(pictures::limits_of(settings, source)),
            vision,
            decoders,
            clock: Clock::start(),
            progress: Progress::new(),
            out,
        })
    }

    /// Judges one input: a picture, a folder of them, or a recording.
    pub(super) fn input(&mut self, path: &Path) -> anyhow::Result<Told> {
        let counters = Arc::new(Counters::new(wiring::source_ids(self.settings)));
        let behind = Behind::new(self.settings, self.vision.bench(), Arc::clone(&counters))?;
        let (notes, cameras) = (Notes::default(), HashMap::new());
        let mut tally = Tally {
            counters,
            notes,
            cameras,
            behind,
            messages: 0,
            unknown_topics: 0,
            frames: 0,
            verdicts: 0,
        };
        if path.is_dir() || pictures::is_picture(path) {
            let files = pictures::find(path).exit_with(Exit::BadInput)?;
            for (number, file) in files.iter().enumerate() {
                self.progress.show(&format!("{number} of {} pictures", files.len()))?;
                self.picture(file, &mut tally)?;
            }
        } else {
            self.recording(path, &mut tally)?;
        }
        self.progress.clear()?;
        Ok(Told {
            messages: tally.messages,
            unknown_topics: tally.unknown_topics,
            verdicts: tally.verdicts,
            observations: tally.frames,
            rejections: rejections(&tally.counters),
            shared: Vec::new(),
            clocks: Vec::new(),
            refusals: tally.notes.take(),
            alarms: BTreeMap::new(),
            table: None,
        })
    }

    /// A picture is a camera's only frame, unless all are said to be of one device: then they are its series.
    fn picture(&mut self, file: &Path, tally: &mut Tally<'_>) -> anyhow::Result<()> {
        let (device, received) = match &self.device {
            Some(device) => (device.clone(), Moment::from_wall(time_of(tally.messages, self.interval))),
            None => {
                tally.cameras.clear();
                (pictures::device_of(file).exit_with(Exit::Usage)?, self.clock.now())
            }
        };
        tally.messages += 1;
        let frame = match self.files.read(file, device).exit_with(Exit::BadInput)? {
            Ok(frame) => frame,
            Err(rejection) => {
                refuse(tally, self.source, &file.display().to_string(), None, &rejection);
                return Ok(());
            }
        };
        let name = file.file_name().map(PathBuf::from).unwrap_or_default();
        self.frame(self.source, &frame, received, &name, Some(file), tally)
    }

    fn recording(&mut self, path: &Path, tally: &mut Tally<'_>) -> anyhow::Result<()> {
        let mut decoded = Decoded::default();
        let mut last: Option<Moment> = None;
        for recorded in Recording::open(path).exit_with(Exit::BadInput)? {
            let (line, recorded) = recorded.exit_with(Exit::BadInput)?;
            tally.messages += 1;
            tally.notes.at_line(line);
            self.progress.show(&format!("{} messages, {} verdicts", tally.messages, tally.verdicts))?;
            let Some(source) = source_of(self.settings, &recorded.topic) else {
                tally.unknown_topics += 1;
                continue;
            };
            let received = after(last, recorded.time);
            last = Some(received);
            let message = Inbound {
                source,
                topic: recorded.topic,
                payload: recorded.payload,
                received,
                retained: recorded.retained,
                redelivered: false,
                packet_id: 0,
                receipt: None,
            };
            self.decoders.decode(&message, &mut decoded);
            for rejection in &decoded.rejections {
                refuse(tally, source, &message.topic, Some(message.payload.len()), rejection);
            }
            let Some(frame) = decoded.items.pop() else { continue };
            let device = file_name(frame.device.as_str());
            let name = PathBuf::from(format!("{device}-{:06}.jpg", tally.messages));
            self.frame(source, &frame, received, &name, None, tally)?;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        source: SourceIndex,
        frame: &EncodedFrame,
        received: Moment,
        name: &Path,
        file: Option<&Path>,
        tally: &mut Tally<'_>,
    ) -> anyhow::Result<()> {
        // A judge that does not look at this camera says nothing of it, as in the gateway.
        if self.vision.bench().judges_of(source, &frame.device).is_empty() {
            return Ok(());
        }
        let mut views = Vec::new();
        let (memory, reports) = tally.cameras.entry(frame.device.clone()).or_default();
        if let Err(reason) = self.viewer.view(&[JUDGE], frame, None, memory, &mut views) {
            let rejection = Rejection::of_picture(reason, &frame.bytes);
            refuse(tally, source, &name.display().to_string(), Some(frame.bytes.len()), &rejection);
            return Ok(());
        }
        if let Some(folder) = &self.annotate {
            pictures::annotate(self.viewer.picture(), &views, &folder.join(name))?;
        }
        let views = views.into_iter();
        let decided = self.vision.bench().decide(source, frame, received, received, views, reports);
        tally.frames += 1;
        let judged = match tally.behind.hear(source, &decided.readings, received) {
            Ok(judged) => judged,
            Err(reason) => {
                refuse(tally, source, &name.display().to_string(), None, &Rejection::whole(reason));
                return Ok(());
            }
        };
        for verdict in decided.verdicts.into_iter().chain(judged) {
            tally.verdicts += 1;
            self.teller.tell(&verdict, file, self.out)?;
        }
        Ok(())
    }
}

/// The moment of a recorded message. Durations never run backwards, whatever the file says.
fn after(last: Option<Moment>, time: UtcMillis) -> Moment {
    let at = Moment::from_wall(time);
    Moment { mono: last.map_or(at.mono, |last| last.mono.max(at.mono)), ..at }
}

fn refuse(tally: &Tally<'_>, source: SourceIndex, about: &str, bytes: Option<usize>, rejection: &Rejection) {
    tally.notes.add(about, bytes, rejection);
    if let Some(source) = tally.counters.source(source) {
        source.refuse(about, bytes, rejection);
    }
}
