//! Names of files that are made from names which others give: of devices, sources, signals, columns, labels. All of them
//! are made here.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest name that is taken as it is, in bytes: with a number and an ending it stays below the 143 of eCryptfs.
const MAX_PLAIN: usize = 64;
/// What is kept of another name, in characters.
const KEPT: usize = 40;
/// Bytes of a name's SHA-256 behind it.
const DIGEST: usize = 8;
/// Names that Windows keeps for devices, whatever ending follows.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The part of a file's name that stands for a name. It names a file within its folder, on every file system, and no
/// two names share one.
///
/// A name of small letters, digits, `-`, `_` and dots within it stands as it is. Any other keeps what it has of these
/// and of capital letters, and gets `~` and the start of its SHA-256 behind it, which no plain name has: so names that
/// differ only in case, or in what cannot stand in a file's name, do not meet.
pub(crate) fn file_name(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let kept = |one: char| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' };
    let mut safe: String = name.chars().map(kept).take(KEPT).collect();
    // Not an option of the commands that it is handed to.
    if safe.starts_with('-') {
        safe.replace_range(..1, "_");
    }
    safe.push('~');
    for byte in &Sha256::digest(name)[..DIGEST] {
        write!(safe, "{byte:02x}").expect("a String takes any text");
    }
    safe
}

fn is_plain(name: &str) -> bool {
    let is_safe =
        |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || matches!(one, b'-' | b'_' | b'.');
    let stem = name.split('.').next().unwrap_or_default();
    (1..=MAX_PLAIN).contains(&name.len())
        && name.bytes().all(is_safe)
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && !name.contains("..")
        && !RESERVED.contains(&stem)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Component, Path};

    use super::*;

    /// Names that devices may bear, and worse.
    const HOSTILE: [&str; 38] = [
        "",
        ".",
        "..",
        "...",
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a/../../b",
        "a\\b",
        "..\\b",
        "C:\\b",
        "C:",
        "a:b",
        ".hidden",
        "-rf",
        "con",
        "CON",
        "nul.txt",
        "NUL",
        "lpt1.a.b",
        "a.",
        "a ",
        " a",
        "a\0b",
        "a\nb",
        "a*b",
        "a?b",
        "a|b",
        "~",
        "a~b",
        "%2e%2e%2f",
        "cam",
        "Cam",
        "CAM",
        "café",
        "cafe\u{301}",
        "\u{202e}gpj.exe",
    ];

    #[test]
    fn whatever_the_name_the_file_is_within_its_folder() {
        let long = ["x".repeat(64), "x".repeat(65), "X".repeat(100_000), "🚗".repeat(64), "é".repeat(64)];
        let names: Vec<&str> = HOSTILE.into_iter().chain(long.iter().map(String::as_str)).collect();
        let mut seen = HashSet::new();
        for name in names {
            let file = file_name(name);
            let components: Vec<Component<'_>> = Path::new(&file).components().collect();
            assert!(
                matches!(components[..], [Component::Normal(only)] if only == file.as_str()),
                "{name:?}: {file}"
            );
            assert!(file.len() <= MAX_PLAIN && file.is_ascii(), "{name:?}: {file}");
            assert!(!file.starts_with(['.', '-']) && !file.ends_with(['.', ' ']), "{name:?}: {file}");
            assert!(!file.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0']), "{name:?}: {file}");
            let stem = file.split('.').next().unwrap().to_ascii_lowercase();
            assert!(!RESERVED.contains(&stem.as_str()), "{name:?}: {file}");
            assert!(seen.insert(file.to_ascii_lowercase()), "{name:?} meets another: {file}");
        }
    }

    #[test]
    fn usual_names_stand_as_they_are() {
        for name in ["cam", "pump-1", "north_gate", "10.0.0.5", "esp32-7.yard", "console", &"x".repeat(64)] {
            assert_eq!(file_name(name), name);
        }
        assert!(file_name("Prüfstand 3").starts_with("Pr_fstand_3~"), "{}", file_name("Prüfstand 3"));
        // What stands for one name stands for no other: none with a tilde is plain.
        let once = file_name("Cam");
        assert_ne!(file_name(&once), once);
    }
}
