//! Files that are no model, or none for this library.

use super::*;

#[test]
fn files_are_refused_before_the_library_sees_them() {
    let good = card("mean_f32", F32, PROBABILITIES);
    refused(
        load(&good.replace("mean_f32.onnx", "missing.onnx"), &RGB),
        &["missing.onnx", "No such file", "card.toml"],
    );
    let size = std::fs::metadata(fixtures("models").join("mean_f32.onnx")).unwrap().len();
    let within =
        |max_file_bytes| load_within(&good, &RGB, ModelLimits { max_file_bytes, ..ModelLimits::default() });
    assert!(within(size).is_ok());
    refused(within(size - 1), &[&format!("{size} bytes"), &format!("engine.max_model is {}", size - 1)]);
    let digits = "0".repeat(64);
    refused(
        load(&format!("sha256 = \"{digits}\"\n{good}"), &RGB),
        &["its SHA-256 is", &format!("the card says {digits}")],
    );
    refused(load(&good.replace("mean_f32.onnx", "make.py"), &RGB), &["it is not an ONNX model"]);
    refused(
        load(&card("external", F32, PROBABILITIES), &RGB),
        &["\"w\" lies in another file, \"weights.bin\"", "onnx.save("],
    );
    refused(load(&card("foreign", F32, PROBABILITIES), &RGB), &["domain \"com.example\""]);
}

/// The bytes of a model of ours with another version of the file format, or of the operators.
fn stamped(ir: u8, opset: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(fixtures("models").join("mean_f32.onnx")).unwrap();
    assert!(bytes.starts_with(b"\x08\x08") && bytes.ends_with(b"\x42\x04\x0a\x00\x10\x0d"));
    bytes[1] = ir;
    *bytes.last_mut().unwrap() = opset;
    bytes
}

#[test]
fn models_that_are_newer_than_the_library_are_reported_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.onnx");
    let text = card("mean_f32", F32, PROBABILITIES).replace("@MODELS@/mean_f32.onnx", path.to_str().unwrap());
    let check = |ir, opset, expected: &[&str]| {
        std::fs::write(&path, stamped(ir, opset)).unwrap();
        refused(load(&text, &RGB), &[expected, &["ONNX Runtime 1.", " at most: "]].concat());
    };
    std::fs::write(&path, stamped(8, 13)).unwrap();
    assert!(load(&text, &RGB).is_ok());
    check(8, 99, &["its opset of ai.onnx is 99", "export it with an older one"]);
    check(99, 13, &["its IR version is 99", "model.ir_version = "]);
    check(99, 99, &["its IR version is 99"]);
    // What the library says of other things is a quotation, without places in its source.
    let cut = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        load(&text, &RGB)
    };
    let unknown = stamped(8, 13);
    let at = unknown.windows(10).position(|bytes| bytes == b"ReduceMean").unwrap();
    let unknown = [&unknown[..at], b"ReduceNone", &unknown[at + 10..]].concat();
    refused(cut(&unknown), &["ONNX Runtime 1.", "refuses it, and says: \"", "ReduceNone"]);
    let whole = stamped(8, 13);
    let cut_short = cut(&whole[..whole.len() / 2]);
    refused(cut_short, &["it is cut", &format!("has {} bytes", whole.len() / 2), "fetch or copy it again"]);
}

#[test]
fn a_model_without_both_its_files_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, there) = (folder.path().join("m.onnx"), folder.path().join("m.toml"));
    let check = |weights: Option<&Path>| {
        let files = ModelFiles {
            name: "m".to_owned(),
            card: there.clone(),
            weights: weights.map(Path::to_owned),
            store: None,
        };
        FrameModel::load(&support::runtime(), &files, ModelLimits::default()).unwrap_err()
    };
    let both = check(Some(&*weights)).to_string();
    assert!(both.contains("m.onnx") && both.contains("m.toml") && both.contains("docs/models.md"), "{both}");
    assert!(matches!(check(None), ModelError::Card(_)), "the card alone is missed when it is read");
    std::fs::write(&there, "").unwrap();
    assert!(matches!(check(Some(&*weights)), ModelError::Card(_)));
    std::fs::write(&there, card("other", F32, PROBABILITIES)).unwrap();
    let other = check(Some(&*weights)).to_string();
    assert!(other.contains("names") && other.contains("m.onnx") && other.contains("other.onnx"), "{other}");
}
