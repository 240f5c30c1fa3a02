//! A small net quantised and run by the library, for each kind of processor and each version of the operators.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::collections::BTreeSet;

use support::{card, load, runtime};
use verge_engine::{
    EditableModel, Graph, ModelLimits, Optimisation, ProcessorClass, RecurrentState, RunError, Tensor,
    TensorView,
};
use verge_models::FrameModel;
use verge_models::quantise::sensitivity::signal_to_noise;
use verge_models::quantise::{
    Bench, PreparedPictures, QuantiseError, Quantiser, RangeMethod, Target, may_overflow,
};

const INPUT: &str =
    "layout = \"nhwc\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\nname = \"x\"";
const OUTPUT: &str = "decoder = \"probabilities\"\nnames = [\"y\"]";

/// Noise of a seed for each picture.
struct Noise {
    count: usize,
    spoilt: Option<usize>,
}

impl PreparedPictures for Noise {
    fn count(&self) -> usize {
        self.count
    }

    fn name(&self, number: usize) -> String {
        format!("{number}.jpg")
    }

    fn fill(&mut self, number: usize, input: &mut Tensor) -> Result<(), String> {
        let Tensor::F32(data) = input else { return Err("another element".to_owned()) };
        let mut seed = u32::try_from(number).unwrap() * 2 + 1;
        for element in data.iter_mut() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *element = (seed >> 8) as f32 / (1 << 24) as f32;
        }
        if self.spoilt == Some(number) {
            data[0] = f32::NAN;
        }
        Ok(())
    }
}

fn net(name: &str) -> FrameModel {
    load(&card(name, INPUT, OUTPUT), &["red", "green", "blue"]).unwrap()
}

fn answers(model: &FrameModel, bytes: bytes::Bytes, optimisation: Optimisation) -> Vec<f32> {
    let limits = ModelLimits { optimisation, ..ModelLimits::default() };
    let graph = Graph::of_bytes(&runtime(), model.graph().path(), bytes, limits).unwrap();
    let mut runner = graph.runner(std::sync::Arc::new(model.contract().clone())).unwrap();
    let mut found = Vec::new();
    for number in 100..120 {
        Noise { count: 1, spoilt: None }.fill(number, runner.input()).unwrap();
        let read = runner.run(&mut RecurrentState::default(), None, |outputs| match outputs.get(0)?.1 {
            TensorView::F32(data) => Ok::<_, RunError>(data.to_vec()),
            other => panic!("{other:?}"),
        });
        found.extend(read.unwrap());
    }
    found
}

fn bench<'a>(runtime: &'a verge_engine::Runtime, model: &'a FrameModel) -> Bench<'a> {
    Bench { runtime, path: model.graph().path(), limits: ModelLimits::default(), contract: model.contract() }
}

#[test]
fn a_quantised_net_answers_as_the_net_does_and_runs_as_written() {
    let runtime = runtime();
    for name in ["net", "net_11", "net_7"] {
        let model = net(name);
        let right = answers(&model, model.graph().bytes().clone(), Optimisation::Full);
        let float = EditableModel::read(model.graph().bytes()).unwrap();
        assert!(!may_overflow(&float, ProcessorClass::X86), "no 8 bit numbers");
        for processor in [ProcessorClass::X86, ProcessorClass::X86Vnni, ProcessorClass::Arm] {
            let mut noise = Noise { count: 16, spoilt: None };
            let target = Target { processor };
            let quantiser =
                Quantiser::new(model.graph(), bench(&runtime, &model), target, &mut noise, &mut |_, _| ())
                    .unwrap();
            for method in RangeMethod::ALL {
                let quantised = quantiser.quantised(method, &BTreeSet::new()).unwrap();
                let file = EditableModel::read(&quantised.bytes).unwrap();
                let is_full = processor != ProcessorClass::X86;
                for here in ProcessorClass::ALL {
                    let adds_wide = matches!(here, ProcessorClass::X86Vnni | ProcessorClass::Arm);
                    assert_eq!(may_overflow(&file, here), is_full && !adds_wide, "{processor:?} on {here:?}");
                }
                let found = answers(&model, quantised.bytes.clone(), Optimisation::Full);
                let kept = signal_to_noise(&right, &found);
                assert!(kept > 25.0, "{name} for {processor:?} by {method}: {kept:.1} dB");
                let written = answers(&model, quantised.bytes, Optimisation::AsWritten);
                if processor != ProcessorClass::X86Vnni || ProcessorClass::here() == processor {
                    let kept = signal_to_noise(&found, &written);
                    assert!(kept > 30.0, "{name} for {processor:?} by {method}: {kept:.1} dB as written");
                }
            }
        }
    }
}

#[test]
fn layers_are_ranked_left_float_and_repaired() {
    let runtime = runtime();
    let model = net("net");
    let right = answers(&model, model.graph().bytes().clone(), Optimisation::Full);
    let mut noise = Noise { count: 16, spoilt: None };
    let target = Target { processor: ProcessorClass::X86 };
    let quantiser =
        Quantiser::new(model.graph(), bench(&runtime, &model), target, &mut noise, &mut |_, _| ()).unwrap();
    let worst = quantiser.sensitivity(RangeMethod::MinMax, &mut noise, &mut |_, _| ()).unwrap();
    assert_eq!(worst.len(), 4);
    assert!(worst.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{worst:?}");
    let kept = |bytes| signal_to_noise(&right, &answers(&model, bytes, Optimisation::AsWritten));
    let all = quantiser.quantised(RangeMethod::MinMax, &BTreeSet::new()).unwrap();
    let float: BTreeSet<String> = worst.iter().take(2).map(|(made, _)| made.clone()).collect();
    let some = quantiser.quantised(RangeMethod::MinMax, &float).unwrap();
    assert_eq!(some.float.len(), 2);
    let repaired =
        quantiser.repaired(RangeMethod::MinMax, &BTreeSet::new(), &mut noise, &mut |_, _| ()).unwrap();
    let (all, some, repaired) = (kept(all.bytes), kept(some.bytes), kept(repaired.bytes));
    assert!(some > all, "{some:.1} instead of {all:.1} dB with the worst two left float");
    assert!(repaired > all - 3.0, "{repaired:.1} instead of {all:.1} dB repaired");
}

#[test]
fn a_number_that_is_not_finite_names_its_picture() {
    let runtime = runtime();
    let model = net("net");
    let mut noise = Noise { count: 16, spoilt: Some(5) };
    let target = Target { processor: ProcessorClass::X86 };
    let refused = Quantiser::new(model.graph(), bench(&runtime, &model), target, &mut noise, &mut |_, _| ());
    match refused.unwrap_err() {
        QuantiseError::NotFinite { picture, tensor, .. } => {
            assert_eq!((picture.as_str(), tensor.as_str()), ("5.jpg", "x"))
        }
        other => panic!("{other}"),
    }
}
