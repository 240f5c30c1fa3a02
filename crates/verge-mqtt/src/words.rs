//! Why a connection failed, in words that say what to do.

use std::io::ErrorKind;

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};

/// The broker has closed a connection that stood. It stopped, or it does not allow what this client did last; why is not
/// known.
pub(crate) const CLOSED: &str = "the broker closed the connection";
/// The same, with data in flight.
pub(crate) const RESET: &str = "the connection was reset";

/// Why an attempt failed before the broker accepted it.
pub(crate) fn attempt_words(error: &ConnectionError) -> String {
    if let ConnectionError::Tls(TlsError::Io(error)) = error
        && is_end(error)
    {
        return "the other side ended the TLS handshake (is TLS spoken on that port?)".to_owned();
    }
    if is_closed(error) {
        return "the broker closed the connection without an answer (does it require TLS, mqtts://, or refuse user \
                name, password or client_id?)"
            .to_owned();
    }
    words(error)
}

/// The other side has closed the connection, or reset it.
pub(crate) fn is_closed(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)),
        ) => is_end(error),
        _ => false,
    }
}

/// The broker has refused an attempt for what CONNECT holds beside the credentials, perhaps: it says that this client
/// is not authorised, or says nothing.
pub(crate) fn is_refusal(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)) || is_closed(error)
}

/// An attempt failed at TCP or TLS: no CONNECT packet was sent.
pub(crate) fn is_unreached(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::Io(_) | ConnectionError::Tls(_))
}

/// What came cannot be read, or is larger than allowed.
pub(crate) fn is_unreadable(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(error)) => {
            !matches!(error, PacketError::Io(_))
        }
        _ => false,
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

/// Why a connection broke, or could not be made.
pub(crate) fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => refusal(*code).to_owned(),
        ConnectionError::NetworkTimeout => {
            "no answer in time: a wrong address, a firewall, or mqtts:// towards a port without TLS"
                .to_owned()
        }
        ConnectionError::FlushTimeout => "the connection takes nothing any more".to_owned(),
        ConnectionError::Io(error) => io_words(error),
        ConnectionError::NotConnAck(_) => "what answers there is not an MQTT broker".to_owned(),
        ConnectionError::MqttState(state) => state_words(state),
        ConnectionError::RequestsDone => "the connection has ended".to_owned(),
        other => verge_tls::explain(other),
    }
}

fn state_words(error: &StateError) -> String {
    match error {
        StateError::ConnectionAborted => CLOSED.to_owned(),
        StateError::AwaitPingResp => "the broker no longer answers (keep-alive)".to_owned(),
        StateError::CollisionTimeout => "the broker withholds an acknowledgement".to_owned(),
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => io_words(error),
        StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(bytes)) => {
            format!(
                "a packet of {bytes} bytes exceeds the limit; a broker keeps delivering it until it is taken"
            )
        }
        StateError::Deserialization(PacketError::OutgoingPacketTooLarge { pkt_size, max }) => {
            format!("a packet of {pkt_size} bytes exceeds the limit of {max}")
        }
        StateError::Deserialization(_) => {
            "what answers there does not speak MQTT 3.1.1: is it another service's port?".to_owned()
        }
        StateError::Unsolicited(packet_id) => {
            format!("the broker acknowledges what it was not sent (packet identifier {packet_id})")
        }
        StateError::WrongPacket => {
            "the broker sent a packet that only clients may send, or CONNACK twice".to_owned()
        }
        StateError::InvalidState | StateError::EmptySubscription => {
            "the connection broke by a fault of the gateway".to_owned()
        }
    }
}

pub(crate) fn io_words(error: &std::io::Error) -> String {
    if is_end(error) { RESET.to_owned() } else { verge_tls::explain(error) }
}

pub(crate) const fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::Success => "accepted",
        ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "the broker refuses this client_id",
        ConnectReturnCode::ServiceUnavailable => "the broker says that it is not available",
        ConnectReturnCode::BadUserNamePassword => "the broker refuses user name or password",
        ConnectReturnCode::NotAuthorized => {
            "the broker does not authorise this client (user name, password or certificate)"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn words_say_what_to_do() {
        let io = |kind: ErrorKind| io::Error::from(kind);
        let packet = |error: PacketError| ConnectionError::MqttState(StateError::Deserialization(error));
        let check = |error: ConnectionError, attempt: &str, standing: &str| {
            assert!(attempt_words(&error).contains(attempt), "{error:?}: {}", attempt_words(&error));
            assert!(words(&error).contains(standing), "{error:?}: {}", words(&error));
        };
        check(ConnectionError::Io(io(ErrorKind::ConnectionRefused)), "nothing listens", "nothing listens");
        check(ConnectionError::MqttState(StateError::ConnectionAborted), "without an answer", CLOSED);
        check(packet(PacketError::Io(io(ErrorKind::ConnectionReset))), "without an answer", "was reset");
        check(ConnectionError::Tls(TlsError::Io(io(ErrorKind::UnexpectedEof))), "is TLS spoken", "");
        check(ConnectionError::MqttState(StateError::AwaitPingResp), "keep-alive", "keep-alive");
        check(packet(PacketError::PayloadSizeLimitExceeded(70_000)), "70000 bytes", "70000 bytes");
        check(packet(PacketError::InvalidProtocol), "does not speak MQTT", "does not speak MQTT");
        let state = ConnectionError::MqttState;
        check(state(StateError::Unsolicited(7)), "not sent (packet identifier 7)", "not sent");
        check(state(StateError::WrongPacket), "only clients may send", "only clients may send");
        check(ConnectionError::NetworkTimeout, "no answer in time", "no answer in time");
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId);
        check(refused, "refuses this client_id", "refuses this client_id");
    }
}
