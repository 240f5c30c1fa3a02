//! Who may connect to the embedded broker, and who may not any more.

use std::sync::Arc;

use jiff::Timestamp;
use verge_broker::Passwords;
use verge_gateway::exit::Exit;
use verge_gateway::settings::EmbeddedBroker;
use verge_tls::Revocations;

use super::super::words;
use super::report::CheckReport;

const SECTION: &str = "local";

/// Who is not accepted any more.
pub(super) fn look_at_revocations(
    broker: &EmbeddedBroker,
    revocations: &Revocations,
    report: &mut CheckReport,
) {
    let Some(files) = broker.tls.as_ref().filter(|files| files.crl.is_some() || files.denied.is_some())
    else {
        return;
    };
    let count = match revocations.len() {
        1 => "1 certificate is revoked".to_owned(),
        count => format!("{count} certificates are revoked"),
    };
    let now = Timestamp::now().as_second();
    let is_late = revocations.next_update().is_some_and(|next| next < now);
    let (Some(list), true) = (&files.crl, is_late) else {
        return report.note(SECTION, "revoked", Ok(count), Exit::BadConfig);
    };
    let remark = format!(
        "{}: the authority should have given out another list by now; this one holds until it does (`verge certs revoke` \
         makes one)",
        list.display()
    );
    report.note(SECTION, "revoked", Ok(format!("{count}; warning: {remark}")), Exit::BadConfig);
}

/// Who may log in by a password.
pub(super) fn look_at_logins(broker: &EmbeddedBroker, report: &mut CheckReport) {
    if let Some(logins) = broker.logins().transpose() {
        let words_of = |logins: Arc<Passwords>| match logins.of_mosquitto().len() {
            0 => format!("{} devices may log in by a password", logins.len()),
            weak => format!(
                "{} devices may log in by a password, {weak} of them by mosquitto's hash",
                logins.len()
            ),
        };
        report.note(
            SECTION,
            "passwords",
            logins.map(words_of).map_err(|error| words(&error)),
            Exit::BadConfig,
        );
    }
}
