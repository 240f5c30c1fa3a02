use super::*;

const POLICY: BatchPolicy = BatchPolicy {
    max_verdicts: 20,
    verdict_wait: Duration::from_millis(200),
    telemetry_wait: Duration::from_secs(1),
};

const REWIND: Duration = Duration::from_millis(800);

fn window(capacity: usize) -> Window {
    Window::new(POLICY, &Lane::ALL, capacity, REWIND, [Seq::ZERO; 3])
}

const fn at(millis: u64) -> Monotonic {
    Monotonic(millis * 1000)
}

fn offer(lane: Lane, after: u64, max_rows: usize) -> Next {
    Next::Offer { lane, after: Seq(after), max_rows }
}

#[test]
fn alarms_overtake_and_routine_verdicts_wait_to_fill_a_message() {
    let mut window = window(8);
    assert_eq!(window.next(at(0)), Next::Wait);
    window.committed([Seq(0), Seq(3), Seq(0)], at(10));
    assert_eq!(window.next(at(10)), Next::WaitUntil(at(210)));
    window.committed([Seq(1), Seq(3), Seq(0)], at(20));
    assert_eq!(window.next(at(20)), offer(Lane::Alarm, 0, 8));
    window.offered(Lane::Alarm, Seq(1), Seq(1), at(20));
    assert_eq!(window.next(at(209)), Next::WaitUntil(at(210)));
    assert_eq!(window.next(at(210)), offer(Lane::Verdict, 0, 20));
    window.committed([Seq(1), Seq(20), Seq(0)], at(30));
    assert_eq!(window.next(at(30)), offer(Lane::Verdict, 0, 20));
}

#[test]
fn a_quarter_of_the_window_is_kept_for_alarms() {
    let mut window = window(8);
    window.committed([Seq(0), Seq(1000), Seq(0)], at(0));
    for message in 0..6 {
        assert_eq!(window.next(at(0)), offer(Lane::Verdict, message * 20, 20));
        window.offered(Lane::Verdict, Seq(message * 20 + 1), Seq(message * 20 + 20), at(0));
    }
    assert_eq!(window.next(at(0)), Next::Wait);
    window.committed([Seq(9), Seq(1000), Seq(0)], at(0));
    assert_eq!(window.next(at(0)), offer(Lane::Alarm, 0, 2));
}

#[test]
fn a_queue_of_alarms_is_fetched_a_few_at_a_time() {
    let mut window = window(8);
    window.committed([Seq(20), Seq(0), Seq(0)], at(0));
    let tokens: Vec<_> = (1..=8).map(|seq| window.offered(Lane::Alarm, Seq(seq), Seq(seq), at(0))).collect();
    window.delivered(tokens[0], at(1));
    assert_eq!(window.next(at(1)), Next::Wait, "one place, twelve alarms");
    window.delivered(tokens[1], at(1));
    assert_eq!(window.next(at(1)), offer(Lane::Alarm, 8, 2));
    // One that waits alone never waits for others.
    let mut window = Window::new(POLICY, &Lane::ALL, 8, REWIND, [Seq::ZERO; 3]);
    window.committed([Seq(8), Seq(0), Seq(0)], at(0));
    for seq in 1..=7 {
        window.offered(Lane::Alarm, Seq(seq), Seq(seq), at(0));
    }
    assert_eq!(window.next(at(1)), offer(Lane::Alarm, 7, 1));
}

#[test]
fn the_mark_rises_only_over_what_is_acknowledged_without_a_hole() {
    let mut window = window(8);
    window.committed([Seq(3), Seq(0), Seq(0)], at(0));
    let tokens: Vec<_> = (1..=3).map(|seq| window.offered(Lane::Alarm, Seq(seq), Seq(seq), at(0))).collect();
    assert_eq!(window.delivered(tokens[1], at(1)), None);
    assert_eq!(window.backlog(), 3);
    assert_eq!(window.delivered(tokens[0], at(1)), Some((Lane::Alarm, Seq(2))));
    assert_eq!(window.delivered(tokens[0], at(1)), None, "an acknowledgement counts once");
    assert_eq!(window.delivered(tokens[2], at(1)), Some((Lane::Alarm, Seq(3))));
    assert_eq!(window.backlog(), 0);
}

#[test]
fn a_new_connection_is_offered_everything_unacknowledged() {
    let mut window = window(8);
    window.committed([Seq(3), Seq(0), Seq(0)], at(0));
    let tokens: Vec<_> = (1..=3).map(|seq| window.offered(Lane::Alarm, Seq(seq), Seq(seq), at(0))).collect();
    window.delivered(tokens[0], at(1));
    window.restart(at(5));
    assert_eq!(window.next(at(5)), offer(Lane::Alarm, 1, 8));
    assert_eq!(window.delivered(tokens[1], at(1)), None, "acknowledgements of the old connection are void");
}

#[test]
fn what_was_read_before_it_was_announced_counts() {
    let mut window = window(8);
    window.committed([Seq(0), Seq(2), Seq(0)], at(0));
    let token = window.offered(Lane::Verdict, Seq(1), Seq(5), at(300));
    assert_eq!(window.delivered(token, at(301)), Some((Lane::Verdict, Seq(5))));
    assert_eq!(window.backlog(), 0);
    window.committed([Seq(0), Seq(4), Seq(0)], at(302));
    assert_eq!((window.backlog(), window.next(at(900))), (0, Next::Wait));
}

#[test]
fn what_was_not_taken_is_offered_again() {
    let mut window = window(8);
    window.committed([Seq(2), Seq(0), Seq(0)], at(0));
    let token = window.offered(Lane::Alarm, Seq(1), Seq(1), at(0));
    window.withdraw(token, at(0));
    assert_eq!(window.next(at(0)), offer(Lane::Alarm, 0, 8));
}

#[test]
fn lanes_a_route_does_not_carry_are_neither_offered_nor_owed() {
    let mut window = Window::new(POLICY, &[Lane::Alarm], 8, REWIND, [Seq::ZERO; 3]);
    window.committed([Seq(0), Seq(500), Seq(500)], at(0));
    assert_eq!(window.next(at(60_000)), Next::Wait);
    assert_eq!(window.backlog(), 0);
    let free: Vec<_> = window.not_carried().collect();
    assert_eq!(free, [(Lane::Verdict, Seq(500)), (Lane::Telemetry, Seq(500))]);
}

/// Offers and has acknowledged one alarm at each of these milliseconds.
fn acknowledge(window: &mut Window, seqs: std::ops::RangeInclusive<u64>, millis: u64) {
    window.committed([Seq(*seqs.end()), Seq(0), Seq(0)], at(millis));
    for seq in seqs {
        let token = window.offered(Lane::Alarm, Seq(seq), Seq(seq), at(millis));
        window.delivered(token, at(millis));
    }
}

#[test]
fn what_was_acknowledged_just_before_a_loss_is_offered_again() {
    let check = |lost_at: u64, again_after: u64| {
        let mut window = window(8);
        acknowledge(&mut window, 1..=3, 100);
        acknowledge(&mut window, 4..=5, 1500);
        acknowledge(&mut window, 6..=6, 2000);
        window.lost(at(lost_at));
        window.restart(at(lost_at + 10));
        assert_eq!(window.mark(Lane::Alarm), Seq(6), "marks never go back");
        assert_eq!(window.backlog(), 0);
        let expected = if again_after == 6 { Next::Wait } else { offer(Lane::Alarm, again_after, 8) };
        assert_eq!(window.next(at(lost_at + 10)), expected, "lost at {lost_at}");
    };
    check(2001, 3);
    check(2700, 5);
    check(9000, 6);
}

#[test]
fn a_second_loss_during_the_repetition_repeats_again() {
    let mut window = window(8);
    acknowledge(&mut window, 1..=6, 100);
    window.lost(at(200));
    window.restart(at(300));
    assert_eq!(window.next(at(300)), offer(Lane::Alarm, 0, 8));
    let token = window.offered(Lane::Alarm, Seq(1), Seq(6), at(300));
    assert_eq!(window.delivered(token, at(310)), None, "delivered before");
    assert_eq!(window.next(at(310)), Next::Wait);
    window.lost(at(320));
    window.restart(at(330));
    assert_eq!(window.next(at(330)), offer(Lane::Alarm, 0, 8));
}

#[test]
fn a_silence_before_the_loss_counts_from_the_last_acknowledgement() {
    let mut window = window(8);
    acknowledge(&mut window, 1..=2, 100);
    window.committed([Seq(3), Seq(0), Seq(0)], at(200));
    window.offered(Lane::Alarm, Seq(3), Seq(3), at(200));
    window.lost(at(60_000));
    window.restart(at(61_000));
    assert_eq!(window.next(at(61_000)), offer(Lane::Alarm, 0, 8));
}
