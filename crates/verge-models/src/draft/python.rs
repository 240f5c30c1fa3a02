//! Values that exporters write as Python text (`{0: 'person', 1: 'car'}`), read within bounds and never evaluated.

/// Longest text that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Values that one text holds at most.
const MAX_VALUES: usize = 100_000;
/// How deep lists stand in lists at most.
const MAX_DEPTH: usize = 8;

/// A value of Python's literals, as far as exporters write them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PythonValue {
    Text(String),
    Number(f64),
    /// `True`, `False` and `None`, which is false.
    Truth(bool),
    /// A list or a tuple.
    List(Vec<Self>),
    Pairs(Vec<(Self, Self)>),
}

impl PythonValue {
    /// Reads a text; `None` where it is anything but one literal.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text.get(..MAX_BYTES.min(text.len()))?, values: 0 };
        let value = reader.value(0)?;
        (text.len() <= MAX_BYTES && reader.rest.trim().is_empty()).then_some(value)
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<u32> {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "its range is looked at first"
            )]
            Self::Number(number) if number.fract() == 0.0 && (0.0..=4_294_967_295.0).contains(number) => {
                Some(*number as u32)
            }
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Names by their numbers: pairs of 0 to n, in any order, or a list.
    pub(super) fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::List(names) => names.iter().map(|name| name.text().map(str::to_owned)).collect(),
            Self::Pairs(pairs) => {
                let mut names = vec![None; pairs.len()];
                for (number, name) in pairs {
                    let at = usize::try_from(number.whole()?).ok()?;
                    *names.get_mut(at)? = Some(name.text()?.to_owned());
                }
                names.into_iter().collect()
            }
            _ => None,
        }
    }

    /// What stands under a key.
    pub(super) fn of(&self, key: &str) -> Option<&Self> {
        let Self::Pairs(pairs) = self else { return None };
        pairs.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
    }
}

struct Reader<'a> {
    rest: &'a str,
    values: usize,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<PythonValue> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return None;
        }
        for (open, close) in [("[", "]"), ("(", ")")] {
            if self.take(open) {
                return self.items(close, |reader| reader.value(depth + 1)).map(PythonValue::List);
            }
        }
        if self.take("{") {
            let pair = |reader: &mut Self| {
                let key = reader.value(depth + 1)?;
                let value = if reader.take(":") { reader.value(depth + 1)? } else { return None };
                Some((key, value))
            };
            return self.items("}", pair).map(PythonValue::Pairs);
        }
        for (word, truth) in [("True", true), ("False", false), ("None", false)] {
            if self.take(word) {
                return Some(PythonValue::Truth(truth));
            }
        }
        match self.rest.chars().next()? {
            quote @ ('\'' | '"') => self.text(quote).map(PythonValue::Text),
            _ => self.number().map(PythonValue::Number),
        }
    }

    fn items<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            if self.take(close) {
                return Some(items);
            }
            items.push(item(self)?);
            if !self.take(",") {
                return self.take(close).then_some(items);
            }
        }
    }

    fn text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                letter if letter == quote => {
                    self.rest = &self.rest[at + letter.len_utf8()..];
                    return Some(text);
                }
                '\\' => match letters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    kind @ ('x' | 'u') => {
                        let digits = if kind == 'x' { 2 } else { 4 };
                        let code: String = letters.by_ref().take(digits).map(|(_, digit)| digit).collect();
                        text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                    }
                    other => text.push(other),
                },
                letter => text.push(letter),
            }
        }
        None
    }

    fn number(&mut self) -> Option<f64> {
        let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+' | 'e' | 'E');
        let end = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse::<f64>().ok().filter(|number| number.is_finite())?;
        self.rest = &self.rest[end..];
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read() {
        let names = |text: &str| PythonValue::read(text).and_then(|value| value.names());
        let owned = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names("{0: 'person', 1: \"fire engine\"}"), owned(&["person", "fire engine"]));
        assert_eq!(names("{1: 'b', 0: 'it\\'s \\xfc'}"), owned(&["it's ü", "b"]));
        assert_eq!(names("['a', 'b',]"), owned(&["a", "b"]));
        let args = PythonValue::read("{'nms': True, 'imgsz': [640, 480], 'half': None, 'x': {'y': -1.5e3}}")
            .unwrap();
        assert_eq!(args.of("nms"), Some(&PythonValue::Truth(true)));
        let PythonValue::List(sizes) = args.of("imgsz").unwrap() else { panic!("a list") };
        assert_eq!(sizes.iter().map(PythonValue::whole).collect::<Vec<_>>(), [Some(640), Some(480)]);
        assert_eq!(args.of("x").and_then(|x| x.of("y")), Some(&PythonValue::Number(-1500.0)));
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in [
            "",
            "{",
            "[1, 2",
            "'open",
            "{0 'a'}",
            "__import__('os').system('true')",
            "1 + 1",
            "[1] [2]",
            "1e999",
            "'\\u12'",
            "{1: 'b'}",
            "{0: 'a', 0: 'b'}",
            "{0: 1}",
        ] {
            let value = PythonValue::read(text);
            assert!(value.as_ref().is_none_or(|value| value.names().is_none()), "{text}: {value:?}");
        }
        assert_eq!(PythonValue::read(&"[".repeat(100_000)), None);
        assert_eq!(PythonValue::read(&format!("[{}]", "1,".repeat(200_000))), None);
        assert_eq!(PythonValue::read(&" ".repeat(2 << 20)), None);
        assert!(PythonValue::read("[[[[1]]]]").is_some());
    }
}
