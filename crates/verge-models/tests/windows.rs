//! Models that reconstruct, against ONNX Runtime's own Python.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::path::Path;

use support::{data, fixtures, runtime};
use verge_engine::{ModelLimits, RunError};
use verge_models::{ModelError, ModelFiles, WindowModel};

fn load(file: &Path, more: &str) -> Result<WindowModel, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.toml");
    let file = file.display();
    fs::write(&card, format!("name = \"a\"\nversion = \"1\"\nfile = \"{file}\"\n{more}")).unwrap();
    WindowModel::load(&runtime(), &ModelFiles::of_card(&card), ModelLimits::default())
}

/// The mean square errors of `ad01_fp32` on its sample, by onnxruntime 1.32.0 for Python in double precision:
/// `np.mean((session.run(None, {"input_1": w[None]})[0].astype("f8") - w.astype("f8")) ** 2)` for each window `w`.
#[test]
fn errors_are_those_of_onnxruntime() {
    let Some(data) = data() else { return };
    let folder = data.join("models/mlperf_tiny");
    let mut model = load(&folder.join("ad01_fp32.onnx"), "task = \"reconstruct\"").unwrap();
    assert_eq!(model.width(), 640);
    let bytes = fs::read(folder.join("ad01_sample_normal_id_01_00000000_hist_librosa.bin")).unwrap();
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let mut errors = |step: usize| -> Vec<f64> {
        let starts = (0..=values.len() - 640).step_by(step);
        starts.map(|start| model.mean_square_error(&values[start..start + 640], None).unwrap()).collect()
    };
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    let apart = errors(640);
    assert_eq!(apart.len(), 40);
    for (found, expected) in [(apart[0], 11.093_864), (apart[1], 10.675_448), (apart[39], 10.879_892)] {
        assert!((found - expected).abs() < 1e-5, "{found}, onnxruntime: {expected}");
    }
    assert!((mean(&apart) - 9.708_830).abs() < 1e-5, "{}", mean(&apart));
    let overlapping = errors(128);
    assert_eq!(overlapping.len(), 196);
    assert!((mean(&overlapping) - 9.707_104).abs() < 1e-5, "{}", mean(&overlapping));
    assert!(model.mean_square_error(&values[..639], None).is_err());
}

/// Windows as convolving and recurrent networks take them, and what comes out in double precision.
#[test]
fn a_row_of_numbers_is_a_window_in_any_shape() {
    for name in ["window", "window_row", "window_column", "window_double", "window_half"] {
        let file = fixtures("models").join(format!("{name}.onnx"));
        let mut model = load(&file, "task = \"reconstruct\"").unwrap();
        assert_eq!(model.width(), 8, "{name}");
        let window = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0];
        assert_eq!(model.mean_square_error(&window, None).unwrap(), 1.0, "{name}: its variance");
        assert!(model.try_out(None).is_ok(), "{name}");
    }
}

#[test]
fn numbers_that_are_none_are_no_error_to_learn_from() {
    let mut model = load(&fixtures("models").join("window_log.onnx"), "task = \"reconstruct\"").unwrap();
    let mut window = [1.0_f32; 8];
    assert_eq!(model.mean_square_error(&window, None).unwrap(), 1.0, "the logarithm of one is none");
    window[3] = -1.0;
    assert!(matches!(model.mean_square_error(&window, None), Err(RunError::Output { .. })));
}

#[test]
fn what_reconstructs_nothing_is_refused() {
    let refused = |more: &str| load(&fixtures("models").join("mean_f32.onnx"), more).unwrap_err().to_string();
    let other = refused("task = \"reconstruct\"");
    assert!(other.contains("its input: the card says task = \"reconstruct\""), "{other}");
    assert!(
        other.contains("[1 or free, width]") && other.contains("the file has f32 [1, 3, 4, 4]"),
        "{other}"
    );
    let free =
        load(&fixtures("models").join("window_free.onnx"), "task = \"reconstruct\"").unwrap_err().to_string();
    assert!(free.contains("the file has f32 [?, ?]: the width of a window must stand in the file"), "{free}");
    let classify = refused("task = \"classify\"");
    assert!(classify.contains("input = nothing: expected a table [input]"), "{classify}");
    let key = refused("task = \"reconstruct\"\nlabels = \"l.txt\"");
    assert!(key.contains("line 5: labels = \"l.txt\": expected nothing"), "{key}");
    let frames = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"";
    let frames = format!("task = \"reconstruct\"\n[input]\n{frames}\n[output]\ndecoder = \"reconstruction\"");
    let frames = refused(&frames);
    assert!(frames.contains("over frames, where one over windows of readings is asked for"), "{frames}");
}
