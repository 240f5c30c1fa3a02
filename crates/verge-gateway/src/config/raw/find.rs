//! Where keys belong, for faults that say so.

use super::super::key::{Keys, ValueKind};
use super::SECTIONS;

/// The kind of a key in a section, as headers name it: `source.pump.reading`.
pub(crate) fn kind_of(section: &str, key: &str) -> Option<ValueKind> {
    let Some(mut keys) = keys_of(section) else {
        // The section is not known either.
        return SECTIONS.iter().find_map(|section| section.keys.find(key)).map(|known| known.kind);
    };
    let mut parts = key.split('.').peekable();
    loop {
        let kind = keys.find(parts.next()?)?.kind;
        if matches!(kind, ValueKind::NamedTables(_)) {
            parts.next();
        }
        if parts.peek().is_none() {
            return Some(kind);
        }
        keys = kind.inner()?;
    }
}

/// Whether a header names a list of tables; `None` where it names nothing that is known.
pub(crate) fn kind_of_table(path: &str) -> Option<bool> {
    let (outer, last) = path.rsplit_once('.').unwrap_or(("", path));
    match keys_of(outer).and_then(|keys| keys.find(last)) {
        Some(key) => Some(matches!(key.kind, ValueKind::Tables(_))),
        None => keys_of(path).map(|_| false),
    }
}

/// The keys that a section may have, as headers name it.
fn keys_of(path: &str) -> Option<&'static Keys> {
    let mut parts = parts(path).into_iter();
    let first = parts.next()?;
    let section = SECTIONS.iter().find(|section| section.name == first)?;
    if section.named {
        parts.next();
    }
    let mut keys = section.keys;
    while let Some(part) = parts.next() {
        let kind = keys.find(&part)?.kind;
        keys = kind.inner()?;
        // Its name.
        if matches!(kind, ValueKind::NamedTables(_)) {
            parts.next();
        }
    }
    Some(keys)
}

/// The parts of a path, of which some stand in quotes.
fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for letter in path.chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ => parts.iter_mut().last().into_iter().for_each(|part| part.push(letter)),
        }
    }
    parts
}

/// The sections that have a key of this name, as headers.
pub(crate) fn homes_of(name: &str) -> Vec<String> {
    let mut homes = Vec::new();
    for section in SECTIONS {
        let header = section.header();
        let outer = header.trim_matches(['[', ']']);
        let keys = section.keys.in_force(None);
        if keys.iter().any(|key| key.name == name) {
            homes.push(header.clone());
        }
        for key in keys.iter().filter(|key| key.kind.inner().is_some_and(|keys| keys.find(name).is_some())) {
            homes.push(match key.kind {
                ValueKind::Tables(_) => format!("[[{outer}.{}]]", key.name),
                ValueKind::NamedTables(_) => format!("[{outer}.{}.NAME]", key.name),
                _ => format!("[{outer}.{}]", key.name),
            });
        }
    }
    homes
}

/// Our name of a key that other programs have another name for.
pub(crate) fn other_name(name: &str) -> Option<&'static str> {
    let known = [
        ("broker", "url"),
        ("host", "url"),
        ("address", "url"),
        ("server", "url"),
        ("user", "username"),
        ("login", "username"),
        ("ca_file", "ca"),
        ("cafile", "ca"),
        ("ca_cert", "ca"),
        ("certfile", "cert"),
        ("certificate", "cert"),
        ("keyfile", "key"),
        ("private_key", "key"),
        ("keepalive", "keep_alive"),
        ("clientid", "client_id"),
        ("type", "detector"),
        ("threshold", "above"),
        ("limit", "above"),
        ("max", "above"),
        ("high", "above"),
        ("upper", "above"),
        ("greater_than", "above"),
        ("min", "below"),
        ("low", "below"),
        ("lower", "below"),
        ("less_than", "below"),
        ("timeout", "after"),
        ("path", "file"),
        ("source", "inputs"),
        ("sources", "inputs"),
        ("signals", "inputs"),
        ("level", "severity"),
        ("subscribe", "topic"),
        ("filter", "topic"),
        ("channel", "topic"),
        ("encoding", "codec"),
        ("decoder", "codec"),
    ];
    known.into_iter().find(|(other, _)| *other == name).map(|(_, own)| own)
}
