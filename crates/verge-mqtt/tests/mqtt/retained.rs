//! Retained topics against the real broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use verge_mqtt::{OFFLINE, ONLINE, RetainedSettings, RetainedTopics, Subscriber, SubscriberEvent};

use crate::support::{direct, embedded, eventually, unique, within};

const GRACE: Duration = Duration::from_secs(5);

async fn kept(root: &str) -> RetainedTopics {
    let own = format!("{root}/");
    RetainedTopics::spawn(RetainedSettings {
        connection: direct(embedded().await, &unique("keeper")),
        presence: root.to_owned(),
        filters: vec![format!("{root}/#")],
        is_own: Arc::new(move |topic| topic.starts_with(&own)),
        max_topics: 3,
    })
}

/// What the broker holds below a topic.
async fn held(root: &str) -> HashMap<String, String> {
    let mut reader = Subscriber::spawn(
        direct(embedded().await, &unique("reader")),
        vec![format!("{root}/#"), root.to_owned()],
    );
    let mut held = HashMap::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(700), reader.next()).await {
        if let SubscriberEvent::Message(message) = event {
            held.insert(message.topic, String::from_utf8(message.payload.to_vec()).unwrap());
        }
    }
    reader.stop().await;
    held
}

fn word(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn the_broker_holds_what_is_meant_now() {
    let root = unique("kept");
    let topic = |name: &str| -> Arc<str> { format!("{root}/{name}").into() };
    let topics = kept(&root).await;
    topics.set(&topic("a"), word("1"));
    topics.set(&topic("b"), word("1"));
    for round in ["2", "3", "4"] {
        topics.set(&topic("a"), word(round));
    }
    topics.set_present(true);
    eventually("nothing lies there from before", || topics.take_earlier().is_some()).await;
    assert!(!topics.report().present, "what earlier runs left is dealt with first");
    topics.set_present(true);
    eventually("the owner is there", || topics.report().present).await;
    topics.set(&topic("c"), word("5"));
    topics.set(&topic("d"), word("6"));
    eventually("all is acknowledged", || topics.report().waiting == 0).await;
    let report = topics.report();
    assert_eq!((report.topics, report.refused), (3, 1), "one more than three");
    let expected = |states: &[(&str, &str)], presence: &str| {
        let mut all: HashMap<String, String> =
            states.iter().map(|(name, text)| (format!("{root}/{name}"), (*text).to_owned())).collect();
        all.insert(root.clone(), presence.to_owned());
        all
    };
    assert_eq!(held(&root).await, expected(&[("a", "4"), ("b", "1"), ("c", "5")], ONLINE));

    // Killed: the broker says so.
    drop(topics);
    eventually_held(&root, &expected(&[("a", "4"), ("b", "1"), ("c", "5")], OFFLINE)).await;

    // The next run takes over what it means as well, and takes away the rest.
    let topics = kept(&root).await;
    topics.set(&topic("b"), word("7"));
    let mut earlier = None;
    eventually("what was left is read", || {
        earlier = earlier.take().or_else(|| topics.take_earlier());
        earlier.is_some()
    })
    .await;
    let mut earlier = earlier.unwrap();
    earlier.sort();
    assert_eq!(earlier, [(format!("{root}/a"), word("4")), (format!("{root}/c"), word("5"))]);
    for (topic, _) in earlier {
        topics.set(&topic.into(), Bytes::new());
    }
    topics.set_present(true);
    eventually("the owner is there", || topics.report().present).await;
    assert_eq!(held(&root).await, expected(&[("b", "7")], ONLINE));
    assert_eq!(topics.report().topics, 1, "what was taken away is forgotten");
    within("closed", topics.close(GRACE)).await;
    assert_eq!(held(&root).await, expected(&[("b", "7")], OFFLINE));
}

async fn eventually_held(root: &str, expected: &HashMap<String, String>) {
    for _ in 0..20 {
        if held(root).await == *expected {
            return;
        }
    }
    assert_eq!(held(root).await, *expected);
}
