//! Keys of `[server.NAME]`.

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
    enum RawServerKind { "modbus" => Modbus(RawModbus) }

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
