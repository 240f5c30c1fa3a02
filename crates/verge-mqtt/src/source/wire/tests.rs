use bytes::BytesMut;
use rumqttc::{PubAck, SubAck, SubscribeReasonCode};

use super::*;

const LIMIT: usize = 1000;

fn publish(topic: &str, qos: QoS, payload: usize) -> Vec<u8> {
    let mut publish = Publish::new(topic, qos, vec![b'x'; payload]);
    publish.pkid = u16::from(qos != QoS::AtMostOnce) * 7;
    let mut bytes = BytesMut::new();
    Packet::Publish(publish).write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

/// All packets of a stream that comes in pieces of this size, in words.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<String>, String> {
    let mut reader = PacketReader::new(LIMIT);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.make_room();
        reader.buffer.extend_from_slice(piece);
        while let Some(incoming) = reader.next().map_err(|error| error.to_string())? {
            found.push(match incoming {
                Incoming::Message(message) => {
                    format!("{} {} {}", message.topic, message.pkid, message.payload.len())
                }
                Incoming::Passed(Passed { why, topic, packet_id, bytes, .. }) => {
                    format!("{why:?} {topic} {packet_id} {bytes}")
                }
                Incoming::Packet(packet) => format!("{packet:?}"),
            });
        }
        assert!(reader.buffer.len() <= LIMIT + piece.len(), "{} bytes are kept", reader.buffer.len());
    }
    Ok(found)
}

#[test]
fn packets_are_found_in_pieces_of_any_size_and_those_above_the_limit_are_skipped() {
    let large = "t".repeat(300);
    let stream = [
        publish("a", QoS::AtLeastOnce, 10),
        publish("at/limit", QoS::AtMostOnce, LIMIT - 13),
        publish("over", QoS::AtMostOnce, LIMIT - 8),
        publish("b", QoS::AtLeastOnce, 100_000),
        written(&Packet::PingResp),
        publish(&large, QoS::ExactlyOnce, 3_000_000),
        publish("c", QoS::AtLeastOnce, 5000),
        publish("d", QoS::AtLeastOnce, 0),
        written(&Packet::SubAck(SubAck::new(3, vec![SubscribeReasonCode::Failure]))),
    ]
    .concat();
    let expected = [
        "a 7 10",
        "at/limit 0 987",
        "Oversized over 0 1001",
        "Oversized b 7 100009",
        "PingResp",
        &format!("Oversized {large} 7 3000309"),
        "Oversized c 7 5008",
        "d 7 0",
        "SubAck(SubAck { pkid: 3, return_codes: [Failure] })",
    ];
    for piece in [1, 2, 7, 100, 4096, stream.len()] {
        assert_eq!(read(&stream, piece).unwrap(), expected, "{piece}");
    }
}

#[test]
fn the_longest_packet_is_skipped_without_memory() {
    const REMAINING: usize = 268_435_455;
    let mut reader = PacketReader::new(LIMIT);
    reader.buffer.extend_from_slice(&[0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'a', 0, 9]);
    let piece = vec![0; SKIP_READ_BYTES];
    let mut left = REMAINING - 5;
    while left > 0 {
        assert_eq!(reader.next().unwrap(), None);
        reader.make_room();
        let now = left.min(piece.len());
        reader.buffer.extend_from_slice(&piece[..now]);
        left -= now;
        assert!(reader.buffer.capacity() <= 4 * SKIP_READ_BYTES, "{}", reader.buffer.capacity());
    }
    reader.buffer.extend_from_slice(&written(&Packet::PingResp));
    let passed = Passed {
        why: Why::Oversized,
        topic: "a".to_owned(),
        qos: QoS::AtLeastOnce,
        packet_id: 9,
        bytes: REMAINING + 5,
    };
    assert_eq!(reader.next().unwrap(), Some(Incoming::Passed(passed)));
    assert_eq!(reader.next().unwrap(), Some(Incoming::Packet(Packet::PingResp)));
}

#[test]
fn a_topic_that_is_not_utf_8_is_passed_over() {
    let bytes = [&[0x32, 7, 0, 2, b'a', 0xff, 0, 5, b'1'][..], &publish("b", QoS::AtLeastOnce, 1)].concat();
    assert_eq!(read(&bytes, 3).unwrap(), ["Unreadable a\u{fffd} 5 9", "b 7 1"]);
    // Also above the limit.
    let mut large = vec![0x32, 0xe8, 0x0f, 0, 1, 0xff, 0, 5];
    large.resize(2027, 0);
    assert_eq!(read(&large, 50).unwrap(), ["Oversized \u{fffd} 5 2027"]);
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read(bytes, 1).unwrap_err();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    };
    check(&[0x30, 0xff, 0xff, 0xff, 0xff, 1], "Malformed remaining length");
    check(&[0x90, 0x80, 0x80, 0x80, 0x80], "Malformed remaining length");
    check(&[0x36, 5, 0, 1, b'a', 0, 1], "QoS");
    check(&[0x32, 5, 0, 1, b'a', 0, 0], "Packet id Zero");
    check(&[0x32, 5, 0, 9, b'a', 0, 1], "boundary");
    check(&[0x30, 1, 0], "Malformed packet");
    check(&[0x30, 0], "Malformed packet");
    // A topic beyond the end of a packet that is to be skipped.
    check(&[0x30, 0xe8, 0x0f, 0xff, 0xff], "boundary");
    // Others than PUBLISH are never that large.
    check(&[0x90, 0xff, 0xff, 0xff, 0x7f], "size limit exceeded");
    check(&[0xf0, 0], "");
    assert!(read(&written(&Packet::PubAck(PubAck::new(1))), 1).is_ok());
}

#[tokio::test]
async fn only_what_the_connection_does_not_take_is_stuck() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut wire = Wire::new(Box::new(near), LIMIT);
    for packet_id in 1..=10 {
        wire.put(&Packet::PubAck(PubAck::new(packet_id))).unwrap();
        assert!(wire.is_unwritten());
        assert_eq!(
            wire.stuck_since(),
            None,
            "it waits for the next chance only, as on every busy connection"
        );
        wire.write_now().await.unwrap();
        assert!(!wire.is_unwritten());
    }
    for packet_id in 1..=10 {
        wire.put(&Packet::PubAck(PubAck::new(packet_id))).unwrap();
    }
    wire.write_now().await.unwrap();
    let since = wire.stuck_since().expect("the other side has taken 64 bytes");
    wire.write_now().await.unwrap();
    assert_eq!(wire.stuck_since(), Some(since));
    let mut taken = [0; 64];
    far.read_exact(&mut taken).await.unwrap();
    wire.write_now().await.unwrap();
    assert_eq!(wire.stuck_since(), None);
}
