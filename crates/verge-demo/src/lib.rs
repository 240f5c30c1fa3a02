//! `verge demo`: a whole site in one process, over real sockets and real TLS.
//!
//! Six simulated sensors and two cameras publish to the broker that the gateway brings along; the gateway, wired
//! exactly as `verge run` wires it, judges; a receiver at the upstream stand-in decodes what arrives. The exit code is 0 only if everything
//! the scenario must produce arrived there, and the vehicles that a camera counts are those that the renderer let pass.

mod cameras;
mod comparison;
mod outputs;
mod release;
pub mod scene;
mod screen;
mod sensors;
mod site;
mod tally;
mod wan;

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use verge_domain::time::UtcMillis;
use verge_gateway::exit::Exit;
use verge_gateway::reload::door::ReloadDoor;
use verge_gateway::reload::{ReloadAnswer, ReloadRequest, ReloadRequests};
use verge_gateway::wiring::{self, Gateway};
use verge_mqtt::{Publisher, QoS, Subscriber, SubscriberEvent};
use verge_pipeline::status::JudgeStatus;

use cameras::SimulatedCamera;
use comparison::{CountComparison, JunctionTruth};
use release::Release;
use screen::{Screen, ScreenContent, costs, ledger};
use sensors::Sensor;
use site::Site;
use tally::Arrived;
use wan::{Change, Wan};

/// Shortest run in which every fault has time to be raised and cleared.
pub const MIN_SECONDS: u64 = 15;
/// After the run: time for the last verdicts to arrive. Counts of an interval come five seconds after its end.
const DRAIN: Duration = Duration::from_secs(8);

/// Length of a run where none is asked for.
const DEFAULT_SECONDS: u64 = 60;

/// How long the link to the dashboard may wait to be opened.
const LINK_LIFE: Duration = Duration::from_secs(600);

/// What a user chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoOptions {
    /// Length of the run; a minute where it is not given.
    pub seconds: Option<u64>,
    /// Port of the dashboard, 0 for any that is free; without one it is not served.
    pub dashboard: Option<u16>,
}

/// Runs the demo, and returns whether all of it worked.
///
/// # Errors
/// A part of the site could not be started, or the terminal is closed.
pub fn run(options: &DemoOptions) -> anyhow::Result<Exit> {
    let seconds = options.seconds.unwrap_or(DEFAULT_SECONDS);
    let mut screen = Screen::new();
    wiring::provide_runtime(&mut |step| screen.always(step)).context("the library that runs models")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(play(screen, Duration::from_secs(seconds), options.dashboard))
}

async fn play(mut screen: Screen, run: Duration, dashboard: Option<u16>) -> anyhow::Result<Exit> {
    // One for the whole run, ahead of all that takes time: no signal is missed, and what was started is stopped in order.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    screen.line(
        "making certificates, starting an upstream stand-in and a gateway with its broker on loopback",
    )?;
    let mut site = Site::start().await?;
    let mut receiver = Subscriber::spawn(
        site.receiver_connection()?,
        vec!["verge/+/alarm".to_owned(), "verge/+/verdict".to_owned()],
    );
    wait_connected(&mut receiver).await.context("the receiver at the upstream stand-in")?;

    let settings = site.settings(dashboard)?;
    let started = Gateway::start(&settings, None).await;
    let mut gateway = started.with_context(|| match settings.dashboard {
        Some(_) => "the gateway (--dashboard-port takes another port, --no-dashboard none)",
        None => "the gateway",
    })?;
    if let Some(link) = gateway.dashboard_link("demo", LINK_LIFE)? {
        screen.always(&format!("dashboard: {link}"));
        screen.always(&format!("  the link logs in once, within {} minutes", LINK_LIFE.as_secs() / 60));
    }
    let mut reloads = gateway.reload_requests();
    // Where commands about models ask, as they ask `verge run`.
    let door = ReloadDoor::open(&settings.gateway.state_dir).context("the socket for reloads")?;
    let (_, route) = gateway.routes().first().cloned().context("the demo's configuration has one uplink")?;
    let listener = gateway.listener().context("the demo's configuration has the gateway bring its broker")?;
    let counters = gateway.counters().clone();
    screen.line("six sensors and two cameras publish; faults come one after the other")?;

    let truth = JunctionTruth::of(&settings, run + DRAIN)?;
    let (start, began) = (Instant::now(), wall()?);
    let mut devices: Vec<JoinHandle<anyhow::Result<()>>> = Vec::new();
    for sensor in Sensor::ALL {
        let connection = site.device_connection(sensor.name(), listener)?;
        devices.push(tokio::spawn(simulate(sensor, connection, start, run)));
    }
    for camera in SimulatedCamera::both() {
        let connection = site.device_connection(camera.name(), listener)?;
        devices.push(tokio::spawn(film(camera, connection, start, run)));
    }

    let mut tally = Arrived::new(CountComparison::new(truth, began));
    let mut wan = Wan::over(run);
    let mut release = Release::over(site.folder(), (start, run))?;
    let mut redraw = tokio::time::interval(Screen::period());
    let end = start + run + DRAIN;
    loop {
        tokio::select! {
            event = receiver.next() => match event {
                Some(SubscriberEvent::Message(message)) => {
                    let message = verge_wire::read_message(&message.payload, verge_wire::WireLimits::default())
                        .context("a message upstream cannot be decoded")?;
                    for line in tally.note(&message, Instant::now()) {
                        screen.line(&line)?;
                    }
                }
                Some(_) => {}
                None => break,
            },
            _ = redraw.tick() => {
                let now = Instant::now();
                let elapsed = now.duration_since(start).min(run);
                match wan.look(elapsed, route.backlog()) {
                    Some(Change::Cut) => {
                        site.cut_wan();
                        screen.line("the uplink is cut; verdicts wait in the store")?;
                    }
                    Some(Change::Restore) => {
                        site.restore_wan().await?;
                        screen.line("the uplink works again")?;
                    }
                    None => {}
                }
                if let Some(line) = release.look(&gateway.snapshot().models) {
                    screen.line(&line)?;
                }
                let view = ScreenContent { elapsed, run, counters: &counters, route: &route, tally: &tally, wan: &wan };
                screen.draw(&view, now)?;
                if now >= end || (elapsed == run
                        && release.is_over()
                        && tally.counted.is_complete(run)
                        && tally.missing(run).is_empty()
                        && route.backlog() == 0) {
                    break;
                }
            }
            request = either(&mut reloads, &door) => {
                if let Some(line) = reload(&mut gateway, &site, dashboard, request).await {
                    screen.line(&line)?;
                }
            }
            what = gateway.failed() => anyhow::bail!("{what} has ended by a fault"),
            _ = interrupt.recv() => break,
        }
    }
    for device in devices {
        device.abort();
    }
    // Who waits for a reload learns now that there is none.
    drop((reloads, door));
    let status = gateway.snapshot();
    let raised = tally.raised_by("vibration-high");
    let outputs = {
        let status = status.clone();
        tokio::task::spawn_blocking(move || outputs::lines(&status, raised)).await.context("the outputs")?
    };
    gateway.stop().await?;
    let elapsed = start.elapsed().min(run);
    let view = ScreenContent { elapsed, run, counters: &counters, route: &route, tally: &tally, wan: &wan };
    summary(&view, &status.judges, &release, &outputs)
}

/// The next request for a reload, from within or from a command.
async fn either(reloads: &mut ReloadRequests, door: &ReloadDoor) -> ReloadRequest {
    tokio::select! {
        request = reloads.next() => request,
        request = door.next() => request,
    }
}

/// Carries a reload out, and says what came of it.
async fn reload(
    gateway: &mut Gateway,
    site: &Site,
    dashboard: Option<u16>,
    request: ReloadRequest,
) -> Option<String> {
    // A version of a model has changed: what runs is taken up again.
    let next = if request.again { Ok(gateway.settings().clone()) } else { site.load(dashboard) };
    let answer = match next {
        Ok(next) => gateway.reload(next, request.dry_run).await,
        Err(error) => ReloadAnswer::Faulty { faults: vec![format!("{error:#}")] },
    };
    let words = answer.words().into_iter().next().filter(|_| !request.dry_run);
    if !request.dry_run && !request.again {
        gateway.note_reload(&answer);
    }
    request.answer(&answer).await;
    words
}

async fn wait_connected(receiver: &mut Subscriber) -> anyhow::Result<()> {
    loop {
        match receiver.next().await {
            Some(SubscriberEvent::Subscribed) => return Ok(()),
            Some(SubscriberEvent::Disconnected { reason }) => anyhow::bail!("{reason}"),
            Some(_) => {}
            None => anyhow::bail!("it has ended"),
        }
    }
}

fn wall() -> anyhow::Result<UtcMillis> {
    Ok(UtcMillis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?))
}

/// Publishes one sensor's messages, on time, for as long as the site stands: after the run nothing fails any more.
async fn simulate(
    sensor: Sensor,
    connection: verge_mqtt::ConnectionSettings,
    start: Instant,
    run: Duration,
) -> anyhow::Result<()> {
    let publisher = Publisher::connect(connection).await?;
    let mut ticks = tokio::time::interval(sensor.period());
    let mut index = 0;
    loop {
        ticks.tick().await;
        if let Some(sample) = sensor.sample(index, start.elapsed(), run, wall()?.0) {
            publisher.publish(sample.topic, sample.payload.into(), QoS::AtLeastOnce, false).await?;
        }
        index += 1;
    }
}

/// Publishes one camera's frames for as long as the site stands. QoS 0, as cameras do: the next frame is the better one.
async fn film(
    mut camera: SimulatedCamera,
    connection: verge_mqtt::ConnectionSettings,
    start: Instant,
    run: Duration,
) -> anyhow::Result<()> {
    let publisher = Publisher::connect(connection).await?;
    let mut ticks = tokio::time::interval(cameras::PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let elapsed = start.elapsed();
        let (topic, frame);
        (camera, topic, frame) = tokio::task::spawn_blocking(move || {
            let frame = Bytes::copy_from_slice(camera.frame(elapsed, run)?);
            let topic = camera.topic();
            anyhow::Ok((camera, topic, frame))
        })
        .await
        .context("a camera")??;
        publisher.publish(topic, frame, QoS::AtMostOnce, false).await?;
    }
}

fn summary(
    view: &ScreenContent<'_>,
    judges: &[JudgeStatus],
    release: &Release,
    outputs: &[String],
) -> anyhow::Result<Exit> {
    let (verdicts, duplicates, missing_numbers) = view.tally.sequence_totals();
    let sources = view.counters.sources();
    let readings: u64 = sources.iter().map(|source| source.readings_judged_total.get()).sum();
    let frames: u64 = sources.iter().map(|source| source.frames_judged_total.get()).sum();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n{readings} readings and {frames} frames were judged; {verdicts} verdicts arrived upstream over mutual TLS"
    )?;
    for (kind, count) in &view.tally.by_kind {
        writeln!(out, "  {kind:<10} {count}")?;
    }
    writeln!(
        out,
        "  {} events raised, {} cleared; {duplicates} duplicates, {missing_numbers} numbers missing",
        view.tally.raised, view.tally.cleared
    )?;
    if let Some(outage) = view.wan.outage() {
        writeln!(
            out,
            "  the uplink was cut for {} s: up to {} verdicts waited in the store",
            outage.as_secs(),
            view.wan.most_waiting()
        )?;
    }
    writeln!(out, "  {}", ledger(view))?;
    if let Some(costs) = costs(view) {
        writeln!(out, "  {costs}")?;
    }
    for line in view.tally.counted.table() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  forward is into the junction; {}", CountComparison::tolerated())?;
    for line in outputs.iter().chain(&release.words()) {
        writeln!(out, "  {line}")?;
    }
    if let Some(versions) = view.tally.versions_words() {
        writeln!(out, "  {versions}")?;
    }
    if let Some(words) = view.tally.frozen_words(&cameras::frozen(view.run)) {
        writeln!(out, "  {words}")?;
    }
    for judge in judges.iter().filter(|judge| judge.unsupported > 0) {
        writeln!(
            out,
            "  {} still learns what is usual, as it does in its first days: what it finds is recorded as info, unless it \
             is beyond doubt",
            judge.name
        )?;
    }
    let mut lacking = view.tally.missing(view.run);
    lacking.extend(release.lacking());
    if missing_numbers > 0 {
        lacking.push(format!("{missing_numbers} sequence numbers never arrived"));
    }
    if lacking.is_empty() {
        writeln!(out, "everything the scenario must produce has arrived")?;
        return Ok(Exit::Fine);
    }
    for what in lacking {
        writeln!(out, "MISSING: {what}")?;
    }
    Ok(Exit::Failure)
}
