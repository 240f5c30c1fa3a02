//! How a running gateway is asked to reload: a socket in its state folder that only its own user and root can open. One
//! line of JSON in, one out.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ReloadAnswer;
use super::request::{ReloadRequest, Reply};

/// Name of the socket within the state folder.
const SOCKET: &str = "reload.sock";
/// Longest request, in bytes.
const MAX_REQUEST: u64 = 16 << 10;
/// Longest answer, in bytes: it may list every key of a large file.
const MAX_ANSWER: u64 = 16 << 20;
/// A request must be written, and an answer read, within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a reload may take for the one who asks: a full store holds the judges up.
const LONGEST: Duration = Duration::from_secs(120);
/// Connections that are read at once; others wait.
const MOST_READ: usize = 8;
/// Longest path of a socket that the system takes, without its final zero.
const MAX_PATH: usize = 107;

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    reload: PathBuf,
    #[serde(default)]
    dry_run: bool,
}

/// Where a running gateway is asked. The one who opens it holds the lock of the state folder.
#[derive(Debug)]
pub struct ReloadDoor {
    /// Those that were read whole.
    requests: Mutex<mpsc::Receiver<ReloadRequest>>,
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl ReloadDoor {
    /// Opens it, within a runtime. What a killed gateway left is replaced.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = within_reach(state_dir, UnixListener::bind)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        let owner = std::fs::metadata(&path)?.uid();
        let (sender, requests) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, owner, sender));
        Ok(Self { requests: Mutex::new(requests), path, accepting })
    }

    /// The next one who asks. What is no request is passed over. A caller that does not wait to the end loses none.
    pub async fn next(&self) -> ReloadRequest {
        match self.requests.lock().await.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

/// Takes connections, each of which is read apart.
async fn accept(listener: UnixListener, owner: u32, requests: mpsc::Sender<ReloadRequest>) {
    let turns = Arc::new(Semaphore::new(MOST_READ));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let turn = Arc::clone(&turns).acquire_owned().await.expect("nobody closes it");
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Some(request) = read(stream, owner).await {
                        // Nobody is left to carry it out where this fails: the gateway stops.
                        drop(requests.send(request).await);
                    }
                    drop(turn);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a request for a reload");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn read(stream: UnixStream, owner: u32) -> Option<ReloadRequest> {
    let user = stream.peer_cred().ok()?.uid();
    if user != owner && user != 0 {
        tracing::warn!(user, "a user who may not reload this gateway asked for it");
        return None;
    }
    let mut stream = BufStream::new(stream);
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(MAX_REQUEST);
    timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await.ok()?.ok()?;
    let Question { reload, dry_run } = serde_json::from_slice(&line).ok()?;
    Some(ReloadRequest { file: Some(reload), dry_run, by: None, again: false, reply: Reply::Socket(stream) })
}

impl Drop for ReloadDoor {
    fn drop(&mut self) {
        self.accepting.abort();
        // Left behind it only misleads: the next gateway replaces it.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket for reloads is not there any more");
        }
    }
}

/// Answers. One who has left is not waited for.
pub(super) async fn answer(mut stream: BufStream<UnixStream>, answer: &ReloadAnswer) {
    let mut line = serde_json::to_vec(answer).expect("names, text and finite numbers");
    line.push(b'\n');
    let write = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    if !matches!(timeout(PATIENCE, write).await, Ok(Ok(()))) {
        tracing::debug!("the one who asked for a reload did not read the answer");
    }
}

/// Asks the gateway that runs on a state folder to reload its file.
///
/// # Errors
/// No gateway runs there, this user may not ask it, or it does not answer.
pub fn ask(state_dir: &Path, file: &Path, dry_run: bool) -> io::Result<ReloadAnswer> {
    let mut stream = within_reach(state_dir, StdStream::connect)?;
    stream.set_read_timeout(Some(LONGEST))?;
    let mut line = serde_json::to_vec(&Question { reload: file.to_owned(), dry_run })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_ANSWER).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the gateway stopped before it answered"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Uses the path of the socket, by way of its folder where it is longer than the system takes.
fn within_reach<T>(state_dir: &Path, reach: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = state_dir.join(SOCKET);
    if path.as_os_str().len() <= MAX_PATH {
        return reach(path);
    }
    let folder = std::fs::File::open(state_dir)?;
    reach(PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_answered_and_what_is_none_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("x".repeat(100));
        std::fs::create_dir(&state).unwrap();
        let nobody = ask(&state, Path::new("/g.toml"), false).unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::NotFound);
        // What a killed gateway left.
        std::fs::write(state.join(SOCKET), "").unwrap();
        let door = ReloadDoor::open(&state).unwrap();
        let mode = std::fs::metadata(state.join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let asking = {
            let state = state.clone();
            std::thread::spawn(move || {
                for nonsense in [&b"{\n"[..], &[b'x'; 100_000]] {
                    let mut stream = within_reach(&state, StdStream::connect).unwrap();
                    // It may be cut off while it writes.
                    drop(stream.write_all(nonsense));
                }
                ask(&state, Path::new("/g.toml"), true).unwrap()
            })
        };
        let request = door.next().await;
        assert_eq!((request.file.as_deref(), request.dry_run), (Some(Path::new("/g.toml")), true));
        let answer = ReloadAnswer::OtherFile { runs_with: "/other.toml".to_owned() };
        request.answer(&answer).await;
        assert_eq!(asking.join().unwrap(), answer);
        drop(door);
        assert!(!state.join(SOCKET).exists());
    }

    #[tokio::test]
    async fn a_request_that_is_half_read_is_not_lost_where_the_gateway_turns_to_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let door = ReloadDoor::open(folder.path()).unwrap();
        let mut stream = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        stream.write_all(b"{\"reload\":\"/g.toml\"").await.unwrap();
        assert!(timeout(Duration::from_millis(100), door.next()).await.is_err(), "it is not whole yet");
        stream.write_all(b"}\n").await.unwrap();
        let request = timeout(LONGEST, door.next()).await.unwrap();
        assert_eq!((request.file.as_deref(), request.dry_run), (Some(Path::new("/g.toml")), false));
        // Others do not wait for one that writes nothing.
        let _silent = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        let mut stream = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        stream.write_all(b"{\"reload\":\"/g.toml\",\"dry_run\":true}\n").await.unwrap();
        assert!(timeout(LONGEST, door.next()).await.unwrap().dry_run);
    }
}
