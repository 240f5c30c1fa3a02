//! What a file is that is no ONNX model: people copy, export and download all kinds.

use super::OnnxError;

/// First bytes, what they show, and what to do.
const KNOWN: [(&[u8], &str, &str); 17] = [
    (
        b"PK\x03\x04",
        "a ZIP archive, as PyTorch (.pt, .pth) and Keras save models",
        "export the model to ONNX (torch.onnx.export, tf2onnx), or unpack the archive",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\x89HDF", "an HDF5 file, as Keras saves models (.h5)", "export the model to ONNX with tf2onnx"),
    (b"ftrt", TENSORRT, FROM_ENGINE),
    (b"ptrt", TENSORRT, FROM_ENGINE),
    (b"GGUF", "a GGUF file, as llama.cpp runs them", "such models are not run here"),
    (b"\x89PNG", "a PNG picture", "name the model's file"),
    (b"\xff\xd8\xff", "a JPEG picture", "name the model's file"),
    (b"\x7fELF", "a program or a library", "name the model's file"),
    (b"%PDF", "a PDF document", "name the model's file"),
    (b"<?xml", OPENVINO, FROM_OPENVINO),
    (b"<net", OPENVINO, FROM_OPENVINO),
    (b"<!doctype", PAGE, FROM_PAGE),
];

const TENSORRT: &str = "an engine of TensorRT, built for one kind of GPU";
const FROM_ENGINE: &str = "take the ONNX model that it was built from";
const OPENVINO: &str = "XML, as OpenVINO describes models (.xml and .bin)";
const FROM_OPENVINO: &str = "take the ONNX model that it was converted from";
const PAGE: &str = "a web page";
const FROM_PAGE: &str = "download the file itself, not the page that shows it";

/// Bytes of text that are shown.
const SHOWN: usize = 32;

/// Says what it is; the bytes are known not to be a model with a graph.
pub(super) fn of(bytes: &[u8]) -> OnnxError {
    let from = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len());
    let begins =
        |with: &[u8]| bytes[from..].get(..with.len()).is_some_and(|found| found.eq_ignore_ascii_case(with));
    let known = KNOWN.iter().find(|(first, ..)| begins(first)).map(|(_, what, remedy)| (*what, *remedy));
    let (what, remedy) = if bytes.is_empty() {
        ("empty", "fetch it again")
    } else if bytes.iter().all(|byte| *byte == 0) {
        ("nothing but zeros, as a copy or a download that broke off", "fetch it again")
    } else if begins(b"version https://git-lfs") {
        (
            "a Git LFS pointer, which only names the weights",
            "fetch them with `git lfs pull`, then copy the file",
        )
    } else if begins(b"<html") {
        (PAGE, FROM_PAGE)
    } else if let Some(known) = known {
        known
    } else if bytes.get(4..8) == Some(b"TFL3") {
        ("a TensorFlow Lite model", "convert it with `python -m tf2onnx.convert --tflite`")
    } else if bytes.get(4..8) == Some(b"ORTM") {
        ("a model in ONNX Runtime's own format (.ort)", "take the .onnx file that it was made from")
    } else if bytes.get(257..262) == Some(b"ustar") {
        ("a tar archive", "unpack it")
    } else if is_pickle(bytes) {
        (
            "a Python pickle, as PyTorch and scikit-learn save models (.pt, .pkl, .joblib)",
            "export the model to ONNX (torch.onnx.export, skl2onnx)",
        )
    } else if is_safetensors(bytes) {
        (
            "weights alone (.safetensors), without a graph",
            "export the model to ONNX (torch.onnx.export, optimum)",
        )
    } else if let Some(least) = cut(bytes) {
        return OnnxError::Cut { actual: bytes.len(), least };
    } else {
        return OnnxError::NotOnnx { begin: beginning(bytes) };
    };
    OnnxError::SomethingElse { what, remedy }
}

/// Protocol 2 and later.
fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// Eight bytes of a length, then JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(7).is_some_and(|highest| *highest == 0) && bytes.get(8..10) == Some(b"{\"")
}

/// Of a model whose parts go on behind its end: the bytes that it must have. A part is a field of the outermost message
/// (protocol buffers, encoding: a tag and, of most fields here, a length).
fn cut(bytes: &[u8]) -> Option<u64> {
    const VARINT: u64 = 0;
    const LENGTH: u64 = 2;
    let mut at = 0;
    let number = |at: &mut usize| -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    // Every model begins with its IR version.
    if bytes.first() != Some(&0x08) {
        return None;
    }
    while at < bytes.len() {
        let tag = number(&mut at)?;
        // Fields of a ModelProto and their types.
        match (tag >> 3, tag & 7) {
            (1 | 5, VARINT) => drop(number(&mut at)?),
            (2..=4 | 6..=8 | 14 | 20 | 25 | 26, LENGTH) => {
                let end = number(&mut at)?.checked_add(at as u64)?;
                if end > bytes.len() as u64 {
                    return Some(end);
                }
                at = usize::try_from(end).ok()?;
            }
            _ => return None,
        }
    }
    None
}

/// The first bytes: as text where they are, else as numbers.
fn beginning(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(SHOWN)];
    let text = std::str::from_utf8(first).ok().filter(|text| !text.chars().any(is_no_text));
    match text {
        Some(text) => format!("the text \"{}\"", text.escape_debug()),
        None => {
            let bytes: Vec<String> = first.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("the bytes {}", bytes.join(" "))
        }
    }
}

fn is_no_text(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_a_model_is_named() {
        let check = |bytes: &[u8], expected: &str| {
            let error = of(bytes).to_string();
            assert!(error.contains(expected) && error.contains("not an ONNX model"), "{error}");
        };
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345678\n";
        check(pointer.as_bytes(), "git lfs pull");
        check(b"\n<!DOCTYPE html><html>", "web page");
        check(b"<HTML>", "web page");
        check(b"PK\x03\x04\x00\x00", "ZIP archive");
        check(b"\x1f\x8b\x08", "gzip");
        check(b"\x89HDF\r\n\x1a\n", "HDF5");
        check(b"\x1c\0\0\0TFL3", "TensorFlow Lite");
        check(b"\x1c\0\0\0ORTM", ".ort");
        check(b"ftrt\0\0\0\0", "TensorRT");
        check(b"ptrt\0\0\0\0", "TensorRT");
        check(b"<?xml version=\"1.0\"?>\n<net name=\"a\">", "OpenVINO");
        check(b"\x80\x02\x8a\nl\xfcF", "pickle");
        check(b"\x40\0\0\0\0\0\0\0{\"weight\":{}}", "safetensors");
        check(&[0; 99], "zeros");
        check(b"", "empty");
        check(b"404: Not Found", "the text \"404: Not Found\"");
        check(b"\xff\xff\x00", "the bytes ff ff 00");
        check("Grüße aus der Werkstatt, mit sehr langem Text".as_bytes(), "the text \"Grüße");
    }

    #[test]
    fn a_model_that_was_cut_says_how_long_it_must_be() {
        // IR version 8, a producer of four bytes, a graph of 300, of which 3 are there.
        let cut = b"\x08\x08\x12\x04abcd\x3a\xac\x02xyz";
        assert_eq!(of(cut), OnnxError::Cut { actual: 14, least: 311 });
        assert!(of(cut).to_string().contains("has 14 bytes, its parts say at least 311"));
        // Something else with such numbers in it.
        for other in [&b"\x09\x08\x12\x40"[..], b"\x08\x08\x13\x40", b"\x08\x08\x7a\x40"] {
            assert!(matches!(of(other), OnnxError::NotOnnx { .. }));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            drop(of(&bytes));
            drop(of(&[&[8, 8][..], &bytes].concat()));
        }
    }
}
