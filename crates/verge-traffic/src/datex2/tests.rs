//! Verdicts to documents, read again by the parser of the library.

use std::sync::Arc;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event as Part;
use verge_domain::board::LastWord;
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, EventId, JudgeId, Lane, Seq, SignalId, SourceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::stage::VerdictRow;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Anomaly, Body, Counts, Detector, Event, EventState, Health, Regions, Severity, Subject, Times, Verdict,
};

use super::*;
use crate::rsmp::DetectorKind;
use crate::{CountsOf, Direction, SpeedUnit};

mod measured;

const BEGIN: UtcMillis = UtcMillis(1_796_000_400_000);
const NOW: UtcMillis = UtcMillis(1_796_000_500_000);

fn judge(name: &str) -> JudgeId {
    JudgeId::new(name).unwrap()
}

fn site(id: &str, device: &str, kind: DetectorKind) -> DatexSite {
    DatexSite {
        id: id.to_owned(),
        name: Some("Ring <north> & \"co\"\u{1}".to_owned()),
        device: DeviceId::new(device).unwrap(),
        counts: Some(CountsOf {
            judge: judge("traffic"),
            interval: IntervalGrid::new(Duration::from_secs(60)).unwrap(),
            line: None,
            direction: Direction::Both,
            zone: None,
            speed_unit: SpeedUnit::MetresPerSecond,
        }),
        events: vec![judge("traffic")],
        faults: vec![judge("silent")],
        kind,
        lanes: Some(2),
        place: Place { latitude: 57.7, longitude: 11.97, bearing: Some(90) },
    }
}

fn settings() -> DatexSettings {
    DatexSettings {
        country: "se".to_owned(),
        national_identifier: "SEROAD".to_owned(),
        language: "en".to_owned(),
        table: "north".to_owned(),
        table_version: 3,
        sites: vec![site("S1", "loop-1", DetectorKind::Loop), site("S2", "cam-1", DetectorKind::Input)],
    }
}

fn verdict(by: &str, device: &str, body: Body, event: Option<Event>) -> Verdict {
    Verdict {
        judge: judge(by),
        subject: Subject {
            source: SourceId::new("road").unwrap(),
            device: DeviceId::new(device).unwrap(),
            signal: Some(SignalId::new("count").unwrap()),
        },
        tag: None,
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: UtcMillis(BEGIN.0 + 30_000),
            decided: UtcMillis(BEGIN.0 + 60_001),
            estimated: false,
        },
        detector: Detector::Loop,
        model: None,
        severity: Severity::Warning,
        lane: Lane::Telemetry,
        event,
        group: None,
        action: None,
        body,
    }
}

fn counts() -> Counts {
    Counts {
        from: BEGIN,
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 120,
        vehicles: Some(17),
        flow_per_hour: Some(1020.0),
        occupancy: Some(0.125),
        mean_speed: Some(13.1),
        forecasts: Vec::new(),
    }
}

fn event(state: EventState) -> Event {
    Event {
        id: EventId([7; 16]),
        state,
        since: UtcMillis(BEGIN.0 + 10_000),
        lasted_ms: 0,
        number: None,
        learning: false,
        change: None,
        suspended: false,
        group: None,
        handling: verge_domain::verdict::AlarmHandling::default(),
    }
}

fn silence(state: EventState) -> Verdict {
    let body = Body::Health(Health::of(Member::Silent, 30.0, Expected { low: None, high: Some(10.0) }));
    verdict("silent", "loop-1", body, Some(event(state)))
}

fn queue(state: EventState, waiting: f64) -> Verdict {
    let anomaly = Anomaly {
        member: Member::Queue,
        observed: waiting,
        expected: Expected { low: None, high: Some(4.0) },
        p_value: None,
        unit: None,
        contributions: Vec::new(),
        feedback: Feedback::default(),
        distance: None,
        value: None,
        usual: Expected { low: None, high: None },
        value_unit: None,
        regions: Regions::default(),
    };
    verdict("traffic", "cam-1", Body::Anomaly(anomaly), Some(event(state)))
}

fn rows(verdicts: impl IntoIterator<Item = Verdict>) -> Vec<VerdictRow> {
    let row = |(seq, verdict)| VerdictRow {
        lane: Lane::Telemetry,
        seq: Seq(seq),
        verdict: Some(Box::new(verdict)),
        stored_bytes: 1,
    };
    (1..).zip(verdicts).map(row).collect()
}

fn publisher() -> DatexPublisher {
    DatexPublisher::new(Arc::new(settings()))
}

/// Elements with their texts and attributes, as `path@attribute=value` and `path=text`, in order.
fn parts(document: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(document).unwrap();
    let mut reader = Reader::from_str(text);
    let (mut path, mut found) = (Vec::<String>::new(), Vec::new());
    let mut said = String::new();
    loop {
        match reader.read_event().unwrap() {
            Part::Start(start) => {
                let name = start.name().as_ref().to_owned();
                path.push(name.rsplit(':').next().unwrap().to_owned());
                for attribute in start.attributes().map(Result::unwrap) {
                    let key = attribute.key.as_ref().to_owned();
                    let value = attribute.value.to_string();
                    if !key.starts_with("xmlns") {
                        found.push(format!("{}@{key}={value}", path.join("/")));
                    }
                }
                said.clear();
            }
            Part::Text(text) => said.push_str(&text),
            Part::GeneralRef(name) => said.push_str(&format!("&{};", &*name)),
            Part::End(_) => {
                if !said.is_empty() {
                    found.push(format!("{}={said}", path.join("/")));
                }
                said.clear();
                path.pop();
            }
            Part::Eof => return found,
            _ => {}
        }
    }
}

#[track_caller]
fn holds(document: &[u8], expected: &[&str]) {
    let found = parts(document);
    let mut from = 0;
    for part in expected {
        let place = found[from..].iter().position(|one| one.ends_with(part));
        let place = place.unwrap_or_else(|| panic!("{part:?} is not in its place in {found:#?}"));
        from += place + 1;
    }
}

#[test]
fn who_goes_the_wrong_way_is_an_obstruction() {
    let mut verdict = queue(EventState::Raised, 1.0);
    let Body::Anomaly(anomaly) = &mut verdict.body else { unreachable!() };
    anomaly.member = Member::WrongWay;
    let documents = publisher().documents(&rows([verdict]), &[], NOW);
    holds(
        &documents[0],
        &[
            "situationRecord@xsi:type=sit:VehicleObstruction",
            "situationRecord/vehicleObstructionType=vehicleOnWrongCarriageway",
        ],
    );
}

#[test]
fn an_event_is_a_record_whose_version_grows_until_it_ends() {
    let mut publisher = publisher();
    let raised = queue(EventState::Raised, 5.0);
    let mut updated = queue(EventState::Updated, 9.0);
    updated.times.decided = UtcMillis(raised.times.decided.0 + 600_000);
    let mut cleared = queue(EventState::Cleared, 0.0);
    cleared.times.decided = UtcMillis(updated.times.decided.0 + 600_000);
    cleared.times.received = cleared.times.decided;
    let mut versions = Vec::new();
    for verdict in [raised.clone(), updated.clone(), cleared.clone()] {
        let documents = publisher.documents(&rows([verdict]), &[], NOW);
        let version = parts(&documents[0]).into_iter().find(|part| part.contains("situationRecord@version="));
        versions.push(version.unwrap().rsplit('=').next().unwrap().parse::<u64>().unwrap());
    }
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let of = |verdict: Verdict| {
        super::DatexPublisher::new(Arc::new(settings())).documents(&rows([verdict]), &[], NOW)
    };
    holds(
        &of(updated.clone())[0],
        &[
            "payload@xsi:type=sit:SituationPublication",
            "situation@id=07070707070707070707070707070707",
            "situation/overallSeverity=medium",
            "situationRecord@xsi:type=sit:AbnormalTraffic",
            "situationRecord@id=07070707070707070707070707070707_S2",
            "situationRecordCreationTime=2026-11-30T01:00:10.000Z",
            "probabilityOfOccurrence=certain",
            "validity/validityStatus=active",
            "overallStartTime=2026-11-30T01:00:10.000Z",
            "locationReference@xsi:type=loc:PointLocation",
            "pointByCoordinates/bearing=90",
            "pointCoordinates/latitude=57.7",
            "pointCoordinates/longitude=11.97",
            "abnormalTrafficType=queuingTraffic",
            "numberOfVehiclesWaiting=9",
        ],
    );
    holds(
        &of(cleared.clone())[0],
        &["validityStatus=definedByValidityTimeSpec", "overallEndTime=2026-11-30T01:21:00.001Z"],
    );
    // Those of one batch are one, in its newest version.
    let documents = super::DatexPublisher::new(Arc::new(settings())).documents(
        &rows([raised, updated, cleared]),
        &[],
        NOW,
    );
    let records = parts(&documents[0]).into_iter().filter(|part| part.contains("situationRecord@id"));
    assert_eq!((documents.len(), records.count()), (1, 1));
    holds(&documents[0], &["validityStatus=definedByValidityTimeSpec"]);
}

#[test]
fn a_detector_at_fault_is_equipment_at_fault() {
    let documents = publisher().documents(&rows([silence(EventState::Raised)]), &[], NOW);
    holds(
        &documents[0],
        &[
            "situationRecord@xsi:type=sit:EquipmentOrSystemFault",
            "equipmentOrSystemFaultType=notWorking",
            "faultyEquipmentOrSystemType@_extendedValue=trafficSensors",
            "faultyEquipmentOrSystemType=_extended",
        ],
    );
    let body = Body::Health(Health::of(Member::Covered, 0.9, Expected { low: None, high: Some(0.5) }));
    let camera = verdict("silent", "cam-1", body, Some(event(EventState::Raised)));
    let documents = publisher().documents(&rows([camera]), &[], NOW);
    holds(
        &documents[0],
        &["equipmentOrSystemFaultType=workingIncorrectly", "faultyEquipmentOrSystemType=cctvCameras"],
    );
}

#[test]
fn what_is_about_no_place_is_counted_once_and_nothing_is_sent_of_it() {
    let mut publisher = publisher();
    let other = verdict("traffic", "loop-9", Body::Counts(counts()), None);
    let learning = Event { learning: true, ..event(EventState::Raised) };
    let body = Body::Health(Health::of(Member::Silent, 30.0, Expected { low: None, high: None }));
    let learning = verdict("silent", "loop-1", body, Some(learning));
    let mut rows = rows([other, learning, verdict("traffic", "loop-1", Body::Counts(counts()), None)]);
    rows.push(VerdictRow { lane: Lane::Telemetry, seq: Seq(4), verdict: None, stored_bytes: 0 });
    for _ in 0..2 {
        assert_eq!(publisher.documents(&rows, &[], NOW).len(), 1);
    }
    let report = publisher.report();
    assert_eq!((report.sites, report.measurements, report.situations), (2, 1, 0));
    assert_eq!((report.left_out, report.withdrawn), (2, 1));
    assert_eq!(publisher.documents(&rows[..2], &[], NOW), [] as [Vec<u8>; 0]);
}

#[test]
fn what_is_true_now_names_each_place_and_what_is_open() {
    let counted = Arc::new(LastWord::new(verdict("traffic", "loop-1", Body::Counts(counts()), None), None));
    let open = Arc::new(LastWord::new(queue(EventState::Updated, 9.0), None));
    let over = Arc::new(LastWord::new(silence(EventState::Cleared), None));
    let present = publisher().present(&[counted, open, over], &|device| device.as_str() == "loop-1", NOW);
    let measured = present.measured.unwrap();
    holds(
        &measured,
        &[
            "measurementSiteReference@id=S1",
            "physicalQuantityFaultType=noDataValuesAvailable",
            "vehicleFlow/dataError=true",
            "vehicleFlow/vehicleFlowRate=1020",
            "measurementSiteReference@id=S2",
            "physicalQuantityFaultType=noDataValuesAvailable",
            "measurementTimeDefault/timeValue=2026-11-30T01:01:40.000Z",
        ],
    );
    let records = parts(&present.situations).into_iter().filter(|part| part.contains("situationRecord@id"));
    assert_eq!(records.count(), 1, "only what is open");
    holds(
        &present.table,
        &[
            "payload@xsi:type=roa:MeasurementSiteTablePublication",
            "measurementSiteTable@id=north",
            "measurementSite@id=S1",
            "measurementEquipmentReference=loop-1",
            "measurementSiteName/values/value=Ring &lt;north&gt; &amp; &quot;co&quot;\u{fffd}",
            "measurementSiteNumberOfLanes=2",
            "measurementSpecificCharacteristics@index=1",
            "period=60.000",
            "specificMeasurementValueType=trafficFlow",
            "specificMeasurementValueType=trafficConcentration",
            "measurementSiteLocation@xsi:type=loc:PointLocation",
            "measurementSite@id=S2",
        ],
    );
}
