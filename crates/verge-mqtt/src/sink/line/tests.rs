//! The line by itself, without a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use rumqttc::{EventLoop, MqttOptions};

use super::*;

fn connect(line: &SharedLine) -> EventLoop {
    let (client, eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 8);
    line.connected(client);
    eventloop
}

fn offer(line: &SharedLine, token: u64) -> Result<(), OfferError> {
    offer_at(line, token, Place::Window)
}

fn offer_at(line: &SharedLine, token: u64, place: Place) -> Result<(), OfferError> {
    line.offer("t", Bytes::new(), Flight { token: Token(token), place }, 2)
}

fn read(line: &SharedLine) -> Option<SinkEvent> {
    line.line().next_event()
}

#[test]
fn a_place_is_free_again_when_its_event_is_read() {
    let line = SharedLine::default();
    let _eventloop = connect(&line);
    assert_eq!(offer(&line, 1), Err(OfferError::NotConnected), "the connection is not announced yet");
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
    assert_eq!(offer(&line, 3), Err(OfferError::WindowFull));
    line.sent(1);
    line.sent(2);
    line.acknowledged(2);
    assert_eq!(offer(&line, 3), Err(OfferError::WindowFull), "its event is unread");
    assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(2))));
    assert_eq!(offer(&line, 3), Ok(()));
    let status = |token| offer_at(&line, token, Place::Status);
    assert_eq!([status(7), status(8)], [Ok(()), Ok(())], "the status has places of its own");
    assert_eq!(status(9), Err(OfferError::WindowFull));
}

#[test]
fn a_line_that_was_held_says_so_when_it_is_released() {
    let line = SharedLine::default();
    let (client, _eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 8);
    line.begin(client.clone(), None, Services::default(), true);
    line.connected(client);
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!(offer(&line, 1), Err(OfferError::WindowFull));
    assert_eq!(read(&line), None);
    line.release();
    assert_eq!(read(&line), Some(SinkEvent::Changed), "an event, at which verdicts are offered again");
    assert_eq!(offer(&line, 1), Ok(()));
}

#[test]
fn unread_events_stay_bounded_over_any_number_of_connections() {
    let line = SharedLine::default();
    let _eventloop = connect(&line);
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!(offer(&line, 1), Ok(()));
    line.sent(1);
    line.acknowledged(1);
    for _ in 0..100 {
        line.lost("gone".to_owned());
        let _eventloop = connect(&line);
        assert_eq!(line.line().events.len(), 3, "what is delivered, the newest end and beginning");
    }
    assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(1))));
    assert_eq!(read(&line), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!(read(&line), None);
}

#[test]
fn a_closed_line_takes_the_last_status_and_nothing_else() {
    let line = SharedLine::default();
    let _eventloop = connect(&line);
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!(offer(&line, 1), Ok(()));
    assert_eq!(line.close("t", Some(Bytes::new())), Ok(()));
    assert_eq!(offer(&line, 2), Err(OfferError::NotConnected));
    line.sent(1);
    line.sent(2);
    line.acknowledged(2);
    line.acknowledged(1);
    line.end();
    assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(1))));
    assert_eq!(read(&line), None);
}

#[test]
fn what_a_lost_connection_had_in_flight_frees_its_places() {
    let line = SharedLine::default();
    let _eventloop = connect(&line);
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
    line.sent(1);
    line.lost("gone".to_owned());
    let _eventloop = connect(&line);
    assert_eq!(read(&line), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
    line.acknowledged(1);
    assert_eq!(read(&line), None, "an acknowledgement of the old connection means nothing");
}

#[test]
fn a_silent_upstream_and_a_message_left_out_are_noticed() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let line = SharedLine::default();
    let later = |seconds: u64| Instant::now() + Duration::from_secs(seconds);
    let _eventloop = connect(&line);
    assert_eq!(read(&line), Some(SinkEvent::Connected));
    assert_eq!(line.overdue(PATIENCE, later(1000)), None, "nothing is owed");
    assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
    line.sent(1);
    line.sent(2);
    assert_eq!(line.overdue(PATIENCE, later(29)), None);
    assert!(line.overdue(PATIENCE, later(31)).unwrap().contains("nothing for 30 s"));
    line.acknowledged(9);
    assert!(line.overdue(PATIENCE, later(31)).is_some(), "an answer to nothing is none");
    line.acknowledged(2);
    line.line().owed_since = None;
    assert_eq!(line.overdue(PATIENCE, later(29)), None);
    assert!(line.overdue(PATIENCE, later(31)).unwrap().contains("leaves an earlier one out"));
    line.acknowledged(1);
    assert_eq!(line.overdue(PATIENCE, later(1000)), None);
    assert_eq!([read(&line), read(&line)].map(|event| event.is_some()), [true; 2]);
    assert_eq!(offer(&line, 3), Ok(()));
    line.lost("gone".to_owned());
    assert_eq!(line.overdue(PATIENCE, later(1000)), None, "a new connection owes nothing yet");
}

#[test]
fn unread_commands_are_bounded() {
    let line = SharedLine::default();
    let taken = (0..40).filter(|_| line.command(Bytes::from_static(b"{}")).is_ok()).count();
    assert_eq!(taken, MAX_COMMANDS);
    line.lost("gone".to_owned());
    assert_eq!(read(&line), Some(SinkEvent::Command(Bytes::from_static(b"{}"))), "a loss takes no command");
    assert_eq!(line.command(Bytes::new()), Ok(()));
    assert_eq!(line.command(Bytes::new()), Err("too many wait"));
}

#[test]
fn whoever_asked_last_is_woken_and_only_by_a_change() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let line = SharedLine::default();
    let askers = [Arc::new(Count::default()), Arc::new(Count::default())];
    let ask = |asker: usize| line.poll_event(&mut Context::from_waker(&Arc::clone(&askers[asker]).into()));
    let woken = || [0, 1].map(|asker| askers[asker].0.load(Ordering::Relaxed));
    assert_eq!([ask(0), ask(1)], [Poll::Pending, Poll::Pending]);
    assert_eq!(woken(), [0, 0]);
    let _eventloop = connect(&line);
    assert_eq!(woken(), [0, 1]);
    assert_eq!(ask(0), Poll::Ready(Some(SinkEvent::Connected)));
    line.lost("gone".to_owned());
    assert_eq!(woken(), [0, 1], "nobody waits, and the event is kept");
    assert!(ask(1).is_ready());
    assert_eq!(ask(1), Poll::Pending);
    line.end();
    assert_eq!(woken(), [0, 2], "the end is news, too");
    assert_eq!([ask(0), ask(1)], [Poll::Ready(None), Poll::Ready(None)]);
}
