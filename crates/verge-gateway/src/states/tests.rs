use verge_domain::body::Counts;
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{Seq, SignalId};
use verge_domain::image::{FORGET_AFTER, HeldBack, InputAge};
use verge_domain::sample::verdict_of;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, EventState, Health, Severity, Verdict};

use super::*;

const SENDS: InputAge = InputAge { received: true, lasts: Duration::from_secs(1) };
const SILENT: InputAge = InputAge { received: true, lasts: Duration::from_secs(61) };
const IDLE: InputAge = InputAge { received: false, lasts: FORGET_AFTER };

struct View(InputAge);

impl PointsView for View {
    fn age(&self, _device: &DeviceId) -> InputAge {
        self.0
    }

    fn held_back(&self, _point: &PointSelector) -> HeldBack {
        HeldBack::default()
    }
}

fn judge(name: &str) -> JudgeId {
    JudgeId::new(name).unwrap()
}

/// One that nothing lies at the broker for.
fn book(judges: &[(&str, PointContent)]) -> StateBook {
    let mut book = unread(judges);
    book.earlier(Vec::new());
    book
}

/// One that does not know yet what lies at the broker.
fn unread(judges: &[(&str, PointContent)]) -> StateBook {
    let settings = StateTopics {
        root: "v/g/state".to_owned(),
        homeassistant: true,
        stale_after: Duration::from_secs(60),
    };
    let judges = judges.iter().map(|(name, content)| (judge(name), *content)).collect();
    StateBook::new(settings, GatewayId::new("g").unwrap(), judges, &[])
}

#[test]
fn a_point_that_the_configuration_names_is_announced_before_its_first_verdict_and_stays() {
    let settings = StateTopics {
        root: "v/g/state".to_owned(),
        homeassistant: true,
        stale_after: Duration::from_secs(60),
    };
    let key = |name: &str| {
        let signal = Some(SignalId::new("s").unwrap());
        (judge(name), DeviceId::new("pump").unwrap(), signal, PointKind::Events(Member::High))
    };
    let judges = HashMap::from([(judge("high"), PointContent::Events)]);
    let book = StateBook::new(settings, GatewayId::new("g").unwrap(), judges, &[]);
    let mut book = book.with_configured([key("high"), key("gone"), key("high")]);
    book.earlier(Vec::new());
    let held = held(&mut book, IDLE);
    assert_eq!(held["v/g/state/pump/high/s/high"]["quality"], "never");
    let announced = &held["homeassistant/device/verge-g--pump/config"]["components"];
    assert_eq!(announced.as_object().unwrap().len(), 1, "{announced}");
    assert_eq!(held.len(), 2, "of a judge that is not at work nothing is said");
    book.second(&View(IDLE));
    assert_eq!(book.counts(), (1, 0), "it waits for its device however long that takes");
}

fn word(name: &str, device: &str, state: EventState) -> Arc<LastWord> {
    let body = Body::Health(Health::of(Member::Silent, 90.0, Expected::default()));
    let verdict = verdict_of(name, (device, Some("s")), UtcMillis(1_000), Some(state), body);
    Arc::new(LastWord::new(Verdict { severity: Severity::Critical, ..verdict }, Some(Seq(7))))
}

fn counted(device: &str) -> Arc<LastWord> {
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 60,
        vehicles: Some(12),
        flow_per_hour: Some(720.0),
        occupancy: None,
        mean_speed: None,
        forecasts: Vec::new(),
    };
    let verdict = verdict_of("loop", (device, None), UtcMillis(1_000), None, Body::Counts(counts));
    Arc::new(LastWord::new(verdict, Some(Seq(8))))
}

fn held(book: &mut StateBook, age: InputAge) -> HashMap<String, Value> {
    let messages = book.messages(&View(age)).into_iter();
    messages
        .map(|(topic, message)| {
            let value =
                if message.is_empty() { Value::Null } else { serde_json::from_slice(&message).unwrap() };
            (topic.to_string(), value)
        })
        .collect()
}

const SILENT_TOPIC: &str = "v/g/state/d/silence/s/silent";
const CONFIG: &str = "homeassistant/device/verge-g--d/config";

#[test]
fn a_point_says_what_its_verdict_says() {
    let mut book = book(&[("silence", PointContent::Events)]);
    book.fold(&[word("silence", "d", EventState::Raised)]);
    let messages = held(&mut book, SENDS);
    let state = &messages[SILENT_TOPIC];
    assert_eq!(
        (&state["active"], &state["alarm"], &state["quality"]),
        (&true.into(), &"unacknowledged".into(), &"good".into())
    );
    assert_eq!(
        (&state["observed"], &state["seq"], &state["severity"]),
        (&90.0.into(), &7.into(), &"critical".into())
    );
    assert_eq!(state["time"], "1970-01-01T00:00:01.000Z");
    assert_eq!(messages[CONFIG]["components"]["silence_s_silent"]["state_topic"], SILENT_TOPIC);
    assert!(held(&mut book, SENDS).is_empty(), "nothing is new");
    book.second(&View(SENDS));
    assert!(held(&mut book, SENDS).is_empty(), "nothing has changed");
    book.fold(&[word("silence", "d", EventState::Cleared)]);
    let messages = held(&mut book, SENDS);
    assert_eq!(messages[SILENT_TOPIC]["active"], false);
    assert!(!messages.contains_key(CONFIG), "the entities are the same");
}

#[test]
fn quality_changes_by_time_alone() {
    let mut book = book(&[("loop", PointContent::Counts)]);
    book.fold(&[counted("d")]);
    let messages = held(&mut book, SENDS);
    let state = &messages["v/g/state/d/loop"];
    assert_eq!(
        (&state["vehicles"], &state["flow"], &state["fresh"]),
        (&12.into(), &720.0.into(), &true.into())
    );
    let components = &messages[CONFIG]["components"];
    assert_eq!(components["loop-flow"]["value_template"], "{{ value_json['flow'] }}");
    assert!(components.get("loop-partial").is_none());
    book.second(&View(SILENT));
    let state = &held(&mut book, SILENT)["v/g/state/d/loop"];
    assert_eq!((&state["quality"], &state["vehicles"]), (&"stale".into(), &12.into()));
}

#[test]
fn points_go_with_their_judge_and_with_their_device() {
    let mut book = book(&[("silence", PointContent::Events), ("loop", PointContent::Counts)]);
    book.fold(&[
        word("silence", "d", EventState::Cleared),
        counted("d"),
        word("silence", "e", EventState::Raised),
    ]);
    held(&mut book, SENDS);
    let loop_word = counted("d");
    book.select(
        HashMap::from([(judge("loop"), PointContent::Counts)]),
        &[loop_word, word("silence", "e", EventState::Raised)],
    );
    let messages = held(&mut book, SENDS);
    assert_eq!(messages[SILENT_TOPIC], Value::Null);
    assert_eq!(
        messages[CONFIG]["components"]["silence_s_silent"],
        serde_json::json!({ "platform": "binary_sensor" })
    );
    assert_eq!(messages["v/g/state/d/loop"]["vehicles"], 12, "what stays is said again");
    book.second(&View(IDLE));
    let messages = held(&mut book, IDLE);
    assert_eq!((&messages["v/g/state/d/loop"], &messages[CONFIG]), (&Value::Null, &Value::Null));
    assert_eq!(book.counts(), (1, 0), "an open event stays");
}

#[test]
fn names_that_become_one_topic_are_counted() {
    let mut book = book(&[("silence", PointContent::Events)]);
    book.fold(&[word("silence", "d/1", EventState::Raised), word("silence", "d+1", EventState::Raised)]);
    assert_eq!(book.counts(), (1, 1));
    let messages = held(&mut book, SENDS);
    assert_eq!(messages["v/g/state/d_1/silence/s/silent"]["device"], "d/1", "the first one");
}

#[test]
fn what_an_earlier_run_left_is_taken_over_or_away() {
    let mut earlier = book(&[("silence", PointContent::Events), ("loop", PointContent::Counts)]);
    earlier.fold(&[word("silence", "d", EventState::Cleared), counted("d")]);
    let left: Vec<(String, Bytes)> = earlier
        .messages(&View(SENDS))
        .into_iter()
        .map(|(topic, message)| (topic.to_string(), message))
        .chain([
            ("v/g/state/x/loop".to_owned(), Bytes::from_static(b"no JSON")),
            (
                "homeassistant/device/verge-g--x/config".to_owned(),
                Bytes::from_static(br#"{"device": {"name": "x"}}"#),
            ),
        ])
        .collect();
    let mut book = unread(&[("silence", PointContent::Events), ("loop", PointContent::Counts)]);
    book.fold(&[word("silence", "e", EventState::Raised)]);
    let messages = held(&mut book, SENDS);
    assert_eq!(
        messages.keys().collect::<Vec<_>>(),
        ["v/g/state/e/silence/s/silent"],
        "nothing is announced before it is known what was"
    );
    book.earlier(left);
    let messages = held(&mut book, IDLE);
    assert!(messages.contains_key("homeassistant/device/verge-g--e/config"), "and then it is");
    assert_eq!(messages["v/g/state/x/loop"], Value::Null);
    assert!(
        !messages.contains_key("homeassistant/device/verge-g--x/config"),
        "it does not say that it is ours"
    );
    assert_eq!(messages[SILENT_TOPIC], Value::Null, "no event of it is known to the store");
    let state = &messages["v/g/state/d/loop"];
    assert_eq!(
        (&state["quality"], &state["vehicles"], &state["fresh"]),
        (&"never".into(), &Value::Null, &false.into())
    );
    let components = &messages[CONFIG]["components"];
    assert_eq!(components["silence_s_silent"], serde_json::json!({ "platform": "binary_sensor" }));
    assert_eq!(components["loop-vehicles"]["platform"], "sensor", "it comes back with the next interval");
}

#[test]
fn each_message_goes_again_in_time() {
    let mut book = book(&[("silence", PointContent::Events)]);
    let words: Vec<_> =
        (0..700).map(|number| word("silence", &format!("d{number}"), EventState::Raised)).collect();
    book.fold(&words);
    let again: HashSet<Arc<str>> = (0..AGAIN_AFTER.as_secs()).flat_map(|_| book.again()).collect();
    assert_eq!(again.len(), 700);
}

/// Members of an object, those of objects in it joined by `_` as Telegraf does it.
fn members(value: &Value, prefix: &str, out: &mut HashSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") };
        members(value, &name, out);
        out.insert(name);
    }
}

/// The texts of a list such as `key = ["a", "b"]` in the recipes.
fn listed(key: &str) -> Vec<String> {
    let recipes = include_str!("../../../../docs/recipes.md");
    let start = format!("{key} = [");
    let lines = recipes.lines().filter_map(|line| line.trim().strip_prefix(&start));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_recipes_name_what_there_is() {
    let mut book = book(&[("silence", PointContent::Events), ("loop", PointContent::Counts)]);
    book.fold(&[word("silence", "d", EventState::Raised), counted("d")]);
    let messages = held(&mut book, SENDS);
    let mut known = HashSet::new();
    messages.values().for_each(|message| members(message, "", &mut known));
    // Of an anomaly with a unit, and of a view of a camera.
    let anomaly = include_str!("../../../../docs/verdict.md");
    let twin = anomaly.lines().skip_while(|line| !line.trim().starts_with(r#"{"v":1"#)).take(7);
    let twin: String = twin.map(str::trim).collect();
    let twin: Value = serde_json::from_str(&twin).unwrap();
    members(&twin["verdicts"][0], "", &mut known);
    known.extend(["unit", "label"].map(str::to_owned));
    let named: Vec<String> = ["tag_keys", "json_string_fields"]
        .into_iter()
        .flat_map(listed)
        .chain(["decided".to_owned()])
        .collect();
    assert!(named.len() > 20);
    for name in &named {
        assert!(known.contains(name), "{name:?} is in no message");
    }
    let topics = messages
        .keys()
        .filter(|topic| topic.starts_with("v/g/"))
        .map(|topic| topic.replacen("v/g", "verge/g", 1));
    let topics: Vec<String> = topics.chain(["verge/g/alarm", "verge/g/verdict"].map(str::to_owned)).collect();
    for filter in listed("topics") {
        assert!(
            topics.iter().any(|topic| verge_domain::filter::matches(&filter, topic)),
            "{filter:?} takes nothing"
        );
    }
}
