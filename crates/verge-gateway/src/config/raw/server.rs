//! Keys of `[server.NAME]`.

use std::time::Duration;

use verge_modbus::FailSafe;

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{ConfigNode, Map, Table, Value};
use super::super::units::Span;
use super::{DAY, SECOND};

declare! {
    /// `[server.NAME]`
    struct RawServer by kind: RawServerKind [.required()] {}

    /// What a server speaks.
    enum RawServerKind { "modbus" => Modbus(RawModbus), "opcua" => OpcUa(RawOpcUa) }

    /// A Modbus TCP server.
    struct RawModbus {
        listen: Option<String> =
            text(r#"an address of this machine with a port, such as "10.1.0.5:502""#).required(),
        max_clients: usize = whole(1, 256).or("8"),
        idle: Span = span(SECOND, DAY).or("60s"),
        allow: Option<Vec<String>> = texts(r#"addresses or networks, such as "10.1.0.0/16""#),
        unit: Option<usize> = whole(0, 255),
        stale_after: Span = span(SECOND, DAY).or("60s"),
        writes: bool = flag().or("false"),
        point: Option<Map<RawPoint>> = named_tables::<RawPoint>(),
    }

    /// An OPC UA server. Its keys are known to every build, and refused by one without the feature.
    struct RawOpcUa {
        listen: Option<String> =
            text(r#"an address of this machine with a port, such as "10.1.0.5:4840""#).required(),
        pki_dir: Option<String> = text("the path of a folder"),
        users_file: Option<String> = text("the path of a file that `verge users` writes"),
        anonymous: bool = flag().or("false"),
        insecure_none: bool = flag().or("false"),
        max_clients: usize = whole(1, 64).or("16"),
        idle: Span = span(Duration::from_secs(10), DAY).or("2m"),
        allow: Option<Vec<String>> = texts(r#"addresses or networks, such as "10.1.0.0/16""#),
        stale_after: Span = span(SECOND, DAY).or("60s"),
    }

    /// `[server.NAME.point.NAME]`
    struct RawPoint {
        block: Option<usize> = whole(0, verge_modbus::MAX_BLOCK as u64).required(),
        judge: Option<String> = name().required(),
        device: Option<String> = text("the name of a device, as verdicts have it").required(),
        signal: Option<String> = text("the name of a signal, as verdicts have it"),
        strand: Option<String> = text(r#"which events of the judge, such as "high""#),
        fail_safe: FailSafe = word::<FailSafe>().or("call"),
    }

    words for FailSafe { "call" => Call, "no_call" => NoCall, "hold" => Hold }
}
