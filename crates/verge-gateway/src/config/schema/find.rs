//! Where keys belong, for faults that say so.

use super::super::kind::{Key, Kind};
use super::SECTIONS;

/// The kind of a key in a section, as headers name it: `source.pump.reading`.
pub(crate) fn kind_of(section: &str, key: &str) -> Option<Kind> {
    let mut kind = None;
    if let Some(keys) = keys_of(section) {
        let mut keys = keys;
        for part in key.split('.') {
            let found = keys.iter().find(|known| known.name == part)?.kind;
            kind = Some(found);
            keys = inner(found);
        }
        return kind;
    }
    // The section is not known either.
    let mut all = SECTIONS.iter().flat_map(|section| section.keys);
    all.find(|known| known.name == key).map(|known| known.kind)
}

/// Whether a header names a list of tables; `None` where it names nothing that is known.
pub(crate) fn kind_of_table(path: &str) -> Option<bool> {
    let (outer, last) = path.rsplit_once('.').unwrap_or(("", path));
    match keys_of(outer).and_then(|keys| keys.iter().find(|key| key.name == last)) {
        Some(Key { kind: Kind::Tables(_), .. }) => Some(true),
        Some(_) => Some(false),
        None => keys_of(path).map(|_| false),
    }
}

/// The keys that a section may have, as headers name it.
fn keys_of(path: &str) -> Option<&'static [Key]> {
    let mut parts = parts(path).into_iter();
    let first = parts.next()?;
    let section = SECTIONS.iter().find(|section| section.name == first)?;
    if section.named {
        parts.next();
    }
    let mut keys = section.keys;
    for part in parts {
        keys = inner(keys.iter().find(|key| key.name == part)?.kind);
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

const fn inner(kind: Kind) -> &'static [Key] {
    match kind {
        Kind::Table(keys) | Kind::Tables(keys) => keys,
        _ => &[],
    }
}

/// The sections that have a key of this name, as headers.
pub(crate) fn homes_of(name: &str) -> Vec<String> {
    let mut homes = Vec::new();
    for section in SECTIONS {
        let header = if section.named { format!("{}.NAME", section.name) } else { section.name.to_owned() };
        let has = |keys: &[Key]| keys.iter().any(|key| key.name == name);
        if has(section.keys) {
            homes.push(format!("[{header}]"));
        }
        for key in section.keys.iter().filter(|key| has(inner(key.kind))) {
            let home = match key.kind {
                Kind::Tables(_) => format!("[[{header}.{}]]", key.name),
                _ => format!("[{header}.{}]", key.name),
            };
            if !homes.contains(&home) {
                homes.push(home);
            }
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
