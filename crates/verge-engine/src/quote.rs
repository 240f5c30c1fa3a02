//! Words of the library, as a detail where nothing better is known: without the places in its source.

/// Longest quotation, in characters.
const LONGEST: usize = 300;

/// What the library says, in one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    // A place is "/onnxruntime_src/FILE:LINE SIGNATURE(TYPES) const [with T = TYPE] "; what matters stands around it.
    while let Some((before, place)) = rest.split_once("/onnxruntime_src/") {
        kept += before;
        rest = behind_signature(place).unwrap_or("");
    }
    kept += rest;
    let one_line = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{}…\"", &one_line[..end]),
        None => format!("\"{one_line}\""),
    }
}

fn behind_signature(place: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let open = place.find('(')?;
    let end = place[open..].char_indices().find_map(|(at, character)| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(open + at + 1)
    })?;
    let rest = place[end..].trim_start();
    let rest = rest.strip_prefix("const").unwrap_or(rest).trim_start();
    Some(match rest.strip_prefix("[with ") {
        Some(types) => types.split_once(']').map_or("", |(_, behind)| behind),
        None => rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_librarys_source_are_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), format!("\"{expected}\""));
        check("No Op registered\nfor it", "No Op registered for it");
        check(
            "running Mul node. Status Message: /onnxruntime_src/include/a.h:45 const T* onnxruntime::K::Input(int) const \
             [with T = onnxruntime::Tensor] Missing Input: iou",
            "running Mul node. Status Message: Missing Input: iou",
        );
        check(
            "/onnxruntime_src/core/model.cc:256 a::Model::Model(b::Proto&&, const c<d (e)>&) Unsupported (60)",
            "Unsupported (60)",
        );
        check("/onnxruntime_src/core/model.cc:256 cut", "");
        check(&"x".repeat(400), &format!("{}…", "x".repeat(300)));
    }
}
