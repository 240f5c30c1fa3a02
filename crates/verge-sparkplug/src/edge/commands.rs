//! What hosts command beside births: acknowledge and shelve alarms, set limits. Each becomes the command that an uplink of kind
//! `mqtt` takes, so that one executor carries out all of them.

use prost::Message;
use serde_json::json;
use verge_domain::board::PointKind;
use verge_domain::id::JudgeId;
use verge_domain::settable::SettableLimit;

use super::{EdgeNews, EdgeNode};
use crate::names::metric_part;
use crate::payload::{Metric, MetricValue, SparkplugPayload};

/// Commands that wait to be carried out at most; further ones are refused.
const MAX_COMMANDS: usize = 64;
/// An answer is cut to this length.
const MAX_ANSWER: usize = 200;
/// For how long a host shelves an alarm that says no time: the longest that is possible.
const SHELVED_MINUTES: u32 = 480;
/// The property of a command by which a host says for how long.
const MINUTES: &str = "minutes";

/// The name of the metric by which a limit is set.
pub(super) fn limit_name(judge: &JudgeId, limit: &SettableLimit) -> String {
    format!("Limits/{}/{}", metric_part(judge.as_str()), limit.key.as_str())
}

/// For how long an alarm is shelved: the property `minutes` of the metric, or else the longest time.
fn minutes_of(metric: &Metric) -> Result<u32, String> {
    let Some(properties) = &metric.properties else { return Ok(SHELVED_MINUTES) };
    let Some(place) = properties.keys.iter().position(|key| key == MINUTES) else {
        return Ok(SHELVED_MINUTES);
    };
    let minutes = properties.values.get(place).and_then(|value| value.int);
    minutes
        .filter(|minutes| (1..=SHELVED_MINUTES).contains(minutes))
        .ok_or_else(|| format!("{MINUTES}: expected a whole number (Int32) from 1 to {SHELVED_MINUTES}"))
}

impl EdgeNode {
    /// A command to a device: its alarms.
    pub(super) fn device_command(&mut self, element: &str, payload: &[u8]) {
        let Ok(payload) = SparkplugPayload::decode(payload) else {
            self.counted.refused += 1;
            return;
        };
        for metric in &payload.metrics {
            match self.alarm_command(element, metric) {
                Ok(command) => self.command(&command),
                Err(reason) => self.refused(&reason),
            }
        }
    }

    fn alarm_command(&self, element: &str, metric: &Metric) -> Result<serde_json::Value, String> {
        let meant = || match (&metric.name, metric.alias) {
            (Some(name), _) => format!("metric {name} of {element}"),
            (None, Some(alias)) => format!("metric with alias {alias} of {element}"),
            (None, None) => format!("metric without a name of {element}"),
        };
        let point = self.devices.point_of(element, metric.name.as_deref(), metric.alias);
        let Some((device, name, (judge, signal, kind))) = point else {
            return Err(format!("{}: there is none in the births", meant()));
        };
        let what = name.rsplit('/').next().filter(|_| matches!(kind, PointKind::Events(_)));
        let command = match (what.unwrap_or_default(), &metric.value) {
            ("acknowledged", Some(MetricValue::Boolean(true))) => json!({ "command": "acknowledge" }),
            ("shelved", Some(MetricValue::Boolean(true))) => {
                json!({ "command": "shelve", "minutes": minutes_of(metric)? })
            }
            ("shelved", Some(MetricValue::Boolean(false))) => json!({ "command": "unshelve" }),
            ("acknowledged", Some(MetricValue::Boolean(false))) => {
                return Err(format!("{}: an acknowledgement cannot be taken back", meant()));
            }
            ("acknowledged" | "shelved", _) => return Err(format!("{}: expected a Boolean", meant())),
            _ => return Err(format!("{}: only acknowledged and shelved can be written", meant())),
        };
        let mut command = command;
        command["id"] = "host".into();
        command["device"] = device.as_str().into();
        command["judge"] = judge.as_str().into();
        if let Some(signal) = signal {
            command["signal"] = signal.as_str().into();
        }
        Ok(command)
    }

    /// Whether a metric of a command to the node is one of its limits, which is then set.
    pub(super) fn limit_command(&mut self, metric: &Metric) -> bool {
        let Some(commands) = &self.settings.commands else { return false };
        let first = self.settings.properties.len() + super::births::STATUS.len() + 2;
        let is_meant =
            |index: usize, judge: &JudgeId, limit: &SettableLimit| match (&metric.name, metric.alias) {
                (Some(name), _) => *name == limit_name(judge, limit),
                (None, Some(alias)) => alias == (first + index) as u64,
                (None, None) => false,
            };
        let found =
            commands.limits.iter().enumerate().find(|(index, (judge, limit))| is_meant(*index, judge, limit));
        let Some((_, (judge, limit))) = found else { return false };
        let value = match &metric.value {
            _ if metric.is_null == Some(true) => None,
            Some(MetricValue::Double(value)) => Some(*value),
            Some(MetricValue::Float(value)) => Some(f64::from(*value)),
            _ => Some(f64::NAN),
        };
        // A number that is none becomes null in JSON, which would put the limit back.
        if value.is_some_and(|value| !value.is_finite()) {
            let reason = format!("{}: expected a finite number (Double), or null", limit_name(judge, limit));
            self.refused(&reason);
            return true;
        }
        let (judge, key) = (judge.as_str(), limit.key.as_str());
        let command = json!({ "id": "host", "command": "set", "judge": judge, "key": key, "value": value });
        self.command(&command);
        true
    }

    fn command(&mut self, command: &serde_json::Value) {
        let waiting = self.news.iter().filter(|news| matches!(news, EdgeNews::Command(_))).count();
        if waiting >= MAX_COMMANDS {
            return self.refused("busy: too many commands wait");
        }
        self.news.push_back(EdgeNews::Command(command.to_string().into_bytes()));
    }

    /// More commands wait than are taken.
    pub fn refuse_command(&mut self) {
        self.counted.refused += 1;
    }

    /// The answer to a command, as other uplinks send it: hosts read it as a metric.
    pub fn answered(&mut self, answer: &[u8]) {
        let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
        let is_done = answer["ok"] == true;
        if is_done {
            self.answer_with("done");
        } else {
            self.refused(answer["error"].as_str().unwrap_or("not done"));
        }
    }

    /// A command that is not carried out: the host reads why.
    fn refused(&mut self, reason: &str) {
        self.counted.refused += 1;
        self.answer_with(reason);
    }

    fn answer_with(&mut self, words: &str) {
        self.answer = Some(words.chars().take(MAX_ANSWER).collect());
        (self.answer_due, self.status_due) = (true, true);
    }
}
