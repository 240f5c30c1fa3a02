//! An uplink as the gateway uses it, for the gateway and for `verge check`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use verge_domain::id::{Epoch, GatewayId, Lane};
use verge_domain::stage::Envelope;
use verge_mqtt::{ConnectionSettings, ProofMessage, UplinkSettings};
use verge_pipeline::clock::Clock;
use verge_pipeline::status;
use verge_wire::{WireEncoder, WireFormat};

use crate::settings::{MqttUplink, Settings, Uplink};

/// How an uplink connects and what it does. `alone`: its route has no other.
pub fn uplink_settings(
    settings: &Settings,
    uplink: &Uplink,
    mqtt: &MqttUplink,
    connection: ConnectionSettings,
    epoch: Epoch,
    clock: Clock,
    alone: bool,
) -> UplinkSettings {
    let gateway = &settings.gateway.id;
    UplinkSettings {
        connection,
        topics: mqtt.topics.clone(),
        window: uplink.window,
        last_will: status::last_will(gateway).into(),
        services: mqtt.services,
        proof: Some(proof(mqtt.format, gateway.clone(), epoch, mqtt.topics.alarm.clone(), clock)),
        alone,
    }
}

/// A message without verdicts: it says who sends it, and holds nothing.
fn proof(format: WireFormat, gateway: GatewayId, epoch: Epoch, alarms: String, clock: Clock) -> ProofMessage {
    let encoder = Mutex::new(WireEncoder::new(format));
    ProofMessage::new(move |topic| {
        let envelope = Envelope {
            gateway: gateway.clone(),
            epoch,
            lane: if topic == alarms { Lane::Alarm } else { Lane::Verdict },
            sent: clock.now().wall,
            age: Duration::ZERO,
            volatile: false,
        };
        let mut message = Vec::new();
        let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.message(&envelope, &[], &mut message).expect("a message of nothing can be written");
        message.into()
    })
}
