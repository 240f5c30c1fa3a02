//! The judges over readings, spread over as many threads as the configuration says.

use std::sync::Arc;

use verge_anomaly::ReadingJudge;
use verge_codec::Decoders;
use verge_domain::id::DeviceId;
use verge_domain::reading::Reading;
use verge_domain::stage::Decoder;
use verge_domain::time::Moment;
use verge_pipeline::clock::random_event_id;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{JudgeSet, Place, Placement, Shards, Undecoded};

use wildmatch::WildMatch;

use super::classes::{Class, Classes};
use super::{Autoencoders, decoders, judge_spec, source_ids};
use crate::settings::Settings;

/// All judges over readings of one class, each thread with a set of its own.
///
/// # Errors
/// See [`decoders`].
pub(super) fn shards(
    settings: &Settings,
    models: &Autoencoders,
    (class, placement): (Class, &Placement),
    counters: &Arc<Counters>,
    now: Moment,
) -> anyhow::Result<Shards<Decoders, ReadingJudge>> {
    let mut places = placement.places().into_iter();
    let first = places.next().expect("there is one shard at least");
    let class = Some(class);
    let front = set_at(first, settings, models, class, decoders(settings)?, Arc::clone(counters), now);
    let others =
        places.map(|place| set_at(place, settings, models, class, Undecoded, Arc::clone(counters), now));
    Ok(Shards::new(front, others.collect()))
}

/// Devices that are judged as one machine go to one thread. Judges of both classes share its room.
pub(super) fn placement(settings: &Settings) -> Placement {
    let machines: Vec<(Vec<WildMatch>, DeviceId)> = settings
        .judges
        .iter()
        .filter_map(|judge| Some((judge.devices.clone(), judge.readings()?.machine.clone()?)))
        .collect();
    Placement::pinning(settings.gateway.judging_threads, move |device| {
        machines.iter().any(|(devices, machine)| {
            device == machine
                || devices.is_empty()
                || devices.iter().any(|pattern| pattern.matches(device.as_str()))
        })
    })
    .with_memory(settings.gateway.judges_memory)
}

/// All judges over readings of the configuration at work, of both classes, as `verge judge` tries them.
pub fn judge_set<D: Decoder<Item = Reading>>(
    settings: &Settings,
    models: &Autoencoders,
    decoder: D,
    counters: Arc<Counters>,
    now: Moment,
) -> JudgeSet<D, ReadingJudge> {
    let place = Placement::new(1).with_memory(settings.gateway.judges_memory).places().swap_remove(0);
    set_at(place, settings, models, None, decoder, counters, now)
}

fn set_at<D: Decoder<Item = Reading>>(
    place: Place,
    settings: &Settings,
    models: &Autoencoders,
    class: Option<Class>,
    decoder: D,
    counters: Arc<Counters>,
    now: Moment,
) -> JudgeSet<D, ReadingJudge> {
    let classes = Classes::of(settings);
    let specs = settings
        .judges
        .iter()
        .enumerate()
        .filter_map(|(position, judge)| {
            let rules = judge.readings()?;
            let inputs = class.map_or_else(|| rules.inputs.clone(), |class| classes.inputs(class, rules));
            (!inputs.is_empty()).then(|| judge_spec(judge, rules, inputs, models, position))
        })
        .collect();
    JudgeSet::at(place, decoder, specs, source_ids(settings), counters, random_event_id, now)
}
