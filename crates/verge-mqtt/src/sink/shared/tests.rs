//! The uplink by itself, without a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use rumqttc::{EventLoop, MqttOptions};
use verge_domain::stage::{ControlEvent, Token};

use super::*;

fn connect(uplink: &SharedUplink) -> EventLoop {
    let (client, eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 8);
    uplink.connected(client);
    eventloop
}

fn offer(uplink: &SharedUplink, token: u64) -> Result<(), OfferError> {
    uplink.offer("t", Bytes::new(), UplinkMessage::Verdicts(Token(token)), 2)
}

fn read(uplink: &SharedUplink) -> Option<SinkEvent> {
    uplink.state().next_event()
}

#[test]
fn a_place_is_free_again_when_its_event_is_read() {
    let uplink = SharedUplink::default();
    let _eventloop = connect(&uplink);
    assert_eq!(offer(&uplink, 1), Err(OfferError::NotConnected), "the connection is not announced yet");
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!([offer(&uplink, 1), offer(&uplink, 2)], [Ok(()), Ok(())]);
    assert_eq!(offer(&uplink, 3), Err(OfferError::WindowFull));
    uplink.sent(1);
    uplink.sent(2);
    uplink.acknowledged(2);
    assert_eq!(offer(&uplink, 3), Err(OfferError::WindowFull), "its event is unread");
    assert_eq!(read(&uplink), Some(SinkEvent::Delivered(Token(2))));
    assert_eq!(offer(&uplink, 3), Ok(()));
    let status = || uplink.offer("t", Bytes::new(), UplinkMessage::Status, 2);
    assert_eq!([status(), status()], [Ok(()), Ok(())], "the status has places of its own");
    assert_eq!(status(), Err(OfferError::WindowFull));
}

#[test]
fn a_line_that_was_held_says_so_when_it_is_released() {
    let uplink = SharedUplink::default();
    let (client, _eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 8);
    uplink.begin(client.clone(), None, Services::default(), true);
    uplink.connected(client);
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!(offer(&uplink, 1), Err(OfferError::WindowFull));
    assert_eq!(read(&uplink), None);
    uplink.release();
    assert_eq!(read(&uplink), Some(SinkEvent::Changed), "an event, at which verdicts are offered again");
    assert_eq!(offer(&uplink, 1), Ok(()));
}

#[test]
fn unread_events_stay_bounded_over_any_number_of_connections() {
    let uplink = SharedUplink::default();
    let _eventloop = connect(&uplink);
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!(offer(&uplink, 1), Ok(()));
    uplink.sent(1);
    uplink.acknowledged(1);
    for _ in 0..100 {
        uplink.lost("gone".to_owned());
        let _eventloop = connect(&uplink);
        assert_eq!(uplink.state().events.len(), 3, "what is delivered, the newest end and beginning");
    }
    assert_eq!(read(&uplink), Some(SinkEvent::Delivered(Token(1))));
    assert_eq!(read(&uplink), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!(read(&uplink), None);
}

#[test]
fn a_closed_line_takes_the_last_status_and_nothing_else() {
    let uplink = SharedUplink::default();
    let _eventloop = connect(&uplink);
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!(offer(&uplink, 1), Ok(()));
    assert_eq!(uplink.close("t", Some(Bytes::new())), Ok(()));
    assert_eq!(offer(&uplink, 2), Err(OfferError::NotConnected));
    uplink.sent(1);
    uplink.sent(2);
    uplink.acknowledged(2);
    uplink.acknowledged(1);
    uplink.end();
    assert_eq!(read(&uplink), Some(SinkEvent::Delivered(Token(1))));
    assert_eq!(read(&uplink), None);
}

#[test]
fn what_a_lost_connection_had_in_flight_frees_its_places() {
    let uplink = SharedUplink::default();
    let _eventloop = connect(&uplink);
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!([offer(&uplink, 1), offer(&uplink, 2)], [Ok(()), Ok(())]);
    uplink.sent(1);
    uplink.lost("gone".to_owned());
    let _eventloop = connect(&uplink);
    assert_eq!(read(&uplink), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!([offer(&uplink, 1), offer(&uplink, 2)], [Ok(()), Ok(())]);
    uplink.acknowledged(1);
    assert_eq!(read(&uplink), None, "an acknowledgement of the old connection means nothing");
}

#[test]
fn a_silent_upstream_and_a_message_left_out_are_noticed() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let uplink = SharedUplink::default();
    let later = |seconds: u64| Instant::now() + Duration::from_secs(seconds);
    let _eventloop = connect(&uplink);
    assert_eq!(read(&uplink), Some(SinkEvent::Connected));
    assert_eq!(uplink.overdue(PATIENCE, later(1000)), None, "nothing is owed");
    assert_eq!([offer(&uplink, 1), offer(&uplink, 2)], [Ok(()), Ok(())]);
    uplink.sent(1);
    uplink.sent(2);
    assert_eq!(uplink.overdue(PATIENCE, later(29)), None);
    assert!(uplink.overdue(PATIENCE, later(31)).unwrap().contains("nothing for 30 s"));
    uplink.acknowledged(9);
    assert!(uplink.overdue(PATIENCE, later(31)).is_some(), "an answer to nothing is none");
    uplink.acknowledged(2);
    uplink.state().owed_since = None;
    assert_eq!(uplink.overdue(PATIENCE, later(29)), None);
    assert!(uplink.overdue(PATIENCE, later(31)).unwrap().contains("leaves an earlier one out"));
    uplink.acknowledged(1);
    assert_eq!(uplink.overdue(PATIENCE, later(1000)), None);
    assert_eq!([read(&uplink), read(&uplink)].map(|event| event.is_some()), [true; 2]);
    assert_eq!(offer(&uplink, 3), Ok(()));
    uplink.lost("gone".to_owned());
    assert_eq!(uplink.overdue(PATIENCE, later(1000)), None, "a new connection owes nothing yet");
}

#[test]
fn unread_commands_are_bounded() {
    let uplink = SharedUplink::default();
    let taken = (0..40).filter(|_| uplink.command(Bytes::from_static(b"{}")).is_ok()).count();
    assert_eq!(taken, MAX_COMMANDS);
    uplink.lost("gone".to_owned());
    assert_eq!(
        read(&uplink),
        Some(SinkEvent::Control(ControlEvent::Command(Bytes::from_static(b"{}")))),
        "a loss takes no command"
    );
    assert_eq!(uplink.command(Bytes::new()), Ok(()));
    assert_eq!(uplink.command(Bytes::new()), Err("too many wait"));
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
    let uplink = SharedUplink::default();
    let askers = [Arc::new(Count::default()), Arc::new(Count::default())];
    let ask = |asker: usize| uplink.poll_event(&mut Context::from_waker(&Arc::clone(&askers[asker]).into()));
    let woken = || [0, 1].map(|asker| askers[asker].0.load(Ordering::Relaxed));
    assert_eq!([ask(0), ask(1)], [Poll::Pending, Poll::Pending]);
    assert_eq!(woken(), [0, 0]);
    let _eventloop = connect(&uplink);
    assert_eq!(woken(), [0, 1]);
    assert_eq!(ask(0), Poll::Ready(Some(SinkEvent::Connected)));
    uplink.lost("gone".to_owned());
    assert_eq!(woken(), [0, 1], "nobody waits, and the event is kept");
    assert!(ask(1).is_ready());
    assert_eq!(ask(1), Poll::Pending);
    uplink.end();
    assert_eq!(woken(), [0, 2], "the end is news, too");
    assert_eq!([ask(0), ask(1)], [Poll::Ready(None), Poll::Ready(None)]);
}
