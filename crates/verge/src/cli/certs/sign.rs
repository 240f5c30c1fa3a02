//! `verge certs renew` and `verge certs sign`: what is issued again, and keys that others have made.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use verge_gateway::exit::{Exit, ExitWith};
use verge_tls::authority::{CertificateRequest, write_public};
use verge_tls::{CertificateSummary, TlsError, Usage, finish_replacing, replace_identity};

use super::super::output::json_line;
use super::{
    SECONDS_A_DAY, UsageArg, as_json, authority_in, check_name, check_stem, in_words, read, report, validity,
};

/// Largest request that is read.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct RenewArgs {
    /// Whose certificate: the file NAME.pem in the folder
    pub(super) name: String,
    /// Folder with the authority and the certificate
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub(super) dir: PathBuf,
    /// How long the new one is valid; as long as the old one was by default
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(super) days: Option<u32>,
    /// Only if the old one ends within this time
    #[arg(long, value_name = "DAYS")]
    pub(super) within: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The request (PEM): openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME.key -subj /CN=NAME -out
    /// NAME.csr
    request: PathBuf,
    /// Whose certificate: what the request says of names does not count
    name: String,
    /// Folder with the authority; NAME.pem is written there
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// What it may be used for
    #[arg(long, value_enum, default_value_t = UsageArg::Client)]
    usage: UsageArg,
    /// Another host name or IP address that it is good for; may be repeated
    #[arg(long = "name", value_name = "NAME", id = "names")]
    names: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Replace a file of this name
    #[arg(long)]
    force: bool,
}

pub(super) fn renew(args: &RenewArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    check_stem(&args.name).exit_with(Exit::Usage)?;
    let authority = authority_in(&args.dir)?;
    let file = args.dir.join(format!("{}.pem", args.name));
    finish_replacing(&file, &args.dir.join(format!("{}.key", args.name)))?;
    let summaries = read(&file).exit_with(Exit::BadInput)?;
    let Some(former) = summaries.first() else { bail!("{} holds no certificate", file.display()) };
    if args.within.is_some_and(|within| !ends_within(former, within)) {
        return left_as_it_is(&file, former, json, out);
    }
    let lifetime = (former.not_after - former.not_before).div_euclid(SECONDS_A_DAY).clamp(1, 36_500);
    let common_name = former.common_name.clone().unwrap_or_else(|| args.name.clone());
    let request = CertificateRequest {
        names: if former.names.is_empty() { vec![common_name.clone()] } else { former.names.clone() },
        common_name,
        usage: former.usage.unwrap_or(Usage::Both),
        days: args.days.unwrap_or(lifetime as u32),
    };
    let issued = authority.issue(&request).exit_with(Exit::Usage)?;
    let key = args.dir.join(format!("{}.key", args.name));
    replace_identity(&file, &key, &issued)?;
    let files = (file, key);
    let next = format!(
        "next: copy both to where they are used; gateways take them up within a minute, and what is connected goes on. The one \
         before, serial {}, is valid until it ends or is revoked: `verge certs revoke serial:{}`",
        former.serial, former.serial
    );
    report(&files, &issued, &next, json, out)
}

/// Whether less than this many days are left of it.
pub(super) fn ends_within(certificate: &CertificateSummary, days: u32) -> bool {
    let left = (certificate.not_after - Timestamp::now().as_second()).div_euclid(SECONDS_A_DAY);
    left < i64::from(days)
}

pub(super) fn left_as_it_is(
    file: &Path,
    former: &CertificateSummary,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if json {
        json_line(out, &json!({ "cert": file, "renewed": false, "certificate": as_json(former) }))?;
    } else {
        let now = Timestamp::now().as_second();
        writeln!(out, "{}: {}; it is left as it is", file.display(), validity(former, now))?;
    }
    Ok(Exit::Fine)
}

pub(super) fn sign(args: &SignArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    check_stem(&args.name).exit_with(Exit::Usage)?;
    check_name(&args.name, args.usage).exit_with(Exit::Usage)?;
    let authority = authority_in(&args.dir)?;
    let what = args.request.display();
    let size = std::fs::metadata(&args.request).with_context(|| format!("cannot read {what}"))?.len();
    if size > MAX_REQUEST_BYTES {
        bail!("{what} has {size} bytes; a request has {MAX_REQUEST_BYTES} at most");
    }
    let request = std::fs::read_to_string(&args.request).with_context(|| format!("cannot read {what}"))?;
    let mut names = vec![args.name.clone()];
    names.extend(args.names.iter().filter(|name| **name != args.name).cloned());
    let asked = CertificateRequest {
        common_name: args.name.clone(),
        names,
        usage: args.usage.into(),
        days: args.days,
    };
    let cert = authority
        .sign(&request, &asked)
        .with_context(|| {
            format!("{what} cannot be signed, expected a request as `openssl req -new` makes it")
        })
        .exit_with(Exit::BadInput)?;
    let path = args.dir.join(format!("{}.pem", args.name));
    if path.exists() && !args.force {
        return Err(anyhow::Error::new(TlsError::Exists { path }).context("--force replaces it"));
    }
    write_public(&path, &cert)?;
    let shown = path.display().to_string();
    let summaries = verge_tls::summary(cert.as_bytes(), &shown)?;
    let Some(summary) = summaries.first() else { bail!("{shown} holds no certificate") };
    if json {
        json_line(out, &json!({ "cert": path, "certificate": as_json(summary) }))?;
    } else {
        writeln!(out, "{shown}: {}", in_words(summary, Timestamp::now().as_second()))?;
        writeln!(out, "next: the device shows it with the key that it has kept; it needs ca.pem, too")?;
    }
    Ok(Exit::Fine)
}
