//! The gateway as a library: its board, what is true now, also after a kill; and how it reports an end of its own.

use std::time::{Duration, Instant};

use verge_domain::verdict::{Body, EventState, Severity};
use verge_gateway::settings::Settings;
use verge_gateway::wiring::Gateway;

use crate::program::verge;
use crate::site::Site;

const PUMP: &str = r#"
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
unit = "mm/s"

[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
severity = "critical"
"#;

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn after_a_kill_the_board_shows_what_was_true_before() {
    let site = Site::start(PUMP);
    let send = |pump: &str, value: &str| {
        let topic = format!("plant/{pump}/vibration");
        verge(site.path(), &["send", "-c", "gateway.toml", "-t", &topic, "--message", value]).expect(0);
    };
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json", "--count", "3"], "connected to");
    send("pump-1", "8.5");
    send("pump-2", "9.5");
    send("pump-2", "1.5");
    receiver.output();
    // Dropped is killed.
    drop(gateway);

    let settings = Settings::load(&site.path().join("gateway.toml"), []).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let gateway = Gateway::start(&settings, None).await.unwrap();
        let board = gateway.board();
        let open = board.words(&|word| word.open_event().is_some());
        assert_eq!(open.len(), 1, "pump-2 was cleared");
        let verdict = &open[0].verdict;
        let event = verdict.event.unwrap();
        assert_eq!(
            (open[0].seq, event.state, verdict.severity),
            (None, EventState::Updated, Severity::Critical)
        );
        assert_eq!((verdict.judge.as_str(), verdict.subject.device.as_str()), ("high", "pump-1"));
        let Body::Anomaly(anomaly) = &verdict.body else { panic!("{verdict:?}") };
        assert_eq!((anomaly.observed, anomaly.unit.as_ref().unwrap().as_str()), (8.5, "mm/s"));
        assert_eq!(verdict.times.received, event.since, "as the report of the raise had it");
        let events = gateway.snapshot().events;
        assert_eq!((events.open, events.critical, events.restored), (1, 1, 1));

        send("pump-1", "1.0");
        send("pump-3", "9.9");
        until("both are on the board", || {
            let events = board.open_events();
            events.open == 1 && events.restored == 0
        })
        .await;
        let words = board.words(&|_| true);
        let state = |device: &str| {
            let word = words.iter().find(|word| word.verdict.subject.device.as_str() == device)?;
            Some((word.seq.map(|seq| seq.0), word.verdict.event?.state, word.verdict.event?.id))
        };
        assert_eq!(state("pump-1"), Some((Some(4), EventState::Cleared, event.id)), "the same event");
        assert_eq!(state("pump-3").map(|(seq, state, _)| (seq, state)), Some((Some(5), EventState::Raised)));
        gateway.stop().await.unwrap();
        assert_eq!(board.open_events().open, 1, "it outlives the gateway");
    });
}

#[test]
fn the_end_of_one_of_its_threads_is_reported_with_its_name() {
    let site = Site::start(PUMP);
    let settings = Settings::load(&site.path().join("gateway.toml"), []).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let gateway = Gateway::start(&settings, None).await.unwrap();
        let store = site.path().join("state/store");
        tokio::select! {
            what = gateway.failed() => panic!("{what} has ended"),
            () = until("the store is there", || store.join("outbox.db").exists()) => {}
        }
        std::fs::rename(&store, site.path().join("elsewhere")).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), gateway.failed()).await;
        assert_eq!(ended, Ok("the store's thread"));
        gateway.stop().await.unwrap_err();
    });
}
