//! The child process's side of [`ChildBroker`](crate::ChildBroker): what the command `verge broker` does.
//!
//! It reads one line on standard input (the start message: port, packet limit, user and password), runs rumqttd on
//! that port of 127.0.0.1, writes the line `ready` on standard output once a client was accepted, and ends when its
//! standard input ends: a gateway that is killed leaves no broker behind.

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::process;

use tokio::io::AsyncRead;

use crate::embedded::{Embedded, EmbeddedError};
use crate::endpoint::{Endpoint, StartMessageError};

/// The line that the child writes when it serves.
pub(crate) const READY: &str = "ready";
/// rumqttd's thread that carries every message; without it nothing works any more.
const ROUTER_THREAD: &str = "router-0";
/// As a Rust program ends whose main thread has panicked.
const PANICKED: i32 = 101;

/// Why the child ends other than by the end of its standard input.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// There is no start message.
    #[error(transparent)]
    StartMessage(#[from] StartMessageError),
    /// The broker does not run.
    #[error(transparent)]
    Broker(#[from] EmbeddedError),
    /// Standard input or output cannot be used.
    #[error("standard input or output cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Runs the embedded broker until standard input ends; `output` is standard output. It takes the whole process: a panic of rumqttd's router,
/// which would leave a broker that accepts connections and does nothing, ends it at once, with exit code 101.
/// After the return, rumqttd's threads live on until the process ends.
///
/// # Errors
/// See [`ChildError`].
pub fn serve(output: &mut impl Write) -> Result<(), ChildError> {
    end_with_the_router();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serve_on(tokio::io::stdin(), output));
    // Standard input is read on a thread that only its end could wake.
    runtime.shutdown_background();
    ended
}

async fn serve_on(mut input: impl AsyncRead + Unpin, output: &mut impl Write) -> Result<(), ChildError> {
    let endpoint = Endpoint::read(&mut input).await?;
    let _broker = Embedded::serve(endpoint).await?;
    writeln!(output, "{READY}")?;
    output.flush()?;
    // Nothing more is expected: only the end counts.
    tokio::io::copy(&mut input, &mut tokio::io::sink()).await?;
    Ok(())
}

fn end_with_the_router() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        report(panic);
        if std::thread::current().name() == Some(ROUTER_THREAD) {
            process::exit(PANICKED);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::client::Client;

    #[tokio::test]
    async fn it_serves_when_it_says_so_and_ends_with_its_input() {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let endpoint = Endpoint::random(address, 65_536).unwrap();
        let (mut to_child, input) = duplex(1024);
        let (mut from_child, mut output) = io::pipe().unwrap();
        let child = tokio::spawn(async move { serve_on(input, &mut output).await });
        to_child.write_all(endpoint.to_line().reveal().as_bytes()).await.unwrap();
        let said = tokio::task::spawn_blocking(move || {
            let mut said = [0; 6];
            io::Read::read_exact(&mut from_child, &mut said).map(|()| said)
        });
        assert_eq!(&said.await.unwrap().unwrap(), b"ready\n");
        Client::connect(&endpoint, "t").await.unwrap().close().await;
        assert!(!child.is_finished());
        drop(to_child);
        tokio::time::timeout(Duration::from_secs(30), child).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_does_nothing_without_a_start_message() {
        let check = async |input: &[u8], words: &str| {
            let error = serve_on(input, &mut io::sink()).await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        check(b"", "`verge run` starts this program").await;
        check(b"hello\n", "not the start message").await;
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let line = format!("verge-broker 2 {} 65536 65536 u p\n", taken.local_addr().unwrap().port());
        // A listener that never answers CONNECT is no broker of ours.
        check(line.as_bytes(), "does not accept connections").await;
    }
}
