//! Ranges of addresses from which clients of a server may connect.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or a network such as `10.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    prefix: u32,
}

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address, or a network such as 10.1.0.0/16")]
pub struct RangeError;

impl AddressRange {
    /// Whether an address lies within it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                self.same(u128::from(base.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => self.same(base.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }

    fn same(&self, one: u128, other: u128, bits: u32) -> bool {
        let free = bits - self.prefix;
        one.checked_shr(free).unwrap_or(0) == other.checked_shr(free).unwrap_or(0)
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| RangeError)?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| RangeError))?;
        if prefix > bits { Err(RangeError) } else { Ok(Self { base, prefix }) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_its_network_alone() {
        let check = |range: &str, address: &str, expected| {
            let range: AddressRange = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), expected, "{range} {address}");
        };
        check("10.1.0.0/16", "10.1.255.3", true);
        check("10.1.0.0/16", "10.2.0.1", false);
        check("10.1.0.0/16", "::ffff:10.1.2.3", true);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3", "10.1.2.4", false);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "::1", true);
        check("fd00::/8", "fd12::1", true);
        for odd in ["", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0/16", "plant", "::/129", "10.1.0.0/"] {
            assert_eq!(odd.parse::<AddressRange>(), Err(RangeError), "{odd}");
        }
    }
}
