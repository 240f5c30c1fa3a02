//! Real models on a few real pictures; `verge eval` takes them all. Skipped where `VERGE_DATA` names no data.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use verge_domain::id::JudgeIndex;
use verge_engine::RecurrentState;
use verge_models::card::Nms;
use verge_models::gate::average_precision::{AveragePrecision, FoundObject, LabelledObject};
use verge_vision::detect::select;
use verge_vision::viewer::Inference;

use crate::frames::{frame, judge, viewer};
use crate::support::{data, load_real};

/// Some files of a folder, evenly spread, in order of their names.
fn spread(folder: &Path, count: usize) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    (0..count).map(|number| all[number * all.len() / count].clone()).collect()
}

fn infer(viewer: &mut verge_vision::FrameViewer, path: &Path, least: f32) -> Inference {
    let bytes = fs::read(path).unwrap();
    let (width, height) = size(&bytes);
    viewer.decode(&frame(bytes, width, height)).unwrap();
    viewer.infer(JudgeIndex(0), least, &mut RecurrentState::default(), None).unwrap()
}

/// Width and height as the first frame header states them.
fn size(jpeg: &[u8]) -> (u32, u32) {
    let mut at = 2;
    loop {
        let number = |at: usize| u16::from_be_bytes([jpeg[at], jpeg[at + 1]]);
        if (0xc0..=0xc2).contains(&jpeg[at + 1]) {
            return (number(at + 7).into(), number(at + 5).into());
        }
        at += 2 + usize::from(number(at + 2));
    }
}

#[test]
fn mobilenet_sees_what_the_reference_sees() {
    let Some(data) = data() else { return };
    let sample = data.join("imagenet_sample");
    let reference = fs::read_to_string(sample.join("reference_top5_onnxruntime.json")).unwrap();
    let reference: HashMap<String, HashMap<String, Vec<i64>>> = serde_json::from_str(&reference).unwrap();
    let pictures = spread(&sample.join("images"), 10);
    for (name, least) in [("mobilenet_v2_1.0_224_quant", 9), ("tf2_mobilenet_v2_1.0_224_ptq", 8)] {
        let mut viewer = viewer(load_real(&data, name), judge());
        let agrees = |path: &&PathBuf| {
            let Inference::Classes(classes) = infer(&mut viewer, path, 0.0) else { panic!("a classifier") };
            let top5 = &reference[name][path.file_name().unwrap().to_str().unwrap()];
            // Line 0 of the labels is the background, which the reference counts as -1.
            let expected = top5.iter().find(|class| **class >= 0).unwrap() + 1;
            i64::try_from(classes[0].label).unwrap() == expected
        };
        let agreed = pictures.iter().filter(agrees).count();
        assert!(agreed >= least, "{name}: {agreed} of 10");
    }
}

#[test]
fn detectors_find_traffic() {
    let Some(data) = data() else { return };
    for (name, least) in [("yolox_nano", 0.6), ("FastestDet", 0.3)] {
        let found = traffic_ap50(&data, name);
        assert!(found > least, "{name}: {found}");
    }
}

/// On five pictures, as the published figures are measured on all.
fn traffic_ap50(data: &Path, name: &str) -> f64 {
    let mut viewer = viewer(load_real(data, name), judge());
    let names = fs::read_to_string(data.join("models/detection/coco_80_names.txt")).unwrap();
    let vehicles: Vec<usize> = (0..)
        .zip(names.lines())
        .filter(|(_, name)| ["car", "motorcycle", "bus", "truck"].contains(name))
        .map(|(number, _)| number)
        .collect();
    let mut measure = AveragePrecision::new();
    let folder = data.join("traffic_topview/valid");
    for path in spread(&folder.join("images"), 5) {
        let Inference::Objects(mut objects) = infer(&mut viewer, &path, 0.01) else { panic!("a detector") };
        objects.retain(|object| vehicles.contains(&object.label));
        select(&mut objects, Some(Nms { iou: 0.6, per_class: false }));
        let found: Vec<FoundObject> = objects
            .iter()
            .map(|object| {
                let [left, top, right, bottom] = object.corners.map(f64::from);
                let area = [left, top, right - left, bottom - top];
                FoundObject { class: 0, area, score: object.score.into() }
            })
            .collect();
        let (width, height) = (f64::from(viewer.picture().width()), f64::from(viewer.picture().height()));
        let labels = folder.join("labels").join(path.with_extension("txt").file_name().unwrap());
        let truths: Vec<LabelledObject> = fs::read_to_string(labels)
            .unwrap()
            .lines()
            .map(|line| {
                let numbers: Vec<f64> = line.split_whitespace().map(|x| x.parse().unwrap()).collect();
                let [_, x, y, w, h] = numbers[..] else { panic!("five numbers: {line}") };
                let area = [(x - w / 2.0) * width, (y - h / 2.0) * height, w * width, h * height];
                LabelledObject { class: 0, area }
            })
            .collect();
        measure.add(&truths, &found);
    }
    measure.scores().unwrap().ap50
}

#[test]
fn every_card_of_the_data_fits_its_model() {
    let Some(data) = data() else { return };
    let picture = spread(&data.join("imagenet_sample/images"), 1).remove(0);
    for entry in fs::read_dir(crate::support::fixtures("cards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut viewer = viewer(load_real(&data, name), judge());
        match infer(&mut viewer, &picture, 0.5) {
            Inference::Classes(classes) => assert!(!classes.is_empty(), "{name}"),
            Inference::Objects(objects) => assert!(objects.iter().all(|one| one.score >= 0.5), "{name}"),
            Inference::Reconstruction(_) | Inference::Appearance(_) => panic!("{name}: it has labels"),
        }
    }
}
