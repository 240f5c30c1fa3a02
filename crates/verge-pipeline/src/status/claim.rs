//! What the status reports of the store's life, and how a gateway reads its own retained one back.

use serde::{Deserialize, Serialize};
use verge_domain::id::Epoch;
use verge_domain::life::{Claim, EarlierEpoch, Life, RunId};

/// Longer documents are no status of a gateway.
const MAX_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunStatus {
    count: u64,
    id: Hex,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EarlierStatus {
    epoch: Hex128,
    run: RunStatus,
    last: [u64; 3],
}

/// The life of a store, as the status reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifeStatus {
    run: RunStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_epochs: Vec<EarlierStatus>,
}

impl LifeStatus {
    pub(super) fn of(life: &Life) -> Self {
        let earlier = life.earlier.iter().map(|earlier| EarlierStatus {
            epoch: Hex128(u128::from_be_bytes(earlier.epoch.0)),
            run: RunStatus::of(earlier.run),
            last: earlier.last,
        });
        Self { run: RunStatus::of(life.run()), earlier_epochs: earlier.collect() }
    }
}

impl RunStatus {
    fn of(run: RunId) -> Self {
        Self { count: run.count, id: Hex(run.id) }
    }

    fn to_id(&self) -> RunId {
        RunId { count: self.count, id: self.id.0 }
    }
}

/// The part of a status that is read back.
#[derive(Deserialize)]
struct Found {
    epoch: Hex128,
    store: FoundStore,
}

#[derive(Deserialize)]
struct FoundStore {
    run: Option<RunStatus>,
    #[serde(default)]
    earlier_epochs: Vec<EarlierStatus>,
    last: [u64; 3],
}

/// What a status claims; `None` where it is no status, or reports nothing of its store.
pub(crate) fn read(document: &[u8]) -> Option<Claim> {
    if document.len() > MAX_BYTES {
        return None;
    }
    let Found { epoch, store } = serde_json::from_slice(document).ok()?;
    let earlier = store.earlier_epochs.iter().map(|earlier| EarlierEpoch {
        epoch: earlier.epoch.to_epoch(),
        run: earlier.run.to_id(),
        last: earlier.last,
    });
    Some(Claim {
        epoch: epoch.to_epoch(),
        run: store.run.as_ref().map(RunStatus::to_id),
        last: store.last,
        earlier: earlier.collect(),
    })
}

/// A status that upstream holds under the name of this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its gateway runs, by its own report: it has neither stopped nor vanished.
    pub is_online: bool,
    /// When it was written, by the clock of its gateway (UTC ms).
    pub at: Option<i64>,
    /// Version of the program.
    pub version: Option<String>,
    /// What it reports of its store.
    pub claim: Claim,
}

/// Reads a status; `None` where it is no status, or reports nothing of its store.
#[must_use]
pub fn sighting(document: &[u8]) -> Option<Sighting> {
    #[derive(Deserialize)]
    struct Head {
        state: String,
        at: Option<i64>,
        version: Option<String>,
    }
    let claim = read(document)?;
    let Head { state, at, version } = serde_json::from_slice(document).ok()?;
    Some(Sighting { is_online: state == "online", at, version, claim })
}

impl Sighting {
    /// Whether another gateway wrote it. `known`: the life of this gateway's store and its newest numbers; `None` where
    /// there is no store yet.
    #[must_use]
    pub fn is_of_another(&self, known: Option<(&Life, [u64; 3])>) -> bool {
        let Some((life, last)) = known else { return true };
        let epoch = self.claim.epoch;
        let is_ours = epoch == life.epoch || life.earlier.iter().any(|earlier| earlier.epoch == epoch);
        !is_ours || life.is_overtaken_by(&self.claim, last)
    }
}

/// Declares numbers that a text holds in as many hexadecimal digits as they have.
macro_rules! hexadecimal {
    ($($name:ident($number:ty): $digits:literal;)+) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        struct $name($number);

        impl TryFrom<String> for $name {
            type Error = NotHex;

            fn try_from(text: String) -> Result<Self, NotHex> {
                let number = <$number>::from_str_radix(&text, 16).ok().filter(|_| text.len() == $digits);
                number.map(Self).ok_or(NotHex)
            }
        }

        impl From<$name> for String {
            fn from(hex: $name) -> Self {
                format!("{:0digits$x}", hex.0, digits = $digits)
            }
        }
    )+};
}

hexadecimal! {
    Hex(u64): 16;
    Hex128(u128): 32;
}

impl Hex128 {
    fn to_epoch(self) -> Epoch {
        Epoch(self.0.to_be_bytes())
    }
}

/// A text that is no such number.
#[derive(Debug, thiserror::Error)]
#[error("not as many hexadecimal digits as it must have")]
struct NotHex;

#[cfg(test)]
mod tests {
    use verge_domain::id::GatewayId;
    use verge_domain::life::Run;

    use super::*;
    use crate::status::last_will_of;

    #[test]
    fn a_will_is_read_back_as_it_was_meant() {
        let run = RunId { count: 4, id: 40 };
        let earlier = vec![EarlierEpoch { epoch: Epoch([2; 16]), run, last: [1, 2, 3] }];
        let life = Life {
            epoch: Epoch([1; 16]),
            count: 5,
            runs: vec![Run { id: u64::MAX, began: [0; 3] }],
            earlier: earlier.clone(),
        };
        let will = last_will_of(&GatewayId::new("g").unwrap(), &life, [7, 8, 9]);
        let expected = Claim { epoch: life.epoch, run: Some(life.run()), last: [7, 8, 9], earlier };
        assert_eq!(read(&will), Some(expected));
        assert_eq!(read(br#"{"v":1,"state":"offline","gateway":"g"}"#), None);
        assert_eq!(read(b"a letter"), None);
        let seen = sighting(&will).unwrap();
        assert!(!seen.is_online && seen.at.is_none());
        assert!(!seen.is_of_another(Some((&life, [7, 8, 9]))) && seen.is_of_another(None));
        assert!(seen.is_of_another(Some((&life, [6, 8, 9]))), "numbers that this store never gave");
        let other = Life { epoch: Epoch([9; 16]), ..life.clone() };
        assert!(seen.is_of_another(Some((&other, [7, 8, 9]))), "of another store");
        let renewed = Life {
            earlier: vec![EarlierEpoch { epoch: life.epoch, run: life.run(), last: [7, 8, 9] }],
            ..other
        };
        assert!(!seen.is_of_another(Some((&renewed, [7, 8, 9]))), "of this store, an epoch ago");
        let older = format!(r#"{{"epoch":"{}","store":{{"last":[1,0,0]}}}}"#, "01".repeat(16));
        assert_eq!(read(older.as_bytes()).unwrap().run, None, "of an older release");
    }
}
