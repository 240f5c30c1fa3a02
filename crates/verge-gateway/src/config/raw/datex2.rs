//! Keys of `[uplink.NAME.datex2]` and `[uplink.NAME.site.NAME]`.

use std::time::Duration;

use verge_traffic::{Direction, SpeedUnit};

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{Table, Value};
use super::super::units::Span;
use super::{DAY, HOUR, SECOND};

declare! {
    /// `[uplink.NAME.datex2]`
    struct RawDatex2 {
        country: Option<String> = text(r#"two letters of ISO 3166-1, such as "se""#).required(),
        national_identifier: Option<String> =
            text("the identifier of the publisher that the national access point has given").required(),
        language: String = text(r#"two letters of ISO 639-1, such as "en""#).or("en"),
        table: Option<String> = text("the identifier of the table of places"),
        table_version: u64 = whole(1, 1_000_000_000).or("1"),
        site_table: bool = flag().or("true"),
        snapshot_dir: Option<String> = text("the path of a folder"),
        snapshot_every: Span = span(SECOND, HOUR).or("1m"),
        stale_after: Span = span(Duration::from_secs(5), DAY).or("5m"),
    }

    /// `[uplink.NAME.site.NAME]`
    struct RawSite {
        id: Option<String> = text(r#"the identifier of a measurement site, such as "SITE_0001""#).required(),
        name: Option<String> = text("the name of the place"),
        device: Option<String> = text("the name of a device, as verdicts have it").required(),
        latitude: Option<f64> = numbers_from(-90.0, 90.0).required(),
        longitude: Option<f64> = numbers_from(-180.0, 180.0).required(),
        bearing: Option<u64> = whole(0, 359),
        lanes: Option<u64> = whole(1, 32),
        traffic: Option<String> = name(),
        line: Option<String> = name(),
        direction: Direction = word::<Direction>().or("both"),
        zone: Option<String> = name(),
        speed_unit: SpeedUnit = word::<SpeedUnit>().or("km/h"),
        events: Option<Vec<String>> = texts("the name of a judge of kind track"),
        faults: Option<Vec<String>> = texts("the name of a judge of silence or health"),
    }
}
