//! Pictures that are instructions, and viewers that obey them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use verge_domain::frame::{
    Detections, EncodedFrame, FrameSnapshot, ImageFormat, Orientation, ShownFrame, SnapshotError,
    SnapshotOrder, View,
};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Decoder, Seen, ViewRequest, Viewer};
use verge_domain::time::DeviceClock;

use super::site::{ERA, OBSERVER};

/// The topic is the camera, the payload an instruction to the viewer; an empty payload is no frame.
pub(super) struct Pictures;

impl Decoder for Pictures {
    type Item = EncodedFrame;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<EncodedFrame>) {
        out.clear();
        if message.payload.is_empty() {
            out.rejections.push(Rejection::whole(Reason::BadJpeg));
            return;
        }
        out.items.push(EncodedFrame {
            device: DeviceId::new(&message.topic).unwrap(),
            format: ImageFormat::Jpeg,
            bytes: message.payload.clone(),
            width: 1,
            height: 1,
            orientation: Orientation::Upright,
            captured_at: None,
            clock: DeviceClock::Absent,
        });
    }
}

/// `wait:N` takes N ms; `panic` and `fail` do so; any other frame gives the number of its camera's frames before it.
/// The judge of errors sees the error X of `error:X`. Of `nr:N` a viewer of a later era sees its era and that number.
pub(super) struct Scripted {
    pub(super) era: u32,
    /// It has what only a viewer before it could bring.
    pub(super) whole: bool,
    /// Pictures that it has shown.
    pub(super) shown: Arc<AtomicUsize>,
    /// It may look once more at the last frame, which was `again`.
    pub(super) trial: bool,
    /// How often it did.
    pub(super) again: Arc<AtomicUsize>,
    /// How long that takes.
    pub(super) again_takes: Duration,
}

impl Scripted {
    /// One of this era.
    pub(super) fn of(era: u32, whole: bool) -> Self {
        Self {
            era,
            whole,
            shown: Arc::default(),
            trial: false,
            again: Arc::default(),
            again_takes: Duration::ZERO,
        }
    }
}

impl Viewer for Scripted {
    type Memory = u32;

    fn view(&mut self, request: ViewRequest<'_>, memory: &mut u32, seen: &mut Seen) -> Result<(), Reason> {
        let ViewRequest { judges, frame, until, .. } = request;
        let text = std::str::from_utf8(&frame.bytes).unwrap();
        if let Some(millis) = text.strip_prefix("wait:") {
            let end = Instant::now() + Duration::from_millis(millis.parse().unwrap());
            while Instant::now() < end {
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Err(Reason::Overrun);
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        assert_ne!(text, "panic", "as the test asked");
        if text == "fail" {
            return Err(Reason::ModelFailed);
        }
        assert!(self.whole, "a viewer is whole when it looks");
        *memory += 1;
        self.trial = text.starts_with("again");
        self.again_takes = Duration::from_millis(if text == "again slowly" { 700 } else { 0 });
        let number = text.strip_prefix("nr:").and_then(|number| number.parse::<u32>().ok());
        let shown = number.filter(|_| self.era > 0).map_or(*memory, |number| self.era * ERA + number);
        for judge in judges {
            let view = match text.strip_prefix("error:") {
                Some(error) if *judge == OBSERVER => View::Reconstruction(error.parse().unwrap()),
                _ => View::Detections(Detections { width: shown, height: 1, objects: Vec::new() }),
            };
            seen.views.push((*judge, view));
        }
        Ok(())
    }

    fn show(&self, _: (&Camera, &[JudgeIndex]), frame: &EncodedFrame, _: &Seen) -> Option<ShownFrame> {
        self.shown.fetch_add(1, Ordering::Relaxed);
        let jpeg = frame.bytes.clone();
        Some(ShownFrame { jpeg, width: 1, height: 1, masked: false, views: Vec::new() })
    }

    fn snapshot(
        &self,
        _: (&Camera, &[JudgeIndex]),
        _: &SnapshotOrder,
        _: (&Seen, &[(JudgeIndex, verge_domain::frame::SceneSketch)]),
    ) -> Result<FrameSnapshot, SnapshotError> {
        Err(SnapshotError::Failed)
    }

    fn has_trial(&self) -> bool {
        self.trial
    }

    fn look_again(&mut self, of: (&Camera, &[JudgeIndex]), _until: Instant) {
        assert_eq!(of.0.device.as_str(), "cam");
        std::thread::park_timeout(self.again_takes);
        self.again.fetch_add(1, Ordering::Relaxed);
    }

    fn take_over(&mut self, former: Self) -> bool {
        self.whole |= former.whole;
        self.whole
    }
}
