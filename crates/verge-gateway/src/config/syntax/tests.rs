use std::fmt::Write as _;

use super::*;

fn correct_text(text: &str) -> Corrected {
    correct(text.to_owned(), &Origins::new("g.toml"))
}

#[test]
fn what_is_toml_is_left_as_it_is() {
    let good = include_str!("../../../../../configs/gateway.toml");
    for text in ["", "a = 1", good] {
        let corrected = correct_text(text);
        assert_eq!((corrected.text.as_str(), corrected.faults), (text, vec![]));
    }
}

#[test]
fn any_text_is_made_toml_with_as_many_lines() {
    let pieces = [
        "[gateway]",
        "[judge.a",
        "[[x]]",
        "id = \"g",
        "x = [1, 2",
        "y = { a = 1",
        "]",
        "}",
        "a: b",
        "- c",
        "= 1",
        "k =",
        "\"\"\"",
        "'''",
        "a.b = 1",
        "a = 1",
        "[a.b]",
        "\\",
        "\u{a0}",
        "“a” = ”b”",
        "a = \"\\q\"",
        "# c",
        "\r",
        "x = 1_",
        ",",
        "a = 0x",
        "[]",
        "é = 1",
        "a = 1979-13-01",
        "key value # \" '",
        "[judge.a]",
        "inputs =",
        "\u{0}",
    ];
    // Every triple of lines, in a fixed order: 36,000 texts would take long, so each second and third follow by a step.
    for (first, one) in pieces.iter().enumerate() {
        for (second, other) in pieces.iter().enumerate() {
            let third = pieces[(first * 7 + second * 3 + 1) % pieces.len()];
            let text = format!("[local]\n{one}\n{other}\n{third}\n");
            let corrected = correct_text(&text);
            assert!(DeTable::parse(&corrected.text).is_ok(), "{text:?} became {:?}", corrected.text);
            let is_toml = DeTable::parse(&text).is_ok();
            assert_eq!(is_toml, corrected.faults.is_empty(), "{text:?}: {:?}", corrected.faults);
        }
    }
}

#[test]
fn a_file_full_of_faults_comes_to_an_end() {
    let mut text = String::new();
    for number in 0..2 * MAX_FAULTS {
        writeln!(text, "k{number} = 7,1").unwrap();
    }
    let corrected = correct_text(&text);
    assert_eq!(corrected.faults.len(), MAX_FAULTS);
    assert!(DeTable::parse(&corrected.text).is_ok());
}

#[test]
fn comments_and_brackets_within_texts_are_text() {
    let check = |line: &str, expected: &str| assert_eq!(without_comment(line), expected);
    check(r##"a = "x # y" # z"##, r##"a = "x # y""##);
    check(r##"a = 'x # "y' # z"##, r##"a = 'x # "y'"##);
    check(r##"a = "x \" # y" # z"##, r##"a = "x \" # y""##);
    check(r##"a = "x # y"##, r##"a = "x"##);
    check("  # only", "");
}

#[test]
fn values_within_values_without_an_end_come_to_one() {
    let many = 20_000;
    let texts = [
        "[".repeat(many),
        "{a=".repeat(many),
        "{a=[".repeat(many),
        "(".repeat(many),
        format!("{}{}", "[".repeat(many), "]".repeat(many)),
    ];
    for text in texts {
        let corrected = correct_text(&format!("a = {text}\nb = 1\n"));
        assert!(DeTable::parse(&corrected.text).is_ok_and(|table| table.get_ref().contains_key("b")));
        assert!(!corrected.faults.is_empty(), "{}", &text[..8]);
    }
}

#[test]
fn letters_of_several_bytes_stand_anywhere_in_a_value() {
    let pieces = ["'", "\"", "é", "€", "[", "]", "{", "}", "=", ",", "\\", "b", " ", "“", "//", "("];
    for one in pieces {
        for other in pieces {
            for third in pieces {
                for text in [format!("{one}{other}{third}"), format!("'b'{one}{other}{third}")] {
                    let corrected = correct_text(&format!("a = {text}"));
                    assert!(DeTable::parse(&corrected.text).is_ok(), "{text} became {:?}", corrected.text);
                }
            }
        }
    }
}
