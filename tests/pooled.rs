//! The budget of a whole judge: `verge judge` and a gateway answer alike, and what is known of it outlives a kill.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use verge_outbox::OutboxReader;
use verge_pipeline::clock::Clock;

use crate::learning::{PLANT, judge_all, run};
use crate::program::verge;
use crate::site::Site;

/// Two accepted false alarms an hour: known after some two hours.
const BUDGET: &str = "[judge.unusual]\nalarm_budget = \"2/1h\"\nupdate_every = \"never\"\n";

const READINGS: u32 = 1_500;
/// Readings at which the temperature is off for two minutes, and the flow later.
const FAULTS: [(u32, f64, f64); 5] =
    [(250, 40.0, 0.0), (700, 40.0, 0.0), (1_000, 0.0, 60.0), (1_200, 40.0, 0.0), (1_400, -70.0, 0.0)];

/// A site that reports each alarm by itself.
fn site() -> Site {
    let site = Site::start(&PLANT.replacen("[judge.unusual]\n", BUDGET, 1));
    let file = site.path().join("gateway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let single = "[gateway]\ngroup_within = \"0s\"\nflood = 0\n";
    fs::write(file, text.replacen("[gateway]\n", single, 1)).unwrap();
    site
}

/// Readings of one device, ten seconds apart, the last some minutes ago.
fn recording() -> String {
    let begin = Clock::start().now().wall.0 / 1000 * 1000 - 300_000 - i64::from(READINGS) * 10_000;
    let line = |reading: u32| {
        let at = begin + i64::from(reading) * 10_000;
        let noise = |by: f64| (f64::from(reading) * by).sin() + (f64::from(reading) * by * 1.7).cos();
        let fault = FAULTS.iter().find(|(from, ..)| (*from..from + 12).contains(&reading));
        let (temp, flow) = fault.map_or((0.0, 0.0), |&(_, temp, flow)| (temp, flow));
        let payload = json!({ "t": at, "temp": 90.0 + temp + noise(7.1), "flow": 30.0 + flow + noise(11.3) });
        let payload = payload.to_string();
        json!({ "tst": at.to_string(), "topic": "plant/pump-1", "payload": payload }).to_string() + "\n"
    };
    (0..READINGS).map(line).collect()
}

/// What is said of the events of the pump, without identities and times of receipt.
fn said(verdicts: &[Value]) -> Vec<Value> {
    let of_pump = verdicts.iter().filter(|one| one["judge"] == "unusual" && one["device"] == "pump-1");
    let mut said: Vec<Value> = of_pump
        .map(|one| {
            let event = &one["event"];
            let parts = [
                &one["signal"],
                &one["captured"],
                &one["severity"],
                &event["number"],
                &event["state"],
                &event["since"],
                &event["lasted_s"],
                &event["learning"],
                &event["change"],
                &one["anomaly"],
            ];
            json!(parts)
        })
        .collect();
    // The store lists them by lane.
    said.sort_by_key(|one| (one[1].to_string(), one[3].as_u64()));
    said
}

#[test]
fn a_gateway_and_judge_answer_alike_to_the_same_readings() {
    let (site, sent) = (site(), recording());
    fs::write(site.path().join("history.jsonl"), &sent).unwrap();
    let judged = verge(site.path(), &["judge", "-c", "gateway.toml", "unusual", "history.jsonl"]).expect(0);
    run(&site, &sent);
    let exported = verge(site.path(), &["outbox", "export", "-c", "gateway.toml"]).expect(0);
    let (of_judge, of_gateway) = (said(&judged.json()), said(&exported.json()));
    assert_eq!(of_gateway, of_judge);
    let raised =
        |learning: Value| of_judge.iter().filter(|one| one[4] == "raised" && one[7] == learning).count();
    assert!(raised(json!(true)) > 0, "while it learnt: {of_judge:#?}");
    assert!(raised(Value::Null) > 1, "with a budget that is supported: {of_judge:#?}");
}

/// What is saved of the pool of the judge, also beside a running gateway.
fn pool(site: &Site) -> Option<Vec<u8>> {
    let mut reader = OutboxReader::open(&site.path().join("state/store"), None).unwrap();
    let saved = reader.saved(|key| key.starts_with("pool")).unwrap();
    saved.into_iter().find_map(|one| one.state)
}

#[test]
fn what_a_judge_knows_of_its_budget_outlives_a_kill() {
    let (site, sent) = (site(), recording());
    let line = |number: usize| sent.match_indices('\n').nth(number - 1).unwrap().0 + 1;
    let (first, second, third) =
        (&sent[..line(1_300)], &sent[line(1_300)..line(1_350)], &sent[line(1_350)..]);
    run(&site, first);
    let stopped = pool(&site);
    assert!(stopped.is_some());
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    judge_all(&site, second);
    // It is saved every ten seconds.
    let end = Instant::now() + Duration::from_secs(60);
    while pool(&site) == stopped {
        assert!(Instant::now() < end, "it is not saved while the gateway runs");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    drop(gateway);
    run(&site, third);
    let exported = verge(site.path(), &["outbox", "export", "-c", "gateway.toml"]).expect(0);
    let said = said(&exported.json());
    let last = said.iter().rfind(|one| one[4] == "raised").unwrap();
    assert_eq!(
        (&last[0], &last[7]),
        (&json!("temp"), &Value::Null),
        "the budget is supported still: {said:#?}"
    );
}
