//! One request and its answer, after the Modbus application protocol V1.1b3. Pure.

use verge_domain::settable::LimitKey;

use crate::map::{self, Tables};

/// Registers and discrete inputs that one request may read (sections 6.2 and 6.4).
const MAX_REGISTERS: u16 = 125;
const MAX_INPUTS: u16 = 2000;
/// Registers that one request may write (section 6.12).
const MAX_WRITTEN: u16 = 123;

/// What a request is answered with instead of what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exception {
    Function = 1,
    Address = 2,
    Value = 3,
    Failure = 4,
    Busy = 6,
}

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// Sent as it is.
    Answer(Vec<u8>),
    /// The alarm of this point is to be acknowledged; then the echo is sent.
    Acknowledge { point: usize, echo: Vec<u8> },
    /// A limit of the judge of this point is to be moved, or to be as configured; then the echo is sent.
    Set { point: usize, key: LimitKey, value: Option<f64>, echo: Vec<u8> },
}

/// The answer with an exception.
pub(crate) fn refused(function: u8, exception: Exception) -> Vec<u8> {
    vec![function | 0x80, exception as u8]
}

/// Answers a request: a function code and what it needs.
pub(crate) fn answer(request: &[u8], tables: &impl Tables, writes: bool) -> Reply {
    let Some((&function, data)) = request.split_first() else {
        return Reply::Answer(refused(0, Exception::Function));
    };
    let answered = match function {
        0x02 => inputs(data, tables).map(Reply::Answer),
        0x03 if writes => {
            registers(function, data, tables.blocks(), |from, count| tables.holding(from, count))
                .map(Reply::Answer)
        }
        0x04 => registers(function, data, tables.blocks(), |from, count| tables.registers(from, count))
            .map(Reply::Answer),
        0x05 if writes => coil(request, data, tables),
        0x10 if writes => limit(data, tables),
        0x2b => identification(data, tables.version()).map(Reply::Answer),
        _ => Err(Exception::Function),
    };
    answered.unwrap_or_else(|exception| Reply::Answer(refused(function, exception)))
}

fn words(data: &[u8]) -> Result<(u16, u16), Exception> {
    match *data {
        [a, b, c, d] => Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        _ => Err(Exception::Value),
    }
}

/// The range that is asked for, within a map that ends there.
fn range(data: &[u8], most: u16, end: usize) -> Result<(usize, usize), Exception> {
    let (from, count) = words(data)?;
    if count == 0 || count > most {
        return Err(Exception::Value);
    }
    let (from, count) = (usize::from(from), usize::from(count));
    if from + count > end { Err(Exception::Address) } else { Ok((from, count)) }
}

fn registers(
    function: u8,
    data: &[u8],
    blocks: usize,
    read: impl Fn(usize, usize) -> Vec<u16>,
) -> Result<Vec<u8>, Exception> {
    let (from, count) = range(data, MAX_REGISTERS, map::registers_end(blocks))?;
    let values = read(from, count);
    let bytes = u8::try_from(2 * count).map_err(|_| Exception::Value)?;
    let mut answer = vec![function, bytes];
    answer.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    Ok(answer)
}

fn inputs(data: &[u8], tables: &impl Tables) -> Result<Vec<u8>, Exception> {
    let (from, count) = range(data, MAX_INPUTS, map::inputs_end(tables.blocks()))?;
    let values = tables.inputs(from, count);
    let bytes = u8::try_from(count.div_ceil(8)).map_err(|_| Exception::Value)?;
    let mut answer = vec![0x02, bytes];
    answer.extend(
        values
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0_u8, |byte, (at, &bit)| byte | (u8::from(bit) << at))),
    );
    Ok(answer)
}

/// Acknowledges the alarm of a point: its coil is switched on. To switch it off means nothing.
fn coil(request: &[u8], data: &[u8], tables: &impl Tables) -> Result<Reply, Exception> {
    let (address, value) = words(data)?;
    if value != 0xff00 {
        return Err(Exception::Value);
    }
    let point = tables.point_of_coil(address).ok_or(Exception::Address)?;
    Ok(Reply::Acknowledge { point, echo: request.to_vec() })
}

/// Moves a limit: both of its registers are written, and nothing else. Not a number: to where it is configured.
fn limit(data: &[u8], tables: &impl Tables) -> Result<Reply, Exception> {
    let [a, b, c, d, bytes, values @ ..] = data else { return Err(Exception::Value) };
    let (address, count) = words(&[*a, *b, *c, *d])?;
    let is_whole = (1..=MAX_WRITTEN).contains(&count) && usize::from(*bytes) == 2 * usize::from(count);
    if !is_whole || values.len() != usize::from(*bytes) {
        return Err(Exception::Value);
    }
    if usize::from(address) + usize::from(count) > map::registers_end(tables.blocks()) {
        return Err(Exception::Address);
    }
    let place = tables.limit_at(address).ok_or(Exception::Address)?;
    let value = <[u8; 4]>::try_from(values).map_err(|_| Exception::Value)?;
    if address != place.address {
        return Err(Exception::Value);
    }
    let value = f32::from_be_bytes(value);
    // The number that a person wrote there, not the nearest that has 32 bits.
    let value = (!value.is_nan()).then(|| value.to_string().parse().unwrap_or(f64::INFINITY));
    if value.is_some_and(|value| !place.limit.admits(value)) {
        return Err(Exception::Value);
    }
    Ok(Reply::Set { point: place.point, key: place.limit.key, value, echo: vec![0x10, *a, *b, *c, *d] })
}

/// Read device identification (section 6.21): vendor, product, version.
fn identification(data: &[u8], version: &str) -> Result<Vec<u8>, Exception> {
    const INDIVIDUAL: u8 = 4;
    let [kind, access, object] = *data else { return Err(Exception::Value) };
    if kind != 0x0e {
        return Err(Exception::Function);
    }
    let objects = ["Verge", "verge gateway", version];
    let listed: Vec<(usize, &str)> = match access {
        // Beyond the last object the list begins anew.
        1..INDIVIDUAL => {
            let from = if usize::from(object) < objects.len() { usize::from(object) } else { 0 };
            objects.into_iter().enumerate().skip(from).collect()
        }
        INDIVIDUAL => {
            let text = objects.get(usize::from(object)).ok_or(Exception::Address)?;
            vec![(usize::from(object), text)]
        }
        _ => return Err(Exception::Value),
    };
    let number = |value: usize| u8::try_from(value).map_err(|_| Exception::Failure);
    // Basic objects, also one by one; nothing follows.
    let mut answer = vec![0x2b, 0x0e, access, 0x81, 0, 0, number(listed.len())?];
    for (id, text) in listed {
        answer.extend([number(id)?, number(text.len())?]);
        answer.extend(text.as_bytes());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use verge_domain::settable::SettableLimit;

    use super::*;
    use crate::map::LimitPlace;

    /// Two blocks, of which block 1 is point 0; each value is its address.
    struct Addresses;

    impl Tables for Addresses {
        fn blocks(&self) -> usize {
            2
        }

        fn version(&self) -> &str {
            "1.2"
        }

        fn registers(&self, from: usize, count: usize) -> Vec<u16> {
            (from..from + count).map(|at| u16::try_from(at).unwrap()).collect()
        }

        fn inputs(&self, from: usize, count: usize) -> Vec<bool> {
            (from..from + count).map(|at| at % 3 == 0).collect()
        }

        fn point_of_coil(&self, address: u16) -> Option<usize> {
            (address == 108).then_some(0)
        }

        fn holding(&self, from: usize, count: usize) -> Vec<u16> {
            self.registers(from, count)
        }

        fn limit_at(&self, address: u16) -> Option<LimitPlace> {
            let limit = SettableLimit { key: LimitKey::Above, configured: 7.1, lowest: 7.1, highest: 10.0 };
            [132, 133].contains(&address).then_some(LimitPlace { point: 0, limit, address: 132 })
        }
    }

    fn check(writes: bool, request: &[u8], expected: &[u8]) {
        assert_eq!(answer(request, &Addresses, writes), Reply::Answer(expected.to_vec()), "{request:02x?}");
    }

    #[test]
    fn registers_are_read_high_byte_first() {
        check(false, &[4, 0, 100, 0, 2], &[4, 4, 0, 100, 0, 101]);
        let all = answer(&[4, 0, 0, 0, 125], &Addresses, false);
        assert!(matches!(all, Reply::Answer(bytes) if bytes.len() == 2 + 250));
    }

    #[test]
    fn discrete_inputs_are_read_lowest_bit_first() {
        check(false, &[2, 0, 0, 0, 10], &[2, 2, 0b0100_1001, 0b10]);
    }

    #[test]
    fn what_is_not_offered_is_refused_with_the_exception_of_the_specification() {
        for function in [0, 1, 3, 5, 6, 7, 15, 16, 23, 0x7f] {
            check(false, &[function, 0, 0, 0, 1], &[function | 0x80, 1]);
        }
        check(false, &[], &[0x80, 1]);
        // Count 0 or too many, and data of another length.
        for count in [[0, 0], [0, 126], [0xff, 0xff]] {
            check(false, &[4, 0, 0, count[0], count[1]], &[0x84, 3]);
        }
        check(false, &[2, 0, 0, 0x07, 0xd1], &[0x82, 3]);
        check(false, &[4, 0, 0, 1], &[0x84, 3]);
        check(false, &[4, 0, 0, 0, 1, 9], &[0x84, 3]);
        // The map ends behind the last block: registers at 164, inputs at 116.
        check(false, &[4, 0, 163, 0, 1], &[4, 2, 0, 163]);
        check(false, &[4, 0, 163, 0, 2], &[0x84, 2]);
        check(false, &[4, 0xff, 0xff, 0, 1], &[0x84, 2]);
        check(false, &[2, 0, 116, 0, 1], &[0x82, 2]);
    }

    #[test]
    fn a_coil_acknowledges_where_writes_are_on() {
        let request = [5, 0, 108, 0xff, 0];
        let echo = request.to_vec();
        assert_eq!(answer(&request, &Addresses, true), Reply::Acknowledge { point: 0, echo });
        check(true, &[5, 0, 108, 0, 0], &[0x85, 3]);
        check(true, &[5, 0, 108, 0xff, 1], &[0x85, 3]);
        check(true, &[5, 0, 109, 0xff, 0], &[0x85, 2]);
        check(true, &[6, 0, 100, 0, 1], &[0x86, 1]);
    }

    #[test]
    fn a_limit_is_set_by_both_of_its_registers() {
        let write = |address: u16, words: &[u16]| {
            let bytes = words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
            let mut request = vec![16];
            request.extend(address.to_be_bytes());
            request.extend(u16::try_from(words.len()).unwrap().to_be_bytes());
            request.push(u8::try_from(bytes.len()).unwrap());
            request.extend(bytes);
            answer(&request, &Addresses, true)
        };
        let float = |value: f32| [(value.to_bits() >> 16) as u16, (value.to_bits() & 0xffff) as u16];
        let set = |value| {
            let (key, echo) = (LimitKey::Above, vec![16, 0, 132, 0, 2]);
            Reply::Set { point: 0, key, value, echo }
        };
        assert_eq!(
            write(132, &float(7.1)),
            set(Some(7.1)),
            "what stands in the file, not the nearest of 32 bits"
        );
        assert_eq!(write(132, &float(10.0)), set(Some(10.0)));
        assert_eq!(write(132, &float(f32::NAN)), set(None));
        let refused = |exception| Reply::Answer(vec![0x90, exception]);
        for beyond in [7.0, 10.5, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert_eq!(write(132, &float(beyond)), refused(3), "{beyond}");
        }
        let [high, low] = float(8.0);
        assert_eq!([write(132, &[high]), write(133, &[low]), write(133, &[low, 0])], [3, 3, 3].map(refused));
        assert_eq!(write(132, &[high, low, high, low]), refused(3), "one limit at a time");
        assert_eq!(
            [write(100, &[high, low]), write(163, &[high, low])],
            [2, 2].map(refused),
            "no limit, and no register"
        );
        assert_eq!(answer(&[16, 0, 132, 0, 2, 4, 0, 0], &Addresses, true), refused(3), "half of its bytes");
        assert_eq!(answer(&[16, 0, 132, 0x80, 2, 4, 0, 0, 0, 0], &Addresses, true), refused(3));
        check(true, &[3, 0, 132, 0, 2], &[3, 4, 0, 132, 0, 133]);
        check(false, &[3, 0, 132, 0, 2], &[0x83, 1]);
    }

    #[test]
    fn it_says_what_it_is() {
        let all = [
            &[0x2b, 0x0e, 1, 0x81, 0, 0, 3, 0, 5][..],
            b"Verge",
            &[1, 13],
            b"verge gateway",
            &[2, 3],
            b"1.2",
        ];
        check(false, &[0x2b, 0x0e, 1, 0], &all.concat());
        check(false, &[0x2b, 0x0e, 2, 9], &[&[0x2b, 0x0e, 2][..], &all.concat()[3..]].concat());
        check(false, &[0x2b, 0x0e, 4, 2], &[&[0x2b, 0x0e, 4, 0x81, 0, 0, 1, 2, 3][..], b"1.2"].concat());
        check(false, &[0x2b, 0x0e, 4, 3], &[0xab, 2]);
        check(false, &[0x2b, 0x0e, 5, 0], &[0xab, 3]);
        check(false, &[0x2b, 0x0d, 1, 0], &[0xab, 1]);
        check(false, &[0x2b], &[0xab, 3]);
    }

    #[test]
    fn no_request_makes_it_panic() {
        let mut seed = 1_u32;
        for length in 0..2_000_usize {
            let request: Vec<u8> = (0..length % 12)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            if let Reply::Answer(bytes) = answer(&request, &Addresses, true) {
                assert!((2..=253).contains(&bytes.len()), "{request:02x?}");
            }
        }
    }
}
