use std::path::{Path, PathBuf};

use super::*;

const LIMIT: u64 = 1 << 30;

/// A message of protobuf: a field with a content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// A model with these tensors of floats.
fn model(tensors: &[(&str, Vec<f32>)]) -> Vec<u8> {
    let mut graph = field(1, &[field(2, b"out"), field(4, b"Conv")].concat());
    for (name, numbers) in tensors {
        let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let tensor = [vec![0x10, 1], field(8, name.as_bytes()), field(9, &raw)].concat();
        graph.extend(field(5, &tensor));
    }
    [vec![0x08, 8], field(7, &graph)].concat()
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() - 0.5).collect()
}

fn pair() -> (Vec<u8>, Vec<u8>) {
    let (trunk, head) = (numbers(1, 3_000), numbers(2, 80));
    let near: Vec<f32> = head.iter().map(|number| number * 1.001).collect();
    let old = model(&[("trunk", trunk.clone()), ("head", head), ("removed", numbers(3, 30))]);
    let new = model(&[("trunk", trunk), ("head", near), ("added", numbers(4, 40))]);
    (old, new)
}

#[test]
fn a_new_file_is_rebuilt_bit_by_bit() {
    let (old, new) = pair();
    let made = make(&old, &new);
    assert_eq!((made.same, made.xor, made.new), (1, 1, 1));
    assert!(made.bytes.len() < 1_000, "{}", made.bytes.len());
    assert_eq!(apply(&old, &made.bytes, LIMIT).unwrap(), new);
    let header = Header::read(&made.bytes).unwrap();
    assert_eq!((header.base, header.target, header.target_bytes), (made.base, made.target, new.len() as u64));
    // Any two files, also such as are no model, and nothing at all.
    for (old, new) in
        [(&b""[..], &b""[..]), (b"", b"abc"), (b"abc", b""), (b"abcdef", b"abXdef"), (&new, b"x")]
    {
        assert_eq!(apply(old, &make(old, new).bytes, LIMIT).unwrap(), new);
    }
}

#[test]
fn a_delta_that_is_damaged_at_any_byte_is_refused() {
    let (old, new) = pair();
    let delta = make(&old, &new).bytes;
    for at in 0..delta.len() {
        for mask in [1, 0x80, 0xff] {
            let mut damaged = delta.clone();
            damaged[at] ^= mask;
            assert!(apply(&old, &damaged, LIMIT).is_err(), "{at}");
        }
        assert!(apply(&old, &delta[..at], LIMIT).is_err(), "{at} bytes");
    }
    assert!(apply(&old, &[&delta[..], b"x"].concat(), LIMIT).is_err());
    let found = ContentDigest::of(&new).to_string();
    let expected = ContentDigest::of(&old).to_string();
    assert_eq!(apply(&new, &delta, LIMIT), Err(DeltaError::OtherBase { expected, found }));
    let bytes = new.len() as u64;
    assert_eq!(apply(&old, &delta, bytes - 1), Err(DeltaError::TooLarge { bytes, limit: bytes - 1 }));
    assert!(apply(&old, &delta, bytes).is_ok());
    assert_eq!(apply(&old, b"PK\x03\x04 no delta", LIMIT), Err(DeltaError::NotOne));
}

#[test]
fn a_delta_that_lies_about_itself_is_refused_without_memory() {
    let (old, new) = (b"old".to_vec(), b"new file".to_vec());
    let lie = |pieces: &[Piece], body: &[u8]| apply(&old, &format::write(&old, &new, pieces, body), LIMIT);
    assert!(lie(&[Piece::New { bytes: 8, width: 1 }], b"new file").is_ok());
    for (pieces, body) in [
        (vec![Piece::New { bytes: 8, width: 1 }], &b"new fil"[..]),
        (vec![Piece::New { bytes: 7, width: 1 }], b"new fil"),
        (vec![Piece::New { bytes: 8, width: 1 }], b"new fil3"),
        (vec![Piece::New { bytes: u64::MAX, width: 1 }], b"new file"),
        (vec![Piece::Same { at: 0, bytes: 4 }, Piece::New { bytes: 4, width: 1 }], b"file"),
        (vec![Piece::Same { at: u64::MAX, bytes: 2 }], b""),
        (vec![Piece::Xor { at: 1, bytes: 3, width: 4 }, Piece::New { bytes: 5, width: 1 }], b"new file"),
        (vec![], b"new file"),
    ] {
        assert!(lie(&pieces, body).is_err(), "{pieces:?}");
    }
    // It says that it makes a terabyte, or that its list or its pieces are as long.
    let whole = format::write(&old, &new, &[Piece::New { bytes: 8, width: 1 }], b"new file");
    let says = |at: usize, bytes: u64| rewritten(&whole, at, bytes);
    assert!(matches!(apply(&old, &says(TARGET, 1 << 40), LIMIT), Err(DeltaError::TooLarge { .. })));
    for at in [LIST, BODY] {
        for bytes in [1 << 40, u64::MAX, 9] {
            assert!(
                matches!(apply(&old, &says(at, bytes), LIMIT), Err(DeltaError::Damaged(_))),
                "{at} {bytes}"
            );
        }
    }
    // What it says is small, and what it holds is not.
    let bomb = format::write(&old, &new, &[Piece::New { bytes: 8, width: 1 }], &vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert!(matches!(apply(&old, &rewritten(&bomb, BODY, 8), LIMIT), Err(DeltaError::Damaged(_))));
    // Or it is as large as it says, and larger than what is signed or allowed.
    let large = vec![0; 1 << 20];
    let honest = make(&old, &large).bytes;
    let refused = apply(&old, &honest, (1 << 20) - 1);
    assert_eq!(refused, Err(DeltaError::TooLarge { bytes: 1 << 20, limit: (1 << 20) - 1 }));
}

/// Where a delta says how many bytes it makes, and how many its list and its pieces have.
const TARGET: usize = 72;
const LIST: usize = 80;
const BODY: usize = 88;

/// A delta that says another number, with the SHA-256 of that.
fn rewritten(delta: &[u8], at: usize, number: u64) -> Vec<u8> {
    let mut delta = delta[..delta.len() - 32].to_vec();
    delta[at..at + 8].copy_from_slice(&number.to_le_bytes());
    let hash = ContentDigest::of(&delta);
    delta.extend_from_slice(hash.as_bytes());
    delta
}

fn models(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            models(&path, found);
        } else if path.extension().is_some_and(|end| end == "onnx") {
            found.push(path);
        }
    }
}

#[test]
fn every_known_model_is_rebuilt_out_of_its_neighbour_and_out_of_a_changed_self() {
    let Some(data) = std::env::var_os("VERGE_DATA") else {
        println!("skipped: VERGE_DATA is not set");
        return;
    };
    let mut found = Vec::new();
    models(&Path::new(&data).join("models"), &mut found);
    found.sort();
    assert!(!found.is_empty());
    let mut before = Vec::new();
    for path in found {
        let bytes = std::fs::read(&path).unwrap();
        let tensors = spans::tensors(&bytes);
        assert!(!tensors.is_empty(), "{}", path.display());
        // The last tensor, as a new head changes it.
        let mut changed = bytes.clone();
        let last = tensors.iter().max_by_key(|span| span.at.start).unwrap();
        changed[last.at.clone()].iter_mut().step_by(3).for_each(|byte| *byte ^= 5);
        let delta = make(&bytes, &changed).bytes;
        assert_eq!(apply(&bytes, &delta, LIMIT).unwrap(), changed, "{}", path.display());
        assert!(delta.len() <= last.at.len() + 4_096, "{}: {}", path.display(), delta.len());
        if bytes.len() < 1 << 20 {
            let delta = make(&before, &bytes).bytes;
            assert_eq!(apply(&before, &delta, LIMIT).unwrap(), bytes, "{}", path.display());
        }
        before = bytes;
    }
}
