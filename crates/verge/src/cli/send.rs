//! `verge send`: publishes as a device would.

use std::fs;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};
use verge_mqtt::{ConnectionSettings, PublishError, Publisher, QoS};

use super::connect::ConnectArgs;
use super::output::{Progress, json_line};
use super::recording::Recording;
use super::{FileArgs, async_runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Local;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge send -c gateway.toml -t plant/pump-1/vibration --message 7.3
  seq 1 100 | verge send -c gateway.toml -t line/3/count --lines - --rate 10
  verge send --url mqtt://localhost:1883 -t line/3/state state.json other.json
  verge send -c gateway.toml -t road/north/frame --rate 5 frames/*.jpg
  verge send -c gateway.toml --recorded day.jsonl

day.jsonl is what `mosquitto_sub -F %j` recorded. Every message is published at QoS 1 unless --qos 0 is given, and counts as sent once the broker has taken it.")]
pub(super) struct SendArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Take the connection from [local] of this configuration
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Topic to publish on
    #[arg(short, long, required_unless_present = "recorded", conflicts_with = "recorded")]
    topic: Option<String>,
    /// Files; the content of each is one message
    #[arg(value_name = "FILE", required_unless_present_any = ["message", "lines", "recorded"])]
    files: Vec<PathBuf>,
    /// This text as one message
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["files", "lines", "recorded"])]
    message: Option<String>,
    /// Each line of this file as a message; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "recorded"])]
    lines: Option<PathBuf>,
    /// Messages with their own topics, as JSON lines (see verge judge --help)
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    recorded: Option<PathBuf>,
    /// Messages a second, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// 0: at most once; 1: at least once
    #[arg(long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Ask the broker to keep the last message for later subscribers
    #[arg(long)]
    retain: bool,
}

type Messages = Box<dyn Iterator<Item = anyhow::Result<(String, Bytes)>>>;

impl SendArgs {
    fn connection(&self) -> anyhow::Result<ConnectionSettings> {
        if let Some(written) = self.connect.written("send")? {
            return Ok(written);
        }
        let config = self.config.clone().context("--url or --config is needed").exit_with(Exit::Usage)?;
        let settings = FileArgs { config }.settings()?;
        match &settings.local {
            Local::External(connection) => self.connect.of(connection, "send"),
            Local::Embedded(broker) => self.connect.to_embedded(broker, "send"),
        }
    }

    fn messages(&self) -> anyhow::Result<Messages> {
        if let Some(path) = &self.recorded {
            let recording = Recording::open(path)?;
            return Ok(Box::new(
                recording.map(|message| message.map(|(_, message)| (message.topic, message.payload))),
            ));
        }
        let topic = self.topic.clone().context("--topic is needed")?;
        if let Some(text) = &self.message {
            return Ok(Box::new(std::iter::once(Ok((topic, Bytes::from(text.clone()))))));
        }
        if let Some(path) = &self.lines {
            let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
                Box::new(std::io::stdin().lock())
            } else {
                let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                Box::new(std::io::BufReader::new(file))
            };
            let path = path.clone();
            return Ok(Box::new(reader.lines().map(move |line| {
                let line = line.with_context(|| format!("cannot read {}", path.display()))?;
                Ok((topic.clone(), Bytes::from(line)))
            })));
        }
        Ok(Box::new(self.files.clone().into_iter().map(move |path| {
            let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((topic.clone(), Bytes::from(content)))
        })))
    }
}

pub(super) fn send(args: &SendArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let connection = args.connection()?;
    let messages = args.messages().exit_with(Exit::BadInput)?;
    let started = Instant::now();
    let (sent, bytes) = async_runtime()?.block_on(publish(args, connection, messages))?;
    let seconds = started.elapsed().as_secs_f64();
    if json {
        json_line(out, &json!({ "messages": sent, "bytes": bytes, "seconds": seconds }))?;
    } else {
        let messages = if sent == 1 { "message" } else { "messages" };
        writeln!(out, "{sent} {messages} ({bytes} bytes of payload) sent in {seconds:.1} s")?;
    }
    Ok(Exit::Fine)
}

async fn publish(
    args: &SendArgs,
    connection: ConnectionSettings,
    messages: Messages,
) -> anyhow::Result<(u64, u64)> {
    let qos = if args.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let fault = |error| with_exit(error, &args.connect);
    let publisher = Publisher::connect(connection).await.map_err(fault)?;
    let mut pace = args.rate.map(|rate| {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
        // Late is late: the rate is a maximum.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    });
    let mut progress = Progress::new();
    let mut shown = Instant::now();
    let (mut sent, mut bytes) = (0_u64, 0_u64);
    for message in messages {
        let (topic, payload) = message.exit_with(Exit::BadInput)?;
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        bytes += payload.len() as u64;
        publisher.submit(&topic, payload, qos, args.retain).await.map_err(fault)?;
        sent += 1;
        if shown.elapsed() >= Duration::from_millis(500) {
            shown = Instant::now();
            progress.show(&format!("{sent} messages sent"))?;
        }
    }
    progress.clear()?;
    publisher.flush().await.map_err(fault)?;
    publisher.close().await;
    Ok((sent, bytes))
}

fn with_exit(error: PublishError, connect: &ConnectArgs) -> anyhow::Error {
    let exit = match &error {
        PublishError::Lost { .. } if connect.has_client_id() => {
            return anyhow!(
                "{error}; brokers close a connection when another client connects under the same client_id: if one does, \
                 leave --client-id out"
            )
            .context(Exit::Unavailable);
        }
        PublishError::Connect { .. } | PublishError::Lost { .. } => Exit::Unavailable,
        PublishError::Topic { .. } => Exit::Usage,
        PublishError::TooLarge { .. } => Exit::BadInput,
    };
    anyhow!(error).context(exit)
}
