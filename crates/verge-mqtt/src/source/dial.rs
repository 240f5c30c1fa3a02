//! From an address to an accepted connection: TCP, TLS where it is asked for, CONNECT and CONNACK.

use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, ConnectionError, MqttOptions, Packet, StateError, TlsConfiguration,
    TlsError, Transport,
};
use tokio::net::TcpStream;

use super::wire::{Incoming, Stream, Wire};

/// Connects as the options say. Gives the wire, and whether the broker has kept the session.
///
/// # Errors
/// No connection, or the broker does not accept it.
pub(super) async fn dial(
    options: &MqttOptions,
    max_packet_bytes: usize,
) -> Result<(Wire, bool), ConnectionError> {
    let mut wire = Wire::new(stream(options).await?, max_packet_bytes);
    let login = options.credentials();
    let keep_alive = u16::try_from(options.keep_alive().as_secs()).unwrap_or(u16::MAX);
    let connect = Connect {
        keep_alive,
        clean_session: options.clean_session(),
        login,
        ..Connect::new(options.client_id())
    };
    wire.put(&Packet::Connect(connect))?;
    loop {
        if let Some(answer) = wire.next()? {
            return match answer {
                Incoming::Packet(Packet::ConnAck(ConnAck {
                    code: ConnectReturnCode::Success,
                    session_present,
                })) => Ok((wire, session_present)),
                Incoming::Packet(Packet::ConnAck(ConnAck { code, .. })) => {
                    Err(ConnectionError::ConnectionRefused(code))
                }
                Incoming::Packet(other) => Err(ConnectionError::NotConnAck(other)),
                Incoming::Message(message) => Err(ConnectionError::NotConnAck(Packet::Publish(message))),
                Incoming::Passed(_) => Err(StateError::WrongPacket.into()),
            };
        }
        wire.exchange(true).await?;
    }
}

async fn stream(options: &MqttOptions) -> Result<Box<dyn Stream>, ConnectionError> {
    let (host, port) = options.broker_address();
    let tcp = TcpStream::connect((host.as_str(), port)).await?;
    tcp.set_nodelay(true)?;
    match options.transport() {
        Transport::Tls(TlsConfiguration::Rustls(config)) => {
            let tls = verge_tls::connect(config, &host, tcp).await;
            Ok(Box::new(tls.map_err(|error| ConnectionError::Tls(TlsError::Io(error)))?))
        }
        // `ConnectionSettings` makes no others.
        _ => Ok(Box::new(tcp)),
    }
}
