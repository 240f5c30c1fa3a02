//! Names that stand for several series.

use super::*;

/// Each message has two values, `device signal value`, of one name and one time.
struct Twins;

impl Decoder for Twins {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        Words.decode(message, out);
        out.items.extend_from_within(..);
        out.shared.push((1, SharedBy::Time));
        let offset_ms = (message.payload != "a y 1").then_some(-18_000_000);
        out.clock_offsets.push(ClockOffset { device: out.items[0].device.clone(), offset_ms });
    }
}

#[test]
fn names_that_stand_for_several_series_are_counted_once_and_judged() {
    let sources = vec![SourceId::new("pump").unwrap()];
    let counters = Arc::new(Counters::new(sources.clone()));
    let mut set: JudgeSet<_, AboveTen> =
        JudgeSet::new(Twins, Vec::new(), sources, Arc::clone(&counters), || EventId([0; 16]), at(0));
    for (number, payload) in ["a x 1", "a x 2", "a y 1"].into_iter().enumerate() {
        let message =
            Inbound::of(SourceIndex(0), "t", Bytes::copy_from_slice(payload.as_bytes()), at(number as u64));
        set.message(&message, message.received, &mut Decision::default());
        let offsets: Vec<i64> =
            counters.sources()[0].clock_offsets.devices().into_iter().map(|of| of.1).collect();
        assert_eq!(offsets, if number < 2 { vec![-18_000_000] } else { Vec::new() });
    }
    let source = &counters.sources()[0];
    assert_eq!((source.shared_name_count(), source.shared_readings_total.get()), (2, 3));
    assert_eq!(source.readings_judged_total.get(), 6);
    let names = source.shared_names();
    assert_eq!((names[0].0.1.as_str(), names[1].0.1.as_str(), names[0].1), ("x", "y", SharedBy::Time));
}
