//! `MeasurementSiteTablePublication`: which places there are, and what their quantities mean.

use verge_domain::time::UtcMillis;

use super::settings::{DatexSettings, DatexSite, Place};
use super::xml::Xml;

/// The quantities of a place, by their index from 1.
pub(super) const QUANTITIES: [&str; 3] = ["trafficFlow", "trafficSpeed", "trafficConcentration"];

/// The whole table.
pub(super) fn publication(settings: &DatexSettings, now: UtcMillis) -> Vec<u8> {
    Xml::publication("roa:MeasurementSiteTablePublication", settings, now, |xml| {
        xml.header("roa:headerInformation");
        let version = settings.table_version.to_string();
        xml.within("roa:measurementSiteTable", &[("id", &settings.table), ("version", &version)], |xml| {
            settings.sites.iter().for_each(|site| write(xml, settings, &version, site));
        });
    })
}

fn write(xml: &mut Xml, settings: &DatexSettings, version: &str, site: &DatexSite) {
    xml.within("roa:measurementSite", &[("id", &site.id), ("version", version)], |xml| {
        xml.leaf("roa:measurementEquipmentReference", site.device.as_str());
        if let Some(name) = &site.name {
            xml.words("roa:measurementSiteName", &settings.language, name);
        }
        if let Some(lanes) = site.lanes {
            xml.leaf("roa:measurementSiteNumberOfLanes", &lanes.to_string());
        }
        xml.leaf("roa:measurementSiteIdentification", &site.id);
        let length = site.counts.as_ref().map(|counts| counts.interval.length_ms());
        for (index, quantity) in (1..).zip(QUANTITIES).filter(|_| length.is_some()) {
            let index: u32 = index;
            let name = "roa:measurementSpecificCharacteristics";
            xml.within(name, &[("index", &index.to_string())], |xml| {
                xml.within(name, &[], |xml| {
                    xml.leaf("roa:period", &seconds(length.unwrap_or_default()));
                    xml.leaf("roa:specificMeasurementValueType", quantity);
                    xml.within("roa:specificVehicleCharacteristics", &[], |xml| {
                        xml.leaf("com:vehicleType", "anyVehicle");
                    });
                });
            });
        }
        location(xml, "roa:measurementSiteLocation", site.place);
    });
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// A point by its coordinates.
pub(super) fn location(xml: &mut Xml, name: &str, place: Place) {
    xml.within(name, &[("xsi:type", "loc:PointLocation")], |xml| {
        xml.within("loc:pointByCoordinates", &[], |xml| {
            if let Some(bearing) = place.bearing {
                xml.leaf("loc:bearing", &bearing.to_string());
            }
            xml.within("loc:pointCoordinates", &[], |xml| {
                xml.leaf("loc:latitude", &place.latitude.to_string());
                xml.leaf("loc:longitude", &place.longitude.to_string());
            });
        });
    });
}
