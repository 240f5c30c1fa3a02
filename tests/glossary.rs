//! The words of the project: those that docs/glossary.md rules out stand nowhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

const GLOSSARY: &str = include_str!("../docs/glossary.md");
/// What stands behind the list of the words that are ruled out.
const HEADING: &str = "## Words that are not used";

/// Files that must hold such words, and why.
const FILES: &[(&str, &str)] =
    &[("docs/glossary.md", "the list itself"), ("tests/glossary.rs", "the examples of its own test")];

/// The words of the second table.
fn ruled_out() -> Vec<&'static str> {
    let (_, table) =
        GLOSSARY.split_once(HEADING).expect("the glossary has a list of words that are not used");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    rows.filter_map(|row| row.split(" | ").next()).collect()
}

/// The lines in which one of the words stands as a whole, whatever its case, with the word; a part of a name in code counts
/// as a whole. Alone in quotes it is a key of the wire, which stays.
fn found<'a>(text: &'a str, words: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().flat_map(move |(number, line)| {
        let line = line.to_lowercase();
        let stands = move |word: &str| {
            line.match_indices(word).any(|(at, _)| {
                let is_part = |character: char| character.is_alphanumeric();
                let (before, behind) = (&line[..at], &line[at + word.len()..]);
                let is_key =
                    ['"', '`'].iter().any(|&quote| before.ends_with(quote) && behind.starts_with(quote));
                !is_key && !before.ends_with(is_part) && !behind.starts_with(is_part)
            })
        };
        words.iter().filter(move |word| stands(word)).map(move |word| (number + 1, *word))
    })
}

#[test]
fn words_are_found_as_a_whole_and_in_any_case() {
    let words = ["told", "so many"];
    let text = "Told once,\nre-told\nand untold is told_apart\nso many\nso manyfold\nkey \"told\" or `told`";
    let found: Vec<_> = found(text, &words).collect();
    assert_eq!(found, [(1, "told"), (2, "told"), (3, "told"), (4, "so many")]);
}

#[test]
fn the_glossary_is_kept() {
    let words = ruled_out();
    assert!(words.len() > 5 && words.contains(&"told"), "{words:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--", "*.rs", "*.md", "*.toml", "*.py"])
        .current_dir(&root)
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Configurations of an earlier version stay as they were written.
    let excepted = |path: &str| {
        FILES.iter().any(|(file, _)| *file == path) || path.starts_with("tests/interop/fixtures/old_configs/")
    };
    let mut faults = Vec::new();
    let mut read = 0;
    for path in listed.split('\0').filter(|path| !path.is_empty() && !excepted(path)) {
        // A file that is removed and not committed yet is still listed.
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        read += 1;
        faults.extend(found(&text, &words).map(|(line, word)| format!("{path}:{line}: {word:?}")));
    }
    assert!(read > 50, "{read} files");
    assert_eq!(faults, [] as [String; 0], "docs/glossary.md says what to write instead");
}
