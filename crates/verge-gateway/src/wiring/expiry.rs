//! When certificates end: always in the status, and in the log once a day from a month before.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_pipeline::clock::Clock;
use verge_pipeline::status::CertificateStatus;
use verge_tls::{CertificateSummary, Usage};

use super::renewal::OwnCertificate;
use crate::settings::{Local, Settings, TlsFiles, UplinkKind};

/// Certificates that end sooner are warned of.
const WARN_DAYS: i64 = 30;
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often files are read: one that was replaced is in the next status.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// One file of certificates.
struct WatchedCertificate {
    /// Key of the configuration that names it.
    key: String,
    file: PathBuf,
    role: CertificateRole,
}

/// What the certificates are for.
enum CertificateRole {
    /// They verify others. Some may end before the last of them.
    Roots,
    /// Shown to others, with this key.
    Own { end: TlsEnd, key: PathBuf },
}

/// Which end shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TlsEnd {
    Connects,
    Accepts,
}

/// What an operator should correct before it matters: the key of the configuration, and what is wrong.
pub struct CertificateRemark {
    /// Key of the configuration.
    pub key: String,
    /// What, and what to do.
    pub text: String,
    /// It matters already.
    pub is_error: bool,
}

/// Warnings about the certificates and keys of these settings.
pub fn certificate_remarks(settings: &Settings, now: UtcMillis) -> Vec<CertificateRemark> {
    let watched = WatchedCertificate::all(settings);
    watched.iter().flat_map(|watched| watched.remarks(&watched.look(now))).collect()
}

/// The certificates that the gateway shows, each once.
pub(super) fn own_certificates(settings: &Settings) -> Vec<OwnCertificate> {
    let mut own: Vec<OwnCertificate> = Vec::new();
    for WatchedCertificate { key, file, role } in WatchedCertificate::all(settings) {
        if let CertificateRole::Own { key: private, .. } = role
            && !own.iter().any(|(_, known, _)| *known == file)
        {
            own.push((key, file, private));
        }
    }
    own
}

/// What is known of the files, shared with the status.
pub(super) struct Expiry {
    watched: Vec<WatchedCertificate>,
    found: Mutex<Vec<CertificateStatus>>,
}

impl Expiry {
    /// The certificates of these settings.
    pub(super) fn of(settings: &Settings, now: UtcMillis) -> Arc<Self> {
        let expiry = Self { watched: WatchedCertificate::all(settings), found: Mutex::default() };
        expiry.look(now);
        Arc::new(expiry)
    }

    /// For the status.
    pub(super) fn certificates(&self) -> Vec<CertificateStatus> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self, now: UtcMillis) {
        let found = self.watched.iter().map(|watched| watched.look(now)).collect();
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Reads them for as long as the gateway runs.
    pub(super) async fn watch(self: Arc<Self>, clock: Clock) {
        let mut warned: Option<Monotonic> = None;
        loop {
            let Moment { wall, mono } = clock.now();
            self.look(wall);
            if warned.is_none_or(|warned| mono.since(warned) >= WARN_EVERY) {
                warned = Some(mono);
                self.warn();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn warn(&self) {
        for (watched, found) in self.watched.iter().zip(self.certificates()) {
            for CertificateRemark { key, text, is_error } in watched.remarks(&found) {
                if is_error {
                    tracing::error!(%key, "{text}");
                } else {
                    tracing::warn!(%key, "{text}");
                }
            }
        }
    }
}

impl WatchedCertificate {
    fn all(settings: &Settings) -> Vec<Self> {
        let mut all = Vec::new();
        match &settings.local {
            Local::External(connection) => Self::of_files("local", connection.tls.as_ref(), &mut all),
            Local::Embedded(broker) => {
                if let Some(files) = &broker.tls {
                    all.push(Self::own("local", TlsEnd::Accepts, &files.cert, &files.key));
                    all.push(Self::roots("local", &files.ca));
                }
            }
        }
        if let Some((cert, key)) = settings.dashboard.iter().find_map(|dashboard| dashboard.files.as_ref()) {
            all.push(Self::own("dashboard", TlsEnd::Accepts, cert, key));
        }
        for uplink in &settings.uplinks {
            let files = match &uplink.kind {
                UplinkKind::Mqtt(mqtt) => mqtt.broker.tls.as_ref(),
                UplinkKind::Http(http) => http.tls.as_ref(),
                UplinkKind::Rsmp(rsmp) => rsmp.tls.as_ref(),
                UplinkKind::Sparkplug(sparkplug) => sparkplug.broker.tls.as_ref(),
            };
            Self::of_files(&uplink.section(), files, &mut all);
        }
        all
    }

    fn of_files(section: &str, files: Option<&TlsFiles>, all: &mut Vec<Self>) {
        if let Some(files) = files {
            if let Some((cert, key)) = &files.identity {
                all.push(Self::own(section, TlsEnd::Connects, cert, key));
            }
            all.push(Self::roots(section, &files.ca));
        }
    }

    fn own(section: &str, end: TlsEnd, cert: &Path, key: &Path) -> Self {
        let role = CertificateRole::Own { end, key: key.to_owned() };
        Self { key: format!("{section}.cert"), file: cert.to_owned(), role }
    }

    fn roots(section: &str, ca: &Path) -> Self {
        Self { key: format!("{section}.ca"), file: ca.to_owned(), role: CertificateRole::Roots }
    }

    fn summaries(&self) -> Result<Vec<CertificateSummary>, String> {
        let what = self.file.display().to_string();
        let pem = std::fs::read(&self.file).map_err(|error| verge_tls::unreadable(&self.file, &error))?;
        verge_tls::summary(&pem, &what).map_err(|error| error.to_string())
    }

    /// Warnings about it. Files that cannot be read are reported by what uses them.
    fn remarks(&self, found: &CertificateStatus) -> Vec<CertificateRemark> {
        let mut remarks = Vec::new();
        let mut remark = |key: &str, is_error: bool, text: String| {
            remarks.push(CertificateRemark { key: key.to_owned(), text, is_error });
        };
        let file = self.file.display();
        let what = match &self.role {
            CertificateRole::Roots => "the last authority in",
            CertificateRole::Own { .. } => "the certificate in",
        };
        let date = found.ends_at.map_or(String::new(), |ends_at| {
            Timestamp::from_millisecond(ends_at)
                .map_or(String::new(), |at| at.strftime("%Y-%m-%d").to_string())
        });
        match (found.state, found.days_left) {
            ("ended", _) => remark(
                &self.key,
                true,
                format!(
                    "{what} {file} has ended on {date}: others refuse it; replace the file, it is read again without a restart"
                ),
            ),
            ("ends_soon", Some(days)) => remark(
                &self.key,
                false,
                format!(
                    "{what} {file} ends on {date}, in {}: replace the file before, it is read again without a restart",
                    days_in_words(days)
                ),
            ),
            _ => {}
        }
        let CertificateRole::Own { end, key } = &self.role else { return remarks };
        let first = self.summaries().ok().and_then(|summaries| summaries.into_iter().next());
        if let Some(unfit) = first.as_ref().and_then(|first| unfit(*end, first)) {
            remark(&self.key, false, format!("the certificate in {file} {unfit}"));
        }
        if let Some(mode) = open_mode(key) {
            let (section, path) = (self.key.trim_end_matches(".cert"), key.display());
            remark(
                &format!("{section}.key"),
                false,
                format!(
                    "every user of this machine can read {path} (mode {mode:04o}): run `chmod 600 {path}`"
                ),
            );
        }
        remarks
    }

    fn look(&self, now: UtcMillis) -> CertificateStatus {
        let mut status = CertificateStatus { key: self.key.clone(), ..CertificateStatus::default() };
        let summaries = match self.summaries() {
            Ok(summaries) => summaries,
            Err(error) => {
                status.state = "unreadable";
                status.error = Some(error);
                return status;
            }
        };
        let ends = |summary: &&CertificateSummary| summary.not_after;
        let decisive = match self.role {
            CertificateRole::Roots => summaries.iter().max_by_key(ends),
            CertificateRole::Own { .. } => summaries.iter().min_by_key(ends),
        };
        let Some(decisive) = decisive else { return status };
        let ends_at = decisive.not_after.saturating_mul(1000);
        let left = ends_at.saturating_sub(now.0);
        let days_left = left.div_euclid(DAY_MS);
        status.state = match days_left {
            _ if left <= 0 => "ended",
            ..=WARN_DAYS => "ends_soon",
            _ => "valid",
        };
        status.subject = Some(decisive.subject.clone());
        status.ends_at = Some(ends_at);
        status.days_left = Some(days_left);
        status
    }
}

/// Why most peers refuse a certificate at this end.
fn unfit(end: TlsEnd, summary: &CertificateSummary) -> Option<String> {
    if let Some(weakness) = summary.weakness {
        return Some(format!("{weakness}: most peers refuse it; make it again"));
    }
    let (fits, needed, usage) = match end {
        TlsEnd::Connects => (summary.usage.is_none_or(Usage::is_for_clients), "clientAuth", "client"),
        TlsEnd::Accepts => (summary.usage.is_none_or(Usage::is_for_servers), "serverAuth", "server"),
    };
    (!fits).then(|| {
        format!(
            "lacks {needed} in its extendedKeyUsage, so that most peers refuse it here: make it again, or with `verge certs \
             issue NAME --usage {usage}`"
        )
    })
}

fn days_in_words(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

/// The mode of a file that every user of the machine can read.
fn open_mode(file: &Path) -> Option<u32> {
    let mode = |path: &Path| std::fs::metadata(path).map(|about| about.permissions().mode() & 0o777).ok();
    let file = file.canonicalize().ok()?;
    let mode_of_file = mode(&file)?;
    let entered = file.ancestors().skip(1).all(|folder| mode(folder).is_some_and(|mode| mode & 0o001 != 0));
    (mode_of_file & 0o004 != 0 && entered).then_some(mode_of_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_is_known_before_and_a_replaced_one_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        let watched = WatchedCertificate::roots("uplink.centre", &file);
        assert_eq!(watched.look(UtcMillis(0)).state, "unreadable");
        let made = verge_tls::authority::Authority::create("a plant", 90).unwrap().cert_pem().to_owned();
        std::fs::write(&file, &made).unwrap();
        let ends = watched.look(UtcMillis(0)).ends_at.unwrap();
        let check = |before_days: i64, state: &str| {
            let found = watched.look(UtcMillis(ends - before_days * DAY_MS));
            assert_eq!((found.state, found.days_left), (state, Some(before_days)));
        };
        check(31, "valid");
        check(30, "ends_soon");
        check(0, "ended");
        check(-3, "ended");
        assert!(watched.look(UtcMillis(0)).subject.is_some());
    }

    #[test]
    fn what_will_matter_is_said_with_file_date_and_what_to_do() {
        use verge_tls::authority::{Authority, CertificateRequest, write_identity};
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let authority = Authority::create("a plant", 90).unwrap();
        let make = |usage: Usage, name: &str| {
            let request =
                CertificateRequest { common_name: name.to_owned(), names: Vec::new(), usage, days: 20 };
            write_identity(folder.path(), name, &authority.issue(&request).unwrap(), false).unwrap()
        };
        let (cert, key) = make(Usage::Server, "gw");
        let now = UtcMillis(Timestamp::now().as_millisecond());
        let said = |end: TlsEnd| {
            let watched = WatchedCertificate::own("uplink.c", end, &cert, &key);
            let remarks = watched.remarks(&watched.look(now)).into_iter();
            remarks.map(|remark| format!("{}: {}", remark.key, remark.text)).collect::<Vec<_>>()
        };
        let check = |said: &[String], expected: &[&str]| {
            assert_eq!(said.len(), expected.len(), "{said:?}");
            for (said, expected) in said.iter().zip(expected) {
                assert!(said.contains(expected), "{said}");
            }
        };
        let soon = format!("uplink.c.cert: the certificate in {} ends on 20", cert.display());
        check(&said(TlsEnd::Accepts), &[&soon]);
        check(&said(TlsEnd::Connects), &[", in 19 days: replace the file", "lacks clientAuth"]);
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
        let open = format!("uplink.c.key: every user of this machine can read {} (mode 0644)", key.display());
        let enterable = open_mode(&key).is_some();
        let expected: Vec<&str> = if enterable { vec![&soon, &open] } else { vec![&soon] };
        check(&said(TlsEnd::Accepts), &expected);
    }
}
