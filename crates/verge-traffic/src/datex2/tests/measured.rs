//! What is measured.

use verge_domain::id::PlaceId;
use verge_domain::verdict::{DirectionCounts, LineCounts, PartialReason, TimeBasis, Traffic};

use super::*;

#[test]
fn an_interval_becomes_the_measurements_of_its_place() {
    let documents =
        publisher().documents(&rows([verdict("traffic", "loop-1", Body::Counts(counts()), None)]), &[], NOW);
    assert_eq!(documents.len(), 1);
    holds(
        &documents[0],
        &[
            "payload@xsi:type=roa:MeasuredDataPublication",
            "payload@lang=en",
            "payload@modelBaseVersion=3",
            "publicationTime=2026-11-30T01:01:40.000Z",
            "publicationCreator/country=se",
            "publicationCreator/nationalIdentifier=SEROAD",
            "measurementSiteTableReference@id=north",
            "measurementSiteTableReference@version=3",
            "headerInformation/informationStatus=real",
            "siteMeasurements/measurementSiteReference@id=S1",
            "siteMeasurements/physicalQuantity@index=1",
            "basicData@xsi:type=roa:TrafficFlow",
            "vehicleFlow@numberOfInputValuesUsed=120",
            "vehicleFlow/vehicleFlowRate=1020",
            "siteMeasurements/physicalQuantity@index=2",
            "averageVehicleSpeed/speed=47.2",
            "siteMeasurements/physicalQuantity@index=3",
            "occupancy/percentage=12.5",
            "measurementTimeDefault/timeMeaning=endTime",
            "measurementTimeDefault/timeValue=2026-11-30T01:01:00.000Z",
            "period/startOfPeriod=2026-11-30T01:00:00.000Z",
        ],
    );
    let text = String::from_utf8(documents[0].clone()).unwrap();
    assert!(!text.contains("dataError") && !text.contains("physicalQuantityFault"), "{text}");
}

#[test]
fn what_crosses_the_lines_of_a_camera_is_the_flow_of_its_place() {
    let direction = |total: u64, speed: f64| DirectionCounts {
        total,
        mean_speed: Some(speed),
        ..DirectionCounts::default()
    };
    let stop = LineCounts {
        line: PlaceId::new("stop").unwrap(),
        forward: Some(direction(3, 10.0)),
        backward: Some(direction(1, 20.0)),
        unresolved: 0,
    };
    let traffic = Traffic {
        from: BEGIN,
        length_ms: 60_000,
        observed_ms: 30_000,
        judged: 75,
        skipped: 0,
        partial: vec![PartialReason::Health],
        time: TimeBasis::Received,
        lines: vec![stop],
        zones: Vec::new(),
        trips: Vec::new(),
        forecasts: Vec::new(),
    };
    let camera = verdict("traffic", "cam-1", Body::Traffic(traffic), None);
    let documents = publisher().documents(&rows([camera.clone()]), &[], NOW);
    holds(
        &documents[0],
        &[
            "measurementSiteReference@id=S2",
            "physicalQuantityFaultType=intermittentDataValues",
            "vehicleFlow@numberOfInputValuesUsed=75",
            "vehicleFlow/vehicleFlowRate=480",
            "averageVehicleSpeed/speed=45.0",
        ],
    );
    // One direction is a place of its own.
    let mut one_way = settings();
    if let Some(counts) = &mut one_way.sites[1].counts {
        counts.direction = Direction::Backward;
    }
    let documents = DatexPublisher::new(Arc::new(one_way)).documents(&rows([camera]), &[], NOW);
    holds(&documents[0], &["vehicleFlow/vehicleFlowRate=120", "averageVehicleSpeed/speed=72.0"]);
}

#[test]
fn what_is_not_to_be_relied_on_says_so() {
    let of = |counts: Counts| verdict("traffic", "loop-1", Body::Counts(counts), None);
    let partial = of(Counts { partial: true, observed_ms: 30_000, ..counts() });
    let documents = publisher().documents(&rows([partial]), &[], NOW);
    holds(
        &documents[0],
        &[
            "physicalQuantityFault/physicalQuantityFaultType=intermittentDataValues",
            "vehicleFlow@numberOfIncompleteInputs=1",
            "vehicleFlow/vehicleFlowRate=1020",
        ],
    );
    let nothing = of(Counts {
        observed_ms: 0,
        vehicles: None,
        flow_per_hour: None,
        occupancy: None,
        mean_speed: None,
        ..counts()
    });
    let documents = publisher().documents(&rows([nothing]), &[], NOW);
    holds(&documents[0], &["physicalQuantityFaultType=noDataValuesAvailable"]);
    assert!(
        !String::from_utf8(documents[0].clone()).unwrap().contains("basicData"),
        "a value is never made up"
    );
    // Its device is silent: by the board, which knows it from the same books.
    let word = Arc::new(LastWord::new(silence(EventState::Raised), None));
    let publisher = &mut publisher();
    assert!(publisher.wants(&word));
    let documents = publisher.documents(&rows([of(counts())]), &[word], NOW);
    holds(
        &documents[0],
        &[
            "physicalQuantityFaultType=noDataValuesAvailable",
            "vehicleFlow/dataError=true",
            "vehicleFlow/reasonForDataError/values/value=the detector is silent",
            "vehicleFlow/vehicleFlowRate=1020",
        ],
    );
}

#[test]
fn what_was_wrong_while_it_was_measured_is_known_when_it_is_sent() {
    let of = |counts: Counts| verdict("traffic", "loop-1", Body::Counts(counts), None);
    let publisher = &mut publisher();
    let both = rows([silence(EventState::Raised), silence(EventState::Cleared)]);
    publisher.documents(&both, &[], NOW);
    // The counts come in a later batch, when the board knows nothing of it any more.
    let documents = publisher.documents(&rows([of(counts())]), &[], NOW);
    holds(
        &documents[0],
        &["vehicleFlow/dataError=true", "vehicleFlow/reasonForDataError/values/value=the detector is silent"],
    );
    // The row of its begin comes again: that it has ended is known.
    let later = Counts { from: UtcMillis(BEGIN.0 + 60_000), ..counts() };
    let documents = publisher.documents(&rows([silence(EventState::Raised), of(later)]), &[], NOW);
    assert!(!String::from_utf8(documents[0].clone()).unwrap().contains("dataError"));
}
