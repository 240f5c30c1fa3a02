//! Connections that stand when the rules change: what is not allowed any more ends with them.

use std::sync::Arc;

use tokio::sync::watch;
use verge_tls::{Revocations, ShownCertificates};

use super::packets::{Guard, Refused};
use crate::passwords::BrokerPasswords;
use crate::policy::{Action, Policy, Refusal};

/// What holds for all clients.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) policy: Arc<Policy>,
    pub(super) revocations: Arc<Revocations>,
    /// Where clients without a certificate may log in.
    pub(super) passwords: Option<Arc<BrokerPasswords>>,
}

/// The name that a client has logged in by, and the passwords of that time.
pub(super) type UsedLogin = (String, Arc<BrokerPasswords>);

/// One connection, as far as the rules are about it.
#[derive(Debug)]
pub(super) struct ConnectionStanding {
    pub(super) rules: watch::Receiver<Rules>,
    pub(super) shown: ShownCertificates,
    pub(super) client_id: String,
    /// Its name is proved.
    pub(super) is_proved: bool,
    /// It has logged in by its password, one of these.
    pub(super) login: Option<UsedLogin>,
    /// Topic of its last will, and whether that is to be retained.
    pub(super) will: Option<(String, bool)>,
}

impl ConnectionStanding {
    /// Waits for other rules.
    pub(super) async fn changed(&mut self) {
        if self.rules.changed().await.is_err() {
            // The listener has ended, and its connections end with it.
            std::future::pending::<()>().await;
        }
    }

    /// Takes them up.
    ///
    /// # Errors
    /// The connection must end.
    pub(super) fn take_up(&mut self, guard: &mut Guard) -> Result<(), Refused> {
        let Rules { policy, revocations, passwords } = self.rules.borrow_and_update().clone();
        if revocations.revoke(&self.shown) {
            return Err(Refusal::Revoked.into());
        }
        if let Some((name, before)) = &self.login {
            let agrees = passwords.as_ref().is_some_and(|now| now.agrees_with(before, name));
            if !agrees {
                return Err(Refusal::Password.into());
            }
        }
        guard.take_up(policy, &self.client_id, self.is_proved)?;
        match &self.will {
            Some((topic, retained)) => guard.may(Action::Publish { retained: *retained }, topic),
            None => Ok(()),
        }
    }
}
