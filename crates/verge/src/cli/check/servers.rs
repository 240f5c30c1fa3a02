//! Servers that control systems poll: whether they can listen, and which register says what.

use std::net::TcpListener;

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
            let PointPlace { name, block, selector, fail_safe } = point;
            let (register, input) = (register_of(*block), input_of(*block));
            let coil = if modbus.writes { format!(", coil {}", coil_of(*block)) } else { String::new() };
            let what = format!(
                "input registers {register} to {}, discrete inputs {input} to {}{coil}",
                register + 31,
                input + 7
            );
            let signal = selector.signal.as_ref().map_or_else(String::new, |signal| format!(" {signal}"));
            let strand = selector.strand.map_or_else(String::new, |strand| format!(", {}", strand.as_str()));
            let says =
                format!("{}: {}{signal}{strand}; fail-safe {fail_safe}", selector.judge, selector.device);
            report.note(&format!("server.{}.point.{name}", modbus.name), what, Ok(says), Exit::Fine);
        }
    }
}
