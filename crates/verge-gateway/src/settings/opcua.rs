//! `[server.NAME]` of kind "opcua".

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use verge_domain::address::AddressRange;
use verge_domain::id::{GatewayId, JudgeId};
use verge_domain::image::PointContent;

use super::server::{check_allow, check_listen, content_of};
use super::{Check, GatewaySection, JudgeSection};
use crate::config::{Fault, Map, RawOpcUa, RawServer, RawServerKind, Warning};

/// The namespace of the nodes, for builds that have them and builds that have not.
pub const OPCUA_NAMESPACE: &str = "urn:verge:verdicts";
/// Below the state folder, where the configuration names no other.
const PKI_DIR: &str = "opcua";

/// An OPC UA server.
#[derive(Debug, Clone)]
pub struct OpcUaSection {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The gateway, which names the application.
    pub gateway: GatewayId,
    /// Certificates.
    pub pki_dir: PathBuf,
    /// Users with a password, as `verge users` writes them.
    pub users_file: Option<PathBuf>,
    /// Whether anybody may read.
    pub anonymous: bool,
    /// Whether connections without security are served.
    pub insecure_none: bool,
    /// Clients at the same time.
    pub max_clients: usize,
    /// A client that sends nothing for this long is disconnected.
    pub idle: Duration,
    /// Who may connect; empty: anyone.
    pub allow: Vec<AddressRange>,
    /// A device that sends nothing for this long is stale.
    pub stale_after: Duration,
}

pub(super) fn check_all(
    check: &mut Check<'_>,
    raw: &Map<RawServer>,
    gateway: Option<&GatewaySection>,
) -> Vec<OpcUaSection> {
    let servers = raw.iter().filter_map(|(name, server)| match server.kind.as_ref()? {
        RawServerKind::OpcUa(raw) => check_one(check, name, raw, gateway),
        RawServerKind::Modbus(_) => None,
    });
    servers.collect()
}

fn check_one(
    check: &mut Check<'_>,
    name: &str,
    raw: &RawOpcUa,
    gateway: Option<&GatewaySection>,
) -> Option<OpcUaSection> {
    let section = format!("server.{name}");
    if !cfg!(feature = "opcua") {
        let expected = "a kind that this build has: it was made without the feature opcua, as packages are";
        let fault = Fault::at_text(format!("{section}.kind"), "opcua", expected);
        check.faults.push(fault.remedy(
            "build Verge from source with `cargo build --release -p verge --features opcua`, or take the section out",
        ));
        return None;
    }
    let listen = check_listen(check, &section, raw.listen.as_deref(), "10.1.0.5:4840");
    let allow = check_allow(check, &section, raw.allow.as_deref());
    if let Some(listen) = listen.filter(|_| raw.insecure_none) {
        warn_of_none(check, &section, listen, raw.anonymous);
    }
    let pki_dir = match &raw.pki_dir {
        Some(dir) => check.path(dir),
        None => gateway?.state_dir.join(PKI_DIR),
    };
    Some(OpcUaSection {
        name: name.to_owned(),
        listen: listen?,
        gateway: gateway?.id.clone(),
        pki_dir,
        users_file: raw.users_file.as_ref().map(|file| check.path(file)),
        anonymous: raw.anonymous,
        insecure_none: raw.insecure_none,
        max_clients: raw.max_clients,
        idle: raw.idle.0,
        allow: allow?,
        stale_after: raw.stale_after.0,
    })
}

fn warn_of_none(check: &mut Check<'_>, section: &str, listen: SocketAddr, anonymous: bool) {
    if listen.ip().is_loopback() {
        return;
    }
    let who = if anonymous {
        "anyone who reaches it reads everything"
    } else {
        "values go over the network readable"
    };
    let remark = format!(
        "connections without security are served beyond this machine: {who}, and no client is known by a certificate; take \
         insecure_none out, or listen on 127.0.0.1"
    );
    check.warnings.push(Warning { key: format!("{section}.insecure_none"), remark });
}

/// What the points of each judge are read for.
pub(crate) fn contents_of(judges: &[JudgeSection]) -> HashMap<JudgeId, PointContent> {
    judges.iter().map(|judge| (judge.name.clone(), content_of(judge, None))).collect()
}
