//! Classes of a user's own over the labels of a model: `{ car = ["car"], heavy = ["truck", "bus"], other = ["*"] }`.

use crate::id::Label;

/// The member that stands for every label that no class names.
pub const EVERY_OTHER: &str = "*";
/// Classes of one scheme at most.
pub const MAX_CLASSES: usize = 64;
/// Labels that are proposed for an unknown one at most.
const MAX_PROPOSED: usize = 3;
/// Labels that are at least this similar are proposed: 1 is the same word.
const SIMILAR: f64 = 0.55;

/// What lists of labels call the same object.
const SYNONYMS: [&[&str]; 11] = [
    &["motorcycle", "motorbike"],
    &["airplane", "aeroplane", "plane", "aircraft"],
    &["couch", "sofa"],
    &["tv", "tvmonitor", "monitor", "television"],
    &["person", "pedestrian", "people", "human"],
    &["bicycle", "bike", "cycle"],
    &["truck", "lorry"],
    &["car", "auto", "automobile", "passenger car"],
    &["cell phone", "mobile phone", "phone"],
    &["potted plant", "pottedplant", "plant"],
    &["traffic light", "traffic signal"],
];

/// Why classes are no scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// No class, or too many.
    #[error("{found} classes, where 1 to {MAX_CLASSES} are accepted")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A class that verdicts cannot name.
    #[error("class {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: crate::id::NameError,
    },
    /// A class without labels.
    #[error("class {name:?} lists no label")]
    Empty {
        /// The class.
        name: String,
    },
    /// A label in two classes.
    #[error("label {label:?} stands in class {first:?} and in class {second:?}")]
    Twice {
        /// The label.
        label: String,
        /// One class.
        first: String,
        /// The other.
        second: String,
    },
}

/// A label that a model does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLabel {
    /// The label.
    pub label: String,
    /// Labels of the model that may be meant, nearest first.
    pub nearest: Vec<String>,
}

/// Classes of a user's own, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassScheme {
    names: Vec<Label>,
    members: Vec<Vec<String>>,
    /// The class of every label that no class lists.
    rest: Option<usize>,
}

impl ClassScheme {
    /// Checks classes and their labels.
    ///
    /// # Errors
    /// See [`SchemeError`].
    pub fn new(classes: Vec<(String, Vec<String>)>) -> Result<Self, SchemeError> {
        if classes.is_empty() || classes.len() > MAX_CLASSES {
            return Err(SchemeError::Count { found: classes.len() });
        }
        let (mut names, mut members): (Vec<Label>, Vec<Vec<String>>) = Default::default();
        for (name, labels) in classes {
            if labels.is_empty() {
                return Err(SchemeError::Empty { name });
            }
            for (at, label) in labels.iter().enumerate() {
                let before = members.iter().zip(&names).find(|(known, _)| known.contains(label));
                let first = before.map(|(_, first)| first.as_str().to_owned());
                let first = first.or_else(|| labels[..at].contains(label).then(|| name.clone()));
                if let Some(first) = first {
                    return Err(SchemeError::Twice { label: label.clone(), first, second: name });
                }
            }
            names.push(Label::new(&name).map_err(|source| SchemeError::Name { name, source })?);
            members.push(labels);
        }
        let rest = members.iter().position(|labels| labels.iter().any(|label| label == EVERY_OTHER));
        Ok(Self { names, members, rest })
    }

    /// Names of the classes.
    #[must_use]
    pub fn names(&self) -> &[Label] {
        &self.names
    }

    /// Position of the class that a label belongs to; `None` where no class lists it.
    #[must_use]
    pub fn class_of(&self, label: &str) -> Option<usize> {
        let listed = self.members.iter().position(|labels| labels.iter().any(|known| known == label));
        listed.or(self.rest)
    }

    /// Position of the class of every label that no class lists, if there is one.
    #[must_use]
    pub const fn rest(&self) -> Option<usize> {
        self.rest
    }

    /// Labels of the scheme that are none of a model's.
    #[must_use]
    pub fn unknown(&self, known: &[Label]) -> Vec<UnknownLabel> {
        let listed = self.members.iter().flatten().filter(|label| *label != EVERY_OTHER);
        listed.filter_map(|label| unknown_label(label, known)).collect()
    }
}

/// A label and those that may be meant, where it is none of a model's.
#[must_use]
pub fn unknown_label(label: &str, known: &[Label]) -> Option<UnknownLabel> {
    if known.iter().any(|one| one.as_str() == label) {
        return None;
    }
    let word = plain(label);
    let alike = |one: &str| -> f64 {
        let other = plain(one);
        let is_synonym = SYNONYMS.iter().any(|group| {
            let holds = |word: &str| group.iter().any(|one| plain(one) == word);
            holds(&word) && holds(&other)
        });
        if is_synonym { 1.0 } else { similarity(&word, &other) }
    };
    let mut near: Vec<(f64, &str)> = known.iter().map(|one| (alike(one.as_str()), one.as_str())).collect();
    near.retain(|(similarity, _)| *similarity >= SIMILAR);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest = near.into_iter().take(MAX_PROPOSED).map(|(_, one)| one.to_owned()).collect();
    Some(UnknownLabel { label: label.to_owned(), nearest })
}

/// Without what lists of labels write differently.
fn plain(word: &str) -> String {
    word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// 1 less the number of letters to change, as a share of the longer word (Levenshtein).
fn similarity(a: &str, b: &str) -> f64 {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut length = 0;
    for (at, letter) in a.chars().enumerate() {
        length = at + 1;
        let mut diagonal = std::mem::replace(&mut row[0], length);
        for (column, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    let longer = length.max(b.len()).max(1);
    #[expect(clippy::cast_precision_loss, reason = "letters of a name of 128 bytes")]
    let share = row[b.len()] as f64 / longer as f64;
    1.0 - share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(classes: &[(&str, &[&str])]) -> Result<ClassScheme, SchemeError> {
        let owned = |(name, labels): &(&str, &[&str])| {
            ((*name).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
        };
        ClassScheme::new(classes.iter().map(owned).collect())
    }

    fn labels(names: &[&str]) -> Vec<Label> {
        names.iter().map(|name| Label::new(name).unwrap()).collect()
    }

    #[test]
    fn a_label_belongs_to_the_class_that_lists_it_else_to_the_rest() {
        let of = scheme(&[("other", &["*"]), ("heavy", &["truck", "bus"]), ("car", &["car"])]).unwrap();
        let class = |label: &str| of.class_of(label).map(|class| of.names()[class].as_str());
        assert_eq!(["bus", "car", "kite"].map(class), [Some("heavy"), Some("car"), Some("other")]);
        let without = scheme(&[("car", &["car"])]).unwrap();
        assert_eq!(without.class_of("kite"), None);
    }

    #[test]
    fn what_is_no_scheme_is_refused_with_its_class() {
        let check = |classes: &[(&str, &[&str])], expected: &str| {
            let error = scheme(classes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "0 classes");
        check(&[("car", &[])], "class \"car\" lists no label");
        check(&[("", &["car"])], "class \"\": a name must not be empty");
        check(&[("a", &["*"]), ("b", &["*"])], "label \"*\" stands in class \"a\" and in class \"b\"");
        check(&[("a", &["car", "car"])], "in class \"a\" and in class \"a\"");
    }

    #[test]
    fn unknown_labels_come_with_the_nearest() {
        let coco =
            labels(&["person", "bicycle", "car", "motorbike", "aeroplane", "bus", "truck", "traffic light"]);
        let check = |label: &str, expected: Option<&[&str]>| {
            let found = unknown_label(label, &coco).map(|unknown| unknown.nearest);
            assert_eq!(
                found.as_deref().map(|near| near.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(),
                expected
            );
        };
        check("motorcycle", Some(&["motorbike"]));
        check("Car", Some(&["car"]));
        check("buses", Some(&["bus"]));
        check("trafic_light", Some(&["traffic light"]));
        check("giraffe", Some(&[]));
        check("bus", None);
        let of = scheme(&[("two-wheeler", &["motorcycle", "bicycle"]), ("other", &["*"])]).unwrap();
        assert_eq!(of.unknown(&coco).len(), 1);
    }
}
