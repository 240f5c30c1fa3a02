//! Who a client is: the one that its certificate names, and nobody else.

use rumqttc::Connect;

use super::connect::{ConnectRefusal, shortened};
use crate::passwords::is_name;
use crate::policy::{Access, Action, Policy, PolicyClient, Refusal};

/// Behind the name of a certificate: then a device may have several connections, each under an identifier of its own.
const NAME_END: char = ':';

/// Who a client is, by its CONNECT and its certificate.
#[derive(Debug)]
pub(super) struct Introduced {
    pub(super) connect: Connect,
    pub(super) client: PolicyClient,
    /// Its certificate says who it is.
    pub(super) is_proved: bool,
    /// The device to which all it does is counted: the name in its certificate where it has shown one.
    pub(super) account: String,
}

impl Introduced {
    /// Judges the last will, whose topic is one of the device's, which `note_topic` counts.
    ///
    /// # Errors
    /// The client may not leave it.
    pub(super) fn check_will(
        &self,
        policy: &Policy,
        note_topic: impl FnOnce(&str) -> Result<(), Refusal>,
    ) -> Result<(), ConnectRefusal> {
        let Some(will) = &self.connect.last_will else { return Ok(()) };
        let refused = |why| ConnectRefusal::WillNotAllowed { why, topic: shortened(&will.topic) };
        let action = Action::Publish { retained: will.retain };
        policy.may(&self.client, action, &will.topic).and_then(|()| note_topic(&will.topic)).map_err(refused)
    }
}

/// Finds out who a client is. `identities`: the names in its certificate, where it has shown one. A client without an
/// identifier of its own gets the name in its certificate, or `nameless`.
///
/// # Errors
/// It says that it is another device.
pub(super) fn identify(
    mut connect: Connect,
    identities: Option<&[String]>,
    policy: &Policy,
    nameless: impl FnOnce() -> String,
) -> Result<Introduced, ConnectRefusal> {
    let proved = match identities {
        // A broker for everybody does not ask who somebody is.
        Some(names) if policy.access != Access::Open => {
            let mut usable = names.iter().filter(|name| is_name(name));
            let first = usable.clone().next().ok_or_else(|| ConnectRefusal::NoName {
                name: names.first().map(|name| shortened(name)).unwrap_or_default(),
            })?;
            if connect.client_id.is_empty() {
                connect.client_id.clone_from(first);
            }
            let is_of = |name: &&String| {
                let rest = connect.client_id.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(NAME_END))
            };
            let name = usable.find(is_of).ok_or_else(|| ConnectRefusal::ForeignClientId {
                client_id: shortened(&connect.client_id),
                expected: shortened(first),
            })?;
            Some(name.clone())
        }
        _ => None,
    };
    if connect.client_id.is_empty() {
        connect.client_id = nameless();
    }
    let name = proved.as_ref().unwrap_or(&connect.client_id);
    let client = policy.client(name, &connect.client_id, proved.is_some());
    // A broker for everybody takes every identifier, but one certificate has the limits of one device under all of them.
    let names = identities.unwrap_or_default();
    let shown = names.iter().find(|name| is_name(name)).or(names.first()).map(|name| shortened(name));
    let account = proved.clone().or(shown).unwrap_or_else(|| client.name().to_owned());
    Ok(Introduced { connect, client, is_proved: proved.is_some(), account })
}

#[cfg(test)]
mod tests {
    use rumqttc::{ConnectReturnCode, LastWill, QoS};

    use super::*;

    const NO_NAME: &str = "no name";

    #[test]
    fn a_client_is_who_its_certificate_says() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let own = Policy { access: Access::Own(Vec::new()), retained: false, ..Policy::open() };
        let check =
            |policy: &Policy, client_id: &str, identities: Option<&[&str]>, expected: Result<&str, &str>| {
                let identities = identities.map(names);
                let introduced = identify(Connect::new(client_id), identities.as_deref(), policy, || {
                    "nameless-1".to_owned()
                });
                match (introduced, expected) {
                    (Ok(introduced), Ok(name)) => assert_eq!(introduced.client.name(), name, "{client_id}"),
                    (Err(refusal), Err(words)) => {
                        assert!(refusal.to_string().contains(words), "{refusal}");
                        assert_eq!(refusal.code(), Some(ConnectReturnCode::BadClientId));
                        let reason = match words {
                            NO_NAME => Refusal::CertificateName,
                            _ => Refusal::ForeignClientId,
                        };
                        assert_eq!(refusal.reason(), reason);
                    }
                    (introduced, _) => panic!("{client_id}: {introduced:?}"),
                }
            };
        check(&own, "pump-1", Some(&["pump-1"]), Ok("pump-1"));
        check(&own, "pump-1", Some(&["pump-1.plant", "pump-1"]), Ok("pump-1"));
        check(&own, "pump-1:frames", Some(&["pump-1"]), Ok("pump-1"));
        check(&own, "", Some(&["pump-1", "other"]), Ok("pump-1"));
        for foreign in ["pump-10", "pump-1x", "pump", "Pump-1", "pump-2", ":pump-1"] {
            check(&own, foreign, Some(&["pump-1"]), Err("expected \"pump-1\""));
        }
        for unusable in [&["+"][..], &["a/b", ""], &["@verge-gateway"], &["pump-1:z"], &["pump-1\n"], &[]] {
            check(&own, "pump-1", Some(unusable), Err(NO_NAME));
        }
        // Else it would have the session of the other one's second connection.
        check(&own, "pump-1:z", Some(&["pump-1:z"]), Err(NO_NAME));
        check(&own, "pump-1:z", Some(&["pump-1:z", "pump-1"]), Ok("pump-1"));
        // Without a certificate a name is a claim.
        check(&own, "pump-1", None, Ok("pump-1"));
        check(&own, "", None, Ok("nameless-1"));
        check(&Policy::open(), "anything", Some(&["pump-1"]), Ok("anything"));
        let account = |policy: &Policy, client_id: &str, identities: Option<&[&str]>| {
            let identities = identities.map(names);
            let connect = Connect::new(client_id);
            identify(connect, identities.as_deref(), policy, String::new).unwrap().account
        };
        assert_eq!(account(&own, "pump-1:a", Some(&["x", "pump-1"])), "pump-1");
        assert_eq!(account(&own, "pump-1:a", None), "pump-1:a");
        assert_eq!(account(&Policy::open(), "anything", Some(&["+", "pump-1"])), "pump-1");
        assert_eq!(account(&Policy::open(), "anything", Some(&["+"])), "+", "one certificate is one device");
        assert_eq!(account(&Policy::open(), "anything", Some(&[])), "anything");
        assert_eq!(account(&Policy::open(), "anything", None), "anything");
    }

    #[test]
    fn a_will_is_allowed_where_a_message_is() {
        let own = Policy { access: Access::Own(Vec::new()), retained: false, ..Policy::open() };
        let check = |policy: &Policy, topic: &str, retain: bool, expected: Option<Refusal>| {
            let mut connect = Connect::new("pump-1");
            connect.last_will = Some(LastWill::new(topic, "gone", QoS::AtMostOnce, retain));
            let introduced = identify(connect, None, policy, String::new).unwrap();
            match (introduced.check_will(policy, |_| Ok(())), expected) {
                (Ok(()), None) => {}
                (Err(ConnectRefusal::WillNotAllowed { why, .. }), Some(expected)) => {
                    assert_eq!(why, expected)
                }
                (checked, _) => panic!("{topic}: {checked:?}"),
            }
        };
        check(&own, "plant/pump-1/state", false, None);
        check(&own, "plant/pump-2/state", false, Some(Refusal::PublishNotAllowed));
        check(&own, "plant/pump-1/state", true, Some(Refusal::Retained));
        check(&own, "@verge-canary", false, Some(Refusal::ReservedTopic));
        check(&Policy::open(), "plant/pump-2/state", true, None);
        // Its topic is one of those that the device may have.
        let mut connect = Connect::new("pump-1");
        connect.last_will = Some(LastWill::new("pump-1/state", "gone", QoS::AtMostOnce, false));
        let introduced = identify(connect, None, &own, String::new).unwrap();
        let checked = introduced.check_will(&own, |_| Err(Refusal::TooManyTopics));
        assert!(matches!(checked, Err(ConnectRefusal::WillNotAllowed { why: Refusal::TooManyTopics, .. })));
    }
}
