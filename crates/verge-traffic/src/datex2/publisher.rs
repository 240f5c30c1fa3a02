//! Verdicts to documents.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use verge_domain::board::{LastWord, PointKind};
use verge_domain::id::{DeviceId, Lane, Seq};
use verge_domain::link::PublicationReport;
use verge_domain::stage::VerdictRow;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, EventState, Verdict};

use super::measured::{self, SiteData, Unwell};
use super::settings::DatexSettings;
use super::situations::{self, Situation};
use super::table;

/// What is kept of each device, the last that was wrong with it: what was measured meanwhile may be sent much later.
const KEPT: usize = 16;

/// Documents of the present state, for those who fetch them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publications {
    /// The table of places.
    pub table: Vec<u8>,
    /// The newest interval of each place; `None` where no place counts.
    pub measured: Option<Vec<u8>>,
    /// What is open.
    pub situations: Vec<u8>,
}

/// Makes documents of verdicts.
#[derive(Debug, Clone)]
pub struct DatexPublisher {
    settings: Arc<DatexSettings>,
    /// Up to which number of each lane it was counted what the verdicts became.
    counted: [Seq; Lane::ALL.len()],
    /// What was wrong with devices and has ended, the oldest first.
    past: HashMap<DeviceId, VecDeque<Unwell>>,
    report: PublicationReport,
}

impl DatexPublisher {
    /// For these places.
    #[must_use]
    pub fn new(settings: Arc<DatexSettings>) -> Self {
        let report = PublicationReport { sites: settings.sites.len() as u64, ..PublicationReport::default() };
        Self { settings, counted: [Seq::ZERO; 3], past: HashMap::new(), report }
    }

    /// What became of the verdicts so far, each counted once.
    #[must_use]
    pub const fn report(&self) -> PublicationReport {
        self.report
    }

    /// The table of places.
    #[must_use]
    pub fn table(&self, now: UtcMillis) -> Vec<u8> {
        table::publication(&self.settings, now)
    }

    /// Whether a word tells that a device is unwell: what [`DatexPublisher::documents`] takes beside the rows.
    #[must_use]
    pub fn wants(&self, word: &LastWord) -> bool {
        self.unwell(&word.verdict).is_some()
    }

    /// The documents that say what these verdicts say: one of each kind at most, none where nothing is about a place.
    /// `words`: what is wrong with devices, see [`DatexPublisher::wants`].
    pub fn documents(
        &mut self,
        rows: &[VerdictRow],
        words: &[Arc<LastWord>],
        now: UtcMillis,
    ) -> Vec<Vec<u8>> {
        let settings = Arc::clone(&self.settings);
        let of_words = words.iter().filter_map(|word| self.unwell(&word.verdict));
        let of_rows = rows.iter().filter_map(|row| self.unwell(row.verdict.as_deref()?));
        let now_unwell: Vec<Unwell> = of_words.chain(of_rows).collect();
        let unwell = self.with_past(now_unwell, rows);
        let (mut measured, mut situations) = (Vec::new(), Vec::new());
        for row in rows {
            let is_new = self.is_new(row);
            let Some(verdict) = row.verdict.as_deref() else {
                self.report.withdrawn += u64::from(is_new);
                continue;
            };
            let before = measured.len();
            measured.extend(settings.sites.iter().filter_map(|site| SiteData::of(site, verdict, &unwell)));
            let situation = Situation::of(&settings, verdict);
            if is_new {
                self.report.measurements += (measured.len() - before) as u64;
                self.report.situations += u64::from(situation.is_some());
                self.report.left_out += u64::from(measured.len() == before && situation.is_none());
            }
            if let Some(situation) = situation {
                // A document holds each situation once, in its newest version.
                situations.retain(|known: &Situation<'_>| !known.is_same(&situation));
                situations.push(situation);
            }
        }
        let measured = (!measured.is_empty()).then(|| measured::publication(&settings, &measured, now));
        let situations =
            (!situations.is_empty()).then(|| situations::publication(&settings, &situations, now));
        measured.into_iter().chain(situations).collect()
    }

    /// What is true now. `is_stale`: whether a device has sent nothing for too long.
    #[must_use]
    pub fn present(
        &self,
        words: &[Arc<LastWord>],
        is_stale: &dyn Fn(&DeviceId) -> bool,
        now: UtcMillis,
    ) -> Publications {
        let settings = &self.settings;
        let unwell: Vec<Unwell> = words.iter().filter_map(|word| self.unwell(&word.verdict)).collect();
        let counting = settings.sites.iter().filter(|site| site.counts.is_some());
        let measured: Vec<SiteData<'_>> = counting
            .map(|site| {
                let of_site =
                    words.iter().filter(|word| PointKind::of(&word.verdict.body) == PointKind::Counts);
                let data = of_site.filter_map(|word| SiteData::of(site, &word.verdict, &unwell)).next();
                let data = data.unwrap_or_else(|| SiteData::unknown(site, now));
                if is_stale(&site.device) { data.stale() } else { data }
            })
            .collect();
        let open = words.iter().filter(|word| word.open_event().is_some());
        let situations: Vec<Situation<'_>> =
            open.filter_map(|word| Situation::of(settings, &word.verdict)).collect();
        Publications {
            table: self.table(now),
            measured: (!measured.is_empty()).then(|| measured::publication(settings, &measured, now)),
            situations: situations::publication(settings, &situations, now),
        }
    }

    /// What is wrong with devices, and what was wrong earlier with those that rows are about.
    fn with_past(&mut self, now: Vec<Unwell>, rows: &[VerdictRow]) -> Vec<Unwell> {
        for ended in now.iter().filter(|unwell| unwell.until.is_some()) {
            let past = self.past.entry(ended.device.clone()).or_default();
            if past.iter().any(|known| known.is_same(ended)) {
                continue;
            }
            if past.len() == KEPT {
                past.pop_front();
            }
            past.push_back(ended.clone());
        }
        // A row may come again that says it has begun.
        let is_past = |unwell: &Unwell| {
            self.past.get(&unwell.device).is_some_and(|past| past.iter().any(|known| known.is_same(unwell)))
        };
        let open = now.into_iter().filter(|unwell| !is_past(unwell));
        let devices: HashSet<&DeviceId> =
            rows.iter().filter_map(|row| Some(&row.verdict.as_deref()?.subject.device)).collect();
        let past = devices.into_iter().filter_map(|device| self.past.get(device)).flatten().cloned();
        open.chain(past).collect()
    }

    /// Whether a verdict was not counted before: what was not acknowledged comes again.
    fn is_new(&mut self, row: &VerdictRow) -> bool {
        let counted = &mut self.counted[row.lane.index()];
        // Without a number it is not durable yet, and comes again with one.
        let is_new = row.seq > *counted;
        *counted = row.seq.max(*counted);
        is_new
    }

    fn unwell(&self, verdict: &Verdict) -> Option<Unwell> {
        let event = verdict.event.filter(|event| !event.learning)?;
        let Body::Health(health) = &verdict.body else { return None };
        let device = &verdict.subject.device;
        let is_ours = self
            .settings
            .sites
            .iter()
            .any(|site| site.device == *device && site.faults.contains(&verdict.judge));
        let until = (event.state == EventState::Cleared).then_some(verdict.times.received);
        is_ours.then(|| Unwell { device: device.clone(), cause: health.cause, since: event.since, until })
    }
}
