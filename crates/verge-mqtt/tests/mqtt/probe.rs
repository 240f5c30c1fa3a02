//! What `verge check` says of a connection.

use std::sync::Arc;

use rumqttc::{ConnAck, ConnectReturnCode, Packet};
use verge_broker::FrontLimits;
use verge_mqtt::{ConnectionSettings, ProbeReport, probe, retained};
use verge_tls::{ClientConfig, Credentials, Secret};

use crate::certificates::{Certificates, through};
use crate::scripted::ScriptedBroker;
use crate::support::{direct, embedded, settings, unique, within};

/// Each step must begin with what is expected of it, and end as expected.
fn check(report: &ProbeReport, expected: &[(&str, Result<&str, &str>)]) {
    let said: Vec<String> = report.steps.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (step, (what, outcome)) in report.steps.iter().zip(expected) {
        assert!(step.what.starts_with(what), "{said:#?}: {what}");
        let matches = match (&step.outcome, outcome) {
            (Ok(said), Ok(words)) | (Err(said), Err(words)) => said.contains(words),
            _ => false,
        };
        assert!(matches, "{said:#?}: {outcome:?}");
    }
    assert_eq!(report.is_ok(), expected.iter().all(|(_, outcome)| outcome.is_ok()));
}

async fn run(connection: &ConnectionSettings, filters: &[&str]) -> ProbeReport {
    let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
    within("the probe", probe(connection, &filters, true)).await
}

#[tokio::test]
async fn a_good_connection_is_good_in_every_step() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let connection = through(&front, certificates.client(), &unique("gateway")).await;
    let report = run(&connection, &["plant/+", "road/#"]).await;
    check(
        &report,
        &[
            ("TCP connection", Ok("connected")),
            ("TLS", Ok("accept")),
            ("MQTT connection as \"gateway-", Ok("accepted")),
            ("subscription to \"plant/+\"", Ok("granted")),
            ("subscription to \"road/#\"", Ok("granted")),
        ],
    );
}

#[tokio::test]
async fn faults_of_tls_are_found_in_tls() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let check_tls = async |tls: Option<Arc<ClientConfig>>, words: &str| {
        let connection = through(&front, certificates.client(), "gateway").await;
        let report = run(&ConnectionSettings { tls, ..connection }, &["t"]).await;
        check(&report, &[("TCP connection", Ok("connected")), ("TLS", Err(words))]);
    };
    check_tls(Some(certificates.client_without_identity()), "requires a certificate").await;
    check_tls(Some(Certificates::new().client()), "did not sign it").await;
    check_tls(None, "none are configured").await;
    let plain = through(&front, certificates.client(), "gateway").await;
    let towards_plain = ConnectionSettings {
        address: verge_mqtt::BrokerAddress::tls("127.0.0.1", embedded().await.address().port()),
        ..plain
    };
    let report = run(&towards_plain, &[]).await;
    assert!(!report.is_ok());
}

#[tokio::test]
async fn an_absent_broker_ends_the_probe() {
    let address = ScriptedBroker::start().await.address();
    check(&run(&settings(address, "g"), &["t"]).await, &[("TCP connection", Err("nothing listens there"))]);
    let nowhere = ConnectionSettings {
        address: verge_mqtt::BrokerAddress::parse("mqtt://no-such-host.invalid").unwrap(),
        ..settings(address, "g")
    };
    let report = run(&nowhere, &["t"]).await;
    assert_eq!((report.steps.len(), report.is_ok()), (1, false));
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_code() {
    let broker = ScriptedBroker::start().await;
    let script = async {
        // The bare TCP connection of the first step.
        drop(broker.accept().await);
        let mut peer = broker.accept().await;
        assert_eq!(
            peer.expect_connect().await.client_id,
            "g-check",
            "the gateway's own session is left alone"
        );
        peer.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::NotAuthorized, false))).await;
    };
    let connection = settings(broker.address(), "g");
    let (report, ()) = tokio::join!(run(&connection, &["t"]), script);
    check(&report, &[("TCP connection", Ok("connected")), ("MQTT connection", Err("does not authorise"))]);

    // rumqttd answers a wrong password by closing.
    let wrong = Credentials { username: "verge".to_owned(), password: Secret::new("wrong".to_owned()) };
    let connection = ConnectionSettings { credentials: Some(wrong), ..direct(embedded().await, "g") };
    check(&run(&connection, &["t"]).await, &[("TCP", Ok("connected")), ("MQTT connection", Err("closed"))]);
}

#[tokio::test]
async fn every_filter_has_its_own_answer() {
    let broker = ScriptedBroker::start().await;
    let script = async {
        drop(broker.accept().await);
        let (mut peer, _) = broker.accept_client(false).await;
        let subscribe = peer.expect_subscribe().await;
        peer.answer(&subscribe, |filter| filter != "secret").await;
        peer.expect_disconnect().await;
    };
    let connection = settings(broker.address(), "g");
    let (report, ()) = tokio::join!(run(&connection, &["open", "secret", "also/open"]), script);
    check(
        &report,
        &[
            ("TCP connection", Ok("connected")),
            ("MQTT connection", Ok("accepted")),
            ("subscription to \"open\"", Ok("granted")),
            ("subscription to \"secret\"", Err("ACL")),
            ("subscription to \"also/open\"", Ok("granted")),
        ],
    );
}

#[tokio::test]
async fn where_no_gateway_runs_its_own_name_is_used_and_its_session_stays_as_it_was() {
    for kept in [false, true] {
        let broker = ScriptedBroker::start().await;
        let script = async {
            drop(broker.accept().await);
            let (mut peer, connect) = broker.accept_client(kept).await;
            assert_eq!((connect.client_id.as_str(), connect.clean_session), ("g", false));
            let subscribe = peer.expect_subscribe().await;
            // What waits for the gateway comes at once, and is not taken from it.
            let mut waiting = rumqttc::Publish::new("plant/p", rumqttc::QoS::AtLeastOnce, "7");
            waiting.pkid = 1;
            peer.send(Packet::Publish(waiting)).await;
            peer.answer(&subscribe, |_| true).await;
            peer.expect_disconnect().await;
            if !kept {
                let (mut peer, connect) = broker.accept_client(false).await;
                assert_eq!((connect.client_id.as_str(), connect.clean_session), ("g", true), "removed again");
                peer.expect_disconnect().await;
            }
        };
        let connection = settings(broker.address(), "g");
        let filters = ["plant/+".to_owned()];
        let (report, ()) = tokio::join!(within("the probe", probe(&connection, &filters, false)), script);
        check(
            &report,
            &[
                ("TCP connection", Ok("connected")),
                ("MQTT connection as \"g\"", Ok("accepted")),
                ("subscription to \"plant/+\"", Ok("granted")),
            ],
        );
        assert_eq!(report.keeps_session, kept);
    }
}

#[tokio::test]
async fn what_is_retained_is_read_under_another_name() {
    let broker = ScriptedBroker::start().await;
    let script = async {
        let (mut peer, connect, filters) = broker.accept_subscriber(false).await;
        assert_eq!((connect.client_id.as_str(), filters), ("g-check", vec!["v/g/status".to_owned()]));
        let mut status = rumqttc::Publish::new("v/g/status", rumqttc::QoS::AtMostOnce, "online");
        status.retain = true;
        peer.send(Packet::Publish(status)).await;
        peer.expect_disconnect().await;
    };
    let connection = settings(broker.address(), "g");
    let (found, ()) = tokio::join!(within("it", retained(&connection, "v/g/status")), script);
    assert_eq!(found.as_deref(), Some(&b"online"[..]));
}
