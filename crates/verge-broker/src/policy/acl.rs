//! An access list in the form of mosquitto's `acl_file`: `user`, `topic` and `pattern` lines.
//!
//! What differs: a subscription is decided when it is made, not message by message, so a client may subscribe to what one
//! of its `read` lines covers whole; and lines before the first `user` are for clients without a proved name alone.

use verge_domain::filter;

/// Most lines that grant or deny something.
const MAX_RULES: usize = 10_000;

/// Who may do what, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    whose: Whose,
    grant: Grant,
    filter: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Clients without a name.
    Nameless,
    Named(String),
    /// Everybody, with `%u` and `%c` in the filter.
    Everybody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct AccessListError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what is expected.
    pub fault: String,
}

/// Filters to publish to, to read, and those denied for both.
type Granted = (Vec<String>, Vec<String>, (Vec<String>, Vec<String>));

impl AccessList {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, AccessListError> {
        let mut rules = Vec::new();
        let mut whose = Whose::Nameless;
        for (index, line) in text.lines().enumerate() {
            let fault = |fault: String| AccessListError { line: index + 1, fault };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            match word {
                "user" if !rest.is_empty() => whose = Whose::Named(rest.to_owned()),
                "topic" => rules.push(rule(whose.clone(), rest).map_err(fault)?),
                "pattern" => rules.push(rule(Whose::Everybody, rest).map_err(fault)?),
                _ => {
                    return Err(fault(format!(
                        "{:?} is no line of an access list, expected `user NAME`, `topic [read|write|readwrite|deny] FILTER` or \
                         `pattern [read|write|readwrite|deny] FILTER`",
                        shortened(line)
                    )));
                }
            }
            if rules.len() > MAX_RULES {
                return Err(fault(format!("a list has at most {MAX_RULES} rules")));
            }
        }
        Ok(Self { rules })
    }

    /// The names it has rules for.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .rules
            .iter()
            .filter_map(|rule| match &rule.whose {
                Whose::Named(name) => Some(name.as_str()),
                Whose::Nameless | Whose::Everybody => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What one client may do.
    pub(super) fn of(&self, user: Option<&str>, client_id: &str) -> Granted {
        let (mut publish, mut read) = (Vec::new(), Vec::new());
        let (mut no_publish, mut no_read) = (Vec::new(), Vec::new());
        for Rule { whose, grant, filter } in &self.rules {
            let filter = match whose {
                Whose::Nameless if user.is_none() => filter.clone(),
                Whose::Named(name) if Some(name.as_str()) == user => filter.clone(),
                Whose::Everybody => match substituted(filter, user, client_id) {
                    Some(filter) => filter,
                    None => continue,
                },
                Whose::Nameless | Whose::Named(_) => continue,
            };
            match grant {
                Grant::Read => read.push(filter),
                Grant::Write => publish.push(filter),
                Grant::ReadWrite => {
                    publish.push(filter.clone());
                    read.push(filter);
                }
                Grant::Deny => {
                    no_publish.push(filter.clone());
                    no_read.push(filter);
                }
            }
        }
        (publish, read, (no_publish, no_read))
    }
}

fn rule(whose: Whose, rest: &str) -> Result<Rule, String> {
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (grant, filter) = match word {
        "read" => (Grant::Read, after.trim()),
        "write" => (Grant::Write, after.trim()),
        "readwrite" => (Grant::ReadWrite, after.trim()),
        "deny" => (Grant::Deny, after.trim()),
        _ => (Grant::ReadWrite, rest),
    };
    // Names hold no wildcards: what is valid with one of them is so with all.
    let tried = substituted(filter, Some("name"), "name").unwrap_or_default();
    filter::validate(&tried)
        .map_err(|error| format!("{:?} is no topic filter: {error}", shortened(filter)))?;
    Ok(Rule { whose, grant, filter: filter.to_owned() })
}

/// With the names in place of `%u` and `%c`; `None` where there is no name, or one that would change the filter's meaning.
fn substituted(filter: &str, user: Option<&str>, client_id: &str) -> Option<String> {
    let is_plain = |name: &str| !name.is_empty() && !name.contains(['+', '#', '/']);
    let mut filter = filter.to_owned();
    if filter.contains("%u") {
        filter = filter.replace("%u", user.filter(|name| is_plain(name))?);
    }
    if filter.contains("%c") {
        filter = filter.replace("%c", Some(client_id).filter(|name| is_plain(name))?);
    }
    Some(filter)
}

/// For messages.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
