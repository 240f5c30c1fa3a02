use super::*;

const POLICY: BatchPolicy = BatchPolicy {
    max_verdicts: 20,
    verdict_wait: Duration::from_millis(200),
    telemetry_wait: Duration::from_secs(1),
};

const REWIND: Duration = Duration::from_millis(800);
const NOTHING: [Seq; 3] = [Seq::ZERO; 3];

fn window(capacities: &[usize]) -> RouteWindow {
    RouteWindow::new(POLICY, &Lane::ALL, capacities, REWIND, NOTHING)
}

/// One that never repeats what was acknowledged.
fn trusting(capacities: &[usize]) -> RouteWindow {
    RouteWindow::new(POLICY, &Lane::ALL, capacities, Duration::ZERO, NOTHING)
}

const fn at(millis: u64) -> Monotonic {
    Monotonic(millis * 1000)
}

/// What is offered over the links of `links`, whatever the lane.
fn next_over(window: &RouteWindow, links: &[usize], millis: u64) -> Next {
    window.next(at(millis), &Carriers { lanes: std::array::from_fn(|_| links.to_vec()) })
}

fn next(window: &RouteWindow, millis: u64) -> Next {
    next_over(window, &[0], millis)
}

/// New verdicts over the first link.
fn fresh(lane: Lane, after: u64, max_rows: usize) -> Next {
    Next::Offer(Offer { link: 0, lane, after: Seq(after), upto: None, max_rows, replay: false })
}

fn send_over(window: &mut RouteWindow, link: usize, lane: Lane, from: u64, to: u64, millis: u64) -> Token {
    let token = window.token();
    let offer = Offer { link, lane, after: Seq(from - 1), upto: None, max_rows: 1, replay: false };
    window.offered(token, &offer, Seq(from), Seq(to), at(millis));
    token
}

fn send(window: &mut RouteWindow, lane: Lane, from: u64, to: u64, millis: u64) -> Token {
    send_over(window, 0, lane, from, to, millis)
}

fn alarms(window: &mut RouteWindow, seqs: std::ops::RangeInclusive<u64>) -> Vec<Token> {
    seqs.map(|seq| send(window, Lane::Alarm, seq, seq, 0)).collect()
}

#[test]
fn alarms_overtake_and_routine_verdicts_wait_to_fill_a_message() {
    let mut window = window(&[8]);
    assert_eq!(next(&window, 0), Next::Wait);
    window.committed([Seq(0), Seq(3), Seq(0)], at(10));
    assert_eq!(next(&window, 10), Next::WaitUntil(at(210)));
    window.committed([Seq(1), Seq(3), Seq(0)], at(20));
    assert_eq!(next(&window, 20), fresh(Lane::Alarm, 0, 8));
    send(&mut window, Lane::Alarm, 1, 1, 20);
    assert_eq!(next(&window, 209), Next::WaitUntil(at(210)));
    assert_eq!(next(&window, 210), fresh(Lane::Verdict, 0, 20));
    window.committed([Seq(1), Seq(20), Seq(0)], at(30));
    assert_eq!(next(&window, 30), fresh(Lane::Verdict, 0, 20));
}

#[test]
fn a_quarter_of_the_window_is_kept_for_alarms() {
    let mut window = window(&[8]);
    window.committed([Seq(0), Seq(1000), Seq(0)], at(0));
    for message in 0..6 {
        assert_eq!(next(&window, 0), fresh(Lane::Verdict, message * 20, 20));
        send(&mut window, Lane::Verdict, message * 20 + 1, message * 20 + 20, 0);
    }
    assert_eq!(next(&window, 0), Next::Wait);
    window.committed([Seq(9), Seq(1000), Seq(0)], at(0));
    assert_eq!(next(&window, 0), fresh(Lane::Alarm, 0, 2));
}

#[test]
fn a_queue_of_alarms_is_fetched_a_few_at_a_time() {
    let mut queue = window(&[8]);
    queue.committed([Seq(20), Seq(0), Seq(0)], at(0));
    let tokens = alarms(&mut queue, 1..=8);
    queue.delivered(tokens[0], at(1));
    assert_eq!(next(&queue, 1), Next::Wait, "one place, twelve alarms");
    queue.delivered(tokens[1], at(1));
    assert_eq!(next(&queue, 1), fresh(Lane::Alarm, 8, 2));
    // A verdict that waits alone never waits for others.
    let mut alone = window(&[8]);
    alone.committed([Seq(8), Seq(0), Seq(0)], at(0));
    alarms(&mut alone, 1..=7);
    assert_eq!(next(&alone, 1), fresh(Lane::Alarm, 7, 1));
}

#[test]
fn the_mark_rises_only_over_what_is_acknowledged_without_a_hole() {
    let mut window = window(&[8]);
    window.committed([Seq(3), Seq(0), Seq(0)], at(0));
    let tokens = alarms(&mut window, 1..=3);
    assert_eq!(window.delivered(tokens[1], at(1)), None);
    assert_eq!(window.backlog(), 3);
    assert_eq!(window.delivered(tokens[0], at(1)), Some((Lane::Alarm, Seq(2))));
    assert_eq!(window.delivered(tokens[0], at(1)), None, "an acknowledgement counts once");
    assert_eq!(window.delivered(tokens[2], at(1)), Some((Lane::Alarm, Seq(3))));
    assert_eq!((window.backlog(), window.delivered_total()), (0, 3));
}

#[test]
fn a_loss_offers_again_exactly_what_was_not_acknowledged() {
    let mut window = trusting(&[8]);
    window.committed([Seq(4), Seq(0), Seq(0)], at(0));
    let tokens = alarms(&mut window, 1..=3);
    window.delivered(tokens[1], at(1));
    window.lost(0, at(5));
    assert_eq!(window.delivered(tokens[0], at(6)), None, "acknowledgements of the old connection are void");
    let one =
        Offer { link: 0, lane: Lane::Alarm, after: Seq(0), upto: Some(Seq(1)), max_rows: 8, replay: false };
    assert_eq!(next(&window, 5), Next::Offer(one));
    send(&mut window, Lane::Alarm, 1, 1, 5);
    assert_eq!(next(&window, 5), fresh(Lane::Alarm, 2, 7), "with what is new right behind it");
}

#[test]
fn what_was_read_before_it_was_announced_counts() {
    let mut window = window(&[8]);
    window.committed([Seq(0), Seq(2), Seq(0)], at(0));
    let token = send(&mut window, Lane::Verdict, 1, 5, 300);
    assert_eq!(window.delivered(token, at(301)), Some((Lane::Verdict, Seq(5))));
    assert_eq!(window.backlog(), 0);
    window.committed([Seq(0), Seq(4), Seq(0)], at(302));
    assert_eq!((window.backlog(), next(&window, 900)), (0, Next::Wait));
}

#[test]
fn what_was_not_taken_while_others_were_is_offered_again() {
    let mut window = window(&[8]);
    window.committed([Seq(3), Seq(0), Seq(0)], at(0));
    send(&mut window, Lane::Alarm, 2, 2, 0);
    let one =
        Offer { link: 0, lane: Lane::Alarm, after: Seq(0), upto: Some(Seq(1)), max_rows: 7, replay: false };
    assert_eq!(next(&window, 0), Next::Offer(one));
}

#[test]
fn lanes_a_route_does_not_carry_are_neither_offered_nor_owed() {
    let mut window = RouteWindow::new(POLICY, &[Lane::Alarm], &[8], REWIND, NOTHING);
    window.committed([Seq(0), Seq(500), Seq(500)], at(0));
    assert_eq!(next(&window, 60_000), Next::Wait);
    assert_eq!(window.backlog(), 0);
    let free: Vec<_> = window.not_carried().collect();
    assert_eq!(free, [(Lane::Verdict, Seq(500)), (Lane::Telemetry, Seq(500))]);
}

/// Offers one alarm at each of these milliseconds and has it acknowledged.
fn acknowledge(window: &mut RouteWindow, link: usize, seqs: std::ops::RangeInclusive<u64>, millis: u64) {
    window.committed([Seq(*seqs.end()), Seq(0), Seq(0)], at(millis));
    for seq in seqs {
        let token = send_over(window, link, Lane::Alarm, seq, seq, millis);
        window.delivered(token, at(millis));
    }
}

#[test]
fn what_was_acknowledged_just_before_a_loss_is_offered_again() {
    let check = |lost_at: u64, again_after: u64| {
        let mut window = window(&[8]);
        acknowledge(&mut window, 0, 1..=3, 100);
        acknowledge(&mut window, 0, 4..=5, 1500);
        acknowledge(&mut window, 0, 6..=6, 2000);
        window.lost(0, at(lost_at));
        assert_eq!(window.mark(Lane::Alarm), Seq(6), "marks never go back");
        assert_eq!(window.backlog(), 0);
        let expected = if again_after == 6 { Next::Wait } else { fresh(Lane::Alarm, again_after, 8) };
        assert_eq!(next(&window, lost_at + 10), expected, "lost at {lost_at}");
    };
    check(2001, 3);
    check(2700, 5);
    check(9000, 6);
}

#[test]
fn a_second_loss_during_the_repetition_repeats_again() {
    let mut window = window(&[8]);
    acknowledge(&mut window, 0, 1..=6, 100);
    window.lost(0, at(200));
    assert_eq!(next(&window, 300), fresh(Lane::Alarm, 0, 8));
    let token = send(&mut window, Lane::Alarm, 1, 6, 300);
    assert_eq!(window.delivered(token, at(310)), None, "delivered before");
    assert_eq!(next(&window, 310), Next::Wait);
    window.lost(0, at(320));
    assert_eq!(next(&window, 330), fresh(Lane::Alarm, 0, 8));
    send(&mut window, Lane::Alarm, 1, 6, 330);
    window.lost(0, at(340));
    assert_eq!(next(&window, 350), fresh(Lane::Alarm, 0, 8), "lost on the way a second time");
}

#[test]
fn a_silence_before_the_loss_counts_from_the_last_acknowledgement() {
    let mut window = window(&[8]);
    acknowledge(&mut window, 0, 1..=2, 100);
    window.committed([Seq(3), Seq(0), Seq(0)], at(200));
    send(&mut window, Lane::Alarm, 3, 3, 200);
    window.lost(0, at(60_000));
    assert_eq!(next(&window, 61_000), fresh(Lane::Alarm, 0, 8));
}

#[test]
fn the_loss_of_a_link_voids_what_went_over_it_alone() {
    let mut window = window(&[8, 8]);
    acknowledge(&mut window, 0, 1..=1, 100);
    acknowledge(&mut window, 1, 2..=2, 100);
    window.committed([Seq(4), Seq(0), Seq(0)], at(150));
    send_over(&mut window, 0, Lane::Alarm, 3, 3, 150);
    let kept = send_over(&mut window, 1, Lane::Alarm, 4, 4, 150);
    window.lost(0, at(200));
    let again = |after, upto| {
        Next::Offer(Offer {
            link: 1,
            lane: Lane::Alarm,
            after: Seq(after),
            upto: Some(Seq(upto)),
            max_rows: 7,
            replay: false,
        })
    };
    assert_eq!(next_over(&window, &[1], 200), again(0, 1), "not 2, which went over the other");
    send_over(&mut window, 1, Lane::Alarm, 1, 1, 200);
    assert!(matches!(next_over(&window, &[1], 200), Next::Offer(Offer { after: Seq(2), .. })));
    send_over(&mut window, 1, Lane::Alarm, 3, 3, 200);
    assert_eq!(next_over(&window, &[1], 200), Next::Wait, "4 is still on its way");
    assert_eq!(window.delivered(kept, at(210)), None);
    assert_eq!(window.in_flight(), 2);
}

#[test]
fn what_is_on_its_way_over_another_link_is_not_repeated_by_a_loss() {
    let mut window = window(&[8, 8]);
    acknowledge(&mut window, 0, 1..=2, 100);
    window.replay(Lane::Alarm, Seq(1), Seq(1)).unwrap();
    let Next::Offer(offer) = next_over(&window, &[1], 110) else { panic!("upstream asked for it") };
    let token = window.token();
    window.offered(token, &offer, Seq(1), Seq(1), at(110));
    window.lost(0, at(120));
    let Next::Offer(offer) = next_over(&window, &[1], 130) else { panic!("2 is repeated") };
    assert_eq!((offer.after, offer.replay), (Seq(1), false));
    // With that link it is lost as well.
    window.lost(1, at(140));
    let Next::Offer(offer) = next_over(&window, &[0], 150) else { panic!("2 is repeated") };
    assert_eq!((offer.after, offer.replay), (Seq(1), false));
    send(&mut window, Lane::Alarm, 2, 2, 150);
    assert!(matches!(next(&window, 150), Next::Offer(Offer { after: Seq(0), replay: true, .. })));
}

#[test]
fn links_share_batches_by_their_room_and_alarms_prefer_the_first() {
    let mut window = window(&[4, 8]);
    window.committed([Seq(0), Seq(1000), Seq(0)], at(0));
    let mut taken = [0, 0];
    let mut after = 0;
    while let Next::Offer(offer) = next_over(&window, &[0, 1], 0) {
        taken[offer.link] += 1;
        send_over(&mut window, offer.link, Lane::Verdict, after + 1, after + 20, 0);
        after += 20;
    }
    assert_eq!(taken, [3, 6], "three quarters of each");
    window.committed([Seq(2), Seq(1000), Seq(0)], at(0));
    for link in [0, 1] {
        let Next::Offer(offer) = next_over(&window, &[0, 1], 0) else { panic!("alarms have room") };
        assert_eq!((offer.lane, offer.link), (Lane::Alarm, link));
        let seq = offer.after.0 + 1;
        send_over(&mut window, link, Lane::Alarm, seq, seq, 0);
    }
    // Where all is quiet, they take turns.
    let mut quiet = super::tests::window(&[4, 8]);
    for (message, link) in (0..4).zip([0, 1, 0, 1]) {
        quiet.committed([Seq(0), Seq(message * 20 + 20), Seq(0)], at(0));
        let Next::Offer(offer) = next_over(&quiet, &[0, 1], 0) else { panic!("a batch is full") };
        assert_eq!(offer.link, link);
        let token = send_over(&mut quiet, link, Lane::Verdict, message * 20 + 1, message * 20 + 20, 0);
        quiet.delivered(token, at(0));
    }
}

#[test]
fn what_upstream_asks_for_again_comes_last_and_moves_no_mark() {
    let mut window = trusting(&[8]);
    acknowledge(&mut window, 0, 1..=30, 0);
    assert_eq!(window.replay(Lane::Alarm, Seq(5), Seq(40)), Ok(()));
    window.committed([Seq(31), Seq(20), Seq(0)], at(0));
    assert_eq!(next(&window, 0), fresh(Lane::Alarm, 30, 8));
    send(&mut window, Lane::Alarm, 31, 31, 0);
    assert_eq!(next(&window, 0), fresh(Lane::Verdict, 0, 20));
    send(&mut window, Lane::Verdict, 1, 20, 0);
    let replay = |after, max_rows| Offer {
        link: 0,
        lane: Lane::Alarm,
        after: Seq(after),
        upto: Some(Seq(30)),
        max_rows,
        replay: true,
    };
    assert_eq!(next(&window, 0), Next::Offer(replay(4, 4)), "a quarter is left to new alarms");
    let token = window.token();
    window.offered(token, &replay(4, 4), Seq(5), Seq(5), at(0));
    assert_eq!(next(&window, 0), Next::Offer(replay(5, 3)));
    window.lost(0, at(60_000));
    assert_eq!(window.mark(Lane::Alarm), Seq(30));
    send(&mut window, Lane::Alarm, 31, 31, 60_000);
    send(&mut window, Lane::Verdict, 1, 20, 60_000);
    assert_eq!(next(&window, 60_000), Next::Offer(replay(4, 4)), "what was lost of it is not forgotten");
}

#[test]
fn so_many_ranges_wait_to_be_replayed_and_no_more() {
    let mut window = window(&[8]);
    acknowledge(&mut window, 0, 1..=300, 0);
    for range in 0..MAX_REPLAYS as u64 {
        assert_eq!(window.replay(Lane::Alarm, Seq(range * 4 + 1), Seq(range * 4 + 2)), Ok(()));
    }
    assert_eq!(window.replay(Lane::Alarm, Seq(290), Seq(291)), Err(TooManyReplays));
    assert_eq!(window.replay(Lane::Alarm, Seq(1), Seq(300)), Ok(()), "what touches becomes one");
}

#[test]
fn a_tombstone_is_in_flight_with_its_whole_range() {
    let mut window = trusting(&[8]);
    window.committed([Seq(0), Seq(30), Seq(0)], at(0));
    let first = send(&mut window, Lane::Verdict, 1, 10, 0);
    window.delivered(first, at(0));
    send(&mut window, Lane::Verdict, 11, 20, 0);
    window.lost(0, at(60_000));
    // 5 to 25 were withdrawn meanwhile: the offer after 10 begins within that range.
    let tombstone = send(&mut window, Lane::Verdict, 5, 25, 60_000);
    assert_eq!(window.delivered(tombstone, at(60_000)), Some((Lane::Verdict, Seq(25))));
    window.committed([Seq(0), Seq(60), Seq(0)], at(60_000));
    assert_eq!(next(&window, 61_000), fresh(Lane::Verdict, 25, 20));
}

#[test]
fn what_no_link_at_hand_can_carry_is_held_and_the_mark_waits_for_it() {
    let mut window = window(&[8]);
    window.committed([Seq(2), Seq(0), Seq(0)], at(0));
    window.hold(Lane::Alarm, Seq(1), Seq(1), at(0));
    let token = send(&mut window, Lane::Alarm, 2, 2, 0);
    assert_eq!(window.delivered(token, at(0)), None);
    assert_eq!(next(&window, 0), Next::Wait);
    window.lost(0, at(60_000));
    assert_eq!(next(&window, 60_000), Next::Wait, "held through a loss");
    window.release();
    assert!(matches!(next(&window, 60_000), Next::Offer(Offer { after: Seq(0), .. })));
    assert_eq!(window.skip(Lane::Alarm, Seq(1), Seq(1), at(60_000)), Some(Seq(2)));
}
