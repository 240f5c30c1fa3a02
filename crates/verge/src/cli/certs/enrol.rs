//! `verge certs token` and `verge certs enrol`: a first certificate for a device that is far from the authority's folder.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use verge_broker::passwords::is_name;
use verge_gateway::exit::{Exit, ExitWith};
use verge_tls::authority::{Request, write_identity};
use verge_tls::enrolment::{Enrolment, EnrolmentToken};
use verge_tls::{
    Secret, TlsError, TlsIdentity, TrustedRoots, check_writable_dir, client_config, finish_replacing,
    replace_identity,
};
use verge_web::est::{EstClient, EstProof};

use super::super::async_runtime;
use super::super::output::json_line;
use super::sign::{ends_within, left_as_it_is};
use super::{authority_in, check_stem, date, read, report};

const SECONDS_AN_HOUR: i64 = 3_600;
/// Common names have no more (RFC 5280, upper bounds).
const MAX_NAME_BYTES: usize = 64;
/// Tokens are shorter.
const MAX_TOKEN_BYTES: u64 = 512;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge certs token pump-1                        good for a day, printed once
  verge certs token pump-1 --hours 1 --days 90    an hour, then 90 days")]
pub(super) struct TokenArgs {
    /// Whose certificate the token is good for
    name: String,
    /// Folder with the authority, as in local.authority; its file enrol.tokens holds a hash of the token
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// For how long the token can be used
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    hours: u32,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge certs enrol pump-1 --url https://gateway.plant:8443 --ca ca.pem
  verge certs enrol pump-1 --url https://gw.plant:8443 --ca ca.pem --renew

The token is asked for, or taken from standard input. With --renew and --within 30, from a timer once a day, the certificate is renewed before it ends. The certificate is asked for by EST (RFC 7030), so another authority that speaks it serves as well.")]
pub(super) struct EnrolArgs {
    /// Whose certificate
    name: String,
    /// The authority: https://HOST:PORT, for a gateway the address in local.enrol
    #[arg(long, value_name = "URL")]
    url: String,
    /// Certificates (PEM) that its certificate must lead to
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// File that holds the token alone; by default it is asked for
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Folder to write NAME.pem and NAME.key to
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Renew NAME.pem in the folder, which proves who asks: no token is needed
    #[arg(long, conflicts_with = "token_file")]
    renew: bool,
    /// Only if it ends within this time
    #[arg(long, value_name = "DAYS", requires = "renew")]
    within: Option<u32>,
}

pub(super) fn token(args: &TokenArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    check_stem(&args.name).exit_with(Exit::Usage)?;
    // What stands in a certificate, in a login of HTTP and in a line of the file alike.
    let is_plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, ':' | '"' | '\'' | '\\');
    if args.name.len() > MAX_NAME_BYTES || !args.name.chars().all(is_plain) || !is_name(&args.name) {
        bail!(
            "{:?} cannot be a device's name: expected {MAX_NAME_BYTES} characters at most, letters and digits of ASCII and \
             signs but no space, colon, quotes, backslash, \"+\", \"#\" or \"$\", and no \"@\" in front",
            args.name
        );
    }
    authority_in(&args.dir)?;
    let enrolment = Enrolment::of(&args.dir)?;
    let now = Timestamp::now().as_second();
    let seconds = i64::from(args.hours) * SECONDS_AN_HOUR;
    let EnrolmentToken { text, until } = enrolment.tokens().make(&args.name, args.days, seconds, now)?;
    let until = date(until);
    if json {
        json_line(out, &json!({ "name": args.name, "token": text, "until": until, "days": args.days }))?;
        return Ok(Exit::Fine);
    }
    writeln!(out, "{text}")?;
    writeln!(
        out,
        "the token of {0}: good once, until {until}, for a certificate of {1} days; it is stored nowhere",
        args.name, args.days
    )?;
    writeln!(
        out,
        "next: on the device `verge certs enrol {} --url https://GATEWAY:PORT --ca ca.pem`, or with openssl and curl \
         (docs/broker.md); the gateway listens for it where local.enrol says",
        args.name
    )?;
    Ok(Exit::Fine)
}

pub(super) fn enrol(args: &EnrolArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    check_stem(&args.name).exit_with(Exit::Usage)?;
    let (cert, key) =
        (args.dir.join(format!("{}.pem", args.name)), args.dir.join(format!("{}.key", args.name)));
    if !args.renew
        && let Some(path) = [&cert, &key].into_iter().find(|path| path.exists())
    {
        return Err(
            anyhow::Error::new(TlsError::Exists { path: path.clone() }).context("--renew replaces both")
        );
    }
    if args.renew {
        finish_replacing(&cert, &key)?;
    }
    if let (Some(within), Some(former)) =
        (args.within, read(&cert).ok().and_then(|chain| chain.into_iter().next()))
        && !ends_within(&former, within)
    {
        return left_as_it_is(&cert, &former, json, out);
    }
    let roots = TrustedRoots::load(&args.ca).exit_with(Exit::BadInput)?;
    let former = args.renew.then(|| TlsIdentity::load(&cert, &key)).transpose().exit_with(Exit::BadInput)?;
    let client = EstClient::of(&args.url, client_config(&roots, former.as_ref())).exit_with(Exit::Usage)?;
    // A token is used up by its certificate, which must have its place then.
    check_writable_dir(&args.dir)?;
    let token = if args.renew { None } else { Some(shown_token(args)?) };
    let request = Request::new(&args.name).exit_with(Exit::Usage)?;
    let proof = token.as_ref().map_or(EstProof::Certificate, |token| EstProof::Token(&args.name, token));
    let answered =
        async_runtime()?.block_on(client.ask(&proof, request.der())).exit_with(Exit::Unavailable)?;
    let issued = request.answered(&answered).context("the certificate that came")?;
    let files = if args.renew {
        replace_identity(&cert, &key, &issued)?;
        (cert, key)
    } else {
        write_identity(&args.dir, &args.name, &issued, false)?
    };
    let next = format!(
        "next: the device shows both; it trusts {}. `verge certs enrol {} --renew …` gets the next one before this ends",
        args.ca.display(),
        args.name
    );
    report(&files, &issued, &next, json, out)
}

fn shown_token(args: &EnrolArgs) -> anyhow::Result<Secret> {
    let mut text = String::new();
    match &args.token_file {
        Some(path) => {
            let file =
                std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            file.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
        }
        None => {
            let input = std::io::stdin();
            if input.is_terminal() {
                // A token is good once: it may be seen.
                write!(std::io::stderr(), "token of {}: ", args.name)?;
                input.read_line(&mut text)?;
            } else {
                input.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
            }
        }
    }
    // What `verge certs token` prints behind it is for people.
    let token = text.trim_start().lines().next().unwrap_or_default().trim_end();
    if token.is_empty() {
        bail!("there is no token: expected what `verge certs token {}` prints first", args.name);
    }
    Ok(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use verge_tls::authority::Authority;

    use super::*;

    #[test]
    fn a_token_is_for_a_name_that_each_place_can_hold() {
        verge_tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("Site", 2).unwrap();
        write_identity(dir.path(), "ca", &authority.to_issued(), false).unwrap();
        let check = |name: &str, good: bool| {
            let args = TokenArgs { name: name.to_owned(), dir: dir.path().to_owned(), hours: 1, days: 1 };
            let made = token(&args, false, &mut Vec::new());
            assert_eq!(made.is_ok(), good, "{name:?}: {made:?}");
        };
        check("pump-1.plant", true);
        check(&"7".repeat(64), true);
        for other in ["pump+1", "#", "$1", "@pump"] {
            check(other, false);
        }
        for other in
            ["", "pump 1", "pump:1", "d\u{e9}bit", "pump\"1", "pump'1", "pump\\1", "pump\t1", &"7".repeat(65)]
        {
            check(other, false);
        }
    }

    #[test]
    fn a_token_is_not_sent_where_its_certificate_has_no_place() {
        verge_tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("Site", 2).unwrap();
        let (ca, _) = write_identity(dir.path(), "ca", &authority.to_issued(), false).unwrap();
        let args = EnrolArgs {
            name: "pump-1".to_owned(),
            url: "https://127.0.0.1:1".to_owned(),
            token_file: Some(dir.path().join("none")),
            dir: dir.path().join("missing"),
            ca,
            renew: false,
            within: None,
        };
        let refused = enrol(&args, false, &mut Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("cannot write") && refused.contains("missing"), "{refused}");
    }
}
