//! `verge snapshot`: one picture of a camera of a gateway, from upstream.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value};

use super::answer::print_answer;
use super::asking::AskingArgs;
use super::output::json_line;
use verge_domain::time::UtcMillis;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge snapshot -c gateway.toml --source cameras --device north -o north.jpg
  verge snapshot -c gateway.toml --source cameras --device north --plain
    -o north.jpg

The gateway answers only where its configuration has snapshots = true below [gateway], once in five seconds, with the next frame of the camera. Privacy masks are part of the picture. The picture is made smaller until it has --max-bytes; the answer takes a third more, and the uplink's max_packet limits it.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct SnapshotArgs {
    /// The source of frames
    #[arg(long, value_name = "NAME")]
    source: String,
    /// The camera
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Draw what this judge sees; by default what all see
    #[arg(long, value_name = "NAME", conflicts_with = "plain")]
    judge: Option<String>,
    /// Draw nothing
    #[arg(long)]
    plain: bool,
    /// Bytes of the picture at most
    #[arg(long, value_name = "N", default_value_t = 40_960, value_parser = clap::value_parser!(u64).range(4096..=1_048_576))]
    max_bytes: u64,
    /// Where to write the picture
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    asking: AskingArgs,
}

pub(super) fn snapshot(args: &SnapshotArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (mut answer, zone) = args.asking.answer(args.command())?;
    if answer["ok"] != true {
        return print_answer(&answer, json, &zone, out);
    }
    let jpeg = answer.as_object_mut().and_then(|answer| answer.remove("jpeg"));
    let jpeg = jpeg.as_ref().and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
    let jpeg = jpeg.context("the answer holds no picture").exit_with(Exit::BadInput)?;
    std::fs::write(&args.output, &jpeg).with_context(|| format!("cannot write {}", args.output.display()))?;
    if json {
        json_line(out, &answer)?;
        return Ok(Exit::Fine);
    }
    let number = |key: &str| answer[key].as_i64().unwrap_or(0);
    writeln!(
        out,
        "{}: {} x {} pixels, {} bytes, received {}",
        args.output.display(),
        number("width"),
        number("height"),
        jpeg.len(),
        zone.to_minute(UtcMillis(number("received")))
    )?;
    Ok(Exit::Fine)
}

impl SnapshotArgs {
    fn command(&self) -> Map<String, Value> {
        let mut command = Map::new();
        let mut say = |key: &str, value: Value| command.insert(key.to_owned(), value);
        say("command", "snapshot".into());
        say("source", self.source.as_str().into());
        say("device", self.device.as_str().into());
        say("annotate", (!self.plain).into());
        say("max_bytes", self.max_bytes.into());
        if let Some(judge) = &self.judge {
            say("judge", judge.as_str().into());
        }
        command
    }
}
