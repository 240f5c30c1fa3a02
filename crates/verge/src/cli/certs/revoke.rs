//! `verge certs revoke`: what an authority does not stand for any more.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use verge_gateway::exit::{Exit, ExitWith};
use verge_tls::authority::{AUTHORITY_STEM, write_public};
use verge_tls::serial_of;

use super::super::output::json_line;
use super::{authority_in, check_stem, read};

/// In front of a serial number, where the certificate itself is lost.
const SERIAL: &str = "serial:";
/// Largest list that is read.
const MAX_LIST_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Whose certificate: NAME for the file NAME.pem in the folder, a PEM file anywhere, or serial:HEX
    #[arg(required = true, value_name = "NAME|FILE|serial:HEX")]
    pub(super) what: Vec<String>,
    /// Folder with the authority; the list ca.crl is written there
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub(super) dir: PathBuf,
    /// Another list is to be made within this time; until then this one holds, and afterwards `check` warns
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(super) days: u32,
}

pub(super) fn revoke(args: &RevokeArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let authority = authority_in(&args.dir)?;
    let mut serials = Vec::new();
    for what in &args.what {
        serials.extend(serials_of(args, what).exit_with(Exit::BadInput)?);
    }
    let path = args.dir.join(format!("{AUTHORITY_STEM}.crl"));
    let before = match std::fs::metadata(&path) {
        Ok(found) if found.len() > MAX_LIST_BYTES => bail!("{} is larger than 64 MiB", path.display()),
        Ok(_) => {
            Some(std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        Err(_) => None,
    };
    let list = authority.revoke(before.as_deref(), &serials, args.days)?;
    write_public(&path, &list)?;
    if json {
        json_line(out, &json!({ "crl": path, "revoked": serials.len() }))?;
        return Ok(Exit::Fine);
    }
    let count = if serials.len() == 1 {
        "1 certificate".to_owned()
    } else {
        format!("{} certificates", serials.len())
    };
    writeln!(out, "{}: the authority's list, with {count} revoked now", path.display())?;
    writeln!(
        out,
        "next: copy it to each gateway whose devices show certificates of this authority, where local.crl names it: within a \
         minute it refuses them, and ends their connections"
    )?;
    Ok(Exit::Fine)
}

fn serials_of(args: &RevokeArgs, what: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    if let Some(serial) = what.strip_prefix(SERIAL) {
        let serial = serial_of(serial).with_context(|| {
            format!("{serial:?} is no serial number, expected hexadecimal as `verge certs show` prints it")
        })?;
        return Ok(vec![serial]);
    }
    let named = PathBuf::from(what);
    let file = if named.is_file() {
        named
    } else {
        check_stem(what)?;
        args.dir.join(format!("{what}.pem"))
    };
    let summaries = read(&file).with_context(|| {
        format!("whose certificate {what:?} is: no file {}; a lost one is revoked by its serial number, {SERIAL}HEX", file.display())
    })?;
    // Behind the first come those that have signed it.
    let Some(first) = summaries.first() else { bail!("{} holds no certificate", file.display()) };
    if first.is_ca {
        bail!("{} is an authority: nobody trusts it any more once ca.pem names another", file.display());
    }
    Ok(serial_of(&first.serial).into_iter().collect())
}
