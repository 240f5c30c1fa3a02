use std::collections::VecDeque;
use std::task::{Context, Poll};

use verge_domain::alarms::{AlarmFigures, StandingAlarms};
use verge_domain::board::{BoardCopy, CommittedWords, LastWord, OpenEvents, RaisedBefore};
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{DeviceId, JudgeId, Lane, Seq};
use verge_domain::image::{GatewayState, InputAge, PointContent};
use verge_domain::sample::verdict_of;
use verge_domain::settable::{LimitKey, SettableLimit};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Body, EventState, Health};

use super::*;
use crate::map::Tables;
use crate::{FailSafe, PointLimit};

struct Now;

impl ModbusView for Now {
    fn now(&self) -> Moment {
        Moment::from_wall(UtcMillis(0))
    }

    fn state(&self, _: &[PointSelector]) -> GatewayState {
        GatewayState::default()
    }

    fn age(&self, _: usize, _: Moment) -> InputAge {
        InputAge { received: true, lasts: Duration::ZERO }
    }

    fn limit(&self, _: &JudgeId, key: LimitKey) -> Option<f64> {
        (key == LimitKey::Above).then_some(9.5)
    }

    fn carry_out(&self, _: PointCommand, _: &str, _: Box<dyn FnOnce(bool) + Send>) -> bool {
        false
    }
}

/// What its copies hold, and what it then gives to a follower.
#[derive(Default)]
struct Scripted {
    copies: Mutex<VecDeque<Vec<Arc<LastWord>>>>,
    committed: Mutex<VecDeque<CommittedWords>>,
}

impl Board for Scripted {
    fn words(&self, _: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        Vec::new()
    }

    fn copy(&self, selected: &dyn Fn(&LastWord) -> bool) -> BoardCopy {
        let words = self.copies.lock().unwrap().pop_front().unwrap_or_default();
        BoardCopy { place: 0, words: words.into_iter().filter(|word| selected(word)).collect() }
    }

    fn raised_before(&self) -> &[RaisedBefore] {
        &[]
    }

    fn standing(&self) -> StandingAlarms {
        StandingAlarms::default()
    }

    fn alarms(&self, _: UtcMillis) -> AlarmFigures {
        AlarmFigures::default()
    }

    fn open_events(&self) -> OpenEvents {
        OpenEvents::default()
    }

    fn follow(&self) -> u64 {
        0
    }

    fn place_behind(&self, _: Lane, _: Seq) -> Option<u64> {
        None
    }

    fn poll_behind(&self, _: &mut u64, _: &mut Context<'_>) -> Poll<CommittedWords> {
        self.committed.lock().unwrap().pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

fn point(judge: &str) -> PointSelector {
    PointSelector {
        judge: JudgeId::new(judge).unwrap(),
        device: DeviceId::new("pump").unwrap(),
        signal: None,
        strand: None,
        content: PointContent::Events,
    }
}

/// Its judge has two limits, of which one may be set.
fn place(judge: &str) -> PointPlace {
    let settable = SettableLimit { key: LimitKey::Above, configured: 7.0, lowest: 6.0, highest: 10.0 };
    let limits = [
        Some(PointLimit { configured: 7.0, settable: Some(settable) }),
        Some(PointLimit { configured: 1.0, settable: None }),
    ];
    PointPlace { name: "p".to_owned(), block: 0, selector: point(judge), fail_safe: FailSafe::Call, limits }
}

fn served() -> Arc<ServedImage> {
    let place = place("hot");
    let settings = ModbusSettings {
        name: "plc".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        max_clients: 1,
        idle: Duration::from_secs(60),
        allow: Vec::new(),
        unit: None,
        stale_after: Duration::from_secs(60),
        writes: false,
        points: vec![place],
        member_number: |_| 0,
        version: "1",
    };
    let subject = word("hot", 0).verdict.subject.clone();
    let raised = |judge, count| RaisedBefore {
        judge: JudgeId::new(judge).unwrap(),
        subject: subject.clone(),
        strand: Member::Stuck,
        count,
    };
    let before = [raised("hot", 7), raised("warm", 9)];
    Arc::new(ServedImage::new(settings, Arc::new(Now), &before))
}

/// The judge says that something stands since this second, the verdict with this number.
fn word(judge: &str, seq: u64) -> Arc<LastWord> {
    let stuck = Body::Health(Health::of(Member::Stuck, 1.0, Expected::default()));
    let at = UtcMillis(i64::try_from(seq).unwrap() * 1000);
    let verdict = verdict_of(judge, ("pump", None), at, Some(EventState::Updated), stuck);
    Arc::new(LastWord::new(verdict, Some(Seq(seq))))
}

/// The second of the newest verdict, after a board was followed for a while.
async fn second_after(shown: &Arc<ServedImage>, board: &Arc<Scripted>) -> u16 {
    let board = Arc::<Scripted>::clone(board);
    let task = tokio::spawn(follow(Arc::clone(shown), board));
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    task.abort();
    shown.registers(105, 1)[0]
}

#[tokio::test]
async fn the_image_never_goes_back_after_a_follower_missed_something() {
    let (shown, board) = (served(), Arc::<Scripted>::default());
    assert_eq!(shown.registers(114, 1), [7], "events raised before the start count");
    board.copies.lock().unwrap().extend([vec![word("hot", 1)], vec![word("hot", 900)]]);
    // What it is handed with the news that it missed some is older than the copy that it makes then.
    board.committed.lock().unwrap().push_back(CommittedWords { missed: 7, words: vec![word("hot", 300)] });
    assert_eq!(second_after(&shown, &board).await, 900);
    board.copies.lock().unwrap().push_back(vec![word("hot", 900)]);
    board.committed.lock().unwrap().push_back(CommittedWords { missed: 0, words: vec![word("hot", 901)] });
    assert_eq!(second_after(&shown, &board).await, 901);
}

#[tokio::test]
async fn points_that_show_something_else_after_a_reload_begin_with_what_is_said_of_that() {
    let (shown, board) = (served(), Arc::<Scripted>::default());
    shown.select(&[place("hot")], &[]);
    board
        .copies
        .lock()
        .unwrap()
        .extend([word("hot", 5), word("warm", 6), word("warm", 6)].map(|word| vec![word]));
    assert_eq!(second_after(&shown, &board).await, 5, "the same as before: nothing changes");
    shown.select(&[place("warm")], &[]);
    assert_eq!(shown.registers(105, 1), [0]);
    assert_eq!(second_after(&shown, &board).await, 6);
    assert_eq!(shown.selector(0), Some(point("warm")));
}

#[test]
fn an_alarm_of_a_point_stands_in_the_registers_of_the_gateway_of_the_same_answer() {
    let shown = served();
    let alarms = StandingAlarms { standing: 2, unacknowledged: 1, critical: 1, shelved: 0 };
    shown.fold(&[word("hot", 5)], alarms);
    let answer = shown.registers(0, 106);
    assert_eq!((answer[1] & 0b11_0000, answer[6], answer[7], answer[105]), (0b11_0000, 2, 1, 5));
    assert_eq!(shown.inputs(4, 2), [true, true]);
    shown.begin_anew(&[], StandingAlarms::default());
    assert_eq!((shown.registers(6, 2), shown.inputs(4, 2)), (vec![0, 0], vec![false, false]));
}

#[test]
fn limits_stand_in_holding_registers_and_say_which_may_be_set() {
    let shown = served();
    // 9.5 was set, 1 is configured; behind them and before the first point there is nothing.
    assert_eq!(shown.holding(99, 6), [0, 0x4118, 0, 0x3f80, 0, 0]);
    let at = |address| shown.limit_at(address).map(|place| (place.point, place.address));
    assert_eq!(
        [at(100), at(101), at(102), at(104), at(99)],
        [Some((0, 100)), Some((0, 100)), None, None, None]
    );
}
