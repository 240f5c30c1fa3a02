//! Times as people at the site read them: in its time zone. On the wire times are UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use verge_domain::time::UtcMillis;

/// Hours of the day are those of UTC to the detectors.
const HOUR_MS: i64 = 3_600_000;

/// The time zone of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteZone(TimeZone);

/// No time zone has this name in the database of the system, nor in the one that this program brings along.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is named {0:?}; expected one as in Europe/Berlin, or UTC")]
pub struct UnknownZone(pub String);

impl SiteZone {
    /// Coordinated universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// A zone of the IANA database, by name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        TimeZone::get(name).map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }

    /// The zone of this machine: the variable `TZ`, else `/etc/localtime`; UTC where neither says one, as in a container.
    #[must_use]
    pub fn of_machine() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// Date and time of day to the millisecond, with the zone: "2026-11-24 04:00:00.121 CET", in UTC "…121Z".
    #[must_use]
    pub fn to_millisecond(&self, at: UtcMillis) -> String {
        self.show(at, "%Y-%m-%d %H:%M:%S%.3f")
    }

    /// Date and time of day to the second, with the zone.
    #[must_use]
    pub fn to_second(&self, at: UtcMillis) -> String {
        self.show(at, "%Y-%m-%d %H:%M:%S")
    }

    /// Date and time of day to the minute, with the zone.
    #[must_use]
    pub fn to_minute(&self, at: UtcMillis) -> String {
        self.show(at, "%Y-%m-%d %H:%M")
    }

    /// Begin of the hour of the day in which detectors place a time: "15:00".
    pub(crate) fn hour(&self, at: UtcMillis) -> String {
        let begin = at.0.saturating_sub(at.0.rem_euclid(HOUR_MS));
        self.time_of_day(UtcMillis(begin))
    }

    /// Time of day to the minute, without the zone: "15:04".
    #[must_use]
    pub fn time_of_day(&self, at: UtcMillis) -> String {
        let instant = Timestamp::from_millisecond(at.0);
        instant.map(|at| at.to_zoned(self.0.clone()).strftime("%H:%M").to_string()).unwrap_or_default()
    }

    /// A time of this zone without its name, "2026-11-30T14:05"; `None` where it is none.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<UtcMillis> {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        let instant = self.0.to_ambiguous_zoned(local).compatible().ok()?;
        Some(UtcMillis(instant.timestamp().as_millisecond()))
    }

    /// What the clock on the wall shows, as if it were UTC.
    #[must_use]
    pub fn wall_clock(&self, at: UtcMillis) -> UtcMillis {
        let ahead = Timestamp::from_millisecond(at.0).map_or(0, |at| self.0.to_offset(at).seconds());
        UtcMillis(at.0.saturating_add(i64::from(ahead).saturating_mul(1000)))
    }

    fn show(&self, at: UtcMillis, format: &str) -> String {
        let Ok(instant) = Timestamp::from_millisecond(at.0) else { return at.0.to_string() };
        let zoned = instant.to_zoned(self.0.clone());
        let zone = if self.0 == TimeZone::UTC { "Z".to_owned() } else { zoned.strftime(" %Z").to_string() };
        format!("{}{zone}", zoned.strftime(format))
    }
}

impl Default for SiteZone {
    fn default() -> Self {
        Self::utc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_site() {
        let at = UtcMillis(1_795_482_000_121);
        let check = |zone: &str, expected: [&str; 3]| {
            let zone = SiteZone::named(zone).unwrap();
            assert_eq!([zone.to_millisecond(at), zone.to_minute(at), zone.hour(at)], expected);
        };
        check("UTC", ["2026-11-24 01:00:00.121Z", "2026-11-24 01:00Z", "01:00"]);
        check("Europe/Berlin", ["2026-11-24 02:00:00.121 CET", "2026-11-24 02:00 CET", "02:00"]);
        check("Asia/Kolkata", ["2026-11-24 06:30:00.121 IST", "2026-11-24 06:30 IST", "06:30"]);
        let berlin = SiteZone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.read("2026-11-24T02:00"), Some(UtcMillis(1_795_482_000_000)));
        assert_eq!(berlin.time_of_day(at), "02:00");
        // The hour that is left out in spring, and the one that comes twice.
        assert!(berlin.read("2026-03-29T02:30").is_some() && berlin.read("2026-10-25T02:30").is_some());
        for odd in ["", "2026-11-24T25:00", "now", "1795482000000"] {
            assert_eq!(berlin.read(odd), None, "{odd}");
        }
        let kolkata = SiteZone::named("Asia/Kolkata").unwrap();
        assert_eq!(kolkata.wall_clock(at).0 - at.0, 19_800_000);
        assert_eq!(SiteZone::utc().wall_clock(UtcMillis(i64::MIN)), UtcMillis(i64::MIN));
        assert_eq!(SiteZone::utc().hour(UtcMillis(-1)), "23:00");
        assert_eq!(SiteZone::utc().to_minute(UtcMillis(i64::MAX)), i64::MAX.to_string());
        let unknown = SiteZone::named("Europe/Brelin").unwrap_err().to_string();
        assert!(unknown.starts_with("no time zone is named \"Europe/Brelin\""), "{unknown}");
    }
}
