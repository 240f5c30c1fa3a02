//! Orders about models, and their answers. Pure.
//!
//! `{"id":"…","command":"offer","name":"parts","bytes":28114,"hash":"hex","base":"hex, optional","url":"optional"}`,
//! `{"id":"…","command":"promote","name":"parts","stage":"active, optional"}` and `{"id":"…","command":"rollback","name":"parts"}`.

use serde_json::{Map, Value, json};
use verge_domain::id::OperatorText;
use verge_domain::model_order::{ModelAnswer, ModelOffer, ModelOrder, ModelRefusal, ModelStage, PART_BYTES};

use super::{only, text};
use crate::commands::{CommandError, RemoteCommand};

/// Bytes of a name of a model, and of an address, at most.
const MAX_NAME: usize = 128;
const MAX_URL: usize = 2048;
/// An id is written to the disk.
const MAX_ID: usize = 256;

/// Reads an offer.
pub(super) fn offer(
    keys: &Map<String, Value>,
    id: &str,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "name", "bytes", "hash", "base", "url"];
    only(keys, KNOWN, "id, command, name, bytes, hash, base and url")?;
    let bad = |key, expected| CommandError::Bad { key, expected };
    let id = short(id)?;
    let bytes = keys.get("bytes").and_then(Value::as_u64).filter(|bytes| *bytes > 0);
    let sha256 = text(keys, "hash").and_then(digest);
    let base = match keys.get("base") {
        None | Some(Value::Null) => None,
        Some(base) => {
            Some(base.as_str().and_then(digest).ok_or(bad("base", "a SHA-256 in hexadecimal digits"))?)
        }
    };
    let url = match keys.get("url") {
        None | Some(Value::Null) => None,
        Some(url) => {
            let url = url.as_str().filter(|url| url.len() <= MAX_URL);
            Some(url.ok_or(bad("url", "an address of at most 2048 bytes"))?.to_owned())
        }
    };
    let offer = ModelOffer {
        id,
        name: name(keys)?,
        bytes: bytes.ok_or(bad("bytes", "a whole number from 1"))?,
        sha256: sha256.ok_or(bad("hash", "a SHA-256 in hexadecimal digits"))?,
        base,
        url,
    };
    Ok(RemoteCommand::Model { order: ModelOrder::Offer(offer), door: door.clone() })
}

/// Reads a promotion.
pub(super) fn promote(
    keys: &Map<String, Value>,
    id: &str,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    only(keys, &["id", "command", "name", "stage"], "id, command, name and stage")?;
    let stage = match keys.get("stage") {
        None => Some(ModelStage::Active),
        Some(stage) => stage.as_str().and_then(ModelStage::named),
    };
    let stage =
        stage.ok_or(CommandError::Bad { key: "stage", expected: r#""shadow", "canary" or "active""# })?;
    let order = ModelOrder::Promote { id: short(id)?, name: name(keys)?, stage };
    Ok(RemoteCommand::Model { order, door: door.clone() })
}

/// Reads a return.
pub(super) fn rollback(
    keys: &Map<String, Value>,
    id: &str,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    only(keys, &["id", "command", "name"], "id, command and name")?;
    let order = ModelOrder::Rollback { id: short(id)?, name: name(keys)? };
    Ok(RemoteCommand::Model { order, door: door.clone() })
}

/// The id of a command, which is remembered.
fn short(id: &str) -> Result<String, CommandError> {
    let is_short = id.len() <= MAX_ID;
    let error = CommandError::Bad { key: "id", expected: "a text of at most 256 bytes" };
    is_short.then(|| id.to_owned()).ok_or(error)
}

fn name(keys: &Map<String, Value>) -> Result<String, CommandError> {
    let is_name = |name: &&str| {
        // It becomes an argument of a command: one that looks like an option is none.
        (1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control) && !name.starts_with('-')
    };
    let name = text(keys, "name").filter(is_name);
    name.map(ToOwned::to_owned)
        .ok_or(CommandError::Bad { key: "name", expected: "the name of a model, as [model.NAME] calls it" })
}

fn digest(text: &str) -> Option<String> {
    let is_digest = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase())
}

/// What became of it.
pub(super) fn answered(id: Option<&str>, answer: &ModelAnswer) -> Value {
    match answer {
        ModelAnswer::Receiving { have } => {
            json!({ "id": id, "ok": true, "state": "receiving", "have": have, "part": PART_BYTES })
        }
        ModelAnswer::Done { state, report, repeated } => {
            let report = serde_json::from_str(report).unwrap_or(Value::Null);
            let mut answer = json!({ "id": id, "ok": true, "state": state, "report": report });
            if *repeated {
                answer["repeated"] = json!(true);
            }
            answer
        }
    }
}

/// Why it was not carried out.
pub(super) fn refused(id: Option<&str>, refusal: &ModelRefusal) -> Value {
    json!({
        "id": id, "ok": false, "error": refusal.to_string(), "temporary": refusal.is_temporary(),
        "whole": refusal.wants_whole(),
    })
}

/// The report on a package that was fetched, as an answer to its offer.
#[must_use]
pub fn report(id: &str, done: &Result<ModelAnswer, ModelRefusal>) -> Vec<u8> {
    let value = match done {
        Ok(answer) => answered(Some(id), answer),
        Err(refusal) => refused(Some(id), refusal),
    };
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> OperatorText {
        OperatorText::new("uplink wan").unwrap()
    }

    #[test]
    fn offers_say_what_is_offered_and_nothing_else() {
        let hash = "AB".repeat(32);
        let good = json!({ "id": "a", "command": "offer", "name": "parts", "bytes": 7, "hash": hash });
        let read = |command: &Value| {
            let Value::Object(keys) = command else { panic!("an object") };
            match offer(keys, "a", &door()) {
                Ok(RemoteCommand::Model { order: ModelOrder::Offer(offer), .. }) => Ok(offer),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let found = read(&good).unwrap();
        assert_eq!((found.bytes, found.base, found.url), (7, None, None));
        assert_eq!(found.sha256, hash.to_lowercase());
        let refused = |key: &str, value: Value, expected: &str| {
            let mut command = good.clone();
            command[key] = value;
            let error = read(&command).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        };
        for bytes in [json!(0), json!(-1), json!("7"), json!(1.5), json!(null)] {
            refused("bytes", bytes, "bytes: missing, or not a whole number from 1");
        }
        for digest in [json!("ab"), json!("zz".repeat(32)), json!(7), json!("é".repeat(32))] {
            refused("hash", digest.clone(), "hash: missing");
            refused("base", digest, "base: missing");
        }
        for name in [json!(""), json!("--config"), json!("a\nb"), json!("x".repeat(129)), json!(7)] {
            refused("name", name, "name: missing");
        }
        refused("url", json!("x".repeat(2049)), "url: missing");
        refused("url", json!(7), "url: missing");
        refused("path", json!("/etc"), "unknown key beside");
    }

    #[test]
    fn promotions_and_returns_name_a_model() {
        let Value::Object(keys) = json!({ "id": "a", "command": "promote", "name": "parts" }) else {
            panic!()
        };
        let order = |stage| ModelOrder::Promote { id: "a".to_owned(), name: "parts".to_owned(), stage };
        assert_eq!(
            promote(&keys, "a", &door()).unwrap(),
            RemoteCommand::Model { order: order(ModelStage::Active), door: door() }
        );
        let Value::Object(keys) =
            json!({ "id": "a", "command": "promote", "name": "parts", "stage": "canary" })
        else {
            panic!()
        };
        assert_eq!(
            promote(&keys, "a", &door()).unwrap(),
            RemoteCommand::Model { order: order(ModelStage::Canary), door: door() }
        );
        let Value::Object(keys) = json!({ "id": "a", "command": "promote", "name": "parts", "stage": "all" })
        else {
            panic!()
        };
        assert!(promote(&keys, "a", &door()).unwrap_err().to_string().starts_with("stage: "));
        let Value::Object(keys) = json!({ "id": "a", "command": "rollback", "name": "parts", "to": 1 })
        else {
            panic!()
        };
        assert!(rollback(&keys, "a", &door()).unwrap_err().to_string().starts_with("unknown key"));
        let Value::Object(keys) = json!({ "id": "a", "command": "rollback", "name": "parts" }) else {
            panic!()
        };
        // It is written to the disk.
        assert!(rollback(&keys, &"x".repeat(257), &door()).unwrap_err().to_string().starts_with("id: "));
    }

    #[test]
    fn answers_say_what_to_do_next() {
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        let refusal = ModelRefusal::OtherBase { base: "00".to_owned() };
        let answer = read(report("a", &Err(refusal)));
        assert_eq!(
            (&answer["ok"], &answer["whole"], &answer["temporary"]),
            (&json!(false), &json!(true), &json!(false))
        );
        let done = |repeated| ModelAnswer::Done {
            state: "staged",
            report: r#"{"version":"5"}"#.to_owned(),
            repeated,
        };
        let answer = read(report("a", &Ok(done(false))));
        assert_eq!((&answer["report"]["version"], &answer["repeated"]), (&json!("5"), &Value::Null));
        assert_eq!(read(report("a", &Ok(done(true))))["repeated"], true);
        let receiving = read(report("a", &Ok(ModelAnswer::Receiving { have: 9 })));
        assert_eq!(
            (&receiving["state"], &receiving["have"], &receiving["part"]),
            (&json!("receiving"), &json!(9), &json!(32768))
        );
    }
}
