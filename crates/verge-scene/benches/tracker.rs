//! What a frame costs: a scene with 100 objects, with its lines and zones.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_scene::{Anchor, FrameSize, Scene, SceneLine, SceneReport, SceneSettings, SeenBox};

const FRAME: FrameSize = FrameSize { width: 1920, height: 1080 };

/// Ten rows of ten objects that all move, at frame `number`.
fn boxes(number: u32) -> Vec<SeenBox> {
    let object = |at: u32| {
        let (row, column) = (f64::from(at / 10), f64::from(at % 10));
        let left = 20.0 + 185.0 * column + f64::from(number % 200) * 0.4;
        let top = 10.0 + 105.0 * row;
        SeenBox { class: 0, score: 0.9, left, top, right: left + 90.0, bottom: top + 60.0 }
    };
    (0..100).map(object).collect()
}

fn tracker(criterion: &mut Criterion) {
    let interval = IntervalGrid::new(Duration::from_secs(60)).expect("a minute");
    let mut settings = SceneSettings::new(vec![Label::new("car").expect("a name")], interval);
    for number in 0..4_u32 {
        let y = 0.2 + 0.2 * f64::from(number);
        let name = PlaceId::new(&format!("line {number}")).expect("a name");
        let line = SceneLine { name, from: [0.1, y], to: [0.9, y], anchor: Anchor::Bottom };
        settings.add_line(line).expect("a line");
    }
    let mut scene = Scene::new(Arc::new(settings));
    let mut report = SceneReport::default();
    let number = std::cell::Cell::new(0);
    criterion.bench_function("frame with 100 objects", |bencher| {
        bencher.iter_batched(
            || {
                number.set(number.get() + 1);
                boxes(number.get())
            },
            |mut seen| {
                let at = 1_767_225_600.0 + f64::from(number.get()) / 10.0;
                scene.observe(black_box(at), FRAME, &mut seen, &mut report);
                report.crossings.clear();
                report.intervals.clear();
                seen
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, tracker);
criterion_main!(benches);
