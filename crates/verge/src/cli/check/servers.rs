//! Servers that control systems poll: whether they can listen, and which register says what.

use std::net::TcpListener;

use verge_domain::image::PointContent;
use verge_gateway::exit::Exit;
use verge_gateway::settings::{ServerSection, Settings};
use verge_modbus::{PointPlace, coil_of, input_of, register_of};

use super::CheckReport;

/// Listens for a moment where each would, unless a gateway does so now.
pub(super) fn look(settings: &Settings, running: bool, report: &mut CheckReport) {
    for ServerSection { modbus, .. } in &settings.servers {
        let (key, points) = (format!("server.{}", modbus.name), modbus.points.len());
        let what = format!("Modbus TCP on {}", modbus.listen);
        let of_points = verge_wire::counted(points as u64, "point");
        let tried = match running {
            true => Ok(format!("{of_points}; not tried, because the gateway runs")),
            false => match TcpListener::bind(modbus.listen) {
                Ok(_) => Ok(format!("{of_points}; can listen")),
                Err(error) => Err(format!("cannot listen: {error}")),
            },
        };
        report.note(&key, what, tried, Exit::Unavailable);
    }
}

/// Says where each point stands.
pub(super) fn list(settings: &Settings, report: &mut CheckReport) {
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
