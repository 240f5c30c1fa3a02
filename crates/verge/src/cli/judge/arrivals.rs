//! Recorded frames through a judge that watches whether cameras are alive.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use verge_codec::FrameDecoders;
use verge_domain::frame::EncodedFrame;
use verge_domain::reading::{Decoded, Inbound, Reading};
use verge_domain::stage::Decoder;
use verge_pipeline::counters::Counters;

use super::readings::Trial;
use super::{Teller, Told, is_table, samples_in};
use crate::cli::pictures;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_gateway::wiring;

/// Frames to the readings that say that they have arrived.
struct Arriving {
    frames: FrameDecoders,
    decoded: Decoded<EncodedFrame>,
}

impl Decoder for Arriving {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        self.frames.decode(message, &mut self.decoded);
        out.rejections.append(&mut self.decoded.rejections);
        out.items.extend(self.decoded.items.drain(..).map(|frame| frame.arrival()));
    }
}

/// A recording alone says when frames came.
pub(super) fn recording(
    settings: &Settings,
    teller: &Teller,
    path: &Path,
    out: &mut impl Write,
) -> anyhow::Result<Told> {
    let has_no_times =
        path.is_dir() || pictures::is_picture(path) || is_table(path) || samples_in(path).is_some();
    let usable = || {
        ensure!(
            !has_no_times,
            "{}: this judge watches when frames arrive; give it a recording of messages (JSON lines, as \
             `mosquitto_sub -F %j` writes them)",
            path.display()
        );
        Ok(())
    };
    usable().exit_with(Exit::Usage)?;
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    let input = Arriving { frames: wiring::frame_decoders(settings)?, decoded: Decoded::default() };
    Trial::new(settings, teller, input, counters, out)?.recording(path)
}
