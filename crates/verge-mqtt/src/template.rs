//! The topics of an uplink: a template, and what becomes of it for one gateway.
//!
//! The default, `{prefix}/{gateway}/{channel}`, gives each kind of message a topic. A template without `{channel}` and
//! `{lane}` is one topic for all.

use std::fmt::Write;

use verge_domain::filter::MAX_TOPIC_BYTES;

/// Stands for a name that is not known, and for the gateway that a topic is to reveal, while a topic is put together.
/// Neither can stand in a topic.
const UNKNOWN: char = '\u{1}';
const GATEWAY: char = '\u{2}';

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicUse {
    /// Alarms.
    Alarm,
    /// Verdicts.
    Verdict,
    /// Telemetry.
    Telemetry,
    /// The status document and the last will.
    Status,
    /// Commands to the gateway.
    Command,
    /// Answers to them.
    Reply,
    /// Parts of packages of models to the gateway.
    Part,
}

impl TopicUse {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Alarm, Self::Verdict, Self::Telemetry, Self::Status, Self::Command, Self::Reply, Self::Part];

    const fn channel(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Verdict | Self::Telemetry => "verdict",
            Self::Status => "status",
            Self::Command => "cmd",
            Self::Reply => "cmd/reply",
            Self::Part => "cmd/part",
        }
    }

    const fn lane(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            other => other.channel(),
        }
    }
}

/// Why a text is no template of topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicTemplateError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// Longer than any topic.
    #[error("it has {actual} bytes; a topic has at most {MAX_TOPIC_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// A wildcard.
    #[error("\"{0}\" is a wildcard of topic filters and cannot stand in a topic")]
    Wildcard(char),
    /// A control character.
    #[error("a control character cannot stand in a topic")]
    Control,
    /// A topic that only the broker itself publishes on, or a shared subscription.
    #[error("topics that begin with \"{0}\" belong to the broker")]
    Reserved(&'static str),
    /// A placeholder that does not exist.
    #[error(
        "{{{0}}} is no placeholder; there are {{prefix}}, {{gateway}}, {{client_id}}, {{channel}} and {{lane}}"
    )]
    Unknown(String),
    /// `{` without `}`, or `}` without `{`.
    #[error("a brace without its counterpart")]
    Brace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TopicPart {
    Text(String),
    Prefix,
    Gateway,
    ClientId,
    Channel,
    Lane,
}

/// A template of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate(Vec<TopicPart>);

/// What stands for the placeholders of a template. `None` where it is not known: then a filter has `+` there.
#[derive(Debug, Clone, Copy)]
pub struct TopicNames<'a> {
    /// `{prefix}`.
    pub prefix: &'a str,
    /// `{gateway}`.
    pub gateway: Option<&'a str>,
    /// `{client_id}`.
    pub client_id: Option<&'a str>,
}

impl TopicTemplate {
    /// What topics are by default.
    pub const DEFAULT: &'static str = "{prefix}/{gateway}/{channel}";

    /// Reads a template.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<TopicTemplateError>> {
        let mut errors = Vec::new();
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some(brace) = rest.find(['{', '}']) else {
                parts.push(TopicPart::Text(rest.to_owned()));
                break;
            };
            let (before, from) = rest.split_at(brace);
            if !before.is_empty() {
                parts.push(TopicPart::Text(before.to_owned()));
            }
            let named = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((name, behind)) = named.filter(|(name, _)| !name.contains('{')) else {
                errors.push(TopicTemplateError::Brace);
                break;
            };
            match name {
                "prefix" => parts.push(TopicPart::Prefix),
                "gateway" => parts.push(TopicPart::Gateway),
                "client_id" => parts.push(TopicPart::ClientId),
                "channel" => parts.push(TopicPart::Channel),
                "lane" => parts.push(TopicPart::Lane),
                other => errors.push(TopicTemplateError::Unknown(other.to_owned())),
            }
            rest = behind;
        }
        if text.is_empty() {
            errors.push(TopicTemplateError::Empty);
        }
        if text.len() > MAX_TOPIC_BYTES {
            errors.push(TopicTemplateError::TooLong { actual: text.len() });
        }
        errors.extend(
            ['+', '#'].into_iter().filter(|&wild| text.contains(wild)).map(TopicTemplateError::Wildcard),
        );
        if text.contains(char::is_control) {
            errors.push(TopicTemplateError::Control);
        }
        let reserved = ["$SYS/", "$share/", "$queue/"];
        errors.extend(
            reserved.into_iter().find(|start| text.starts_with(start)).map(TopicTemplateError::Reserved),
        );
        if errors.is_empty() { Ok(Self(parts)) } else { Err(errors) }
    }

    /// Whether kinds of messages have topics of their own.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        self.0.iter().any(|part| matches!(part, TopicPart::Channel | TopicPart::Lane))
    }

    /// The topic for a use; all names must be known.
    #[must_use]
    pub fn topic(&self, topic: TopicUse, names: TopicNames<'_>) -> String {
        self.filled(topic, names, UNKNOWN)
    }

    /// The filter that takes the topics for a use, of one gateway or of all.
    #[must_use]
    pub fn filter(&self, topic: TopicUse, names: TopicNames<'_>) -> String {
        let filled = self.filled(topic, names, GATEWAY);
        let levels =
            filled.split('/').map(|level| if level.contains([UNKNOWN, GATEWAY]) { "+" } else { level });
        levels.collect::<Vec<_>>().join("/")
    }

    /// The gateway that a topic for a use belongs to; `None` where the topic is another one, or does not reveal it.
    #[must_use]
    pub fn gateway_of<'a>(&self, topic: TopicUse, names: TopicNames<'_>, found: &'a str) -> Option<&'a str> {
        let filled = self.filled(topic, TopicNames { gateway: None, ..names }, GATEWAY);
        let (mut levels, mut found) = (filled.split('/'), found.split('/'));
        let mut gateway = None;
        loop {
            match (levels.next(), found.next()) {
                (None, None) => return gateway,
                (Some(level), Some(found)) if level.contains(UNKNOWN) && !found.is_empty() => {}
                (Some(level), Some(found)) => match level.split_once(GATEWAY) {
                    Some((before, behind)) => {
                        let name = found.strip_prefix(before)?.strip_suffix(behind)?;
                        gateway = gateway.or(Some(name));
                    }
                    None if level == found => {}
                    None => return None,
                },
                _ => return None,
            }
        }
    }

    fn filled(&self, topic: TopicUse, names: TopicNames<'_>, unknown_gateway: char) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            let known = match part {
                TopicPart::Text(text) => Some(text.as_str()),
                TopicPart::Prefix => Some(names.prefix),
                TopicPart::Gateway => names.gateway,
                TopicPart::ClientId => names.client_id,
                TopicPart::Channel => Some(topic.channel()),
                TopicPart::Lane => Some(topic.lane()),
            };
            let unknown = if *part == TopicPart::Gateway { unknown_gateway } else { UNKNOWN };
            let written = match known {
                Some(text) => write!(filled, "{text}"),
                None => write!(filled, "{unknown}"),
            };
            written.expect("a text takes what is written to it");
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: TopicNames<'_> =
        TopicNames { prefix: "verge", gateway: Some("g"), client_id: Some("verge-g-c") };

    #[test]
    fn templates_give_topics_and_filters() {
        let check = |template: &str, expected: [&str; 7], filter: &str| {
            let template = TopicTemplate::parse(template).unwrap();
            assert_eq!(TopicUse::ALL.map(|topic| template.topic(topic, NAMES)), expected);
            let anyone = TopicNames { gateway: None, client_id: None, ..NAMES };
            assert_eq!(template.filter(TopicUse::Alarm, anyone), filter);
        };
        let default = ["alarm", "verdict", "verdict", "status", "cmd", "cmd/reply", "cmd/part"];
        let default = default.map(|channel| format!("verge/g/{channel}"));
        check(TopicTemplate::DEFAULT, default.each_ref().map(String::as_str), "verge/+/alarm");
        let one = "devices/g/messages/events/";
        check("devices/{gateway}/messages/events/", [one; 7], "devices/+/messages/events/");
        check(
            "a/gw-{gateway}/{client_id}/{lane}",
            ["alarm", "verdict", "telemetry", "status", "cmd", "cmd/reply", "cmd/part"]
                .map(|lane| format!("a/gw-g/verge-g-c/{lane}"))
                .each_ref()
                .map(String::as_str),
            "a/+/+/alarm",
        );
        check("$aws/rules/r", ["$aws/rules/r"; 7], "$aws/rules/r");
    }

    #[test]
    fn topics_reveal_their_gateway() {
        let check = |template: &str, topic: &str, expected: Option<&str>| {
            let template = TopicTemplate::parse(template).unwrap();
            let anyone = TopicNames { gateway: None, client_id: None, ..NAMES };
            assert_eq!(template.gateway_of(TopicUse::Status, anyone, topic), expected, "{topic}");
        };
        check(TopicTemplate::DEFAULT, "verge/pump/status", Some("pump"));
        check(TopicTemplate::DEFAULT, "verge/pump/alarm", None);
        check(TopicTemplate::DEFAULT, "verge/pump/status/x", None);
        check("x/gw-{gateway}-1/{client_id}/{channel}", "x/gw-pump-1/any/status", Some("pump"));
        check("x/gw-{gateway}-1/{client_id}/{channel}", "x/pump-1/any/status", None);
        check("one/for/all", "one/for/all", None);
    }

    #[test]
    fn everything_wrong_with_a_template_is_reported_at_once() {
        let check = |template: &str, expected: &[TopicTemplateError]| {
            assert_eq!(TopicTemplate::parse(template), Err(expected.to_vec()), "{template:?}");
        };
        let unknown = |name: &str| TopicTemplateError::Unknown(name.to_owned());
        check("", &[TopicTemplateError::Empty]);
        check(
            "{site}/+/{x}/#",
            &[
                unknown("site"),
                unknown("x"),
                TopicTemplateError::Wildcard('+'),
                TopicTemplateError::Wildcard('#'),
            ],
        );
        check("a/{gateway", &[TopicTemplateError::Brace]);
        check("a/gateway}", &[TopicTemplateError::Brace]);
        check("a/{{gateway}}", &[TopicTemplateError::Brace]);
        check("a\u{7}", &[TopicTemplateError::Control]);
        check("$SYS/a", &[TopicTemplateError::Reserved("$SYS/")]);
    }
}
