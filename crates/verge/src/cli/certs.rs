//! `verge certs`: an authority of one's own, certificates from it, and what any certificate says.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use verge_broker::passwords::is_name;
use verge_tls::authority::{AUTHORITY_STEM, Authority, CertificateRequest, Issued, write_identity};
use verge_tls::{CertificateSummary, TlsError, Usage};

mod enrol;
mod revoke;
mod sign;

use super::output::json_line;
use verge_gateway::exit::{Exit, ExitWith};

const SECONDS_A_DAY: i64 = 86_400;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge certs init                                an authority, in certs/
  verge certs issue upstream centre.example       for the broker upstream
  verge certs issue gateway pump-room-1           for a gateway
  verge certs issue device pump-1                 for a device
  verge certs issue broker.local --name 10.0.0.5  with a name and an address
  verge certs show certs/*.pem                    whose, for what, until when
  verge certs renew pump-room-1                   with another key
  verge certs sign pump-1.csr pump-1              for a key made elsewhere
  verge certs revoke pump-1                       into ca.crl (local.crl)
  verge certs token pump-1                        once, to enrol a device
  verge certs enrol pump-1 --url https://gateway.plant:8443 --ca ca.pem
                                                  on the device, with the token

The authority's key (ca.key) signs certificates: keep it off the gateway. Gateways and brokers get ca.pem and \
their own NAME.pem and NAME.key.")]
pub(super) struct CertsArgs {
    #[command(subcommand)]
    action: CertsAction,
}

#[derive(Debug, Subcommand)]
enum CertsAction {
    /// Make an authority: ca.pem, which everybody gets, and ca.key, which nobody gets
    Init(InitArgs),
    /// Issue a certificate and its key, signed by the authority: NAME.pem and NAME.key
    Issue(IssueArgs),
    /// Say what the certificates in PEM files are
    Show(CertsShowArgs),
    /// Issue a certificate again: the same names and uses, another key, a new time
    Renew(sign::RenewArgs),
    /// Sign the key of a device that keeps it to itself: a request as `openssl req -new` makes it
    Sign(sign::SignArgs),
    /// Make a token with which a device gets its first certificate itself (local.enrol)
    Token(enrol::TokenArgs),
    /// Get a certificate from a gateway or another authority that speaks EST: by a token, or by the one before
    Enrol(enrol::EnrolArgs),
    /// Revoke certificates: their serial numbers go into ca.crl, the authority's list
    Revoke(revoke::RevokeArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder to write to; it is made if need be
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// Name of the authority; some digits are put behind it, so that no two have the same
    #[arg(long, value_name = "NAME", default_value = "Verge site authority")]
    name: String,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Debug, Args)]
#[command(override_usage = "verge certs issue [OPTIONS] [device|gateway|upstream] <NAME>")]
struct IssueArgs {
    /// Whose certificate: a device's or a gateway's name, a host name or an address; also the name of the files. In front of it, in
    /// place of --usage: `device` (client), `gateway` (both), `upstream` (server)
    #[arg(required = true, num_args = 1..=2)]
    name: Vec<String>,
    /// Folder with the authority; the files are written there too
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// What it may be used for [default: both]
    #[arg(long, value_enum)]
    usage: Option<UsageArg>,
    /// Another host name or IP address that it is good for; may be repeated
    #[arg(long = "name", value_name = "NAME", id = "names")]
    names: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Replace files of this name
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UsageArg {
    /// To accept connections: brokers
    Server,
    /// To connect: gateways, devices, receivers
    Client,
    /// Both
    Both,
}

impl From<UsageArg> for Usage {
    fn from(usage: UsageArg) -> Self {
        match usage {
            UsageArg::Server => Self::Server,
            UsageArg::Client => Self::Client,
            UsageArg::Both => Self::Both,
        }
    }
}

#[derive(Debug, Args)]
struct CertsShowArgs {
    /// PEM files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn certs(args: &CertsArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        CertsAction::Init(args) => init(args, json, out),
        CertsAction::Issue(args) => issue(args, json, out),
        CertsAction::Show(args) => show(args, json, out),
        CertsAction::Renew(args) => sign::renew(args, json, out),
        CertsAction::Sign(args) => sign::sign(args, json, out),
        CertsAction::Token(args) => enrol::token(args, json, out),
        CertsAction::Enrol(args) => enrol::enrol(args, json, out),
        CertsAction::Revoke(args) => revoke::revoke(args, json, out),
    }
}

fn init(args: &InitArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.dir)
        .with_context(|| format!("cannot make the folder {}", args.dir.display()))?;
    // Neither people nor most error messages can distinguish two authorities of one name and different keys.
    let name = format!("{} {:08x}", args.name, fastrand::u32(..));
    let authority = Authority::create(&name, args.days).exit_with(Exit::Usage)?;
    // Replacing an authority would lock out everything that it has signed.
    let files = write_identity(&args.dir, AUTHORITY_STEM, &authority.to_issued(), false)?;
    let dir = args.dir.display();
    let next = format!(
        "next: `verge certs issue HOST --dir {dir} --usage server` for a broker (HOST as gateways connect to it), `verge certs \
         issue NAME --dir {dir} --usage client` for each gateway, device and receiver; they all get ca.pem, and nobody ca.key"
    );
    report(&files, &authority.to_issued(), &next, json, out)
}

impl IssueArgs {
    /// Whose certificate, and for what.
    fn wanted(&self) -> anyhow::Result<(&str, UsageArg)> {
        match (&self.name[..], self.usage) {
            ([name], usage) => Ok((name, usage.unwrap_or(UsageArg::Both))),
            ([_, _], Some(_)) => bail!("either device, gateway or upstream in front of the name, or --usage"),
            ([what, name], None) => match what.as_str() {
                "device" => Ok((name, UsageArg::Client)),
                "gateway" => Ok((name, UsageArg::Both)),
                "upstream" => Ok((name, UsageArg::Server)),
                _ => bail!("{what:?} in front of the name, expected device, gateway or upstream"),
            },
            _ => bail!("expected a name"),
        }
    }
}

fn issue(args: &IssueArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (name, usage) = args.wanted().exit_with(Exit::Usage)?;
    check_stem(name).exit_with(Exit::Usage)?;
    check_name(name, usage).exit_with(Exit::Usage)?;
    let authority = authority_in(&args.dir)?;
    let mut names = vec![name.to_owned()];
    names.extend(args.names.iter().filter(|other| *other != name).cloned());
    let request =
        CertificateRequest { common_name: name.to_owned(), names, usage: usage.into(), days: args.days };
    let issued = authority.issue(&request).exit_with(Exit::Usage)?;
    let files = write_identity(&args.dir, name, &issued, args.force).map_err(|error| match error {
        TlsError::Exists { .. } => anyhow::Error::new(error).context("--force replaces it"),
        other => other.into(),
    })?;
    let (cert, key) = (files.0.display(), files.1.display());
    let ca = args.dir.join(format!("{AUTHORITY_STEM}.pem"));
    let broker = format!("a broker shows {cert} and {key} (mosquitto: certfile, keyfile)");
    let gateway = format!("a gateway takes ca = \"{}\", cert = \"{cert}\", key = \"{key}\"", ca.display());
    let next = match request.usage {
        Usage::Server => format!("next: {broker}; who connects needs {} (ca)", ca.display()),
        Usage::Client => format!("next: {gateway}"),
        Usage::Both => format!("next: {broker}; {gateway}"),
    };
    report(&files, &issued, &next, json, out)
}

fn authority_in(dir: &Path) -> anyhow::Result<Authority> {
    Authority::load(dir).with_context(|| {
        format!("no authority in {0}; `verge certs init --dir {0}` makes one", dir.display())
    })
}

/// The name becomes a file's name, and must not reach out of the folder or replace the authority.
fn check_stem(name: &str) -> anyhow::Result<()> {
    if name.is_empty()
        || name.starts_with('.')
        || name.contains(['/', '\\'])
        || name.chars().any(char::is_control)
    {
        bail!("{name:?} cannot be the name of a file");
    }
    if name.eq_ignore_ascii_case(AUTHORITY_STEM) {
        bail!("{name:?} is the name of the authority's own files");
    }
    Ok(())
}

/// A client's name is a device's: the embedded broker lets nobody else in. Servers may be called by an address.
fn check_name(name: &str, usage: UsageArg) -> anyhow::Result<()> {
    if matches!(usage, UsageArg::Client) && !is_name(name) {
        bail!(
            "{name:?} cannot be a device's name, expected 128 bytes at most without \"+\", \"#\", \"/\", \"$\", \":\" and control \
             characters, and no \"@\" in front: it becomes a level of topics"
        );
    }
    Ok(())
}

fn report(
    files: &(PathBuf, PathBuf),
    issued: &Issued,
    next: &str,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let (cert, key) = files;
    let what = cert.display().to_string();
    let summaries = verge_tls::summary(issued.cert_pem.as_bytes(), &what)?;
    let Some(summary) = summaries.first() else { bail!("{what} holds no certificate") };
    if json {
        json_line(out, &json!({ "cert": cert, "key": key, "certificate": as_json(summary) }))?;
    } else {
        writeln!(out, "{what}: {}", in_words(summary, Timestamp::now().as_second()))?;
        writeln!(out, "{}: its key, readable by this user only", key.display())?;
        writeln!(out, "{next}")?;
    }
    Ok(Exit::Fine)
}

fn show(args: &CertsShowArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let now = Timestamp::now().as_second();
    for file in &args.files {
        for summary in read(file).exit_with(Exit::BadInput)? {
            if json {
                let mut value = as_json(&summary);
                value["file"] = json!(file);
                json_line(out, &value)?;
            } else {
                writeln!(out, "{}: {}", file.display(), in_words(&summary, now))?;
                writeln!(
                    out,
                    "  signed by {}, serial {}, sha256 {}",
                    summary.issuer, summary.serial, summary.fingerprint
                )?;
            }
        }
    }
    Ok(Exit::Fine)
}

/// Certificates of a PEM file.
pub(super) fn read(file: &Path) -> Result<Vec<CertificateSummary>, TlsError> {
    let pem = std::fs::read(file).map_err(|error| TlsError::Read { path: file.to_owned(), error })?;
    verge_tls::summary(&pem, &file.display().to_string())
}

fn as_json(summary: &CertificateSummary) -> Value {
    json!({
        "subject": summary.subject,
        "issuer": summary.issuer,
        "names": summary.names,
        "not_before": date(summary.not_before),
        "not_after": date(summary.not_after),
        "serial": summary.serial,
        "authority": summary.is_ca,
        "usage": summary.usage.map(usage),
        "sha256": summary.fingerprint,
    })
}

const fn usage(usage: Usage) -> &'static str {
    match usage {
        Usage::Server => "server",
        Usage::Client => "client",
        Usage::Both => "server and client",
    }
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn in_words(summary: &CertificateSummary, now: i64) -> String {
    let role = match (summary.is_ca, summary.usage) {
        (true, _) => "an authority",
        (false, Some(what)) => usage(what),
        (false, None) => "any use",
    };
    let names =
        if summary.names.is_empty() { String::new() } else { format!(" for {}", summary.names.join(", ")) };
    let unfit = match (summary.version, summary.weakness) {
        (3, None) => String::new(),
        (3, Some(weakness)) => format!("; it {weakness}"),
        (version, _) => format!("; it is of X.509 version {version}, and TLS requires version 3"),
    };
    format!("{} ({role}){names}, {}{unfit}", summary.subject, validity(summary, now))
}

/// When it ends, or why it does not hold now.
pub(super) fn validity(summary: &CertificateSummary, now: i64) -> String {
    if now < summary.not_before {
        return format!(
            "NOT YET VALID, from {}; the clock of this machine shows {}",
            date(summary.not_before),
            date(now)
        );
    }
    let days = (summary.not_after - now) / SECONDS_A_DAY;
    if now > summary.not_after {
        return format!(
            "EXPIRED on {}; the clock of this machine shows {}",
            date(summary.not_after),
            date(now)
        );
    }
    let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    format!("valid until {} ({days})", date(summary.not_after))
}

#[cfg(test)]
mod tests;
