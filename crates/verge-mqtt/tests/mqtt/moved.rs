//! Filters that have moved from one persistent session to another connection.

use rumqttc::{Packet, UnsubAck};
use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::{IntakeFull, Source};
use verge_mqtt::{Guarantee, MovedFilters, MqttSource, MqttSourceSettings, Repetition};

use crate::scripted::ScriptedBroker;
use crate::source::{receipts, start, take};
use crate::support::{clock, settings};

fn filters(names: &[&str]) -> Vec<(SourceIndex, String)> {
    (0..).zip(names).map(|(index, name)| (SourceIndex(index), (*name).to_owned())).collect()
}

#[tokio::test]
async fn what_waits_in_the_old_session_is_taken_and_it_is_given_up_once_the_new_one_is_subscribed() {
    let (old, new) = (ScriptedBroker::start().await, ScriptedBroker::start().await);
    let (bulk, _messages) = start(settings(new.address(), "g-bulk"), &["blocks/+"], 10);
    let (sender, mut messages) = tokio::sync::mpsc::channel::<Inbound>(10);
    let moved =
        MovedFilters { filters: vec![(SourceIndex(1), "blocks/+".to_owned())], to: vec![bulk.clone()] };
    let connection = settings(old.address(), "g");
    let source = MqttSource::spawn_without(
        moved,
        MqttSourceSettings {
            connection,
            guarantee: Guarantee::AtLeastOnce(Session::Readings),
            repetition: Repetition::Marked,
            filters: filters(&["rules/+"]),
        },
        clock,
        move |message| sender.try_send(message).map_err(|refused| IntakeFull(refused.into_inner())),
    );
    let (mut peer, _, asked) = old.accept_subscriber(true).await;
    assert_eq!(asked, ["rules/+"], "the session has the other filter from before");
    let (mut taking_over, _) = new.accept_client(false).await;
    let subscribe = taking_over.expect_subscribe().await;

    peer.publish("blocks/a", 1, b"1", true).await;
    peer.publish("rules/a", 2, b"1", false).await;
    let taken = take(&mut messages, 2).await;
    assert_eq!(taken.iter().map(|message| message.source.0).collect::<Vec<_>>(), [1, 0]);
    source.settle(&receipts(&taken));
    // Acknowledgements, and no UNSUBSCRIBE before the other broker has answered.
    assert_eq!(peer.expect_acks(2).await, [1, 2]);
    taking_over.answer(&subscribe, |_| true).await;
    let Packet::Unsubscribe(given_up) = peer.next().await else { panic!("UNSUBSCRIBE expected") };
    assert_eq!(given_up.topics, ["blocks/+"]);
    // Unanswered: the next connection asks again.
    drop(peer);
    let (mut peer, ..) = old.accept_subscriber(true).await;
    let Packet::Unsubscribe(again) = peer.next().await else { panic!("UNSUBSCRIBE expected") };
    assert_eq!(again.topics, ["blocks/+"]);
    peer.send(Packet::UnsubAck(UnsubAck::new(again.pkid))).await;
    drop(peer);
    let (mut peer, ..) = old.accept_subscriber(true).await;
    source.stop().await;
    assert!(matches!(peer.next().await, Packet::Disconnect), "answered: it is not asked again");
}
