//! Which names are known, for how long, and which are evicted.

use super::*;
use crate::judging::streams::MAX_SIGNALS_PER_DEVICE;

const DAY: u64 = 24 * 3600;

/// With room for this number of bytes.
fn bounded(bytes: usize, weight: usize) -> Trial<AboveTen> {
    let mut hot = spec("hot", Scope::Signal, &[]);
    hot.make = Box::new(move |now| AboveTen { seen: 0, received: now, rate: None, weight });
    Trial::within(&JudgesMemory::new(bytes), vec![hot])
}

fn knows(trial: &Trial<AboveTen>, device: &str) -> bool {
    trial.set.instances.iter().any(|(_, one)| one.subject.device.as_str() == device)
}

fn refused(trial: &Trial<AboveTen>, reason: Reason) -> u64 {
    let found = trial.counters.sources()[0].rejections().find(|(one, _)| *one == reason);
    found.map_or(0, |(_, count)| count)
}

#[test]
fn what_was_learnt_outlives_a_rest_of_months() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(1, "a temp 1");
    trial.save();
    trial.out.checkpoints.clear();
    for day in 1..100 {
        trial.set.expire(at(day * DAY), &mut trial.out);
        trial.tick(day * DAY + 1);
    }
    assert!(trial.out.checkpoints.iter().all(|one| !one.key.starts_with("state")));
    trial.send(100 * DAY, "a temp 1");
    let seen: Vec<_> = trial.set.instances.iter().map(|(_, one)| one.judge.seen).collect();
    assert_eq!(seen, [2], "it goes on with what it had seen");
}

#[test]
fn a_flood_of_names_neither_displaces_devices_nor_locks_new_ones_out() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for second in 0..20 {
        trial.send(second, "pump temp 1");
    }
    // More names than can be known at once, each seen once, within 15 minutes.
    for name in 0..2 * MAX_DEVICES as u64 {
        trial.send(20 + name / 36, &format!("x{name} temp 1"));
    }
    let second = 20 + 2 * MAX_DEVICES as u64 / 36;
    assert!(trial.set.stream_count() <= MAX_DEVICES);
    assert!(trial.counters.evicted_devices_total.get() >= MAX_DEVICES as u64);
    assert!(knows(&trial, "pump"));
    for more in 1..=20 {
        trial.send(second + more, "fan temp 1");
    }
    let seen = trial.set.instances.iter().find(|(_, one)| one.subject.device.as_str() == "fan");
    assert!(seen.unwrap().1.judge.seen >= 19, "a new device is observed at once");
}

#[test]
fn what_sends_regularly_stays_through_a_flood_and_a_rest() {
    let mut trial = bounded(1 << 20, 4 << 10);
    for hour in 0..48 {
        trial.send(hour * 3600, "pump temp 1");
    }
    // A weekend later: its rest is shorter than the time over which it sent.
    let start = 48 * 3600 + DAY;
    for name in 0..5_000_u64 {
        trial.send(start + name / 100, &format!("x{name} temp 1"));
        assert!(trial.set.room.bytes() <= (1 << 20) + (8 << 10), "{}", trial.set.room.bytes());
    }
    assert!(knows(&trial, "pump"));
    // After a rest of months it is evicted, but not before those that were seen once.
    for name in 0..1_000_u64 {
        trial.send(200 * DAY + name / 100, &format!("y{name} temp 1"));
    }
    assert!(knows(&trial, "pump"), "names seen once give way first");
}

#[test]
fn new_names_beyond_half_of_the_room_are_taken_at_a_rate() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for name in 0..MAX_DEVICES {
        trial.send(1, &format!("x{name} temp 1"));
    }
    let late = refused(&trial, Reason::TooManyNewNames);
    assert_eq!(late, MAX_DEVICES as u64 / 2 - 4_096 - 1);
    for name in 0..300 {
        trial.send(2, &format!("y{name} temp 1"));
    }
    assert_eq!(refused(&trial, Reason::TooManyNewNames) - late, 300 - NEW_NAMES_PER_SECOND);
}

#[test]
fn who_is_full_of_regular_devices_refuses_new_ones_and_says_so() {
    let mut trial = bounded(256 << 10, 8 << 10);
    trial.send(0, "d0 temp 1");
    // The last of them takes the rest of the room.
    let devices = (256_usize << 10).div_ceil(trial.set.room.bytes());
    for second in 0..60 {
        for device in 0..devices {
            trial.send(second, &format!("d{device} temp 1"));
        }
    }
    for name in 0..100 {
        trial.send(60, &format!("x{name} temp 1"));
    }
    assert!((0..devices).all(|device| knows(&trial, &format!("d{device}"))));
    assert!(refused(&trial, Reason::TooManyStreams) >= 90);
    assert!(trial.set.room.bytes() <= (256 << 10) + (9 << 10));
}

#[test]
fn what_grows_beyond_the_room_lets_the_youngest_go() {
    let mut trial = bounded(64 << 10, 0);
    let devices = 20;
    for second in 0..90 {
        // The first three are older than the others, and one is younger.
        for device in (0..devices).filter(|device| *device < 3 || second >= 30) {
            trial.send(second + 10 * u64::from(device == 19), &format!("d{device} temp 1"));
        }
    }
    assert!((0..devices).all(|device| knows(&trial, &format!("d{device}"))));
    for (_, instance) in &mut trial.set.instances {
        instance.judge.weight = 4 << 10;
    }
    for second in 100..400 {
        for device in 0..3 {
            trial.send(second, &format!("d{device} temp 1"));
        }
    }
    for second in 400..800 {
        for device in 0..devices {
            trial.send(second, &format!("d{device} temp 1"));
        }
        assert!(trial.set.room.bytes() <= (64 << 10) + (8 << 10));
    }
    assert!((0..3).all(|device| knows(&trial, &format!("d{device}"))), "those that sent for longest stay");
}

#[test]
fn accounts_of_room_balance_when_all_have_given_way() {
    let mut trial = bounded(1 << 20, 100);
    let mut signals = String::new();
    for signal in 0..MAX_SIGNALS_PER_DEVICE + 1 {
        signals = format!("te{signal}");
        trial.send(1, &format!("a {signals} 11"));
    }
    assert_eq!(refused(&trial, Reason::TooManyStreams), 1, "{signals}");
    assert_eq!(trial.set.account().instances, MAX_SIGNALS_PER_DEVICE as u64);
    trial.save();
    let (source, device) = (SourceIndex(0), DeviceId::new("a").unwrap());
    let before = trial.out.verdicts.len();
    trial.out.checkpoints.clear();
    trial.set.forget(source, &device, at(2), &mut trial.out);
    let account = trial.set.account();
    assert_eq!((account.instances, account.devices, account.bytes), (0, 0, 0));
    assert_eq!(trial.reported(before).len(), MAX_SIGNALS_PER_DEVICE, "what was open is cleared");
    assert_eq!(trial.out.checkpoints.len(), 2 * MAX_SIGNALS_PER_DEVICE, "events and states are removed");
}

#[test]
fn the_silence_of_a_device_that_has_vanished_ends_after_a_week_and_is_not_raised_again() {
    let specs = || vec![spec("quiet", Scope::Device, &["b"]), spec("hot", Scope::Signal, &[])];
    let mut trial = Trial::new(specs());
    trial.send(1, "a temp 1");
    assert_eq!(trial.tick(100).len(), 3, "both judges of a, and the device that is expected");
    trial.set.expire(at(7 * DAY), &mut trial.out);
    let before = trial.out.verdicts.len();
    trial.set.expire(at(7 * DAY + 2), &mut trial.out);
    let mut ended = trial.reported(before);
    ended.sort();
    assert_eq!(ended.len(), 2, "b is expected: {ended:?}");
    assert!(ended.iter().all(|one| one.contains(" a ") && one.contains("health cleared")), "{ended:?}");
    let Body::Health(health) = &trial.out.verdicts[before].body else { panic!("health") };
    assert_eq!(health.observed, 7.0 * DAY as f64 + 1.0, "for how long it was silent");
    assert!(trial.tick(8 * DAY).is_empty());
    trial.save();

    let mut saved: HashMap<String, Checkpoint> = HashMap::new();
    for checkpoint in &trial.out.checkpoints {
        saved.insert(checkpoint.key.clone(), checkpoint.clone());
    }
    let saved: Vec<Checkpoint> = saved.into_values().collect();
    let mut after = Trial::new(specs());
    after.set.restore(&saved, at(9 * DAY), &mut after.out);
    assert!(
        after.tick(9 * DAY + 3600).iter().all(|one| one.contains(" b ")),
        "it stays ended over a restart"
    );
    after.send(9 * DAY + 3601, "a temp 1");
    let again = after.tick(9 * DAY + 7200);
    assert_eq!(again.iter().filter(|one| one.contains(" a ")).count(), 2, "back again, it is missed again");
}

#[test]
fn each_event_of_a_judge_that_is_gone_is_cleared_with_what_it_was_about() {
    let mut before = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    before.send(1, "a temp 11");
    before.tick(100);
    let saved = before.out.checkpoints.last().unwrap().clone();
    let mut after = Trial::new(vec![spec("other", Scope::Signal, &[])]);
    after.set.restore(&[saved], at(110), &mut after.out);
    let observed = after.out.verdicts.iter().map(|verdict| match &verdict.body {
        Body::Anomaly(anomaly) => anomaly.observed,
        Body::Health(health) => health.observed,
        other => panic!("{other:?}"),
    });
    let observed: Vec<f64> = observed.collect();
    assert_eq!(observed, [11.0, 99.0], "the value that was high, the seconds of silence");
}
