//! The store at the command line: looking into it, keys, repair; and how a gateway ends that cannot open it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{MarkStore, NewRow, RowStore, Store, Withdrawn};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{Outbox, OutboxReader, OutboxSettings, StoreKey};

use crate::program::{command, verge};
use crate::site::Running;

const CONFIGURATION: &str = r#"
[gateway]
id = "trial"
state_dir = "state"
ballast = "0 B"
#KEY
[local]
url = "mqtt://localhost:1"
[uplink.centre]
url = "mqtt://localhost:1"
insecure_plaintext = true
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
"#;

const CONTENT: &[u8] = b"what verdict three says";

fn settings(folder: &Path, key: Option<StoreKey>) -> OutboxSettings {
    OutboxSettings {
        dir: folder.join("state/store"),
        cap_bytes: 1 << 24,
        replay_age: std::time::Duration::from_secs(3600),
        replay_bytes: 1 << 20,
        states_bytes: 1 << 20,
        ballast_bytes: 0,
        drop_oldest: false,
        lives: [None; 3],
        key,
    }
}

/// A site whose store holds two withdrawn numbers and a verdict.
fn site(key: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = key.map_or(String::new(), |_| "store_key_file = \"store.key\"".to_owned());
    fs::write(folder.path().join("gateway.toml"), CONFIGURATION.replace("#KEY", &line)).unwrap();
    let settings = settings(folder.path(), key.map(|text| StoreKey::parse(text.as_bytes()).unwrap()));
    let mut store = Outbox::open(&settings).unwrap().outbox;
    let row = |seq| NewRow {
        lane: Lane::Verdict,
        seq: Seq(seq),
        decided: UtcMillis(0),
        cause: 0,
        bytes: CONTENT,
        withdrawn: None,
    };
    store.commit(&[row(1), row(2), row(3)], &[]).unwrap();
    let withdrawn = Withdrawn { through: Seq(2), reason: Withdrawal::Full };
    store.withdraw(Lane::Verdict, Seq(1), withdrawn, UtcMillis(0), &[]).unwrap();
    folder
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let ended = verge(folder, arguments).expect(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn tombstones_are_shown_and_a_sound_store_is_reported_so() {
    let site = site(None);
    let ls = json(site.path(), &["outbox", "ls", "-c", "gateway.toml", "--json"]);
    assert_eq!((&ls["lanes"][1]["stored"], &ls["lanes"][1]["withdrawn"]), (&1.into(), &2.into()));
    let shown =
        verge(site.path(), &["outbox", "show", "-c", "gateway.toml", "verdict", "--to", "2"]).expect(0);
    assert!(shown.stdout.contains("withdrawn 1 to 2: the store was full"), "{}", shown.stdout);
    let verified = json(site.path(), &["outbox", "verify", "-c", "gateway.toml", "--json"]);
    assert_eq!((&verified["sound"], &verified["rows"]), (&true.into(), &2.into()));
}

/// What a route that no uplink has any more leaves behind is reported before it is lost, by `check` and at the start.
#[test]
fn a_removed_uplink_does_not_take_its_backlog_along_in_silence() {
    let folder = site(None);
    verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0);
    let left = RouteId::new("left").unwrap();
    let mut store = Outbox::open(&settings(folder.path(), None)).unwrap().outbox;
    store.open_routes(std::slice::from_ref(&left)).unwrap();
    store.mark(&left, Lane::Verdict, Seq(2)).unwrap();
    store.sweep(Monotonic(1)).unwrap();
    drop(store);
    let said = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0).stdout;
    assert!(said.contains("the store holds 1 verdict that the route \"left\" has not delivered"), "{said}");
    let mut gateway = command(folder.path(), &["run", "-c", "gateway.toml"]);
    let mut child = gateway.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let _running = Running::from(child);
    let said = lines.map(Result::unwrap).find(|line| line.contains("no uplink has this route any more"));
    let said = said.expect("the gateway goes on, and says it");
    assert!(said.contains("route=left") && said.contains("verdicts=1"), "{said}");
}

#[test]
fn damage_is_found_on_a_copy_and_repaired() {
    let site = site(None);
    let (store, copy) = (site.path().join("state/store"), site.path().join("copy"));
    let database = store.join("outbox.db");
    let mut bytes = fs::read(&database).unwrap();
    for at in 0..bytes.len() - CONTENT.len() {
        if &bytes[at..at + CONTENT.len()] == CONTENT {
            bytes[at] ^= 1;
        }
    }
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("outbox.db"), &bytes).unwrap();
    let looked = ["outbox", "verify", "-c", "gateway.toml", "--store", "copy"];
    let verified = verge(site.path(), &looked).expect(65);
    assert!(verified.stdout.contains("FAULT  verdict 3 to 3 cannot be read"), "{}", verified.stdout);
    assert_eq!(fs::read(copy.join("outbox.db")).unwrap(), bytes, "it only looks");
    fs::write(&database, &bytes).unwrap();
    let repaired = json(site.path(), &["outbox", "repair", "-c", "gateway.toml", "--json"]);
    assert_eq!((&repaired["lost"], &repaired["verdicts"]), (&1.into(), &1.into()));
    assert!(site.path().join(repaired["set_aside"].as_str().unwrap()).exists(), "{repaired}");
    let again = json(site.path(), &["outbox", "verify", "-c", "gateway.toml", "--json"]);
    assert_eq!(again["sound"], true);
}

#[test]
fn a_backup_needs_no_key_and_replaces_nothing() {
    const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
    let site = site(Some(KEY));
    let arguments = ["outbox", "backup", "-c", "gateway.toml", "kept.db"];
    let made = verge(site.path(), &arguments).expect(0);
    assert!(made.stdout.contains("a gateway that opens it takes a new epoch"), "{}", made.stdout);
    let bytes = fs::read(site.path().join("kept.db")).unwrap();
    let again = verge(site.path(), &arguments).expect(64);
    assert!(again.stderr.contains("kept.db exists and is left as it is"), "{}", again.stderr);
    assert_eq!(fs::read(site.path().join("kept.db")).unwrap(), bytes);
    let missing = ["outbox", "backup", "-c", "gateway.toml", "--store", "nowhere", "other.db"];
    verge(site.path(), &missing).expect(65);
    assert!(!site.path().join("other.db").exists());
    // Restored over the store.
    let store = site.path().join("state/store");
    let key = Some(StoreKey::parse(KEY.as_bytes()).unwrap());
    let before = OutboxReader::open(&store, key.as_ref()).unwrap().epoch();
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::copy(site.path().join("kept.db"), store.join("outbox.db")).unwrap();
    fs::write(site.path().join("store.key"), KEY).unwrap();
    let settings = settings(site.path(), key.clone());
    let opened = Outbox::open(&settings).unwrap();
    assert_ne!(opened.outbox.epoch(), before);
    assert!(opened.note.unwrap().to_string().contains("because it is a backup"));
}

#[test]
fn a_new_key_is_private_and_opens_nothing_else() {
    const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
    let site = site(Some(KEY));
    let key = site.path().join("store.key");
    let ls = ["outbox", "ls", "-c", "gateway.toml", "--json"];
    verge(site.path(), &["outbox", "new-key", "store.key"]).expect(0);
    verge(site.path(), &["outbox", "new-key", "store.key"]).expect(1);
    assert!(verge(site.path(), &ls).expect(1).stderr.contains("the key is not its own"));
    // Not even another start would help.
    let run = verge(site.path(), &["run", "-c", "gateway.toml"]).expect(78);
    assert!(run.stderr.contains("configure the right one"), "{}", run.stderr);
    fs::write(&key, KEY).unwrap();
    assert_eq!(json(site.path(), &ls)["encrypted"], true, "its rights are those it was made with");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(verge(site.path(), &ls).expect(78).stderr.contains("can be read by others"));
}

#[test]
fn outbox_without_a_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), CONFIGURATION).unwrap();
    let ended = verge(folder.path(), &["outbox", "ls", "-c", "gateway.toml"]).expect(65);
    assert!(ended.stderr.contains("there is no store in"), "{}", ended.stderr);
    assert!(ended.stderr.contains("at its first start (`verge run -c gateway.toml`)"), "{}", ended.stderr);
}
