//! Servers that control systems poll: whether they can listen, and which register or node says what.

use std::net::{SocketAddr, TcpListener};

use verge_domain::image::PointContent;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{OPCUA_NAMESPACE, OpcUaSection, ServerSection, Settings};
use verge_gateway::wiring;
use verge_modbus::{PointPlace, coil_of, input_of, register_of};

use super::CheckReport;
use super::uplinks::levels_of;

/// Listens for a moment where each would, unless a gateway does so now.
pub(super) fn look(settings: &Settings, running: bool, report: &mut CheckReport) {
    for ServerSection { modbus, .. } in &settings.servers {
        let (key, points) = (format!("server.{}", modbus.name), modbus.points.len());
        let what = format!("Modbus TCP on {}", modbus.listen);
        let of_points = verge_wire::counted(points as u64, "point");
        let tried = try_to_listen(modbus.listen, running).map(|tried| format!("{of_points}; {tried}"));
        report.note(&key, what, tried, Exit::Unavailable);
    }
    for section in &settings.opcua {
        let (key, listen) = (format!("server.{}", section.name), section.listen);
        report.note(&key, "certificates and users", wiring::look_at_opcua(section), Exit::BadConfig);
        let what = format!("OPC UA on opc.tcp://{listen}");
        report.note(&key, what, try_to_listen(listen, running), Exit::Unavailable);
    }
}

fn try_to_listen(listen: SocketAddr, running: bool) -> Result<String, String> {
    if running {
        return Ok("not tried, because the gateway runs".to_owned());
    }
    match TcpListener::bind(listen) {
        Ok(_) => Ok("can listen".to_owned()),
        Err(error) => Err(format!("cannot listen: {error}")),
    }
}

/// Says which nodes each judge has.
fn list_nodes(settings: &Settings, section: &OpcUaSection, report: &mut CheckReport) {
    for judge in &settings.judges {
        let (levels, names) = levels_of(judge);
        let what = format!("nsu={OPCUA_NAMESPACE};s=DEVICE/{}{levels}/…", judge.name);
        let says = names.join(", ");
        report.note(&format!("server.{}.{}", section.name, judge.name), what, Ok(says), Exit::Fine);
    }
}

/// Says where each point stands.
pub(super) fn list(settings: &Settings, report: &mut CheckReport) {
    settings.opcua.iter().for_each(|section| list_nodes(settings, section, report));
    for ServerSection { modbus, .. } in &settings.servers {
        for point in &modbus.points {
            let PointPlace { name, block, selector, fail_safe, limits } = point;
            let settable = limits.iter().flatten().filter_map(|limit| limit.settable);
            let settable = settable.map(|limit| format!(", settable {}", limit.key)).collect::<String>();
            let (register, input) = (register_of(*block), input_of(*block));
            let coil = match (modbus.writes, settable.is_empty()) {
                (false, _) => String::new(),
                (true, true) => format!(", coil {}", coil_of(*block)),
                (true, false) => {
                    format!(", holding registers {register} to {}, coil {}", register + 3, coil_of(*block))
                }
            };
            let what = format!(
                "input registers {register} to {}, discrete inputs {input} to {}{coil}",
                register + 31,
                input + 7
            );
            let signal = selector.signal.as_ref().map_or_else(String::new, |signal| format!(" {signal}"));
            let strand = match (selector.content, selector.strand) {
                (_, Some(strand)) => format!(", {}", strand.as_str()),
                (PointContent::Counts, None) => ", counts".to_owned(),
                (PointContent::Views, None) => ", views".to_owned(),
                (PointContent::Events, None) => String::new(),
            };
            let says = format!(
                "{}: {}{signal}{strand}; fail-safe {fail_safe}{settable}",
                selector.judge, selector.device
            );
            report.note(&format!("server.{}.point.{name}", modbus.name), what, Ok(says), Exit::Fine);
        }
    }
}
