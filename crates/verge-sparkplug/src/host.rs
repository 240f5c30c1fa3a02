//! The primary host: whether it is there.

use serde::Deserialize;

/// What a host says of itself in the form of Sparkplug 3.0.
#[derive(Deserialize)]
struct HostSaid {
    online: bool,
    timestamp: u64,
}

/// What is known of the primary host on one connection.
#[derive(Debug, Default)]
pub(crate) struct PrimaryHost {
    online: bool,
    /// The newest time of a message that counted.
    newest: Option<u64>,
    /// It speaks the new form: what comes in the old one does not count any more.
    is_new: bool,
}

impl PrimaryHost {
    pub(crate) const fn is_online(&self) -> bool {
        self.online
    }

    /// Takes what came on its topic. Returns false where it does not count: not readable, older than what is known, or in
    /// the old form although it speaks the new one.
    pub(crate) fn take(&mut self, is_new_form: bool, payload: &[u8]) -> bool {
        if !is_new_form {
            let online = match payload {
                b"ONLINE" => true,
                b"OFFLINE" => false,
                _ => return false,
            };
            if self.is_new {
                return false;
            }
            self.online = online;
            return true;
        }
        let Ok(HostSaid { online, timestamp }) = serde_json::from_slice(payload) else { return false };
        if self.newest.is_some_and(|newest| timestamp < newest) {
            return false;
        }
        *self = Self { online, newest: Some(timestamp), is_new: true };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(said: &[(bool, &str)]) -> (bool, Vec<bool>) {
        let mut host = PrimaryHost::default();
        let counted = said.iter().map(|(new, payload)| host.take(*new, payload.as_bytes())).collect();
        (host.is_online(), counted)
    }

    #[test]
    fn what_is_older_or_of_another_form_does_not_count() {
        let check = |said: &[(bool, &str)], online: bool, counted: &[bool]| {
            assert_eq!(after(said), (online, counted.to_vec()), "{said:?}");
        };
        // message-flow-edge-node-birth-publish-phid-wait-online
        check(&[(true, r#"{"online":true,"timestamp":100}"#)], true, &[true]);
        // message-flow-edge-node-birth-publish-phid-offline: the timestamp must be the same or newer.
        let on = (true, r#"{"online":true,"timestamp":100}"#);
        check(&[on, (true, r#"{"online":false,"timestamp":99}"#)], true, &[true, false]);
        check(&[on, (true, r#"{"online":false,"timestamp":100}"#)], false, &[true, true]);
        check(&[on, (true, r#"{"online":false,"timestamp":101}"#), on], false, &[true, true, false]);
        // The form before 3.0.
        check(&[(false, "ONLINE")], true, &[true]);
        check(&[(false, "ONLINE"), (false, "OFFLINE")], false, &[true, true]);
        check(&[on, (false, "OFFLINE")], true, &[true, false]);
        check(&[(true, "ONLINE"), (false, "online"), (true, r#"{"online":1}"#)], false, &[false; 3]);
    }
}
