//! Access lists, names and topics of every form.

use proptest::collection::vec;
use proptest::prelude::*;
use verge_domain::filter;

use super::{Access, AccessList, Action, ClientLimits, OwnedTopics, Owner, Policy, Refusal};
use crate::fuzz::{changed, fuzz};
use crate::passwords::BrokerPasswords;

/// Topics, filters and patterns; many are valid.
fn text() -> impl Strategy<Value = String> {
    let level =
        prop::sample::select(vec!["a", "b", "cmd", "plant", "+", "#", "", "%u", "%c", "$x", "Ö", "a+", "\0"]);
    prop_oneof![9 => vec(level, 0..5).prop_map(|levels| levels.join("/")), 1 => any::<String>()]
}

fn list() -> impl Strategy<Value = String> {
    let line = (
        prop::sample::select(vec!["topic", "pattern", "user", "user a\ntopic", "#"]),
        prop::sample::select(vec!["", "read ", "write ", "readwrite ", "deny "]),
        text(),
    );
    vec(line.prop_map(|(word, grant, filter)| format!("{word} {grant}{filter}")), 0..8)
        .prop_map(|lines| lines.join("\n"))
}

fn access() -> impl Strategy<Value = Access> {
    let owner = prop_oneof![
        (0_usize..4).prop_map(Owner::Level),
        prop::sample::select(vec!["a", "b"]).prop_map(|name| Owner::Named(name.to_owned())),
        Just(Owner::Elsewhere),
    ];
    let owned = (text().prop_filter("a source has a filter", |text| filter::validate(text).is_ok()), owner)
        .prop_map(|(filter, owner)| OwnedTopics { filter, owner });
    prop_oneof![
        list().prop_filter_map("a list that can be understood", |text| {
            AccessList::parse(&text).ok().map(Access::List)
        }),
        vec(owned, 0..4).prop_map(Access::Own),
    ]
}

#[test]
fn who_may_subscribe_to_a_filter_may_read_every_topic_that_it_matches() {
    let limits = ClientLimits::DEFAULT;
    let names = prop::sample::select(vec!["a", "b", "cmd", "plant"]);
    let input = (access(), names, any::<bool>(), text(), text());
    fuzz(&input, |(access, name, is_proved, wide, topic)| {
        let policy = Policy { access, retained: false, limits, frames: Vec::new() };
        let client = policy.client(name, name, is_proved);
        let may = |action, text: &str| policy.may(&client, action, text);
        if may(Action::Subscribe, &wide).is_ok() {
            assert!(filter::validate(&wide).is_ok() && !wide.starts_with('$'), "{wide:?}");
            if filter::validate_topic(&topic).is_ok() && filter::matches(&wide, &topic) {
                let read = may(Action::Subscribe, &topic);
                // Topics that the broker does not take at all reach nobody.
                let is_good = matches!(read, Ok(()) | Err(Refusal::ReservedTopic | Refusal::BadTopic));
                assert!(is_good, "{wide:?} covers {topic:?}: {read:?}");
            }
        }
        assert!(may(Action::Publish { retained: true }, &topic).is_err(), "{topic:?} retained");
        if may(Action::Publish { retained: false }, &topic).is_ok() {
            assert!(filter::validate_topic(&topic).is_ok() && !topic.starts_with('$'), "{topic:?}");
            let owned = match &policy.access {
                Access::Own(owned) => owned.as_slice(),
                _ => &[],
            };
            for owned in owned.iter().filter(|owned| filter::matches(&owned.filter, &topic)) {
                let of = match &owned.owner {
                    Owner::Level(level) => topic.split('/').nth(*level),
                    Owner::Named(owner) => Some(owner.as_str()),
                    Owner::Elsewhere => Some(name),
                };
                assert_eq!(of, Some(name), "{topic:?} is another's");
            }
        }
    });
}

#[test]
fn lists_and_logins_of_every_form_are_read_or_refused_with_their_line() {
    let logins = [
        "pump-1:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Hm2YhbmdHm2YhbmdHm2YhbmdHm2YhbmdHm2Yhbmd0YQ\n",
        "pump-2:$7$101$c29tZXNhbHQ=$aGFzaA==\n",
        "# a remark\n\n",
        "user a\ntopic read a/#\npattern write %u/%c\n",
    ];
    let input = prop_oneof![
        list(),
        changed(logins.map(|line| line.as_bytes().to_vec()).to_vec())
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    fuzz(&input, |text| {
        let lines = text.lines().count();
        if let Err(error) = AccessList::parse(&text) {
            assert!((1..=lines).contains(&error.line), "{error}");
        }
        if let Err(error) = BrokerPasswords::parse(&text) {
            assert!((1..=lines).contains(&error.line), "{error}");
        }
    });
}
