//! `verge state`: what a judge has learnt, from one gateway to another.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use verge_outbox::StateLock;

use crate::learning::{PLANT, recording, states};
use crate::program::verge;

const EXPORT: [&str; 6] = ["state", "export", "-c", "gateway.toml", "unusual", "learnt.state"];

/// The folder of a gateway with these sections, which needs no broker.
fn gateway(id: &str, sections: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), id, sections);
    folder
}

fn configure(folder: &Path, id: &str, sections: &str) {
    let text = format!(
        "{sections}\n[gateway]\nid = \"{id}\"\ntimezone = \"Asia/Kolkata\"\nstate_dir = \"state\"\n[local]\nurl = \"mqtt://localhost\"\n"
    );
    fs::write(folder.join("gateway.toml"), text).unwrap();
}

/// A gateway that has learnt of a recording, and has exported that.
fn exported() -> TempDir {
    let site = gateway("north", PLANT);
    fs::write(site.path().join("history.jsonl"), recording(0..340, |_| 90.0)).unwrap();
    let nothing = verge(site.path(), &EXPORT).expect(65).stderr;
    assert!(nothing.contains("there is no store"), "{nothing}");
    let said =
        verge(site.path(), &["learn", "-c", "gateway.toml", "unusual", "history.jsonl"]).expect(0).stdout;
    assert_eq!(said.matches(" IST").count(), 2, "times are those of the site: {said}");
    let said = verge(site.path(), &EXPORT).expect(0).stdout;
    assert!(said.starts_with("learnt.state: 2 states of judge unusual (auto), "), "{said}");
    site
}

fn import(site: &Path, arguments: &[&str]) -> crate::program::Ended {
    verge(site, &[&["state", "import", "-c", "gateway.toml"], arguments].concat())
}

#[test]
fn another_gateway_goes_on_from_what_was_learnt() {
    let north = exported();
    let learnt = states(north.path());
    let file = north.path().join("learnt.state");
    let file = file.to_str().unwrap();
    let again = verge(north.path(), &EXPORT).expect(64).stderr;
    assert!(
        again.contains("learnt.state exists and is left as it is: name another file, or remove it"),
        "{again}"
    );

    let south = gateway("south", PLANT);
    let tried = import(south.path(), &[file, "--dry-run"]).expect(0).stdout;
    assert!(tried.contains("would be taken up: 2 states by judge unusual"), "{tried}");
    assert!(states(south.path()).is_empty());
    let said = import(south.path(), &[file]).expect(0).stdout;
    assert!(said.contains("2 states of judge unusual (auto) of gateway north, exported 20"), "{said}");
    assert!(said.contains(" IST by verge "), "in the time of the site: {said}");
    assert!(said.contains("the gateway goes on from it at its next start"), "{said}");
    assert!(states(south.path()) == learnt, "the same states, byte by byte");

    // What is there stays, unless it is to be replaced.
    let kept = import(south.path(), &[file, "--json"]).expect(0).json();
    assert_eq!(kept[0]["taken"]["states"], 0, "{kept:?}");
    assert_eq!(kept[0]["kept"].as_array().unwrap().len(), 2, "{kept:?}");
    let replaced = import(south.path(), &[file, "--replace", "--json"]).expect(0).json();
    assert_eq!(replaced[0]["taken"]["states"], 2, "{replaced:?}");
    assert_eq!(replaced[0]["from"]["gateway"], "north");

    // Under another name.
    let other = gateway("west", &PLANT.replace("[judge.unusual]", "[judge.odd]"));
    let unknown = import(other.path(), &[file]).expect(64).stderr;
    assert!(unknown.contains("there is no judge \"unusual\""), "{unknown}");
    import(other.path(), &[file, "--judge", "odd"]).expect(0);
    assert_eq!(states(other.path()).len(), 2);
    let rules = import(other.path(), &[file, "--judge", "high"]).expect(64).stderr;
    assert!(rules.contains("judge high (threshold) does not learn"), "{rules}");
}

#[test]
fn what_has_another_meaning_is_not_taken_up_and_said() {
    let north = exported();
    let file = north.path().join("learnt.state");
    let file = file.to_str().unwrap();
    let scaled = PLANT.replace("pointer = \"/temp\"\n", "pointer = \"/temp\"\nscale = 0.1\n");
    let south = gateway("south", &scaled);
    let said = import(south.path(), &[file, "--json"]).expect(0).json();
    assert_eq!((&said[0]["taken"]["states"], &said[0]["left"][0]["signal"]), (&1.into(), &"temp".into()));
    let why = "learnt under other settings: source.plant.scale was 1, is 0.1";
    assert_eq!(said[0]["left"][0]["why"], why, "{said:?}");
    assert_eq!(states(south.path()).len(), 1);

    let pattern = gateway(
        "west",
        &PLANT.replace("[judge.unusual]", "[judge.unusual]\ndetector = \"pattern\"\nshape = 32"),
    );
    let refused = import(pattern.path(), &[file]).expect(65);
    assert!(
        refused.stdout.contains("2 states: learnt under other settings: detector was auto, is pattern"),
        "{}",
        refused.stdout
    );
    assert!(refused.stderr.contains("nothing was written"), "{}", refused.stderr);

    let other = gateway(
        "east",
        &PLANT.replace("inputs = [\"plant\"]\n\n[judge.high]", "inputs = [\"plant:fl*\"]\n\n[judge.high]"),
    );
    let partly = import(other.path(), &[file]).expect(0).stdout;
    assert!(
        partly.contains("not taken up: 1 state: its judge does not look at it: pump-1 temp (plant)"),
        "{partly}"
    );

    // The same where a gateway's own settings change: said before, and by `learn`.
    configure(north.path(), "north", &scaled);
    let warned = verge(north.path(), &["check", "-c", "gateway.toml", "--offline"]).stdout;
    assert!(
        warned.contains(
            "1 state in the store had another meaning when it was learnt (source.plant.scale was 1, is 0.1)"
        ),
        "{warned}"
    );
    let learn = ["learn", "-c", "gateway.toml", "unusual", "history.jsonl"];
    let learnt = verge(north.path(), &learn).expect(0);
    assert!(learnt.stdout.contains("1 signal learnt"), "{}", learnt.stdout);
    assert!(
        learnt.stderr.contains("1 state in the store had been learnt under other settings"),
        "{}",
        learnt.stderr
    );
    let quiet = verge(north.path(), &["check", "-c", "gateway.toml", "--offline"]).stdout;
    assert!(!quiet.contains("another meaning"), "{quiet}");
}

#[test]
fn a_file_that_is_not_whole_changes_nothing_and_a_running_gateway_is_left_alone() {
    let north = exported();
    let south = gateway("south", PLANT);
    let bytes = fs::read(north.path().join("learnt.state")).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        fs::write(south.path().join("file.state"), bytes).unwrap();
        let said = import(south.path(), &["file.state"]).expect(65).stderr;
        assert!(said.contains("file.state: ") && said.contains(expected), "{said}");
        assert!(states(south.path()).is_empty());
    };
    refused(&bytes[..bytes.len() - 40], "it ends early, after 2 of 2 states");
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    refused(&flipped, "was damaged or changed; copy it again");
    let newer =
        String::from_utf8(bytes.clone()).unwrap().replacen("\"verge_state\":1", "\"verge_state\":7", 1);
    refused(newer.as_bytes(), "it is of version 7 of this form, written by verge ");
    refused(b"time,value\n", "it is no file of `verge state export`");

    fs::write(south.path().join("file.state"), &bytes).unwrap();
    let lock = StateLock::take(&south.path().join("state")).unwrap();
    let said = import(south.path(), &["file.state"]).expect(75).stderr;
    assert!(said.contains("the gateway runs and holds its store: stop it"), "{said}");
    drop(lock);
    import(south.path(), &["file.state"]).expect(0);
    assert_eq!(states(south.path()).len(), 2);
}
