//! Why a connection failed, in words that say what to do.

use std::io::ErrorKind;

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError};

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
        other => verge_tls::explain(other),
    }
}

fn state_words(error: &StateError) -> String {
    match error {
        StateError::ConnectionAborted => {
            "the broker closed the connection (brokers do so when another client connects under the same client_id)"
                .to_owned()
        }
        StateError::AwaitPingResp => "the broker no longer answers (keep-alive)".to_owned(),
        StateError::CollisionTimeout => "the broker withholds an acknowledgement".to_owned(),
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => io_words(error),
        StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(bytes)) => {
            format!("a packet of {bytes} bytes exceeds the limit; a broker keeps delivering it until it is taken")
        }
        StateError::Deserialization(PacketError::OutgoingPacketTooLarge { pkt_size, max }) => {
            format!("a packet of {pkt_size} bytes exceeds the limit of {max}")
        }
        StateError::Deserialization(error) => format!("what answers there does not speak MQTT 3.1.1 ({error})"),
        other => other.to_string(),
    }
}

pub(crate) fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        ErrorKind::UnexpectedEof => "the broker closed the connection without an answer".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the connection was reset".to_owned(),
        ErrorKind::TimedOut => "the connection timed out".to_owned(),
        _ => verge_tls::explain(error),
    }
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
