//! When certificates end: always in the status, and in the log once a day from a month before.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_pipeline::clock::Clock;
use verge_pipeline::status::CertificateStatus;

use crate::settings::{Connection, Local, Settings};

/// Certificates that end sooner are warned of.
const WARN_DAYS: i64 = 30;
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often files are read: one that was replaced is in the next status.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// One file of certificates.
struct Watched {
    /// Key of the configuration that names it.
    key: String,
    file: PathBuf,
    /// Roots: others may end before the last of them.
    is_bundle: bool,
}

/// What is known of the files, shared with the status.
pub(super) struct Expiry {
    watched: Vec<Watched>,
    found: Mutex<Vec<CertificateStatus>>,
}

impl Expiry {
    /// The certificates of these settings.
    pub(super) fn of(settings: &Settings, now: UtcMillis) -> Arc<Self> {
        let mut watched = Vec::new();
        match &settings.local {
            Local::External(connection) => of_connection("local", connection, &mut watched),
            Local::Embedded(broker) => {
                if let Some(files) = &broker.tls {
                    watched.push(Watched::own("local.cert", &files.cert));
                    watched.push(Watched::roots("local.ca", &files.ca));
                }
            }
        }
        for uplink in &settings.uplinks {
            of_connection(&format!("uplink.{}", uplink.name), &uplink.broker, &mut watched);
        }
        let expiry = Self { watched, found: Mutex::default() };
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

    /// Looks for as long as the gateway runs.
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
            let (key, file) = (&watched.key, watched.file.display());
            match (found.state, found.days_left) {
                ("ended", _) => tracing::error!(
                    %key, %file, "a certificate has ended: connections with it are refused; replace the file, it is read again by itself"
                ),
                ("ends_soon", Some(days)) => tracing::warn!(
                    %key, %file, days_left = days, "a certificate ends soon: replace the file in time, it is read again by itself"
                ),
                _ => {}
            }
        }
    }
}

fn of_connection(section: &str, connection: &Connection, watched: &mut Vec<Watched>) {
    if let Some(files) = &connection.tls {
        if let Some((cert, _)) = &files.identity {
            watched.push(Watched::own(&format!("{section}.cert"), cert));
        }
        watched.push(Watched::roots(&format!("{section}.ca"), &files.ca));
    }
}

impl Watched {
    fn own(key: &str, file: &Path) -> Self {
        Self { key: key.to_owned(), file: file.to_owned(), is_bundle: false }
    }

    fn roots(key: &str, file: &Path) -> Self {
        Self { is_bundle: true, ..Self::own(key, file) }
    }

    fn look(&self, now: UtcMillis) -> CertificateStatus {
        let mut status = CertificateStatus { key: self.key.clone(), ..CertificateStatus::default() };
        let what = self.file.display().to_string();
        let read = std::fs::read(&self.file).map_err(|error| error.to_string());
        let read = read.and_then(|pem| verge_tls::summary(&pem, &what).map_err(|error| error.to_string()));
        let summaries = match read {
            Ok(summaries) => summaries,
            Err(error) => {
                status.state = "unreadable";
                status.error = Some(error);
                return status;
            }
        };
        let ends = |summary: &&verge_tls::CertificateSummary| summary.not_after;
        let decisive = if self.is_bundle {
            summaries.iter().max_by_key(ends)
        } else {
            summaries.iter().min_by_key(ends)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_is_known_before_and_a_replaced_one_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        let watched = Watched::own("uplink.centre.cert", &file);
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
}
