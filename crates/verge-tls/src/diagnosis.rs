//! Why a certificate that the other side has shown is refused: what is wrong with it, and what to do.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::Usage;
use crate::certificate::{CertificateSummary, date, summarise};
use crate::explain::spaced;
use crate::identity::Authorities;

/// Names and authorities listed at most.
const MAX_LISTED: usize = 4;

/// Which end has shown the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Server,
    Client,
}

impl Peer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What the other side has shown.
#[derive(Clone, Copy)]
pub(crate) struct PresentedChain<'a> {
    pub(crate) end_entity: &'a CertificateDer<'a>,
    pub(crate) intermediates: &'a [CertificateDer<'a>],
    /// The name connected to.
    pub(crate) name: Option<&'a ServerName<'a>>,
}

impl<'a> PresentedChain<'a> {
    /// A certificate whose chain is not at hand.
    pub(crate) const fn alone(end_entity: &'a CertificateDer<'a>) -> Self {
        Self { end_entity, intermediates: &[], name: None }
    }

    /// Why it is refused, on one line.
    pub(crate) fn refusal(&self, peer: Peer, known: &Authorities, fault: &CertificateError) -> String {
        let Some(leaf) = summarise(self.end_entity) else {
            return format!(
                "the {}'s certificate cannot be read: it is damaged, or not X.509",
                peer.as_str()
            );
        };
        let others = self.intermediates.iter().filter_map(summarise).collect();
        let name = self.name.map(ServerName::to_str).unwrap_or_default().into_owned();
        let is_address = matches!(self.name, Some(ServerName::IpAddress(_)));
        Case { peer, leaf, others, name, is_address, known }.words(fault)
    }
}

struct Case<'a> {
    peer: Peer,
    leaf: CertificateSummary,
    others: Vec<CertificateSummary>,
    name: String,
    is_address: bool,
    known: &'a Authorities,
}

impl Case<'_> {
    fn words(&self, fault: &CertificateError) -> String {
        let (who, version) = (self.who(), self.leaf.version);
        if version != 3 {
            return format!(
                "{who} is of X.509 version {version} (`openssl x509 -req` without extensions makes those), expected \
                 version 3: make it again {}",
                self.remade()
            );
        }
        match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => self.expired(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => self.early(),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                self.other_name()
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                self.purpose()
            }
            CertificateError::Revoked => format!("{who} is revoked"),
            _ => self.unsigned(fault),
        }
    }

    fn who(&self) -> String {
        format!("the {}'s certificate {}", self.peer.as_str(), self.leaf.subject)
    }

    /// How a certificate for this end is made.
    fn remade(&self) -> String {
        match self.peer {
            Peer::Server => {
                let kind = if self.is_address { "IP" } else { "DNS" };
                let name = if self.name.is_empty() { "HOST" } else { &self.name };
                format!(
                    "with `-extfile FILE`, where FILE holds subjectAltName={kind}:{name}, or with `verge certs issue {name} \
                     --usage server`"
                )
            }
            Peer::Client => {
                "with `-extfile FILE`, where FILE holds extendedKeyUsage=clientAuth, or with `verge certs \
                             issue NAME --usage client`"
                    .to_owned()
            }
        }
    }

    fn expired(&self) -> String {
        let now = now();
        let ended = |certificate: &&CertificateSummary| certificate.not_after < now;
        let ended = std::iter::once(&self.leaf).chain(&self.others).find(ended).unwrap_or(&self.leaf);
        format!(
            "{} has expired on {}; the clock of this machine shows {}: renew the certificate, or set the clock if it is \
             wrong",
            self.named(ended),
            date(ended.not_after),
            date(now)
        )
    }

    fn early(&self) -> String {
        let now = now();
        let early = |certificate: &&CertificateSummary| certificate.not_before > now;
        let early = std::iter::once(&self.leaf).chain(&self.others).find(early).unwrap_or(&self.leaf);
        format!(
            "{} is not valid before {}; the clock of this machine shows {}: set the clock (NTP) if it is wrong; if the \
             other machine's clock was wrong when the certificate was made, make it again",
            self.named(early),
            date(early.not_before),
            date(now)
        )
    }

    /// A certificate of the chain.
    fn named(&self, certificate: &CertificateSummary) -> String {
        if *certificate == self.leaf {
            return self.who();
        }
        format!("{}, in the chain of {},", certificate.subject, self.who())
    }

    fn other_name(&self) -> String {
        let (who, name, kind) = (self.who(), &self.name, if self.is_address { "address" } else { "name" });
        let remade = self.remade();
        let carries = match (&self.leaf.names[..], &self.leaf.common_name) {
            ([], Some(common)) => format!(
                "it carries a name in its subject only (CN {common}), where it is not looked for, and no subjectAltName"
            ),
            ([], None) => "it carries no name at all".to_owned(),
            (names, _) => {
                let as_name = format!("DNS:{name}");
                if self.is_address && names.contains(&as_name) {
                    format!("it carries it as {as_name}, and an address must stand as IP:{name}")
                } else {
                    format!("it carries {}", listed(names))
                }
            }
        };
        let or = if self.leaf.names.is_empty() { "" } else { "connect to a name that it carries, or " };
        format!("{who} is not for the {kind} {name}: {carries}; {or}make it again {remade}")
    }

    fn purpose(&self) -> String {
        let (made_for, needed, option) = match self.peer {
            Peer::Server => ("clients (clientAuth)", "serverAuth", "server"),
            Peer::Client => ("servers (serverAuth)", "clientAuth", "client"),
        };
        let made_for = if self.leaf.usage.is_some() { made_for } else { "another purpose" };
        format!(
            "{} was made for {made_for}, and this end needs {needed} in its extendedKeyUsage: make it again with that, or \
             with `verge certs issue NAME --usage {option}`",
            self.who()
        )
    }

    /// The chain does not lead to an authority that is trusted.
    fn unsigned(&self, fault: &CertificateError) -> String {
        let who = self.who();
        if self.leaf.is_ca {
            return self.authority_shown();
        }
        let mut all = std::iter::once(&self.leaf).chain(&self.others);
        if let Some((weak, weakness)) = all.find_map(|one| one.weakness.map(|weakness| (one, weakness))) {
            return format!("{} {weakness}: make it again", self.named(weak));
        }
        let top = self.top();
        let issuer = &top.issuer;
        let unfit = |one: &&CertificateSummary| !one.is_ca && *one != top || one.version != 3;
        match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature
                if self.known.all.iter().any(|one| one.subject == *issuer) =>
            {
                self.same_name(issuer)
            }
            CertificateError::UnknownIssuer => self.unknown_issuer(top),
            CertificateError::BadSignature => format!(
                "{who} is not signed by what it names as its issuer, or the {} does not hold its key: give it the key of \
                 this certificate, or make both again",
                self.peer.as_str()
            ),
            _ => match self.others.iter().find(unfit) {
                Some(unfit) => format!(
                    "{}, in the chain of {who}, may not sign certificates: its issuer must make it again with \
                     basicConstraints=critical,CA:TRUE",
                    unfit.subject
                ),
                None => format!("{who} is not accepted: {}", spaced(fault)),
            },
        }
    }

    fn authority_shown(&self) -> String {
        let (who, peer) = (self.who(), self.peer.as_str());
        let name = if self.name.is_empty() { "NAME" } else { &self.name };
        if self.leaf.is_self_issued() && self.others.is_empty() {
            return format!(
                "{who} is self-signed and an authority's (`openssl req -x509` makes those), and a {peer} needs one of its \
                 own that an authority has signed: run `verge certs init` and `verge certs issue {name} --usage {peer}`, \
                 and trust the authority's certificate (ca.pem)"
            );
        }
        format!(
            "the {peer} shows the certificate of the authority {} first: its file holds the certificates in the wrong \
             order, or not its own; its own comes first, then those that signed it",
            self.leaf.subject
        )
    }

    fn same_name(&self, issuer: &str) -> String {
        let same: Vec<&CertificateSummary> =
            self.known.all.iter().filter(|one| one.subject == *issuer).collect();
        format!(
            "{} is signed by an authority of the name {issuer}, and not by {}: both have this name and different keys, as \
             when the authority was made again; put the certificate of the one that signed into {}",
            self.who(),
            self.authorities(&same),
            self.known.what
        )
    }

    fn unknown_issuer(&self, top: &CertificateSummary) -> String {
        let (who, issuer, what) = (self.who(), &top.issuer, &self.known.what);
        let sha256 = &self.leaf.fingerprint;
        let all: Vec<&CertificateSummary> = self.known.all.iter().collect();
        let held = self.authorities(&all);
        if self.known.all.iter().any(|one| one.fingerprint == *sha256) {
            return format!(
                "{who} is in {what} itself, and it is signed by {issuer}: put the certificate of {issuer} there"
            );
        }
        if self.leaf.is_self_issued() {
            return format!(
                "{who} (sha256 {sha256}) is self-signed, and {held} did not sign it: put it into {what} if you trust it, or \
                 have an authority sign it"
            );
        }
        let chained = if self.others.is_empty() { "" } else { ", through the certificates after it" };
        format!(
            "{who} is signed by {issuer}{chained}, and {held} did not sign it: put the certificate of {issuer} into {what}; \
             if {issuer} is an intermediate, the {} must send its certificate behind its own",
            self.peer.as_str()
        )
    }

    /// Trusted authorities, with what distinguishes them from others of the same name.
    fn authorities(&self, all: &[&CertificateSummary]) -> String {
        let one = |one: &&CertificateSummary| format!("{} (sha256 {})", one.subject, one.fingerprint);
        let named: Vec<String> = all.iter().map(one).collect();
        format!("{} in {}", listed(&named), self.known.what)
    }

    /// The last certificate of the chain, from the leaf upwards.
    fn top(&self) -> &CertificateSummary {
        let mut top = &self.leaf;
        for _ in 0..self.others.len() {
            let is_issuer = |one: &&CertificateSummary| one.subject == top.issuer && *one != top;
            let Some(next) = self.others.iter().find(is_issuer) else { break };
            top = next;
        }
        top
    }
}

fn listed(names: &[String]) -> String {
    let first = names.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What the clock of this machine shows, right or wrong.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What a certificate is for, where that is one of the two ends.
impl Usage {
    /// Whether a certificate for this usage is good for an end that connects.
    #[must_use]
    pub const fn is_for_clients(self) -> bool {
        matches!(self, Self::Client | Self::Both)
    }

    /// Whether it is good for an end that accepts.
    #[must_use]
    pub const fn is_for_servers(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }
}
