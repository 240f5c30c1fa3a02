//! Whether two gateways publish under one name: each has a store of its own, and their statuses take turns.

use std::collections::HashMap;

use verge_pipeline::status::sighting;

/// Gateways that are remembered at most.
const MAX_GATEWAYS: usize = 4096;

/// The stores that the statuses of each gateway come from.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    gateways: HashMap<String, Stores>,
}

#[derive(Debug)]
struct Stores {
    present: [u8; 16],
    /// The one before: a gateway that takes a new epoch does not come back to it.
    earlier: Option<[u8; 16]>,
    is_reported: bool,
}

impl Rivals {
    /// Takes a status; reports once for each gateway that there are two.
    pub(super) fn note(&mut self, gateway: &str, status: &[u8]) -> Option<String> {
        let epoch = sighting(status).filter(|seen| seen.is_online)?.claim.epoch.0;
        if self.gateways.len() >= MAX_GATEWAYS && !self.gateways.contains_key(gateway) {
            return None;
        }
        let new = Stores { present: epoch, earlier: None, is_reported: false };
        let stores = self.gateways.entry(gateway.to_owned()).or_insert(new);
        if stores.present == epoch {
            return None;
        }
        let is_back = stores.earlier == Some(epoch);
        stores.earlier = Some(stores.present);
        stores.present = epoch;
        if !is_back || std::mem::replace(&mut stores.is_reported, true) {
            return None;
        }
        Some(format!(
            "two gateways publish as {}: their statuses take turns, and each connection ends the other's; stop one of them, \
             or give it another gateway.id",
            gateway.escape_debug()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, epoch: u128) -> Vec<u8> {
        let lanes = [0; 3];
        serde_json::to_vec(&serde_json::json!({
            "gateway": "g", "state": state, "epoch": format!("{epoch:032x}"), "at": 1, "version": "0.1.0",
            "store": { "oldest": lanes, "newest": lanes, "last": lanes },
        }))
        .unwrap()
    }

    #[test]
    fn stores_that_take_turns_are_two_gateways_and_a_new_epoch_is_none() {
        let check = |stores: &[u128], expected: usize| {
            let mut rivals = Rivals::default();
            let reported =
                stores.iter().filter(|epoch| rivals.note("g", &status("online", **epoch)).is_some());
            assert_eq!(reported.count(), expected, "{stores:?}");
        };
        check(&[1, 1, 1], 0);
        check(&[1, 2, 2], 0);
        check(&[1, 2, 3], 0);
        check(&[1, 2, 1], 1);
        check(&[1, 2, 1, 2, 1], 1);
        let mut rivals = Rivals::default();
        let turns = [("online", 1), ("offline", 2), ("online", 1), ("offline", 2)];
        assert!(turns.iter().all(|(state, epoch)| rivals.note("g", &status(state, *epoch)).is_none()));
    }
}
