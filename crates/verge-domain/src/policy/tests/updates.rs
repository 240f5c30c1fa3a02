//! How often an event that goes on is reported again.

use super::*;

/// Minutes after its begin at which an event of this member is reported again in three days, where it may be every ten
/// minutes. The process begins anew after `restart` minutes.
fn updates(member: Member, restart: Option<i64>) -> Vec<i64> {
    let policy = EventPolicy { update_every: Some(Duration::from_secs(600)), ..POLICY };
    let (mut life, mut minutes) = (EventLife::default(), Vec::new());
    for minute in 0..3 * 1440 {
        let received = Moment::from_wall(UtcMillis(minute * 60_000));
        if restart == Some(minute) {
            let (strand, event) = life.open().map(|(strand, event)| (strand.clone(), event)).next().unwrap();
            life = EventLife::default();
            life.restore(&strand, event, received.mono);
        }
        let condition = Condition::of_rule(member, Standing::Abnormal, 1.0, Expected::default());
        let observed = Observed { at: received.wall, received };
        let event = life.advance(&policy, &condition, observed, || EventId([7; 16]));
        minutes.extend(event.filter(|event| event.state == EventState::Updated).map(|_| minute));
    }
    minutes
}

#[test]
fn what_stays_the_same_is_reported_more_and_more_rarely_and_once_a_day() {
    assert_eq!(updates(Member::High, None).len(), 431);
    for member in [Member::Silent, Member::Stuck] {
        assert_eq!(updates(member, None), [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 4000]);
    }
    // A restart causes no verdicts of its own.
    assert_eq!(updates(Member::Silent, Some(100)), [10, 20, 40, 80, 200, 400, 800, 1600, 3040]);
}
