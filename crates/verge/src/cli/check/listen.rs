//! What each source receives in a few seconds, read by its own codec: a granted subscription alone proves little.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use verge_codec::{Decoders, FrameDecoders};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Decoder, IntakeFull};
use verge_mqtt::{ConnectionSettings, Guarantee, MqttSource, MqttSourceSettings, Repetition};
use verge_pipeline::clock::Clock;

use super::{CheckReport, ListenName, budgets};
use crate::cli::async_runtime;
use verge_gateway::config::Warning;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{Carries, Settings, SourceSection};
use verge_gateway::wiring;

/// Behind the client identifier where it cannot be the gateway's own.
const CLIENT_ID_SUFFIX: &str = "-listen";

/// Messages that wait to be read at most; what comes beyond is left out.
const WAITING: usize = 256;
/// How often the connection is checked.
const LOOK: Duration = Duration::from_millis(50);

/// What one source received.
#[derive(Default)]
struct Received {
    messages: u64,
    /// Kept by the broker from before; not judged unless the source says so.
    retained: u64,
    /// Readings or frames.
    items: u64,
    /// How many are of which series.
    series: BTreeMap<Series, u64>,
    /// The first of them, in words.
    sample: Option<String>,
    refused: u64,
    /// Of each kind the first: topic, bytes and reason.
    refusals: Vec<(String, usize, Rejection)>,
}

/// A device, and its signal.
pub(super) type Series = (DeviceId, Option<SignalId>);

/// Series that are counted at most.
const MAX_SERIES: usize = 4096;
/// Kinds of refusals that are shown.
const SHOWN_REFUSALS: usize = 3;

struct Listener<'a> {
    settings: &'a Settings,
    readings: Decoders,
    frames: FrameDecoders,
    clock: Clock,
    received: Vec<Received>,
    /// Topic and size of the last message that was larger than the limit.
    oversized: Option<String>,
}

/// Listens for this long, and notes what came.
///
/// # Errors
/// No runtime; codecs that refuse their settings.
pub(super) fn listen(
    settings: &Settings,
    connection: &ConnectionSettings,
    name: ListenName,
    limit: Duration,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let mut listener = Listener {
        settings,
        readings: wiring::decoders(settings)?,
        frames: wiring::frame_decoders(settings)?,
        clock: Clock::start(),
        received: settings.sources.iter().map(|_| Received::default()).collect(),
        oversized: None,
    };
    let connection = ConnectionSettings {
        client_id: match name {
            ListenName::Own => connection.client_id.clone(),
            ListenName::Other | ListenName::OtherIfAllowed => {
                format!("{}{CLIENT_ID_SUFFIX}", connection.client_id)
            }
        },
        max_packet_bytes: connection.max_packet_bytes.max(settings.max_frame_bytes),
        ..connection.clone()
    };
    let began = Instant::now();
    match async_runtime()?.block_on(listener.run(connection, limit)) {
        Ok(()) => {}
        Err(reason) if name == ListenName::OtherIfAllowed => {
            let remark = format!(
                "not listened: the broker keeps messages for the gateway under its client_id, and under another one it \
                 refuses the connection: {reason}"
            );
            report.warnings.push(Warning { key: "local.client_id".to_owned(), remark });
            return Ok(());
        }
        Err(reason) => {
            report.note("local", "listening", Err(reason), Exit::Unavailable);
            return Ok(());
        }
    }
    if let Some(oversized) = listener.oversized {
        let remark = format!(
            "a message larger than the gateway takes was received, on {oversized}; the gateway skips such"
        );
        report.warnings.push(Warning { key: "local.max_packet".to_owned(), remark });
    }
    for (source, received) in settings.sources.iter().zip(&listener.received) {
        note(source, received, began.elapsed(), report);
    }
    for (source, received) in (0..).map(SourceIndex).zip(&listener.received) {
        budgets::look(settings, (source, &received.series), limit, report);
    }
    Ok(())
}

impl Listener<'_> {
    async fn run(&mut self, connection: ConnectionSettings, limit: Duration) -> Result<(), String> {
        let filters =
            (0..).map(SourceIndex).zip(self.settings.sources.iter().map(|source| source.filter.clone()));
        let wait = connection.connect_timeout + limit;
        let (sender, mut messages) = mpsc::channel(WAITING);
        let clock = self.clock;
        // As the gateway reads, but QoS 0 in a session that ends with it: what is too large is skipped.
        let settings = MqttSourceSettings {
            connection,
            guarantee: Guarantee::AtMostOnce,
            repetition: Repetition::Marked,
            filters: filters.collect(),
        };
        let broker = MqttSource::spawn(
            settings,
            move || clock.now(),
            move |message| sender.try_send(message).map_err(|full| IntakeFull(full.into_inner())),
        );
        let mut deadline = Instant::now() + wait;
        let mut stood = false;
        while Instant::now() < deadline {
            let state = broker.state();
            match (state.connected, state.last_error) {
                (true, _) if !stood => {
                    stood = true;
                    deadline = Instant::now() + limit;
                }
                (false, Some(reason)) => return Err(reason),
                _ => {}
            }
            let look = deadline.min(Instant::now() + LOOK);
            if let Ok(Some(message)) = timeout_at(look, messages.recv()).await {
                self.take(&message);
            }
        }
        self.oversized = broker.state().last_oversized;
        broker.stop().await;
        Ok(())
    }

    fn take(&mut self, message: &Inbound) {
        let Some(source) = self.settings.sources.get(usize::from(message.source.0)) else { return };
        let received = &mut self.received[usize::from(message.source.0)];
        if message.retained {
            received.retained += 1;
        }
        match &source.carries {
            Carries::Readings(_) => received.note(
                &mut self.readings,
                message,
                |reading: &Reading| (reading.device.clone(), Some(reading.signal.clone())),
                |reading| {
                    let unit =
                        reading.unit.as_ref().map_or(String::new(), |unit| format!(" {}", unit.as_str()));
                    format!("{} {}: {}{unit}", reading.device, reading.signal, reading.value)
                },
            ),
            Carries::Frames(_) => received.note(
                &mut self.frames,
                message,
                |frame: &EncodedFrame| (frame.device.clone(), None),
                |frame| format!("{}: {} bytes", frame.device, frame.bytes.len()),
            ),
        }
    }
}

impl Received {
    fn note<D: Decoder>(
        &mut self,
        decoder: &mut D,
        message: &Inbound,
        series: impl Fn(&D::Item) -> Series,
        words: impl Fn(&D::Item) -> String,
    ) {
        let mut decoded = Decoded::default();
        decoder.decode(message, &mut decoded);
        // The gateway would not judge it, and knows nothing of what is published now.
        if decoded.rejections.iter().any(|rejection| rejection.reason == Reason::Retained) {
            return;
        }
        self.messages += 1;
        self.items += decoded.items.len() as u64;
        for item in &decoded.items {
            let of = series(item);
            if self.series.len() < MAX_SERIES || self.series.contains_key(&of) {
                *self.series.entry(of).or_default() += 1;
            }
        }
        if self.sample.is_none() {
            self.sample = decoded.items.first().map(words);
        }
        if let Some(rejection) = decoded.rejections.first() {
            self.refused += 1;
            let is_known = |(_, _, known): &(String, usize, Rejection)| {
                (known.reason, &known.part, known.looks())
                    == (rejection.reason, &rejection.part, rejection.looks())
            };
            if self.refusals.len() < SHOWN_REFUSALS && !self.refusals.iter().any(is_known) {
                self.refusals.push((message.topic.clone(), message.payload.len(), rejection.clone()));
            }
        }
    }
}

fn note(source: &SourceSection, received: &Received, spent: Duration, report: &mut CheckReport) {
    let section = format!("source.{}", source.name);
    let mut warn = |remark: String| report.warnings.push(Warning { key: format!("{section}.topic"), remark });
    let Received { messages, items, refused, .. } = received;
    if *messages == 0 {
        let kept = match received.retained {
            0 => String::new(),
            kept => format!(
                " but {kept} that the broker had retained, which are not judged unless the source says retained = true"
            ),
        };
        warn(format!(
            "nothing arrived on {:?} in {:.0} s{kept}: no device publishes there now, the filter is wrong, or this user \
             may not read it (some brokers grant a subscription and deliver nothing)",
            source.filter,
            spent.as_secs_f64(),
        ));
        return;
    }
    if *refused > 0 {
        let shown = received.refusals.iter().map(|(topic, bytes, rejection)| {
            let looks =
                rejection.looks().map_or(String::new(), |looks| format!(", which looks like {looks}"));
            format!("{rejection} on {topic:?}, {bytes} bytes, {}{looks}", rejection.came)
        });
        let shown: Vec<String> = shown.collect();
        let which = if shown.len() > 1 { "of each kind the first" } else { "the first" };
        warn(format!(
            "{refused} of {messages} messages received could not be read in full; {which}: {}",
            shown.join("; ")
        ));
    }
    let (what, of) = match &source.carries {
        Carries::Readings(_) => ("readings", "signals"),
        Carries::Frames(_) => ("frames", "cameras"),
    };
    let sample = received.sample.as_ref().map_or(String::new(), |sample| format!(", the first {sample:?}"));
    report.note(
        &section,
        format!("received on {:?}", source.filter),
        Ok(format!("messages: {messages}, {what}: {items}, {of}: {}{sample}", received.series.len())),
        Exit::Unavailable,
    );
}
