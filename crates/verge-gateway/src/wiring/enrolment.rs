//! The listener at which devices ask for certificates.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use verge_tls::ServerConfig;
use verge_web::dashboard::ServerTls;
use verge_web::est::EstServer;

use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::EmbeddedBroker;

/// Starts it on a thread, where the configuration asks for it.
///
/// # Errors
/// The authority or a certificate cannot be used, or the address is taken.
pub(super) fn start(settings: &EmbeddedBroker, thread: &IoThread) -> anyhow::Result<Option<EstServer>> {
    let Some((enrolment, first)) = settings.enrolment().exit_with(Exit::BadConfig)? else { return Ok(None) };
    let Some(listen) = settings.enrolment.as_ref().map(|enrolment| enrolment.listen) else { return Ok(None) };
    let cannot = || format!("local.enrol: cannot listen on {listen}");
    let listener = TcpListener::bind(listen).with_context(cannot).exit_with(Exit::Temporary)?;
    let tls = renewed(settings.clone(), first);
    let server = thread.within(|| EstServer::start(enrolment, listener, tls));
    let server = server.with_context(cannot).exit_with(Exit::Temporary)?;
    tracing::info!(listen = %server.address(), "devices can ask for certificates");
    Ok(Some(server))
}

/// What the listener shows, as it is now: read again when one of its files is another. What cannot be used leaves the one before.
fn renewed(settings: EmbeddedBroker, first: Arc<ServerConfig>) -> ServerTls {
    let files = settings.enrolment_files();
    let in_use = Mutex::new((files.print(), first));
    Arc::new(move || {
        let mut in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let print = files.print();
        if print != in_use.0 {
            in_use.0 = print;
            match settings.enrolment() {
                Ok(Some((_, next))) => in_use.1 = next,
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "changed files of the listener of enrolment cannot be used; the ones before stay in use");
                }
            }
        }
        Arc::clone(&in_use.1)
    })
}
