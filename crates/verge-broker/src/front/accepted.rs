//! A connection from its first byte to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use verge_tls::{Acceptor, ShownCertificates};

use super::FrontShared;
use super::backend::Backend;
use super::connect::ConnectRefusal;
use super::slots::{Admission, EntryStage};

/// A connection that has just been accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) admission: Admission,
    pub(super) shared: Arc<FrontShared>,
}

impl Accepted {
    /// From its first byte to its last.
    pub(super) async fn serve(self, acceptor: Option<Acceptor>, backend: Arc<Backend>, handshake: Duration) {
        let Self { stream, peer, mut admission, shared } = self;
        let deadline = Instant::now() + handshake;
        let shown = ShownCertificates::default();
        let handshaken = match (stream.set_nodelay(true), acceptor) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => {
                admission.waiting.reached(EntryStage::Connect);
                return backend.receive(stream, (peer, None, shown), admission, &shared, deadline).await;
            }
            (Ok(()), Some(acceptor)) => {
                // What a handshake takes is not kept for as long as the connection; and what goes from hand to hand takes its
                // room once in a box.
                let waiting = &mut admission.waiting;
                let begun = waiting.noting(EntryStage::Handshake);
                let accepting = Box::pin(acceptor.accept_noting(stream, handshake, begun));
                tokio::select! {
                    accepted = accepting => accepted.map(Box::new).map_err(|error| error.to_string()),
                    () = waiting.gives_way() => Err(ConnectRefusal::GaveWay.to_string()),
                }
            }
        };
        match handshaken {
            Ok(stream) => {
                admission.waiting.reached(EntryStage::Connect);
                let identities = verge_tls::peer_identities(&stream);
                let shown = ShownCertificates::of(&stream);
                let who = (peer, Some(identities.as_slice()), shown);
                backend.receive(stream, who, admission, &shared, deadline).await;
            }
            Err(error) => {
                shared.failed_handshakes.fetch_add(1, Ordering::Relaxed);
                shared.note_refusal(peer, &error);
            }
        }
    }
}
