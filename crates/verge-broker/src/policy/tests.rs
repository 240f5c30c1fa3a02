use proptest::prelude::*;

use super::*;

const PUBLISH: Action = Action::Publish { retained: false };
const RETAINED: Action = Action::Publish { retained: true };

fn own() -> Policy {
    let level = |filter: &str, level| OwnedTopics { filter: filter.to_owned(), owner: Owner::Level(level) };
    let owned = vec![
        level("plant/+/vibration", 1),
        level("site/line/+/temp", 2),
        OwnedTopics { filter: "meters/+/senml".to_owned(), owner: Owner::Elsewhere },
        OwnedTopics { filter: "hall/door".to_owned(), owner: Owner::Named("door-1".to_owned()) },
    ];
    let limits = ClientLimits { frame_bytes: 2_000_000, packet_bytes: 65_536, ..ClientLimits::DEFAULT };
    Policy { access: Access::Own(owned), retained: false, limits, frames: vec!["cam/+/frame".to_owned()] }
}

#[track_caller]
fn check(policy: &Policy, name: &str, action: Action, topic: &str, expected: Result<(), Refusal>) {
    let client = policy.client(name, name, true);
    assert_eq!(policy.may(&client, action, topic), expected, "{name} {action:?} {topic:?}");
}

#[test]
fn a_device_publishes_below_its_own_name_alone() {
    let policy = own();
    let refused = Err(Refusal::PublishNotAllowed);
    for (topic, expected) in [
        ("pump-1/state", Ok(())),
        ("plant/pump-1/vibration", Ok(())),
        ("plant/pump-1/a/b/c", Ok(())),
        ("site/line/pump-1/temp", Ok(())),
        ("site/line/pump-1/other", Ok(())),
        ("plant/pump-2/vibration", refused),
        ("plant/pump-10/vibration", refused),
        ("plant/Pump-1/vibration", refused),
        ("plant/vibration/pump-1", refused),
        ("site/line/pump-2/temp", refused),
        ("site/line/temp/pump-1", refused),
        ("hall/door", refused),
        ("plant", refused),
        ("/pump-1/x", refused),
        ("other/pump-1/x", refused),
        ("pump-1/pump-2/x", Ok(())),
        ("meters/pump-1/senml", Ok(())),
        ("meters/pump-2/senml", refused),
        ("meters/x/y/pump-1", refused),
        ("a/b/pump-1", refused),
    ] {
        check(&policy, "pump-1", PUBLISH, topic, expected);
    }
    check(&policy, "door-1", PUBLISH, "hall/door", Ok(()));
    // One whose name is a word of topics does not get what belongs to another.
    check(&policy, "plant", PUBLISH, "plant/pump-1/vibration", refused);
    check(&policy, "line", PUBLISH, "site/line/pump-1/temp", refused);
    check(&policy, "plant", PUBLISH, "plant/plant/vibration", Ok(()));
    check(&policy, "plant", PUBLISH, "plant/pump-1/cmd/stop", refused);
    check(&policy, "site", PUBLISH, "site/line/pump-1/other", refused);
    check(&policy, "site", PUBLISH, "site/other", Ok(()));
    check(&policy, "cmd", PUBLISH, "plant/pump-1/cmd/stop", refused);
    check(&policy, "cmd", PUBLISH, "pump-1/cmd/stop", refused);
    // No source says where names stand.
    let plain = Policy { access: Access::Own(Vec::new()), ..own() };
    check(&plain, "pump-1", PUBLISH, "any/pump-1/x", Ok(()));
    check(&plain, "pump-1", PUBLISH, "any/other/pump-1", refused);
    check(&plain, "cmd", PUBLISH, "pump-1/cmd/stop", refused);
    check(&plain, "cmd", PUBLISH, "cmd/state", Ok(()));
    // Nor does one that says it with an open level.
    let anywhere = OwnedTopics { filter: "+/+/vibration".to_owned(), owner: Owner::Level(1) };
    let anywhere = Policy { access: Access::Own(vec![anywhere]), ..own() };
    check(&anywhere, "cmd", PUBLISH, "pump-1/cmd/stop", refused);
    check(&anywhere, "cmd", PUBLISH, "cmd/state", Ok(()));
    check(&anywhere, "pump-1", PUBLISH, "plant/pump-1/vibration", Ok(()));
    check(&policy, "hall", PUBLISH, "hall/door", refused);
}

#[test]
fn a_device_reads_its_own_commands_alone() {
    let policy = own();
    let refused = Err(Refusal::SubscribeNotAllowed);
    for (filter, expected) in [
        ("pump-1/cmd/#", Ok(())),
        ("pump-1/cmd", Ok(())),
        ("plant/pump-1/cmd/+", Ok(())),
        ("+/pump-1/cmd/#", refused),
        ("meters/pump-1/cmd/#", Ok(())),
        ("site/line/pump-1/cmd/speed", Ok(())),
        ("pump-1/#", refused),
        ("#", refused),
        ("+/+/cmd/#", refused),
        ("plant/pump-2/cmd/#", refused),
        ("plant/pump-1/vibration", refused),
        ("+/#", refused),
        ("$share/g/pump-1/cmd", Err(Refusal::SharedSubscription)),
        ("$SYS/#", Err(Refusal::ReservedTopic)),
        ("@verge-canary", Err(Refusal::ReservedTopic)),
        ("pump-1/cmd/#/x", Err(Refusal::BadTopic)),
        ("", Err(Refusal::BadTopic)),
        ("Öl/cmd", Err(Refusal::BadTopic)),
    ] {
        check(&policy, "pump-1", Action::Subscribe, filter, expected);
    }
}

#[test]
fn an_edge_node_of_sparkplug_reads_its_own_commands_and_the_states_of_hosts() {
    let policy = |filter: &str| {
        let owned = OwnedTopics { filter: filter.to_owned(), owner: Owner::Level(3) };
        Policy { access: Access::Own(vec![owned]), ..own() }
    };
    let refused = Err(Refusal::SubscribeNotAllowed);
    let policies = ["spBv1.0/g/+/+/#", "spBv1.0/g/#", "spBv1.0/+/+/+/#"].map(policy);
    for policy in &policies {
        for (filter, expected) in [
            ("spBv1.0/g/NCMD/n", Ok(())),
            ("spBv1.0/g/NCMD/n/#", Ok(())),
            ("spBv1.0/g/DCMD/n/#", Ok(())),
            ("spBv1.0/g/DCMD/n/d", Ok(())),
            ("spBv1.0/STATE/host", Ok(())),
            ("spBv1.0/STATE/+", Ok(())),
            ("spBv1.0/g/NCMD/other", refused),
            ("spBv1.0/g/NCMD/+", refused),
            ("spBv1.0/g/+/n/#", refused),
            ("spBv1.0/g/NDATA/n", refused),
            ("spBv1.0/g/DDATA/n/d", refused),
            ("spBv1.0/#", refused),
        ] {
            check(policy, "n", Action::Subscribe, filter, expected);
        }
    }
    check(&policies[0], "n", PUBLISH, "spBv1.0/g/DDATA/n/d", Ok(()));
    check(&policies[0], "n", PUBLISH, "spBv1.0/g/NCMD/other", Err(Refusal::PublishNotAllowed));
    check(&policies[0], "n", Action::Subscribe, "spBv1.0/h/NCMD/n", refused);
    check(&own(), "n", Action::Subscribe, "spBv1.0/STATE/host", refused);
}

#[test]
fn what_would_harm_the_broker_is_refused_whoever_asks() {
    for policy in [Policy::open(), own()] {
        for (topic, expected) in [
            ("", Refusal::BadTopic),
            ("pump-1/+", Refusal::BadTopic),
            ("pump-1/\0", Refusal::BadTopic),
            ("Öl", Refusal::BadTopic),
            ("$SYS/broker", Refusal::ReservedTopic),
            ("$share/g/pump-1", Refusal::ReservedTopic),
            ("@verge-canary", Refusal::ReservedTopic),
        ] {
            check(&policy, "pump-1", PUBLISH, topic, Err(expected));
        }
        check(&policy, "pump-1", PUBLISH, &format!("pump-1/{}", "x".repeat(2000)), Err(Refusal::BadTopic));
    }
    check(&Policy::open(), "pump-1", PUBLISH, "pump-2/Öl", Ok(()));
    check(&Policy::open(), "pump-1", Action::Subscribe, "#", Ok(()));
    check(&Policy::open(), "pump-1", RETAINED, "x", Ok(()));
    check(&own(), "pump-1", RETAINED, "pump-1/x", Err(Refusal::Retained));
}

#[test]
fn packets_are_as_large_as_their_class() {
    let policy = own();
    assert_eq!((policy.most_bytes("cam/c1/frame"), policy.most_bytes("cam/c1/state")), (2_000_000, 65_536));
    assert_eq!(policy.most_bytes_of_all(), 2_000_000);
}

#[test]
fn an_access_list_is_read_as_mosquitto_writes_it() {
    let text = "# of everybody without a name\n\
                topic read public/#\n\n\
                user scada\n\
                topic read plant/#\n\
                topic deny plant/secret/#\n\
                topic write plant/+/cmd/#\n\
                user old pump\n\
                topic legacy/pump\n\
                pattern write plant/%u/#\n\
                pattern read plant/%c/cmd/#\n";
    let list = AccessList::parse(text).unwrap();
    assert_eq!(list.names(), ["old pump", "scada"]);
    let policy = Policy { access: Access::List(list), ..Policy::open() };
    let (no_publish, no_read) = (Err(Refusal::PublishNotAllowed), Err(Refusal::SubscribeNotAllowed));
    check(&policy, "scada", Action::Subscribe, "plant/pump-1/#", Ok(()));
    // A part of it is denied.
    check(&policy, "scada", Action::Subscribe, "plant/#", no_read);
    check(&policy, "scada", PUBLISH, "plant/pump-1/cmd/stop", Ok(()));
    check(&policy, "scada", PUBLISH, "plant/pump-1/vibration", no_publish);
    check(&policy, "scada", Action::Subscribe, "public/x", no_read);
    check(&policy, "old pump", PUBLISH, "legacy/pump", Ok(()));
    check(&policy, "old pump", Action::Subscribe, "legacy/pump", Ok(()));
    check(&policy, "pump-1", PUBLISH, "plant/pump-1/x", Ok(()));
    check(&policy, "pump-1", PUBLISH, "plant/pump-2/x", no_publish);
    check(&policy, "pump-1", Action::Subscribe, "plant/pump-1/cmd/#", Ok(()));
    // Without a certificate nobody is who they say.
    let claimed = policy.client("scada", "scada", false);
    assert_eq!(policy.may(&claimed, Action::Subscribe, "plant/pump-1/#"), no_read);
    assert_eq!(policy.may(&claimed, Action::Subscribe, "public/#"), Ok(()));
    // A name with a wildcard stands in no pattern.
    let wild = policy.client("+", "#", true);
    assert_eq!(policy.may(&wild, PUBLISH, "plant/pump-1/x"), no_publish);

    let fault = |text: &str| AccessList::parse(text).unwrap_err().to_string();
    assert!(fault("user a\ntopics b").starts_with("line 2: \"topics b\" is no line of an access list"));
    assert!(fault("topic read a/#/b").starts_with("line 1: \"a/#/b\" is no topic filter"));
    assert!(fault("user").starts_with("line 1"));
    assert!(fault("topic").starts_with("line 1"));
}

#[test]
fn the_lists_that_are_documented_say_what_they_should() {
    let document = include_str!("../../../../docs/broker.md");
    let (_, behind) = document.split_once("```text\n").unwrap();
    let list = AccessList::parse(behind.split_once("```").unwrap().0).unwrap();
    let policy = Policy { access: Access::List(list), ..Policy::open() };
    check(&policy, "pump-1", PUBLISH, "plant/pump-1/x", Ok(()));
    check(&policy, "logger-1", PUBLISH, "plant/pump-1/telegraf", Ok(()));
    check(&policy, "scada", Action::Subscribe, "plant/pump-1/#", Ok(()));
    check(&policy, "scada", Action::Subscribe, "plant/safety/x", Err(Refusal::SubscribeNotAllowed));
    check(&policy, "pump-1", PUBLISH, "plant/pump-2/x", Err(Refusal::PublishNotAllowed));
    // That of a site that moves from mosquitto.
    let moved = AccessList::parse(include_str!("../../../../examples/mosquitto/verge.acl")).unwrap();
    let policy = Policy { access: Access::List(moved), ..Policy::open() };
    check(&policy, "pump-room-1", Action::Subscribe, "plant/#", Ok(()));
    check(&policy, "pump-1", PUBLISH, "road/pump-1/x", Ok(()));
}

fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("pump-1"),
        Just("pump-2"),
        Just("plant"),
        Just("vibration"),
        Just("cmd"),
        Just("site"),
        Just("line"),
        Just("temp"),
        Just("+"),
        Just("#"),
        Just(""),
        Just("$SYS"),
        Just("%u"),
        Just("Ö")
    ]
}

proptest! {
    #[test]
    fn nobody_crosses_into_the_topics_of_another(levels in proptest::collection::vec(level(), 0..6)) {
        let (policy, text) = (own(), levels.join("/"));
        let (one, other) = (policy.client("pump-1", "pump-1", true), policy.client("pump-2", "pump-2", true));
        let both = |action| policy.may(&one, action, &text).is_ok() && policy.may(&other, action, &text).is_ok();
        // A topic may stand below two names ("pump-1/pump-2/x"), unless a source says whose it is.
        let names = levels.iter().filter(|level| level.starts_with("pump")).count();
        prop_assert!(names >= 2 || !both(PUBLISH), "{text}");
        prop_assert!(names >= 2 || !both(Action::Subscribe), "{text}");
        if policy.may(&one, PUBLISH, &text).is_ok() {
            prop_assert!(levels.contains(&"pump-1"));
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(topic in any::<String>(), name in any::<String>(), list in any::<String>()) {
        let parsed = AccessList::parse(&format!("pattern write {list}\n")).unwrap_or_default();
        for policy in [own(), Policy::open(), Policy { access: Access::List(parsed), ..own() }] {
            let client = policy.client(&name, &name, true);
            for action in [PUBLISH, RETAINED, Action::Subscribe] {
                if policy.may(&client, action, &topic).is_ok() {
                    prop_assert!(topic.is_char_boundary(1) && !topic.starts_with('$'), "{topic:?}");
                }
            }
        }
    }
}
