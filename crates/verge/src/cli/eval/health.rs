//! `verge eval health`: which faults of a camera are found and when, and which are found where there are none, on drawn
//! pictures and on those of a folder.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use verge_anomaly::camera::CameraCauses;
use verge_domain::finding::Member;
use verge_domain::time::{Moment, UtcMillis};
use verge_eval::weather::{CameraFault, HEIGHT, WIDTH, Weather, WeatherCamera};
use verge_gateway::exit::Exit;
use verge_vision::Picture;
use verge_vision::watch::CameraWatch;

use super::count;
use crate::cli::output::json_line;
use crate::cli::say;

#[derive(Debug, Args)]
#[command(
    after_help = "A street before a camera is drawn in seven weathers, by day and night, with traffic, passing trucks and \
headlights. Each cause that is found in it is a false alarm; in the middle of each run the gateway starts again. Then each fault is brought about, by day, by night and in rain \
by night. A line on standard error says what is done so far.

With --data nothing is drawn: the pictures of folders (DIR/frames/NAME.jpg, with DIR/times.csv or at --rate) are \
measured, and what is found in them is listed.

Examples:
  verge eval health
  verge eval health --frames 2000 --rate 12.5
  verge eval health --data clip --rate 25"
)]
pub(super) struct HealthArgs {
    /// Pictures without a fault, of all weathers together
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    frames: u64,
    /// Pictures a second
    #[arg(long, default_value_t = 5.0, value_name = "RATE")]
    rate: f64,
    /// Seed of traffic and noise
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// A folder of frames instead; may be given more than once
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
}

/// Seconds of a camera that is well before a fault, and seconds with it at most.
const WELL: f64 = 40.0;
const ILL: f64 = 60.0;
/// Pictures of one camera at most: then another one begins.
const RUN: u64 = 2_500;
/// When faults are brought about.
const HOURS: [&str; 3] = ["noon", "night", "wet night"];

/// A fault, the cause that it should be found as, and the seconds within which.
const FAULTS: [(&str, CameraFault, Member, f64); 16] = [
    ("frozen", CameraFault::Frozen, Member::Frozen, 5.0),
    ("dark", CameraFault::Dark, Member::Dark, 8.0),
    ("bright", CameraFault::Bright, Member::Bright, 8.0),
    ("blurred a little", CameraFault::Blurred(3), Member::Blurred, 15.0),
    ("blurred", CameraFault::Blurred(6), Member::Blurred, 15.0),
    ("covered, grey", CameraFault::Covered(1.0, 0.3), Member::Covered, 8.0),
    ("covered, dark", CameraFault::Covered(1.0, 0.03), Member::Covered, 8.0),
    ("half covered, grey", CameraFault::Covered(0.5, 0.3), Member::Covered, 35.0),
    ("half covered, dark", CameraFault::Covered(0.5, 0.0), Member::Covered, 35.0),
    ("fog", CameraFault::Fog, Member::LowContrast, 35.0),
    ("moved a little", CameraFault::Moved(9, 0), Member::Moved, 15.0),
    ("moved", CameraFault::Moved(-40, 20), Member::Moved, 15.0),
    ("moved down", CameraFault::Moved(0, 14), Member::Moved, 15.0),
    ("flicker", CameraFault::Flicker, Member::Flicker, 8.0),
    ("covered while off", CameraFault::Covered(1.0, 0.3), Member::Covered, 8.0),
    ("moved while off", CameraFault::Moved(-40, 20), Member::Moved, 15.0),
];
/// From this one on they are brought about while the gateway does not run, after it has watched for so long, in seconds.
const WHILE_OFF: usize = 14;
const WELL_BEFORE: f64 = 120.0;

/// One camera, with what is known of it.
struct Watched {
    camera: WeatherCamera,
    watch: CameraWatch,
    causes: CameraCauses,
    found: Vec<Member>,
}

impl Watched {
    fn new(weather: Weather, seconds: f64, seed: u64) -> Self {
        Self {
            camera: WeatherCamera::new(weather, seconds, seed),
            watch: CameraWatch::default(),
            causes: CameraCauses::default(),
            found: Vec::new(),
        }
    }

    /// Shows the picture of a time. Gives the causes that are found with it and were not before.
    fn show(&mut self, at: f64, fault: Option<CameraFault>) -> Vec<Member> {
        let mut rgb = Vec::new();
        self.camera.render(at, fault, &mut rgb);
        self.look(at, rgb, &[])
    }

    /// The gateway starts again: of the pixels nothing is known any more.
    fn restart(&mut self) {
        (self.watch, self.causes) = (CameraWatch::default(), self.causes.restarted());
    }

    fn look(&mut self, at: f64, rgb: Vec<u8>, hidden: &[Range<usize>]) -> Vec<Member> {
        let picture = Picture::from_rgb(WIDTH as u32, HEIGHT as u32, rgb);
        let received = Moment::from_wall(UtcMillis((at * 1000.0) as i64));
        let look = self.watch.look_past(hidden, &picture, received.mono);
        self.causes.look(&look, received, 1.0);
        let now: Vec<Member> =
            Member::OF_CAMERAS.into_iter().filter(|cause| self.causes.is_found(*cause)).collect();
        let new = now.iter().copied().filter(|cause| !self.found.contains(cause)).collect();
        self.found = now;
        new
    }
}

/// False alarms of one camera, or in one weather.
struct Clean {
    weather: &'static str,
    frames: u64,
    alarms: Vec<(f64, Member)>,
}

/// A slice of the pictures without a fault.
#[derive(Clone, Copy)]
struct CleanSlice {
    weather: &'static str,
    frames: u64,
    seed: u64,
}

/// What was found of a fault, after how many seconds.
struct FaultFound {
    name: &'static str,
    hour: &'static str,
    cause: Member,
    within: f64,
    after: Option<f64>,
    /// Other causes that were found with it.
    others: Vec<Member>,
}

/// The slices of this number of pictures in each weather.
fn slices(frames: u64, seed: u64) -> Vec<CleanSlice> {
    let of = |(weather, place): (&'static str, u64)| {
        (0..frames).step_by(RUN as usize).enumerate().map(move |(run, from)| {
            let seed = seed + place + 100 * run as u64;
            CleanSlice { weather, frames: RUN.min(frames - from), seed }
        })
    };
    Weather::NAMES.into_iter().zip(0..).flat_map(of).collect()
}

fn clean(CleanSlice { weather, frames, seed }: CleanSlice, rate: f64) -> Clean {
    let mut alarms = Vec::new();
    let seconds = frames as f64 / rate;
    let mut watched = Watched::new(Weather::named(weather, 0.0), seconds, seed);
    for frame in 0..frames {
        let at = frame as f64 / rate;
        watched.camera.set_weather(Weather::named(weather, (at / seconds) as f32));
        if frame == frames / 2 {
            watched.restart();
        }
        alarms.extend(watched.show(at, None).into_iter().map(|cause| (at, cause)));
    }
    Clean { weather, frames, alarms }
}

/// All slices, by weather; says what is done so far.
fn all_clean(frames: u64, rate: f64, seed: u64) -> Vec<Clean> {
    let slices = slices(frames, seed);
    let total: u64 = slices.iter().map(|slice| slice.frames).sum();
    let done = Mutex::new((0, BTreeMap::<&str, u32>::new()));
    let parts = each(slices.len(), |at| {
        let part = clean(slices[at], rate);
        let mut done = done.lock().expect("no work panics");
        done.0 += part.frames;
        for (_, cause) in &part.alarms {
            *done.1.entry(cause.as_str()).or_default() += 1;
        }
        let alarms: Vec<String> = done.1.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        let alarms = if alarms.is_empty() { "none".to_owned() } else { alarms.join(", ") };
        say(&format!("{} of {total} pictures without a fault; false alarms: {alarms}", done.0));
        part
    });
    let mut all: Vec<Clean> = Vec::new();
    for part in parts {
        match all.last_mut().filter(|last| last.weather == part.weather) {
            Some(last) => {
                last.frames += part.frames;
                last.alarms.extend(part.alarms);
            }
            None => all.push(part),
        }
    }
    all
}

fn found_of(fault: usize, hour: &'static str, (well, rate): (f64, f64), seed: u64) -> FaultFound {
    let is_off = fault >= WHILE_OFF;
    let well = if is_off { WELL_BEFORE } else { well };
    let (name, fault, cause, within) = FAULTS[fault];
    let mut watched = Watched::new(Weather::named(hour, 0.0), well + ILL, seed);
    let (mut after, mut others) = (None, Vec::new());
    for frame in 0..((well + ILL) * rate) as u64 {
        let at = frame as f64 / rate;
        if is_off && at >= well && at - 1.0 / rate < well {
            watched.restart();
        }
        let new = watched.show(at, (at >= well).then_some(fault));
        if new.contains(&cause) && after.is_none() {
            after = Some(at - well);
        }
        others.extend(new.into_iter().filter(|one| *one != cause));
        if after.is_some() {
            break;
        }
    }
    FaultFound { name, hour, cause, within, after, others }
}

impl FaultFound {
    fn is_in_time(&self) -> bool {
        self.after.is_some_and(|after| (0.0..=self.within).contains(&after))
    }
}

/// Does each piece of work, as many at once as there are cores.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = work(index);
                    done.lock().expect("no work panics").push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no work panics");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

pub(super) fn health(args: &HealthArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let rate = args.rate.clamp(0.5, 60.0);
    if !args.data.is_empty() {
        return count::health_of(&args.data, rate, as_json, out);
    }
    let clean = all_clean(args.frames / Weather::NAMES.len() as u64, rate, args.seed);
    let found = each(FAULTS.len() * HOURS.len(), |at| {
        found_of(at / HOURS.len(), HOURS[at % HOURS.len()], (WELL, rate), args.seed)
    });
    if as_json {
        let clean: Vec<_> = clean
            .iter()
            .map(|one| json!({ "weather": one.weather, "frames": one.frames, "false_alarms": one.alarms.len() }))
            .collect();
        let faults: Vec<_> = found
            .iter()
            .map(|one| {
                json!({ "fault": one.name, "hour": one.hour, "cause": one.cause.as_str(), "within_s": one.within, "after_s": one.after })
            })
            .collect();
        json_line(out, &json!({ "seed": args.seed, "rate": rate, "clean": clean, "faults": faults }))?;
        return Ok(Exit::Fine);
    }
    write(&clean, &found, out).context("standard output")?;
    Ok(Exit::Fine)
}

fn write(clean: &[Clean], found: &[FaultFound], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{:<20} {:>8} {:>13}", "without a fault", "pictures", "false alarms")?;
    for Clean { weather, frames, alarms } in clean {
        writeln!(out, "{weather:<20} {frames:>8} {:>13}", alarms.len())?;
        for (at, cause) in alarms.iter().take(5) {
            writeln!(out, "  {cause} after {at:.0} s")?;
        }
    }
    writeln!(out, "\n{:<20} {:<9} {:<13} {:>8} {:>9}", "fault", "by", "cause", "within s", "found s")?;
    for one in found {
        let after = super::number(one.after, 1);
        let late = if one.is_in_time() { "" } else { "  late" };
        let others: Vec<&str> = one.others.iter().map(|cause| cause.as_str()).collect();
        let others =
            if others.is_empty() { String::new() } else { format!("  beside {}", others.join(", ")) };
        writeln!(
            out,
            "{:<20} {:<9} {:<13} {:>8} {after:>9}{late}{others}",
            one.name,
            one.hour,
            one.cause.as_str(),
            one.within
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use verge_vision::picture::SAMPLES;

    use super::*;

    impl Watched {
        /// Shows a picture of which the upper rows are hidden.
        fn show_masked(&mut self, at: f64, fault: Option<CameraFault>, rows: usize) -> Vec<Member> {
            let mut rgb = Vec::new();
            self.camera.render(at, fault, &mut rgb);
            let hidden = 0..rows * WIDTH * SAMPLES;
            rgb[hidden.clone()].fill(114);
            self.look(at, rgb, &[hidden])
        }
    }

    /// A reload brings it; then the camera is covered.
    #[test]
    fn a_new_mask_is_no_fault_and_hides_none() {
        let mut watched = Watched::new(Weather::named("noon", 0.0), 60.0, 3);
        let mut found = Vec::new();
        for frame in 0..300_u32 {
            let at = f64::from(frame) / 5.0;
            let fault = (at >= 50.0).then_some(CameraFault::Covered(1.0, 0.3));
            let rows = if at < 15.0 { 0 } else { HEIGHT / 2 };
            found.extend(watched.show_masked(at, fault, rows).into_iter().map(|cause| (at as u32, cause)));
        }
        assert_eq!(found, [(54, Member::Covered)]);
    }

    #[test]
    fn no_weather_is_a_fault() {
        let slices = slices(250, 3);
        assert_eq!(slices.len(), Weather::NAMES.len());
        let clean = each(slices.len(), |at| clean(slices[at], 5.0));
        for Clean { weather, alarms, .. } in clean {
            assert_eq!(alarms, [], "{weather}");
        }
    }

    #[test]
    fn each_fault_is_found_in_time_by_day() {
        let found = each(FAULTS.len(), |at| found_of(at, "noon", (20.0, 4.0), 3));
        let wrong = found.iter().filter(|one| !one.is_in_time() || !one.others.is_empty());
        let wrong: Vec<String> = wrong
            .map(|FaultFound { name, hour, after, others, .. }| {
                format!("{name}, {hour}: {after:?} s, {others:?}")
            })
            .collect();
        assert_eq!(wrong, [""; 0]);
    }
}
