//! Who may do what at the embedded broker.

use verge_broker::policy::{Action, Policy, Refusal};

use super::*;

const TLS: &str = "cert = \"b.pem\"\nkey = \"b.key\"\nca = \"ca.pem\"\n";
const PUBLISH: Action = Action::Publish { retained: false };

fn site(keys: &str, more: &str) -> Result<Settings, Vec<String>> {
    let keys = format!("mode = \"embedded\"\n{keys}");
    settings(&(SMALL.replace("url = \"mqtt://localhost:1883\"", &keys) + more))
}

fn policy(keys: &str, more: &str) -> Policy {
    let settings = site(keys, more).unwrap();
    let Local::Embedded(broker) = &settings.local else { panic!("the site has none") };
    broker.policy(&settings.sources).unwrap()
}

fn may(policy: &Policy, name: &str, action: Action, topic: &str) -> Result<(), Refusal> {
    policy.may(&policy.client(name, name, true), action, topic)
}

#[test]
fn a_device_publishes_where_its_name_stands_in_the_topics_of_sources() {
    let more = "[source.hall]\ntopic = \"hall/line/+/temp\"\ncodec = \"number\"\ndevice = \"topic:2\"\nsignal = \"t\"\n\
                [source.door]\ntopic = \"hall/door\"\ncodec = \"number\"\ndevice = \"fixed:door-1\"\nsignal = \"open\"\n\
                [source.cams]\ntopic = \"yard/+/frame\"\ncodec = \"jpeg\"\ndevice = \"topic:1\"\n";
    let own = policy(TLS, more);
    assert_eq!(may(&own, "pump-1", PUBLISH, "plant/pump-1/vibration"), Ok(()));
    assert_eq!(may(&own, "pump-1", PUBLISH, "hall/line/pump-1/temp"), Ok(()));
    assert_eq!(may(&own, "door-1", PUBLISH, "hall/door"), Ok(()));
    let refused = Err(Refusal::PublishNotAllowed);
    assert_eq!(may(&own, "pump-2", PUBLISH, "plant/pump-1/vibration"), refused);
    assert_eq!(may(&own, "plant", PUBLISH, "plant/pump-1/vibration"), refused);
    assert_eq!(may(&own, "hall", PUBLISH, "hall/door"), refused);
    assert_eq!((own.most_bytes("yard/c/frame"), own.most_bytes("plant/p/vibration")), (2 << 20, 64 << 10));
    assert_eq!(may(&own, "pump-1", Action::Publish { retained: true }, "pump-1/x"), Err(Refusal::Retained));
    let retained = policy(&format!("{TLS}retained = true\nrate = 5\nmax_topics = 7"), "");
    assert_eq!(may(&retained, "pump-1", Action::Publish { retained: true }, "pump-1/x"), Ok(()));
    assert_eq!((retained.limits.rate.unwrap().messages, retained.limits.topics), (5, 7));
    // Without certificates nobody can prove a name; and what is open is said so.
    for keys in ["", &format!("{TLS}access = \"open\"")] {
        assert_eq!(may(&policy(keys, ""), "anybody", Action::Subscribe, "#"), Ok(()), "{keys}");
    }
}

#[test]
fn how_many_connect_and_by_which_tls_is_the_sites_to_say() {
    let limits = |keys: &str| {
        let Local::Embedded(broker) = site(&format!("{TLS}{keys}"), "").unwrap().local else {
            panic!("embedded")
        };
        (broker.limits.connections, broker.limits.unauthenticated_per_address, broker.takes_tls_1_2)
    };
    assert_eq!(limits(""), (4096, 16, false));
    assert_eq!(
        limits("max_connections = 10000\nmax_waiting_per_address = 200\ntls_1_2 = true\n"),
        (10_000, 200, true)
    );
    for keys in ["max_connections = 0\n", "max_connections = 16385\n", "max_waiting_per_address = 257\n"] {
        let faults = site(&format!("{TLS}{keys}"), "").unwrap_err();
        assert!(faults[0].contains(keys.split(' ').next().unwrap()), "{faults:?}");
    }
    // What is about certificates is refused where the listener has none.
    for keys in ["tls_1_2 = true\n", "crl = \"ca.crl\"\n", "deny_file = \"denied\"\n"] {
        let faults = site(keys, "").unwrap_err();
        let key = keys.split(' ').next().unwrap();
        assert!(
            faults.len() == 1
                && faults[0].contains(&format!("local.{key}"))
                && faults[0].contains("cert, key and ca"),
            "{faults:?}"
        );
    }
}

#[test]
fn sources_that_no_device_may_publish_to_are_named() {
    let more = "[source.agent]\ntopic = \"telegraf/hosts/all\"\ncodec = \"senml\"\ndevice = \"name\"\n";
    let warnings = |keys: &str| {
        let warnings = site(keys, more).unwrap().warnings;
        warnings.into_iter().map(|warning| warning.to_string()).collect::<Vec<_>>()
    };
    let [warning] = &warnings(TLS)[..] else { panic!("{:?}", warnings(TLS)) };
    assert!(warning.contains("source.agent.topic") && warning.contains("access = \"open\""), "{warning}");
    assert_eq!(warnings(&format!("{TLS}access = \"open\"")), [""; 0]);
}

#[test]
fn an_access_list_is_read_and_its_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.acl");
    let keys = format!("{TLS}acl_file = \"{}\"", file.display());
    let read = || {
        let settings = site(&keys, "").unwrap();
        let Local::Embedded(broker) = &settings.local else { panic!("the site has none") };
        broker.policy(&settings.sources).map_err(|error| error.to_string())
    };
    let missing = read().unwrap_err();
    assert!(missing.starts_with("local.acl_file: there is no file"), "{missing}");
    std::fs::write(&file, "user scada\ntopic read #\n").unwrap();
    assert_eq!(may(&read().unwrap(), "scada", Action::Subscribe, "#"), Ok(()));
    std::fs::write(&file, "user scada\ntopics read #\n").unwrap();
    let fault = read().unwrap_err();
    assert!(fault.contains("broker.acl, line 2: \"topics read #\" is no line"), "{fault}");
    let both = site(&format!("{keys}\naccess = \"own\""), "").unwrap_err();
    assert!(both.len() == 1 && both[0].contains("either access or acl_file"), "{both:?}");
    let unknown = site("access = \"all\"", "").unwrap_err();
    assert!(unknown[0].contains("\"own\" or \"open\""), "{unknown:?}");
}
