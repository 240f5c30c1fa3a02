//! `SituationPublication`: queues, stopped vehicles and vehicles that go the wrong way, and detectors that are at fault.

use verge_domain::finding::Member;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Event, EventState, Severity, Verdict};

use super::settings::{DatexSettings, DatexSite};
use super::table::location;
use super::xml::Xml;
use crate::rsmp::DetectorKind;
use crate::time::timestamp;

/// What an event is on the road.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Vehicles wait: how many.
    Queue(f64),
    /// Vehicles stand.
    Stopped,
    /// Vehicles go against their lane.
    WrongWay,
    /// The detector is at fault.
    Equipment(Member),
}

/// An event, and the places that it concerns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Situation<'a> {
    event: Event,
    kind: Kind,
    severity: Severity,
    /// When it was decided.
    decided: UtcMillis,
    /// When what decided was observed.
    observed: UtcMillis,
    sites: Vec<&'a DatexSite>,
}

impl<'a> Situation<'a> {
    /// What a verdict says; `None` where it is about nothing that is published.
    pub(super) fn of(settings: &'a DatexSettings, verdict: &Verdict) -> Option<Self> {
        let event = verdict.event.filter(|event| !event.learning)?;
        let kind = match &verdict.body {
            Body::Anomaly(anomaly) if anomaly.member == Member::Queue => Kind::Queue(anomaly.observed),
            Body::Anomaly(anomaly) if anomaly.member == Member::Stopped => Kind::Stopped,
            Body::Anomaly(anomaly) if anomaly.member == Member::WrongWay => Kind::WrongWay,
            Body::Health(health) => Kind::Equipment(health.cause),
            _ => return None,
        };
        let concerns = |site: &&DatexSite| {
            let judges = if matches!(kind, Kind::Equipment(_)) { &site.faults } else { &site.events };
            site.device == verdict.subject.device
                && judges.contains(&verdict.judge)
                && is_there(site, verdict)
        };
        let sites: Vec<&DatexSite> = settings.sites.iter().filter(concerns).collect();
        let captured = verdict.times.captured.filter(|_| verdict.times.clock == DeviceClock::Trusted);
        (!sites.is_empty()).then(|| Self {
            event,
            kind,
            severity: verdict.severity,
            decided: verdict.times.decided,
            observed: captured.unwrap_or(verdict.times.received),
            sites,
        })
    }

    /// Whether both are versions of one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.event.id == other.event.id
    }

    fn write(&self, xml: &mut Xml) {
        let id = self.event.id.to_string();
        xml.within("sit:situation", &[("id", &id)], |xml| {
            xml.leaf("sit:overallSeverity", self.severity_word());
            xml.leaf("sit:situationVersionTime", &timestamp(self.decided));
            xml.header("sit:headerInformation");
            self.sites.iter().for_each(|site| self.record(xml, &id, site));
        });
    }

    fn record(&self, xml: &mut Xml, situation: &str, site: &DatexSite) {
        let class = match self.kind {
            Kind::Queue(_) | Kind::Stopped => "sit:AbnormalTraffic",
            Kind::WrongWay => "sit:VehicleObstruction",
            Kind::Equipment(_) => "sit:EquipmentOrSystemFault",
        };
        let id = format!("{situation}_{}", site.id);
        // It grows with each verdict of the event, and is the same whenever and from wherever the verdict is sent.
        let version = self.decided.0.to_string();
        xml.within(
            "sit:situationRecord",
            &[("xsi:type", class), ("id", &id), ("version", &version)],
            |xml| {
                xml.leaf("sit:situationRecordCreationTime", &timestamp(self.event.since));
                xml.leaf("sit:situationRecordObservationTime", &timestamp(self.observed));
                xml.leaf("sit:situationRecordVersionTime", &timestamp(self.decided));
                xml.leaf("sit:probabilityOfOccurrence", "certain");
                xml.leaf("sit:severity", self.severity_word());
                xml.within("sit:validity", &[], |xml| self.validity(xml));
                location(xml, "sit:locationReference", site.place);
                self.content(xml, site);
            },
        );
    }

    fn validity(&self, xml: &mut Xml) {
        let status = match self.event.state {
            // Over by its end, which is stated.
            EventState::Cleared => "definedByValidityTimeSpec",
            _ if self.event.suspended => "suspended",
            EventState::Raised | EventState::Updated => "active",
        };
        xml.leaf("com:validityStatus", status);
        xml.within("com:validityTimeSpecification", &[], |xml| {
            xml.leaf("com:overallStartTime", &timestamp(self.event.since));
            if self.event.state == EventState::Cleared {
                xml.leaf("com:overallEndTime", &timestamp(self.observed.max(self.event.since)));
            }
        });
    }

    fn content(&self, xml: &mut Xml, site: &DatexSite) {
        match self.kind {
            Kind::Queue(waiting) => {
                xml.leaf("sit:abnormalTrafficType", "queuingTraffic");
                if self.event.state != EventState::Cleared {
                    xml.leaf("sit:numberOfVehiclesWaiting", &format!("{:.0}", waiting.max(0.0)));
                }
            }
            Kind::Stopped => xml.leaf("sit:abnormalTrafficType", "stationaryTraffic"),
            Kind::WrongWay => xml.leaf("sit:vehicleObstructionType", "vehicleOnWrongCarriageway"),
            Kind::Equipment(cause) => {
                let fault = if cause == Member::Silent { "notWorking" } else { "workingIncorrectly" };
                xml.leaf("sit:equipmentOrSystemFaultType", fault);
                match site.kind {
                    DetectorKind::Input => xml.leaf("sit:faultyEquipmentOrSystemType", "cctvCameras"),
                    // The model has no word of its own for other detectors.
                    DetectorKind::Loop => {
                        xml.extended("sit:faultyEquipmentOrSystemType", "trafficSensors");
                    }
                }
            }
        }
    }

    const fn severity_word(&self) -> &'static str {
        match self.severity {
            Severity::Info => "low",
            Severity::Warning => "medium",
            Severity::Critical => "high",
        }
    }
}

/// Whether an event of one zone is that of a place of this zone.
fn is_there(site: &DatexSite, verdict: &Verdict) -> bool {
    let zone = site.counts.as_ref().and_then(|counts| counts.zone.as_ref());
    let signal = verdict.subject.signal.as_ref();
    let is_of_zone = matches!(&verdict.body, Body::Anomaly(_));
    !is_of_zone || zone.zip(signal).is_none_or(|(zone, signal)| zone.as_str() == signal.as_str())
}

/// All situations.
pub(super) fn publication(settings: &DatexSettings, situations: &[Situation<'_>], now: UtcMillis) -> Vec<u8> {
    Xml::publication("sit:SituationPublication", settings, now, |xml| {
        situations.iter().for_each(|situation| situation.write(xml));
    })
}
