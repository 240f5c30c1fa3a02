//! HTTP/2, which a client has chosen by ALPN: many requests on one connection, so tabs of a browser do not take its six
//! connections from each other.
//!
//! hyper ends neither a connection that asks for nothing nor one that takes nothing of an answer, so this does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::cut::Cut;
use super::server::{HEADERS_WITHIN, SECOND, WRITE_WITHIN};
use super::stall::NoStall;

/// Requests at once on one connection.
const MAX_STREAMS: u32 = 64;
/// Requests taken back before they were begun; one more ends the connection.
const MAX_TAKEN_BACK: usize = 20;
/// Streams that the client broke by faults of its own; one more ends the connection.
const MAX_FAULTS: usize = 64;
/// Names and values of one request. Nobody has logged in yet where they are read.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// What is held of bodies before they are read, of all requests of a connection together. One may fill it: some clients read the
/// refusal of a body that is a little too large only after they have sent all of it.
const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024;
const STREAM_WINDOW_BYTES: u32 = CONNECTION_WINDOW_BYTES;
/// Bodies are handed over in such pieces: h2 takes a whole one where the client has room for a single byte.
const PIECE_BYTES: usize = 16 * 1024;
/// A connection that is sent more in a second is not idle; pings and their answers are less.
const SOME_BYTES: u64 = 64;
/// What is held of an answer that the client does not take.
const STREAM_BUFFER_BYTES: usize = 64 * 1024;
/// Between saying that the connection ends and ending it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one connection within our limits. Returns which of them ended it, if one did.
pub(super) async fn serve<F: Future<Output = Response> + Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Option<Cut> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(MAX_FAULTS)
        .max_send_buf_size(STREAM_BUFFER_BYTES)
        .keep_alive_interval(HEADERS_WITHIN)
        .keep_alive_timeout(HEADERS_WITHIN);
    let open = Open::default();
    let service = service_fn(|request| {
        let (taken, answer) = (open.take(), answer(request));
        async move {
            let answer = answer.await;
            Ok::<_, Infallible>(answer.map(|body| Answer { body, rest: Bytes::new(), taken }))
        }
    });
    let stream = NoStall::new(stream, WRITE_WITHIN);
    let written = stream.written();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let (mut idle, mut before) = (Duration::ZERO, (0, 0));
    loop {
        tokio::select! {
            ended = &mut connection => {
                let error = ended.err()?;
                tracing::debug!(%address, %error, "a connection ended");
                return Cut::of(&error);
            }
            () = tokio::time::sleep(SECOND) => {}
        }
        let now = (open.begun(), written.load(Ordering::Relaxed));
        let is_at_work = now.0 != before.0 || now.1 - before.1 > SOME_BYTES;
        before = now;
        let Some(waiting) = open.longest() else {
            // The end of an answer may still wait in h2 for the client to take it.
            idle = if is_at_work { Duration::ZERO } else { idle + SECOND };
            if idle == HEADERS_WITHIN {
                connection.as_mut().graceful_shutdown();
            } else if idle > HEADERS_WITHIN + FAREWELL {
                return None;
            }
            continue;
        };
        idle = Duration::ZERO;
        if waiting > WRITE_WITHIN {
            tracing::debug!(%address, "a connection ended: the peer takes nothing of an answer");
            return Some(Cut::Stalled);
        }
    }
}

/// The requests of a connection that are not answered to the end, each with the time when more of its answer was last taken.
#[derive(Debug, Clone, Default)]
struct Open(Arc<Mutex<(u64, BTreeMap<u64, Instant>)>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Instant>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Taken {
        let mut open = self.lock();
        open.0 += 1;
        let number = open.0;
        open.1.insert(number, Instant::now());
        Taken { number, open: self.clone() }
    }

    /// How many requests there were.
    fn begun(&self) -> u64 {
        self.lock().0
    }

    /// How long the one that waits longest has waited; `None` without any.
    fn longest(&self) -> Option<Duration> {
        self.lock().1.values().min().map(Instant::elapsed)
    }
}

/// One of them, until it is dropped.
struct Taken {
    number: u64,
    open: Open,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.open.lock().1.remove(&self.number);
    }
}

/// A body that notes when it is asked for more, which hyper does while the client has room for it.
struct Answer {
    body: Body,
    /// Of its last piece.
    rest: Bytes,
    taken: Taken,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let number = self.taken.number;
        self.taken.open.lock().1.insert(number, Instant::now());
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use h2::client::Builder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn large(_: Request<Incoming>) -> Response {
        Response::new(Body::from(vec![0; 200_000]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_for_nothing_ends() {
        let (stream, peer) = duplex(1 << 20);
        let (_requests, connection) = h2::client::handshake(peer).await.unwrap();
        let client = tokio::spawn(connection);
        let began = Instant::now();
        assert_eq!(serve(stream, HERE, large).await, None);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        client.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_an_answer_is_left() {
        let stalled = Some(Cut::Stalled);
        // Milliseconds for a byte. A client that has room for a byte takes no more of an answer than one that has none; a slow
        // one takes it.
        for (window, pause, expected) in
            [(0, 0, stalled), (1, 60_000, stalled), (1_000_000, 0, None), (1_000, 1, None)]
        {
            let (stream, peer) = duplex(1 << 20);
            let mut builder = Builder::new();
            let (mut requests, connection) =
                builder.initial_window_size(window).handshake::<_, Bytes>(peer).await.unwrap();
            let client = tokio::spawn(connection);
            let request = Request::get("https://localhost/").body(()).unwrap();
            let asked = requests.send_request(request, true).unwrap().0;
            let taken = tokio::spawn(async move {
                let mut body = asked.await.unwrap().into_body();
                while let Some(Ok(piece)) = body.data().await {
                    tokio::time::sleep(Duration::from_millis(pause * piece.len() as u64)).await;
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
            });
            assert_eq!(serve(stream, HERE, large).await, expected, "window of {window}");
            drop(requests);
            taken.await.unwrap();
            drop(client.await);
        }
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[tokio::test]
    async fn requests_that_are_taken_back_at_once_end_the_connection() {
        let (stream, mut peer) = duplex(1 << 20);
        // GET, https, / and an authority; RST_STREAM with CANCEL.
        let head = [&[0x82, 0x87, 0x84, 0x41, 9][..], b"localhost"].concat();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        for number in (1..400).step_by(2) {
            bytes.extend(frame(1, 5, number, &head));
            bytes.extend(frame(3, 0, number, &[0, 0, 0, 8]));
        }
        peer.write_all(&bytes).await.unwrap();
        assert_eq!(serve(stream, HERE, large).await, Some(Cut::Flood));
        let mut said = Vec::new();
        peer.read_to_end(&mut said).await.unwrap();
        let goaway = [7, 0, 0, 0, 0, 0];
        assert!(said.windows(goaway.len()).any(|part| part == goaway), "it says why");
    }
}
