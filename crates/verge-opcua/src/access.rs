//! Who may log in: users with a password, users with a certificate, and anybody where the configuration says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opcua::crypto::{SecurityPolicy, Thumbprint};
use opcua::server::ServerEndpoint;
use opcua::server::authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id};
use opcua::types::{Error, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use tokio::sync::Semaphore;

use crate::pki::Pki;

/// A refused login is answered after this time, so that nobody tries many.
const PAUSE: Duration = Duration::from_secs(1);
/// Names and passwords that are longer belong to nobody.
const MAX_BYTES: usize = 1024;

/// Users with a password.
pub trait Logins: Send + Sync {
    /// Whether this is the password of that user. Takes its time: it is called on a thread that nobody waits for.
    fn matches(&self, user: &str, password: &str) -> bool;
}

pub(crate) struct Access {
    pub(crate) anonymous: bool,
    pub(crate) logins: Option<Arc<dyn Logins>>,
    pub(crate) pki: Pki,
    /// One password is tried at a time: each takes memory.
    turn: Arc<Semaphore>,
    pub(crate) refused: Arc<AtomicU64>,
}

impl Access {
    pub(crate) fn new(
        anonymous: bool,
        logins: Option<Arc<dyn Logins>>,
        pki: Pki,
        refused: Arc<AtomicU64>,
    ) -> Self {
        Self { anonymous, logins, pki, turn: Arc::new(Semaphore::new(1)), refused }
    }

    async fn refusal(&self) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
        Error::new(StatusCode::BadIdentityTokenRejected, "no such user, or not its password or certificate")
    }
}

#[async_trait]
impl AuthManager for Access {
    async fn authenticate_anonymous_token(&self, _endpoint: &ServerEndpoint) -> Result<(), Error> {
        if self.anonymous { Ok(()) } else { Err(self.refusal().await) }
    }

    async fn authenticate_username_identity_token(
        &self,
        _endpoint: &ServerEndpoint,
        user: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let (name, shown) = (user.to_owned(), password.clone());
        let fits = user.len() <= MAX_BYTES && password.get().len() <= MAX_BYTES;
        let Some(logins) = self.logins.clone().filter(|_| fits) else { return Err(self.refusal().await) };
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return Err(self.refusal().await);
        };
        let tried = tokio::task::spawn_blocking(move || {
            // The turn goes with the thread: it goes on when the client has left.
            let _turn = turn;
            logins.matches(&name, shown.get())
        });
        if tried.await.unwrap_or(false) {
            Ok(UserToken(format!("user {user}")))
        } else {
            Err(self.refusal().await)
        }
    }

    async fn authenticate_x509_identity_token(
        &self,
        _endpoint: &ServerEndpoint,
        thumbprint: &Thumbprint,
    ) -> Result<UserToken, Error> {
        match self.pki.user(thumbprint) {
            Some(name) => Ok(UserToken(format!("certificate {name}"))),
            None => Err(self.refusal().await),
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |id: UAString, token_type, security: SecurityPolicy| UserTokenPolicy {
            policy_id: id,
            token_type,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: security.to_uri().into(),
        };
        let mut policies = Vec::new();
        if self.anonymous {
            policies.push(policy("anonymous".into(), UserTokenType::Anonymous, SecurityPolicy::None));
        }
        if self.logins.is_some() {
            let id = user_pass_security_policy_id(endpoint);
            policies.push(policy(id, UserTokenType::UserName, endpoint.password_security_policy()));
        }
        if endpoint.security_policy() != SecurityPolicy::None {
            policies.push(policy("x509".into(), UserTokenType::Certificate, endpoint.security_policy()));
        }
        policies
    }
}
