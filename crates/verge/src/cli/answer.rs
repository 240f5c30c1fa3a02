//! What a gateway answers to a command from upstream, in words.

use std::io::Write;

use serde_json::Value;
use verge_domain::time::UtcMillis;
use verge_gateway::exit::Exit;
use verge_wire::SiteZone;

use super::output::json_line;
use super::{operator, say, set};

/// Prints the answer.
pub(super) fn print_answer(
    answer: &Value,
    json: bool,
    zone: &SiteZone,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if json {
        json_line(out, answer)?;
    }
    if answer["ok"] != true {
        if !json {
            say(&format!(
                "refused: {}",
                answer["error"].as_str().unwrap_or("no reason given").escape_debug()
            ));
        }
        return Ok(Exit::BadInput);
    }
    if !json {
        writeln!(out, "{}", words(answer, zone))?;
    }
    Ok(Exit::Fine)
}

/// An answer in words. Times are those of the site.
fn words(answer: &Value, zone: &SiteZone) -> String {
    let number = |key: &str| answer[key].as_i64().unwrap_or(0);
    if let Some(words) = operator::words(answer, zone).or_else(|| set::words(answer)) {
        return words;
    }
    let counted = |key: &str, noun: &str| verge_wire::counted(answer[key].as_u64().unwrap_or(0), noun);
    if answer["until"].is_i64() {
        let until = zone.to_minute(UtcMillis(number("until")));
        return format!("no alarms until {until} from {}", counted("quiet", "judge"));
    }
    // A gateway of before there were `signals` counts judges.
    let noted = match answer["signals"].is_u64() {
        true => format!("noted for {}", counted("signals", "signal")),
        false => format!("noted for {}", counted("heard", "judge")),
    };
    if answer["ended"].is_u64() {
        return format!("ended {}; {noted}", counted("ended", "window"));
    }
    let mut words = noted;
    if let Some(device) = answer["device"].as_str() {
        let signal = answer["signal"].as_str().map_or_else(String::new, |signal| format!(" {signal}"));
        let judge = answer["judge"].as_str().unwrap_or_default();
        words += &format!(": event {}, {device}{signal} ({judge})", number("event"));
    }
    match answer["note"].as_str() {
        Some(note) => words += &format!("; {}", note.escape_debug()),
        // A gateway of before there was a `note`.
        None if number("used") == 0 => {
            words += "; it changes nothing: rules do not learn, and what is long past is forgotten";
        }
        None => {}
    }
    match (answer["before"].as_str(), number("replaced")) {
        (Some(before), 1..) => words += &format!("; it was labelled {before} before: the last label counts"),
        (None, 1..) => {
            words += &format!("; {} had another label before: the last counts", counted("replaced", "alarm"));
        }
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_printed_in_words_and_give_the_exit_code() {
        let check = |answer: Value, text: &str, exit: Exit| {
            let mut out = Vec::new();
            let zone = SiteZone::named("Europe/Berlin").unwrap();
            assert_eq!(print_answer(&answer, false, &zone, &mut out).unwrap(), exit);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        };
        let of_device =
            json!({ "id": "a", "ok": true, "heard": 72, "used": 18, "signals": 36, "replaced": 0 });
        check(of_device, "noted for 36 signals\n", Exit::Fine);
        let unused = json!({ "id": "a", "ok": true, "heard": 1, "used": 0, "signals": 1, "replaced": 0 });
        let nothing = "; it changes nothing: rules do not learn, and what is long past is forgotten";
        check(unused, &format!("noted for 1 signal{nothing}\n"), Exit::Fine);
        let rule = json!({
            "id": "a", "ok": true, "heard": 1, "used": 0, "signals": 1, "replaced": 0, "event": 7, "judge": "hot",
            "source": "plc", "device": "p", "signal": "s", "before": null, "note": "silence does not learn",
        });
        check(rule, "noted for 1 signal: event 7, p s (hot); silence does not learn\n", Exit::Fine);
        let event = json!({
            "id": "a", "ok": true, "heard": 1, "used": 1, "signals": 1, "replaced": 1, "event": 142, "judge": "auto",
            "source": "plc", "device": "p", "signal": "s", "before": "real",
        });
        let words =
            "noted for 1 signal: event 142, p s (auto); it was labelled real before: the last label counts\n";
        check(event, words, Exit::Fine);
        check(json!({ "id": "a", "ok": true, "heard": 3, "used": 2 }), "noted for 3 judges\n", Exit::Fine);
        let until = json!({ "id": "a", "ok": true, "quiet": 4, "until": 1_795_694_400_000_i64 });
        check(until, "no alarms until 2026-11-26 13:00 CET from 4 judges\n", Exit::Fine);
        let ended = json!({ "id": "a", "ok": true, "ended": 1, "heard": 3, "used": 2 });
        check(ended, "ended 1 window; noted for 3 judges\n", Exit::Fine);
        check(json!({ "id": "a", "ok": false, "error": "no" }), "", Exit::BadInput);
    }
}
