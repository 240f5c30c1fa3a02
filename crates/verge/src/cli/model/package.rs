//! `verge model sign` and `verify`: versions of models as they travel.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use verge_engine::ModelLimits;
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::package::pack::PackError;
use verge_models::package::{Manifest, OpenLimits, PackOptions, Package, SigningKey, TrustedKey, pack};
use verge_models::store;

use super::super::output::json_line;
use super::files::refused;

#[derive(Debug, Args)]
#[command(
    override_usage = "verge model sign --key <FILE> --counter <N> --output <FILE> <CARD>",
    after_help = "openssl makes the keys and checks what is signed:
  openssl genpkey -algorithm ed25519 -out publisher.pem
  openssl pkey -in publisher.pem -pubout -out trusted.pem
  unzip -p F.vmodel manifest.json > m
  unzip -p F.vmodel manifest.sig | base64 -d > s
  openssl pkeyutl -verify -rawin -pubin -inkey trusted.pem -in m -sigfile s

Packed are the card, its weights, its labels where they lie in a file, and NAME.report.json where it lies beside the card."
)]
pub(super) struct SignArgs {
    /// The model's card
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// The publisher's private key: Ed25519, PKCS#8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Higher than that of every version before; gateways refuse to go back
    #[arg(long, value_name = "N")]
    counter: u64,
    /// When it is not to be taken any more, such as 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// The [model.NAME] that it is for; without it the name in the card
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Pack only what changed from these weights, which the gateways have already
    #[arg(long, value_name = "OLD.onnx")]
    base: Option<PathBuf>,
    /// The package
    #[arg(short, long, value_name = "FILE.vmodel")]
    output: PathBuf,
}

pub(super) fn sign(args: &SignArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let key = SigningKey::load(&args.key).exit_with(Exit::BadInput)?;
    let options = PackOptions {
        name: args.name.clone(),
        counter: args.counter,
        made: Timestamp::now(),
        expires: args.expires,
        base: args.base.clone(),
    };
    let card = args.card.with_extension("toml");
    let manifest = pack(&card, &key, &options, &args.output).map_err(|error| match error {
        PackError::Package(error) => refused(error),
        error @ PackError::Model(_) => anyhow::Error::from(error).context(Exit::BadInput),
    })?;
    let bytes = args.output.metadata().with_context(|| args.output.display().to_string())?.len();
    if as_json {
        let mut line = described(&manifest);
        line["out"] = json!(args.output);
        line["bytes"] = json!(bytes);
        json_line(out, &line)?;
    } else {
        writeln!(out, "{}: {}, {bytes} bytes", args.output.display(), words(&manifest))
            .context("standard output")?;
    }
    Ok(Exit::Fine)
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The package
    #[arg(value_name = "FILE.vmodel")]
    package: PathBuf,
    /// A public key that it may be signed by: Ed25519, SPKI in PEM; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
    /// Bytes of one file at most: engine.max_model of the gateways it is for
    #[arg(long, value_name = "BYTES", default_value_t = ModelLimits::default().max_file_bytes)]
    max_model: u64,
}

pub(super) fn verify(args: &VerifyArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let trust: Vec<TrustedKey> = args
        .trust
        .iter()
        .map(|path| TrustedKey::load(path))
        .collect::<Result<_, _>>()
        .exit_with(Exit::BadInput)?;
    let limits =
        OpenLimits { max_file_bytes: args.max_model, trust: &trust, unsigned: false, now: store::now(0) };
    let mut package = Package::open(&args.package, limits).exit_with(Exit::BadInput)?;
    package.read_through().exit_with(Exit::BadInput)?;
    let key = package.signed_by.clone().ok_or_else(|| anyhow!("no key")).exit_with(Exit::BadInput)?;
    if as_json {
        let mut line = described(&package.manifest);
        line["verified"] = json!(true);
        line["signed_by"] = json!(key);
        json_line(out, &line)?;
    } else {
        let said = words(&package.manifest);
        writeln!(out, "{}: {said}; signed by {}", args.package.display(), key.display())
            .context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn described(manifest: &Manifest) -> serde_json::Value {
    json!({
        "name": manifest.name, "version": manifest.version, "counter": manifest.counter, "made": manifest.made,
        "expires": manifest.expires, "base": manifest.base, "files": manifest.files,
    })
}

fn words(manifest: &Manifest) -> String {
    let until = manifest.expires.as_ref().map(|time| format!(", until {time}")).unwrap_or_default();
    format!(
        "{} {}, counter {}, {} files of {} bytes{until}",
        manifest.name,
        manifest.version,
        manifest.counter,
        manifest.files.len(),
        manifest.bytes()
    )
}
