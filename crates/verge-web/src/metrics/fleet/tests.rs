use std::time::Duration;

use serde_json::json;

use super::super::text::{TextForm, written};
use super::*;

fn id(name: &str) -> GatewayId {
    GatewayId::new(name).unwrap()
}

fn document(gateway: &str, received: u64) -> Value {
    json!({
        "state": "online", "gateway": gateway, "version": "0.1.0",
        "sources": [{ "name": "pump", "received": received, "rejections": {} }],
        "store": { "state": "ok", "committed": [1, 2, 3] },
    })
}

fn note(fleet: &mut Fleet, topic: &str, document: &Value) -> Result<(), StatusRefusal> {
    fleet.note(Some(&id(topic)), document.to_string().as_bytes(), Instant::now())
}

#[test]
fn families_hold_all_gateways_and_those_that_ended_say_so() {
    let mut fleet = Fleet::default();
    let start = Instant::now();
    for (name, received) in [("north", 7), ("south", 9)] {
        let bytes = document(name, received).to_string();
        fleet.note(Some(&id(name)), bytes.as_bytes(), start).unwrap();
    }
    let will = json!({ "v": 1, "state": "offline", "gateway": "south", "store": { "last": [0, 0, 0] } });
    let text = |fleet: &Fleet| {
        let families = fleet.families(start + Duration::from_secs(3));
        written(families, TextForm::Prometheus).unwrap()
    };
    let whole = text(&fleet);
    for line in [
        "verge_messages_received_total{gateway=\"north\",source=\"pump\"} 7",
        "verge_messages_received_total{gateway=\"south\",source=\"pump\"} 9",
        "verge_build_info{gateway=\"north\",version=\"0.1.0\"} 1",
        "verge_gateway_online{gateway=\"south\"} 1",
        "verge_gateway_status_age_seconds{gateway=\"north\"} 3",
        "verge_watch_gateways 2",
    ] {
        assert!(whole.lines().any(|own| own.trim_end_matches(".0") == line), "{line} in\n{whole}");
    }
    assert_eq!(whole.matches("# TYPE verge_messages_received_total ").count(), 1);
    assert!(!whole.contains("process_"), "of this machine, not of theirs");
    note(&mut fleet, "south", &will).unwrap();
    let whole = text(&fleet);
    assert!(whole.contains("verge_gateway_online{gateway=\"south\"} 0"), "{whole}");
    assert_eq!(whole.matches("gateway=\"south\"").count(), 2, "{whole}");
    fleet.note(Some(&id("south")), b"", start).unwrap();
    assert!(!text(&fleet).contains("south"));
}

#[test]
fn hostile_documents_are_refused_and_counted_and_what_is_known_stays() {
    let mut fleet = Fleet::default();
    note(&mut fleet, "north", &document("north", 7)).unwrap();
    let with_sources = |sources: Value| {
        let mut document = document("north", 1);
        document["sources"] = sources;
        document
    };
    let many: Vec<Value> = (0..9_000).map(|n| json!({ "name": n.to_string(), "received": 1 })).collect();
    let cases = [
        (json!([]), StatusRefusal::NotStatus),
        (json!({ "gateway": "north" }), StatusRefusal::NotStatus),
        (document("south", 1), StatusRefusal::OtherGateway),
        (document("no/rth", 1), StatusRefusal::OtherGateway),
        (with_sources(json!([{ "name": "a\nb 1", "received": 1 }])), StatusRefusal::BadLabel),
        (with_sources(json!([{ "name": "x".repeat(257), "received": 1 }])), StatusRefusal::BadLabel),
        (with_sources(json!([{ "name": "a", "received": -1 }])), StatusRefusal::NotStatus),
        (
            with_sources(json!([{ "name": "a", "received": 1 }, { "name": "a", "received": 2 }])),
            StatusRefusal::DuplicateSeries,
        ),
        (with_sources(Value::Array(many)), StatusRefusal::TooManySeries),
    ];
    for (document, expected) in &cases {
        assert_eq!(note(&mut fleet, "north", document), Err(*expected), "{expected}");
    }
    let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert_eq!(fleet.note(Some(&id("north")), &large, Instant::now()), Err(StatusRefusal::TooLarge));
    let nested = "[".repeat(100_000);
    assert_eq!(
        fleet.note(Some(&id("north")), nested.as_bytes(), Instant::now()),
        Err(StatusRefusal::NotStatus)
    );
    let text = written(fleet.families(Instant::now()), TextForm::OpenMetrics).unwrap();
    assert!(text.contains("verge_messages_received_total{gateway=\"north\",source=\"pump\"} 7"), "{text}");
    assert!(text.contains("verge_watch_statuses_refused_total{reason=\"not_status\"} 4"), "{text}");
}

#[test]
fn names_that_change_with_each_document_end() {
    let mut fleet = Fleet::default();
    let named = |round: u64| {
        let sources = (0..1_000).map(|n| json!({ "name": format!("{round}-{n}"), "received": 1 }));
        json!({ "state": "online", "gateway": "north", "sources": sources.collect::<Vec<Value>>() })
    };
    let refused = (0..20).find(|round| note(&mut fleet, "north", &named(*round)).is_err());
    assert_eq!(refused, Some(8), "after twice as many as one document may have");
    assert_eq!(note(&mut fleet, "north", &named(9)), Err(StatusRefusal::TooManySeries));
    assert_eq!(note(&mut fleet, "north", &named(0)), Ok(()), "what was seen costs nothing");
    // Nor by a removal between two documents.
    fleet.note(Some(&id("north")), b"", Instant::now()).unwrap();
    assert_eq!(note(&mut fleet, "north", &named(10)), Err(StatusRefusal::TooManySeries));
    assert_eq!(note(&mut fleet, "south", &document("south", 1)), Ok(()));
}

#[test]
fn reasons_are_those_of_the_closed_list() {
    let mut fleet = Fleet::default();
    let mut document = document("north", 3);
    document["sources"][0]["rejections"] = json!({ "bad_json": 2, "made_up": 3, "made_up_too": 4 });
    note(&mut fleet, "north", &document).unwrap();
    let text = written(fleet.families(Instant::now()), TextForm::Prometheus).unwrap();
    let refused: Vec<&str> =
        text.lines().filter(|line| line.starts_with("verge_messages_refused_total{")).collect();
    let value = |reason: &str| {
        let line = refused.iter().find(|line| line.contains(&format!("reason=\"{reason}\"")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert_eq!((refused.len(), value("bad_json"), value("other")), (2, Some(2.0), Some(7.0)), "{text}");
}

#[test]
fn the_number_of_gateways_is_bounded() {
    let mut fleet = Fleet::default();
    for number in 0..MAX_GATEWAYS {
        let name = format!("g{number}");
        note(&mut fleet, &name, &json!({ "state": "offline", "gateway": name })).unwrap();
    }
    let one_more = json!({ "state": "offline", "gateway": "more" });
    assert_eq!(note(&mut fleet, "more", &one_more), Err(StatusRefusal::TooManyGateways));
    assert_eq!(note(&mut fleet, "g7", &document("g7", 1)), Ok(()), "those that are known go on");
}
