//! Times in words.

use jiff::Timestamp;
use verge_domain::time::UtcMillis;

/// A time as the protocols write it: UTC with milliseconds.
#[must_use]
pub fn timestamp(at: UtcMillis) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals() {
        assert_eq!(timestamp(UtcMillis(1_433_764_143_293)), "2015-06-08T11:49:03.293Z");
        assert_eq!(timestamp(UtcMillis(0)), "1970-01-01T00:00:00.000Z");
    }
}
