//! Keys of `[uplink.NAME]` of the kind `rsmp`.

use std::time::Duration;

use verge_domain::id::Lane;
use verge_traffic::rsmp::ErrorMode;
use verge_traffic::{Direction, SpeedUnit};

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{Map, Table, Value};
use super::super::units::{Size, Span};
use super::{HOUR, KIB, RawBatch, RawCertificates, SECOND, TIB};

declare! {
    /// An uplink as a site of RSMP.
    struct RawRsmp with certificates: RawCertificates {
        url: Option<String> =
            text(r#"the address of a supervisor, such as "rsmps://supervisor.city.example:12111""#).required(),
        insecure_plaintext: bool = flag().or("false"),
        site: Option<String> = text(r#"the identifier of the site, such as "RN+SI0001""#).required(),
        main: Option<String> =
            text(r#"the identifier of the main component, such as "KK+AG9998=001TC000""#).required(),
        sxl: String = text("a version of the signal exchange list of traffic light controllers").or("1.2.1"),
        versions: Vec<String> = texts("a version of the core of RSMP").or("3.2.2"),
        watchdog: Span = span(SECOND, HOUR).or("1m"),
        ack_timeout: Span = span(Duration::from_millis(100), HOUR).or("30s"),
        reconnect: Span = span(Duration::from_millis(100), HOUR).or("10s"),
        buffer_status: bool = flag().or("true"),
        secondary: bool = flag().or("false"),
        other: bool = flag().or("false"),
        component: Option<Map<RawComponent>> = named_tables::<RawComponent>(),
        lanes: Vec<Lane> = words::<Lane>().or("alarm,verdict,telemetry"),
        batch: RawBatch = table::<RawBatch>().or(""),
        route: Option<String> = name(),
        budget: Option<Size> = size(KIB, TIB),
    }

    /// `[uplink.NAME.component.NAME]`
    struct RawComponent {
        id: Option<String> =
            text(r#"the identifier of a detector logic, such as "KK+AG9998=001DL001""#).required(),
        device: Option<String> = text("the name of a device, as verdicts have it").required(),
        traffic: Option<String> = name(),
        line: Option<String> = name(),
        direction: Direction = word::<Direction>().or("both"),
        zone: Option<String> = name(),
        speed_unit: SpeedUnit = word::<SpeedUnit>().or("km/h"),
        faults: Option<Vec<String>> = texts("the name of a judge of silence or health"),
        detector: Option<String> = text("the name of the detector in alarms"),
        error_mode: ErrorMode = word::<ErrorMode>().or("on"),
        serious: bool = flag().or("false"),
    }

    words for Direction { "both" => Both, "forward" => Forward, "backward" => Backward }

    words for ErrorMode { "on" => On, "off" => Off }

    words for SpeedUnit { "km/h" => KilometresPerHour, "m/s" => MetresPerSecond, "mph" => MilesPerHour }
}
