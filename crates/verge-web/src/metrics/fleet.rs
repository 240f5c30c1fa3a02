//! The gateways of a centre, by the status documents that they publish. None of these is trusted: their size, their number and
//! what becomes a label are bounded, and what is refused is counted.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;
use std::time::Instant;

use serde_json::Value;
use verge_domain::id::GatewayId;

use super::families::{Families, Family, Kind, Origin, Row, status};

/// Gateways at most.
const MAX_GATEWAYS: usize = 4_096;
/// A longer document is none of a gateway.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Series of one gateway, and of all.
const MAX_SERIES: usize = 4_096;
const MAX_SERIES_IN_ALL: usize = 1_000_000;
/// Since the start each series costs whoever scrapes it, also one that has ended: gateways have twice as many over time, for a
/// configuration that changes, and no more by names that change with each document.
const MAX_SEEN: usize = 2 * MAX_SERIES;
const MAX_SEEN_IN_ALL: usize = 2 * MAX_SERIES_IN_ALL;
/// The same for gateways.
const MAX_GATEWAYS_SEEN: usize = 2 * MAX_GATEWAYS;
/// Names in a configuration are shorter.
const MAX_LABEL_BYTES: usize = 256;

/// Why a status document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum StatusRefusal {
    /// Too long.
    #[error("the document has more than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// Not a JSON object with a state.
    #[error("it is no JSON object with a `state`")]
    NotStatus,
    /// The topic belongs to another gateway, or to none.
    #[error("its `gateway` is not the one of its topic")]
    OtherGateway,
    /// A name in it is no name.
    #[error("a name in it is longer than {MAX_LABEL_BYTES} bytes or has control characters")]
    BadLabel,
    /// Two series are the same.
    #[error("two of its entries have the same name")]
    DuplicateSeries,
    /// More than one gateway has, or than fit.
    #[error(
        "it makes more than {MAX_SERIES} series, or all gateways more than {MAX_SERIES_IN_ALL}, or twice as many since the start"
    )]
    TooManySeries,
    /// There are enough.
    #[error("{MAX_GATEWAYS} gateways are known already, or {MAX_GATEWAYS_SEEN} were since the start")]
    TooManyGateways,
}

impl StatusRefusal {
    const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::NotStatus,
        Self::OtherGateway,
        Self::BadLabel,
        Self::DuplicateSeries,
        Self::TooManySeries,
        Self::TooManyGateways,
    ];

    /// Its word, as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotStatus => "not_status",
            Self::OtherGateway => "other_gateway",
            Self::BadLabel => "bad_label",
            Self::DuplicateSeries => "duplicate_series",
            Self::TooManySeries => "too_many_series",
            Self::TooManyGateways => "too_many_gateways",
        }
    }
}

/// What is known of one gateway.
#[derive(Debug)]
struct Known {
    received: Instant,
    is_online: bool,
    /// Empty unless it is online: numbers of a gateway that has ended are not true now.
    families: Families,
    series: usize,
}

/// All gateways.
#[derive(Debug, Default)]
pub struct Fleet {
    gateways: BTreeMap<GatewayId, Known>,
    series: usize,
    /// Hashes of all series of each gateway since the start, also of those that were removed.
    seen: BTreeMap<GatewayId, HashSet<u64>>,
    seen_in_all: usize,
    hasher: RandomState,
    refused: BTreeMap<StatusRefusal, u64>,
    is_connected: bool,
}

impl Fleet {
    /// Whether the broker that they publish to is connected.
    pub fn set_connected(&mut self, is_connected: bool) {
        self.is_connected = is_connected;
    }

    /// A document has come, on the topic of this gateway where topics name them. An empty one removes the gateway.
    ///
    /// # Errors
    /// It is refused, and counted; what was known of the gateway stays.
    pub fn note(
        &mut self,
        topic: Option<&GatewayId>,
        document: &[u8],
        now: Instant,
    ) -> Result<(), StatusRefusal> {
        let noted = self.take(topic, document, now);
        if let Err(refusal) = noted {
            *self.refused.entry(refusal).or_default() += 1;
        }
        noted
    }

    fn take(
        &mut self,
        topic: Option<&GatewayId>,
        document: &[u8],
        now: Instant,
    ) -> Result<(), StatusRefusal> {
        if let (true, Some(gateway)) = (document.is_empty(), topic) {
            self.remove(gateway);
            return Ok(());
        }
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(StatusRefusal::TooLarge);
        }
        let read: Value = serde_json::from_slice(document).map_err(|_| StatusRefusal::NotStatus)?;
        let state = read["state"].as_str().ok_or(StatusRefusal::NotStatus)?;
        let named = read["gateway"].as_str().and_then(|name| GatewayId::new(name).ok());
        let gateway = named.filter(|named| topic.is_none_or(|topic| topic == named));
        let gateway = gateway.ok_or(StatusRefusal::OtherGateway)?;
        let is_online = state == "online";
        let mut families = Families::default();
        if is_online {
            status(&mut families, &read, Origin::Received);
        }
        let series = checked(&families)?;
        let (others, is_known) = match self.gateways.get(&gateway) {
            Some(known) => (self.series - known.series, true),
            None => (self.series, false),
        };
        if series > MAX_SERIES || others + series > MAX_SERIES_IN_ALL {
            return Err(StatusRefusal::TooManySeries);
        }
        let is_new = !self.seen.contains_key(&gateway);
        if !is_known && self.gateways.len() >= MAX_GATEWAYS || is_new && self.seen.len() >= MAX_GATEWAYS_SEEN
        {
            return Err(StatusRefusal::TooManyGateways);
        }
        self.note_series(&gateway, &families)?;
        self.series = others + series;
        self.gateways.insert(gateway, Known { received: now, is_online, families, series });
        Ok(())
    }

    /// Adds to what a gateway has shown since the start, unless that is too much.
    fn note_series(&mut self, gateway: &GatewayId, families: &Families) -> Result<(), StatusRefusal> {
        let all = families.all().iter();
        let all = all.flat_map(|family| family.rows.iter().map(move |(labels, _)| (family.name, labels)));
        let hashes = all.map(|series| self.hasher.hash_one(series));
        let known = self.seen.get(gateway);
        let new: HashSet<u64> =
            hashes.filter(|hash| known.is_none_or(|known| !known.contains(hash))).collect();
        let before = known.map_or(0, HashSet::len);
        if before + new.len() > MAX_SEEN || self.seen_in_all + new.len() > MAX_SEEN_IN_ALL {
            return Err(StatusRefusal::TooManySeries);
        }
        self.seen_in_all += new.len();
        self.seen.entry(gateway.clone()).or_default().extend(new);
        Ok(())
    }

    fn remove(&mut self, gateway: &GatewayId) {
        if let Some(known) = self.gateways.remove(gateway) {
            self.series -= known.series;
        }
    }

    /// The metrics of all, each family once, with the label `gateway` in front.
    pub(super) fn families(&self, now: Instant) -> Families {
        let mut out = Families::default();
        let count = |count: usize| vec![(Vec::new(), count as f64)];
        let connected = vec![(Vec::new(), f64::from(u8::from(self.is_connected)))];
        out.gauge(
            "verge_watch_connected",
            "Whether the broker of the status documents is connected",
            connected,
        );
        out.gauge("verge_watch_gateways", "Gateways whose status is known", count(self.gateways.len()));
        let refused = StatusRefusal::ALL.map(|reason| {
            let count = self.refused.get(&reason).copied().unwrap_or_default();
            (vec![("reason", reason.as_str().to_owned())], count as f64)
        });
        out.counter("verge_watch_statuses_refused", "Status documents refused", refused.to_vec());
        let of_each = |value: &dyn Fn(&Known) -> f64| -> Vec<Row> {
            self.gateways.iter().map(|(gateway, known)| (vec![label(gateway)], value(known))).collect()
        };
        let online = of_each(&|known| f64::from(u8::from(known.is_online)));
        out.gauge(
            "verge_gateway_online",
            "Whether the gateway runs, by its last status or its last will",
            online,
        );
        let age = of_each(&|known| now.saturating_duration_since(known.received).as_secs_f64());
        out.gauge("verge_gateway_status_age_seconds", "Time since its last status was received", age);
        for (gateway, known) in &self.gateways {
            for Family { name, help, kind, rows } in known.families.all() {
                let labelled = |(labels, value): &Row| {
                    (std::iter::once(label(gateway)).chain(labels.iter().cloned()).collect(), *value)
                };
                out.add(Family { name, help, kind: *kind, rows: rows.iter().map(labelled).collect() });
            }
        }
        out
    }
}

fn label(gateway: &GatewayId) -> (&'static str, String) {
    ("gateway", gateway.to_string())
}

/// How many series they are, if all of them can be written.
fn checked(families: &Families) -> Result<usize, StatusRefusal> {
    let mut series = 0;
    for family in families.all() {
        let mut seen = HashSet::new();
        for (labels, value) in &family.rows {
            let is_name = |text: &str| text.len() <= MAX_LABEL_BYTES && !text.chars().any(char::is_control);
            if labels.iter().any(|(_, text)| !is_name(text)) {
                return Err(StatusRefusal::BadLabel);
            }
            if family.kind == Kind::Counter && *value < 0.0 {
                return Err(StatusRefusal::NotStatus);
            }
            if !seen.insert(labels) {
                return Err(StatusRefusal::DuplicateSeries);
            }
            series += 1;
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests;
