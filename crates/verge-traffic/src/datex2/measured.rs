//! `MeasuredDataPublication`: what was measured at each place in an interval.

use verge_domain::finding::Member;
use verge_domain::id::DeviceId;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Verdict};

use super::settings::{DatexSettings, DatexSite};
use super::xml::Xml;
use crate::measures::measured;
use crate::time::timestamp;

/// Milliseconds in an hour.
const HOUR: f64 = 3_600_000.0;

/// What is wrong with a device: what is measured by it is not to be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwell {
    pub(super) device: DeviceId,
    pub(super) cause: Member,
    pub(super) since: UtcMillis,
    pub(super) until: Option<UtcMillis>,
}

/// Why a value is not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The device is silent.
    Silent,
    /// It says what is not so.
    Unreliable(Member),
}

/// What is said of one place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SiteData<'a> {
    site: &'a DatexSite,
    /// Of the interval; the time of asking where nothing is known.
    from: Option<UtcMillis>,
    until: UtcMillis,
    /// Flow in vehicles per hour, speed in km/h, occupancy in percent.
    values: [Option<f64>; 3],
    /// Readings or frames that were looked at.
    inputs: u64,
    /// Less than the whole was observed.
    partial: bool,
    /// By a clock that is wrong.
    skewed: bool,
    fault: Option<Fault>,
}

impl<'a> SiteData<'a> {
    /// What a verdict says of a place; `None` where it is about another.
    pub(super) fn of(site: &'a DatexSite, verdict: &Verdict, unwell: &[Unwell]) -> Option<Self> {
        let counts = site.counts.as_ref()?;
        if site.device != verdict.subject.device || counts.judge != verdict.judge {
            return None;
        }
        let (from, measures) = measured(counts, verdict)?;
        let until = UtcMillis(from.0.saturating_add_unsigned(counts.interval.length_ms()));
        let (inputs, flow) = match &verdict.body {
            Body::Counts(counts) => (counts.readings, counts.flow_per_hour),
            Body::Traffic(traffic) => {
                let flow =
                    measures.vehicles().zip(Some(traffic.observed_ms).filter(|observed| *observed > 0));
                (traffic.judged, flow.map(|(vehicles, observed)| per_hour(vehicles, observed)))
            }
            _ => return None,
        };
        let fault = unwell.iter().find(|unwell| unwell.concerns(&site.device, from, until));
        Some(Self {
            site,
            from: Some(from),
            until,
            values: [flow, measures.speed(), measures.occupancy().map(|share| 100.0 * share)],
            inputs,
            partial: measures.is_partial(),
            skewed: verdict.times.clock == DeviceClock::Skewed,
            fault: fault.map(Unwell::fault),
        })
    }

    /// A place of which nothing is known.
    pub(super) fn unknown(site: &'a DatexSite, now: UtcMillis) -> Self {
        Self {
            site,
            from: None,
            until: now,
            values: [None; 3],
            inputs: 0,
            partial: false,
            skewed: false,
            fault: Some(Fault::Silent),
        }
    }

    /// Its device has sent nothing for too long.
    pub(super) fn stale(self) -> Self {
        Self { fault: Some(self.fault.unwrap_or(Fault::Silent)), ..self }
    }

    fn write(&self, xml: &mut Xml, settings: &DatexSettings) {
        let version = settings.table_version.to_string();
        xml.within("roa:siteMeasurements", &[], |xml| {
            let reference = [
                ("id", self.site.id.as_str()),
                ("version", &version),
                ("targetClass", "roa:MeasurementSite"),
            ];
            xml.empty("roa:measurementSiteReference", &reference);
            for (index, quantity) in QUANTITIES.iter().enumerate() {
                let value = self.values.get(index).copied().flatten();
                // Of the flow it is said that there is none; what a detector does not measure is left out.
                if value.is_some() || index == 0 {
                    self.quantity(xml, settings, (index + 1, quantity), value);
                }
            }
            xml.within("roa:measurementTimeDefault", &[], |xml| {
                xml.leaf("roa:timeMeaning", "endTime");
                xml.leaf("roa:timeValue", &timestamp(self.until));
                if let Some(from) = self.from {
                    xml.within("roa:period", &[], |xml| {
                        xml.leaf("com:startOfPeriod", &timestamp(from));
                        xml.leaf("com:endOfPeriod", &timestamp(self.until));
                    });
                }
            });
        });
    }

    fn quantity(
        &self,
        xml: &mut Xml,
        settings: &DatexSettings,
        (index, quantity): (usize, &Quantity),
        value: Option<f64>,
    ) {
        let name = "roa:physicalQuantity";
        xml.within(name, &[("index", &index.to_string())], |xml| {
            xml.within(name, &[("xsi:type", "roa:SinglePhysicalQuantity")], |xml| {
                for kind in self.fault_kinds(value) {
                    xml.within("roa:physicalQuantityFault", &[], |xml| {
                        xml.leaf("com:faultLastUpdateTime", &timestamp(self.until));
                        xml.leaf("roa:physicalQuantityFaultType", kind);
                    });
                }
                let Some(value) = value else { return };
                xml.within("roa:basicData", &[("xsi:type", quantity.class)], |xml| {
                    self.value(xml, settings, quantity, value);
                });
            });
        });
    }

    fn value(&self, xml: &mut Xml, settings: &DatexSettings, quantity: &Quantity, value: f64) {
        let inputs = self.inputs.to_string();
        let incomplete = [("numberOfIncompleteInputs", "1")];
        let incomplete = incomplete.into_iter().filter(|_| self.partial || self.skewed);
        let attributes: Vec<(&str, &str)> =
            incomplete.chain([("numberOfInputValuesUsed", inputs.as_str())]).collect();
        xml.within(quantity.holder, &attributes, |xml| {
            if let Some(fault) = self.fault {
                xml.leaf("com:dataError", "true");
                xml.words("com:reasonForDataError", &settings.language, &fault.words());
            }
            xml.leaf(quantity.element, &(quantity.text)(value));
        });
    }

    /// What is wrong with a value, in the words of the model.
    fn fault_kinds(&self, value: Option<f64>) -> Vec<&'static str> {
        let of_device = match self.fault {
            Some(Fault::Silent) => Some("noDataValuesAvailable"),
            Some(Fault::Unreliable(_)) => Some("spuriousUnreliableDataValues"),
            None if value.is_none() => Some("noDataValuesAvailable"),
            None if self.skewed => Some("spuriousUnreliableDataValues"),
            None => None,
        };
        let incomplete = (self.partial && value.is_some()).then_some("intermittentDataValues");
        of_device.into_iter().chain(incomplete).collect()
    }
}

impl Unwell {
    /// Of the same event.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.device == other.device && self.cause == other.cause && self.since == other.since
    }

    fn concerns(&self, device: &DeviceId, from: UtcMillis, until: UtcMillis) -> bool {
        self.device == *device && self.since < until && self.until.is_none_or(|ended| ended > from)
    }

    const fn fault(&self) -> Fault {
        match self.cause {
            Member::Silent => Fault::Silent,
            other => Fault::Unreliable(other),
        }
    }
}

impl Fault {
    fn words(self) -> String {
        match self {
            Self::Silent => "the detector is silent".to_owned(),
            Self::Unreliable(member) => format!("the detector is unwell: {member}"),
        }
    }
}

/// How a quantity is written.
struct Quantity {
    class: &'static str,
    holder: &'static str,
    element: &'static str,
    text: fn(f64) -> String,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        class: "roa:TrafficFlow",
        holder: "roa:vehicleFlow",
        element: "com:vehicleFlowRate",
        text: |flow| format!("{flow:.0}"),
    },
    Quantity {
        class: "roa:TrafficSpeed",
        holder: "roa:averageVehicleSpeed",
        element: "com:speed",
        text: |speed| format!("{speed:.1}"),
    },
    Quantity {
        class: "roa:TrafficConcentration",
        holder: "roa:occupancy",
        element: "com:percentage",
        text: |percent| format!("{:.1}", percent.min(100.0)),
    },
];

#[expect(clippy::cast_precision_loss, reason = "vehicles and milliseconds of an interval")]
fn per_hour(vehicles: u64, observed_ms: u64) -> f64 {
    vehicles as f64 * HOUR / observed_ms as f64
}

/// All that was measured, one entry for each place and interval.
pub(super) fn publication(settings: &DatexSettings, data: &[SiteData<'_>], now: UtcMillis) -> Vec<u8> {
    Xml::publication("roa:MeasuredDataPublication", settings, now, |xml| {
        let version = settings.table_version.to_string();
        let table = [
            ("id", settings.table.as_str()),
            ("version", &version),
            ("targetClass", "roa:MeasurementSiteTable"),
        ];
        xml.empty("roa:measurementSiteTableReference", &table);
        xml.header("roa:headerInformation");
        data.iter().for_each(|site| site.write(xml, settings));
    })
}
