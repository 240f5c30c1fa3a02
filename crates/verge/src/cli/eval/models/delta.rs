//! The mark of `verge model delta`: a new head is a fifth of the package at most. That a transfer which was cut 20 times goes on where
//! it was needs a broker: `tests/interop/test_model_transport.py` shows it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fastrand::Rng;
use verge_engine::{EditableModel, Tensor};

use super::bench::{Workbench, number, text};
use super::{Bound, Mark};

/// Models whose last layer is a part of them as is usual.
const SUBJECTS: [&str; 2] = ["mobilenet_v2_1.0_224_quant", "mobilenet_v1_0.75_192_quant"];
/// Weights of a layer are this many at least.
const MANY: usize = 2_048;
/// How far training on moves a weight, in steps: the deviation of normal noise.
const MOVED: f64 = 1.5;
/// What stands before the 32 bytes of a private key of Ed25519.
///
/// **Source**: RFC 8410, section 7.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let key = key(workbench)?;
    let mut marks = Vec::new();
    for name in SUBJECTS {
        marks.extend(head(workbench, name, &key)?);
    }
    Ok(marks)
}

fn head(workbench: &Workbench, name: &str, key: &Path) -> anyhow::Result<[Mark; 2]> {
    let folders = ["old", "new"].map(|which| workbench.path(&format!("{name}-{which}")));
    let packages = ["old", "new"].map(|which| workbench.path(&format!("{name}-{which}.vmodel")));
    let known = workbench.data.join(format!("models/imagenet/{name}.onnx"));
    let old = Bytes::from(fs::read(&known).with_context(|| text(&known))?);
    let new = with_other_head(&old).with_context(|| text(&known))?;
    for ((folder, package), (weights, counter)) in
        folders.iter().zip(&packages).zip([(&old, "1"), (&new, "2")])
    {
        fs::create_dir(folder)?;
        fs::write(folder.join("model.onnx"), weights)?;
        let card = folder.join("model.toml");
        fs::write(&card, card_beside(&workbench.card(name)?, folder)?)?;
        let arguments =
            ["model", "sign", &text(&card), "--key", &text(key), "--counter", counter, "-o", &text(package)];
        workbench.done(&arguments)?;
    }
    let changes = workbench.path(&format!("{name}-changes.vmodel"));
    let [old_package, new_package] = packages.each_ref().map(|package| text(package));
    let ran = workbench.done(&["model", "delta", &old_package, &new_package, "-o", &text(&changes)])?;
    let share = number(&ran, "/bytes")? / number(&ran, "/whole_bytes")? * 100.0;
    let rebuilt = workbench.path(&format!("{name}-rebuilt.vmodel"));
    workbench.done(&["model", "patch", &old_package, &text(&changes), "-o", &text(&rebuilt)])?;
    let is_same = fs::read(&rebuilt)? == fs::read(&packages[1])?;
    Ok([
        Mark::new(format!("{name}, a new head, of its package"), share, "%", Bound::AtMost(20.0)),
        Mark::new(
            format!("{name}, rebuilt bit by bit"),
            f64::from(u8::from(is_same)),
            "",
            Bound::AtLeast(1.0),
        ),
    ])
}

/// A card that names its weights and labels in its own folder, where the labels are copied to.
fn card_beside(card: &Path, folder: &Path) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for line in fs::read_to_string(card)?.lines() {
        let value = |line: &str| line.split('"').nth(1).map(PathBuf::from);
        if line.starts_with("file =") {
            lines.push("file = \"model.onnx\"".to_owned());
        } else if line.starts_with("labels =") {
            let labels = value(line).context("labels in a file")?;
            fs::copy(&labels, folder.join("labels.txt")).with_context(|| text(&labels))?;
            lines.push("labels = \"labels.txt\"".to_owned());
        } else if !line.starts_with("sha256") {
            lines.push(line.to_owned());
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// The weights of the last layer as training on changes them.
fn with_other_head(old: &Bytes) -> anyhow::Result<Bytes> {
    let mut model = EditableModel::read(old)?;
    let many = |name: &&String| {
        let sides = model.dims(name).unwrap_or_default();
        sides.iter().product::<i64>() >= i64::try_from(MANY).unwrap_or(i64::MAX)
            && model.bytes_of(name).is_some()
    };
    let last = model.views().flat_map(|node| node.inputs()).rfind(many).cloned();
    let name = last.context("no layer with weights of 8 bits")?;
    let (dims, numbers) = model.bytes_of(&name).context("weights of 8 bits")?;
    let mut random = Rng::with_seed(1);
    let mut moved = || {
        // Twelve evenly drawn numbers are nearly normal, of deviation 1.
        let sum: f64 = (0..12).map(|_| random.f64()).sum();
        ((sum - 6.0) * MOVED).round()
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is outside saturates")]
    let numbers = match numbers {
        Tensor::I8(old) => Tensor::I8(old.iter().map(|one| (f64::from(*one) + moved()) as i8).collect()),
        Tensor::U8(old) => Tensor::U8(old.iter().map(|one| (f64::from(*one) + moved()) as u8).collect()),
        _ => bail!("weights of 8 bits are expected"),
    };
    model.replace_initializer(&name, &dims, &numbers)?;
    let new = model.write();
    ensure!(new != *old, "the last layer stayed as it was");
    Ok(new)
}

/// A key that is used once.
fn key(workbench: &Workbench) -> anyhow::Result<PathBuf> {
    let mut random = Rng::with_seed(2);
    let der: Vec<u8> = PKCS8.into_iter().chain((0..32).map(|_| random.u8(..))).collect();
    let path = workbench.path("publisher.pem");
    let pem = format!("-----BEGIN {0}-----\n{1}\n-----END {0}-----\n", "PRIVATE KEY", STANDARD.encode(der));
    fs::write(&path, pem)?;
    Ok(path)
}
