//! The image behind the map: what the points say, and how the gateway is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use verge_domain::alarms::StandingAlarms;
use verge_domain::board::{LastWord, RaisedBefore};
use verge_domain::id::JudgeId;
use verge_domain::image::{GatewayState, Heartbeat, Image, InputAge, PointQuality, PointSelector};
use verge_domain::settable::LimitKey;
use verge_domain::time::Moment;

use crate::map::{
    self, BLOCK_INPUTS, BLOCK_REGISTERS, GATEWAY_REGISTERS, LimitPlace, MAP_VERSION, ShownPoint, Tables,
    capped, long, seconds,
};
use crate::{ModbusSettings, PointLimit, PointPlace};

/// What a client wants done about a point.
#[derive(Debug, Clone, PartialEq)]
pub enum PointCommand {
    /// Its open alarm is to be acknowledged.
    Acknowledge(PointSelector),
    /// A limit of its judge is to be moved; `None`: to where it is configured.
    Set {
        /// The judge.
        judge: JudgeId,
        /// The limit.
        key: LimitKey,
        /// Where to.
        value: Option<f64>,
    },
}

/// What a server sees of the gateway. No call blocks.
pub trait ModbusView: Send + Sync {
    /// The clock.
    fn now(&self) -> Moment;

    /// How the gateway is. Asked once a second, and when an operator has done something about an alarm.
    fn state(&self, points: &[PointSelector]) -> GatewayState;

    /// How long ago the device of a point was received.
    fn age(&self, point: usize, now: Moment) -> InputAge;

    /// Where an operator has set a limit of a judge.
    fn limit(&self, judge: &JudgeId, key: LimitKey) -> Option<f64>;

    /// Carries out a command, at the rate at which they are taken. `done` is called once that is durable or known to be impossible.
    ///
    /// Returns whether that is under way; `done` is dropped uncalled where it is not.
    fn carry_out(&self, command: PointCommand, by: &str, done: Box<dyn FnOnce(bool) + Send>) -> bool;
}

/// What a server shows.
pub(crate) struct ServedImage {
    pub(crate) settings: ModbusSettings,
    pub(crate) view: Arc<dyn ModbusView>,
    /// Index of the point in each block.
    blocks: Vec<Option<usize>>,
    /// Locked for moments only, and by nobody on the data path.
    now: Mutex<ShownNow>,
    /// The points show something else.
    pub(crate) changed: Notify,
}

struct ShownNow {
    image: Image,
    /// Of the judge of each point.
    limits: Vec<[Option<PointLimit>; 2]>,
    heart: Heartbeat,
    beats: bool,
    state: GatewayState,
}

impl ShownNow {
    fn note(&mut self, alarms: StandingAlarms) {
        self.state.standing = alarms.standing;
        self.state.unacknowledged = alarms.unacknowledged;
        self.state.critical = alarms.critical > 0;
    }
}

impl ServedImage {
    pub(crate) fn new(settings: ModbusSettings, view: Arc<dyn ModbusView>, before: &[RaisedBefore]) -> Self {
        let image = Image::of(settings.points.iter().map(|point| point.selector.clone()).collect::<Vec<_>>())
            .counting_from(before);
        let count = settings.points.iter().map(|point| usize::from(point.block) + 1).max().unwrap_or(0);
        let mut blocks = vec![None; count];
        for (index, point) in settings.points.iter().enumerate() {
            if let Some(block) = blocks.get_mut(usize::from(point.block)) {
                *block = Some(index);
            }
        }
        let (heart, state) = (Heartbeat::default(), GatewayState::default());
        let limits = settings.points.iter().map(|point| point.limits).collect();
        let now = Mutex::new(ShownNow { image, limits, heart, beats: false, state });
        Self { settings, view, blocks, now, changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, ShownNow> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_about(&self, word: &LastWord) -> bool {
        self.lock().image.is_about(word)
    }

    /// What was committed, and the alarms that stand since: an answer that holds both must not deny in the one what it says
    /// in the other.
    pub(crate) fn fold(&self, words: &[Arc<LastWord>], alarms: StandingAlarms) {
        let mut now = self.lock();
        words.iter().for_each(|word| now.image.fold(word));
        now.note(alarms);
        drop(now);
        // A window may have been opened or ended, which the image does not know.
        if words.iter().any(|word| word.verdict.action.is_some()) {
            drop(self.renew_state());
        }
    }

    pub(crate) fn begin_anew(&self, words: &[Arc<LastWord>], alarms: StandingAlarms) {
        let mut now = self.lock();
        now.image.begin_anew(words);
        now.note(alarms);
    }

    /// The points show this from now on, in their order. What is said of that comes by the task that follows the board.
    pub(crate) fn select(&self, points: &[PointPlace], before: &[RaisedBefore]) {
        let selectors: Vec<_> = points.iter().map(|point| point.selector.clone()).collect();
        let mut now = self.lock();
        now.limits = points.iter().map(|point| point.limits).collect();
        if **now.image.selectors() != *selectors {
            now.image = Image::of(selectors).counting_from(before);
            self.changed.notify_one();
        }
    }

    /// What a point shows.
    pub(crate) fn selector(&self, point: usize) -> Option<PointSelector> {
        self.lock().image.selectors().get(point).cloned()
    }

    /// A second has passed.
    pub(crate) fn second(&self) {
        let mut now = self.renew_state();
        let ShownNow { heart, state, .. } = &mut *now;
        now.beats = heart.second(&state.progress);
    }

    /// Asks how the gateway is.
    fn renew_state(&self) -> MutexGuard<'_, ShownNow> {
        let selectors = Arc::clone(self.lock().image.selectors());
        let state = self.view.state(&selectors);
        let mut now = self.lock();
        now.state = state;
        now
    }

    /// Points by their quality, in the order of [`PointQuality::ALL`].
    pub(crate) fn qualities(&self) -> [u64; PointQuality::ALL.len()] {
        let (now, shown) = (self.view.now(), self.lock());
        let mut counts = [0; PointQuality::ALL.len()];
        for index in 0..self.settings.points.len() {
            if let Some(count) = counts.get_mut(self.quality(&shown.image, index, now).0 as usize) {
                *count += 1;
            }
        }
        counts
    }

    fn quality(&self, image: &Image, index: usize, now: Moment) -> (PointQuality, InputAge) {
        let age = self.view.age(index, now);
        (image.quality(index, age, self.settings.stale_after), age)
    }

    /// A point, by its block.
    fn point<'a>(&self, shown: &'a ShownNow, block: usize, now: Moment) -> Option<ShownPoint<'a>> {
        let index = (*self.blocks.get(block)?)?;
        let PointPlace { fail_safe, .. } = self.settings.points.get(index)?;
        let (quality, age) = self.quality(&shown.image, index, now);
        let held_back = shown.state.held_back.get(index).copied().unwrap_or_default();
        Some(ShownPoint {
            point: shown.image.points().get(index)?,
            raised: shown.image.raised(index),
            place: shown.image.selectors().get(index)?.signal.as_ref(),
            quality,
            alarm: shown.image.alarm(index, held_back),
            age: tenths(age),
            fail_safe: *fail_safe,
        })
    }

    /// How the gateway is, as bits.
    fn bits(&self, shown: &ShownNow, now: Moment) -> u16 {
        let state = &shown.state;
        let is_stale = |index| self.quality(&shown.image, index, now).0 == PointQuality::Stale;
        let bits = [
            shown.beats,
            state.store_full,
            state.storage_fault,
            state.uplink_down,
            state.standing > 0,
            state.critical,
            (0..self.settings.points.len()).any(is_stale),
            state.maintenance,
        ];
        bits.into_iter().rev().fold(0, |word, bit| word << 1 | u16::from(bit))
    }

    fn gateway_registers(&self, shown: &ShownNow, now: Moment) -> [u16; GATEWAY_REGISTERS] {
        let state = &shown.state;
        let [high, low] = long(seconds(now.wall));
        let [backlog_high, backlog_low] = long(u32::try_from(state.backlog).unwrap_or(u32::MAX));
        [
            shown.heart.beats(),
            self.bits(shown, now),
            MAP_VERSION,
            capped(self.settings.points.len() as u64),
            high,
            low,
            capped(state.standing),
            capped(state.unacknowledged),
            backlog_high,
            backlog_low,
        ]
    }
}

/// Tenths of a second since a device was received; the most where it was not since the start.
fn tenths(age: InputAge) -> u16 {
    if age.received {
        capped(u64::try_from(age.lasts.as_millis() / 100).unwrap_or(u64::MAX))
    } else {
        u16::MAX
    }
}

impl Tables for ServedImage {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn version(&self) -> &str {
        self.settings.version
    }

    fn registers(&self, from: usize, count: usize) -> Vec<u16> {
        let (now, shown) = (self.view.now(), self.lock());
        let mut values = Vec::with_capacity(count);
        let mut held: Option<(usize, [u16; BLOCK_REGISTERS])> = None;
        let gateway = (from < GATEWAY_REGISTERS).then(|| self.gateway_registers(&shown, now));
        for address in from..from + count {
            let value = match map::place(address, BLOCK_REGISTERS) {
                None => gateway.and_then(|gateway| gateway.get(address).copied()),
                Some((block, at)) => {
                    if held.is_none_or(|(known, _)| known != block) {
                        let point = self.point(&shown, block, now);
                        let number = self.settings.member_number;
                        held = Some((
                            block,
                            point.map_or([0; BLOCK_REGISTERS], |point| point.registers(number)),
                        ));
                    }
                    held.and_then(|(_, registers)| registers.get(at).copied())
                }
            };
            values.push(value.unwrap_or(0));
        }
        values
    }

    fn inputs(&self, from: usize, count: usize) -> Vec<bool> {
        let (now, shown) = (self.view.now(), self.lock());
        let mut values = Vec::with_capacity(count);
        let mut held: Option<(usize, [bool; BLOCK_INPUTS])> = None;
        let bits = if from < 16 { self.bits(&shown, now) } else { 0 };
        for address in from..from + count {
            let value = match map::place(address, BLOCK_INPUTS) {
                None => address < 16 && bits >> address & 1 == 1,
                Some((block, at)) => {
                    if held.is_none_or(|(known, _)| known != block) {
                        let point = self.point(&shown, block, now);
                        held = Some((block, point.map_or([false; BLOCK_INPUTS], |point| point.inputs())));
                    }
                    held.and_then(|(_, inputs)| inputs.get(at).copied()).unwrap_or(false)
                }
            };
            values.push(value);
        }
        values
    }

    fn holding(&self, from: usize, count: usize) -> Vec<u16> {
        let shown = self.lock();
        let limits_of = |block: usize| {
            let index = self.blocks.get(block).copied().flatten()?;
            let (judge, limits) = (&shown.image.selectors().get(index)?.judge, shown.limits.get(index)?);
            let mut registers = [0; 4];
            for ((key, limit), place) in LimitKey::ALL.into_iter().zip(limits).zip(registers.chunks_mut(2)) {
                let value = limit.map(|limit| self.view.limit(judge, key).unwrap_or(limit.configured));
                place.copy_from_slice(&map::float(value));
            }
            Some(registers)
        };
        let value = |address: usize| {
            let (block, at) = map::place(address, BLOCK_REGISTERS).filter(|(_, at)| *at < 4)?;
            limits_of(block)?.get(at).copied()
        };
        (from..from + count).map(|address| value(address).unwrap_or(0)).collect()
    }

    fn limit_at(&self, address: u16) -> Option<LimitPlace> {
        let (block, at) = map::place(usize::from(address), BLOCK_REGISTERS)?;
        let point = self.blocks.get(block).copied().flatten()?;
        let limit = self.lock().limits.get(point)?.get(at / 2).copied().flatten()?.settable?;
        Some(LimitPlace { point, limit, address: address - (at % 2) as u16 })
    }

    fn point_of_coil(&self, address: u16) -> Option<usize> {
        let (block, at) = map::place(usize::from(address), BLOCK_INPUTS)?;
        (at == 0).then(|| self.blocks.get(block).copied().flatten()).flatten()
    }
}
