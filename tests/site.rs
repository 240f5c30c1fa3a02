//! A site for the gateway under test: a broker on either side, in this process, and a configuration for both.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use verge_broker::{Embedded, EmbeddedSettings, Front, FrontLimits, FrontSettings, Policy};
use verge_tls::{TlsIdentity, TrustedRoots, server_config};

use crate::program::{command, verge};

/// Both brokers, and a folder with `gateway.toml` and certificates made by `verge certs`.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    _runtime: Runtime,
    _front: Front,
}

impl Site {
    /// Starts the brokers and writes the configuration: these sections, and the connections to both.
    pub(crate) fn start(sections: &str) -> Self {
        verge_tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        verge(path, &["certs", "init"]).expect(0);
        verge(path, &["certs", "issue", "localhost", "--usage", "server"]).expect(0);
        verge(path, &["certs", "issue", "gateway", "--usage", "client"]).expect(0);
        let runtime = Runtime::new().unwrap();
        let start = || Embedded::start(EmbeddedSettings { max_packet_bytes: 2 << 20 });
        let (local, upstream) = runtime.block_on(async { (start().await.unwrap(), start().await.unwrap()) });
        let file = |name: &str| path.join("certs").join(name);
        let identity = TlsIdentity::load(&file("localhost.pem"), &file("localhost.key")).unwrap();
        let roots = TrustedRoots::load(&file("ca.pem")).unwrap();
        let front = FrontSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: Some(server_config(&identity, Some(&roots))),
            login: None,
            policy: Policy::open(),
            broker: upstream.address(),
            limits: FrontLimits::default(),
        };
        let front = runtime.block_on(Front::start(front)).unwrap();
        let login = |broker: &Embedded, name: &str| {
            let file = path.join(name);
            std::fs::write(&file, broker.credentials().password.reveal()).unwrap();
            format!("username = {:?}\npassword_file = {file:?}", broker.credentials().username)
        };
        let text = format!(
            r#"{sections}
[gateway]
id = "trial"
state_dir = "state"

[local]
url = "mqtt://{}"
{}

[uplink.centre]
url = "mqtts://localhost:{}"
ca = "certs/ca.pem"
cert = "certs/gateway.pem"
key = "certs/gateway.key"
{}
"#,
            local.address(),
            login(&local, "local.password"),
            front.address().port(),
            login(&upstream, "upstream.password"),
        );
        std::fs::write(path.join("gateway.toml"), text).unwrap();
        Self { folder, _runtime: runtime, _front: front }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a command that goes on, and waits until it has said these words on standard error.
    pub(crate) fn spawn(&self, arguments: &[&str], words: &str) -> Running {
        let mut child =
            command(self.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = String::new();
        let said = lines.by_ref().map(Result::unwrap).any(|line| {
            before += &line;
            before.push('\n');
            line.contains(words)
        });
        assert!(said, "{arguments:?} has ended without saying {words:?}:\n{before}");
        // Whoever is not listened to stops at some point.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child }
    }
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self { child }
    }
}

/// A command that goes on. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop, as a supervisor would; returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.code()
    }

    /// Waits for its end; returns its exit code.
    fn code(&mut self) -> i32 {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The lines of its standard output, as they come.
    pub(crate) fn lines(&mut self) -> Lines {
        let stdout = self.child.stdout.take().unwrap();
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        Lines(lines)
    }

    /// Standard output, once it has ended by itself with code 0.
    pub(crate) fn output(mut self) -> String {
        let stdout = self.child.stdout.take().unwrap();
        let text = std::io::read_to_string(stdout).unwrap();
        assert_eq!(self.code(), 0, "{text}");
        text
    }
}

/// Lines of JSON that a command says while it goes on.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    /// The next one that is wanted.
    pub(crate) fn find(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.0.recv_timeout(left).unwrap_or_else(|_| panic!("{what} does not come"));
            let line = serde_json::from_str(&line).unwrap();
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
