//! Who may connect to the embedded broker, and who may not any more.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use verge_broker::BrokerPasswords;
use verge_gateway::exit::Exit;
use verge_gateway::settings::EmbeddedBroker;
use verge_tls::Revocations;
use verge_tls::enrolment::Enrolment;

use super::super::{certs, words};
use super::look_at_certificate;
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
        let words_of = |logins: Arc<BrokerPasswords>| match logins.of_mosquitto().len() {
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

/// Who gets certificates: the authority and its tokens, which the gateway must write.
pub(super) fn look_at_enrolment(broker: &EmbeddedBroker, report: &mut CheckReport) {
    let looked = match (&broker.enrolment, broker.enrolment()) {
        (_, Err(error)) => Err(words(&error)),
        (Some(settings), Ok(Some((enrolment, _)))) => {
            look_at_certificate(SECTION, &enrolment.authority_file(), report);
            state_of(&enrolment, broker).map(|tokens| {
                format!(
                    "on: devices get certificates at https://{} by a token, and renew them; {tokens}. The key of the authority lies on \
                     this machine",
                    settings.listen
                )
            })
        }
        _ => return,
    };
    report.note(SECTION, "enrolment", looked, Exit::BadConfig);
}

/// How many tokens are open; an error where devices would get certificates that are good for nothing, or none.
fn state_of(enrolment: &Enrolment, broker: &EmbeddedBroker) -> Result<String, String> {
    let own = enrolment.authority_file();
    let ca = broker.tls.as_ref().map(|files| &files.ca);
    let prints = |path: &Path| certs::read(path).map(|chain| chain.into_iter().map(|one| one.fingerprint));
    if let Some((ca, (Ok(known), Ok(mut own_prints)))) = ca.map(|ca| (ca, (prints(ca), prints(&own)))) {
        let known: Vec<String> = known.collect();
        if !own_prints.any(|print| known.contains(&print)) {
            return Err(format!(
                "{} is not among the certificates in {}: the broker would refuse every device that gets a certificate; append it \
                 there",
                own.display(),
                ca.display()
            ));
        }
    }
    let tokens = enrolment.tokens();
    let state = tokens.check_writable().and_then(|()| tokens.state(Timestamp::now().as_second()));
    state.map_err(|error| words(&error)).map(|state| match state.open {
        0 => "no token is open (`verge certs token NAME` makes one)".to_owned(),
        1 => "1 token is open".to_owned(),
        open => format!("{open} tokens are open"),
    })
}
