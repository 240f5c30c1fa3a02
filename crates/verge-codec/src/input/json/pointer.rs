//! JSON pointers (RFC 6901), compiled once into one tree, so that a message is read once whatever the number
//! of pointers. Codecs `json` and `json_image` find everything by this tree.

use crate::settings::CodecSettingsError;

/// Steps of a pointer at most: far beyond what devices nest, far below what would strain the stack.
const MAX_STEPS: usize = 64;

/// One step of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PointerStep {
    /// This member, or the element with this number.
    Name(Box<str>),
    /// Every member or element.
    Any,
}

/// Takes a pointer apart.
pub(super) fn parse(pointer: &str) -> Result<Vec<PointerStep>, CodecSettingsError> {
    let malformed = || CodecSettingsError::Pointer { pointer: pointer.to_owned() };
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let steps = pointer.strip_prefix('/').ok_or_else(malformed)?;
    let actual = steps.split('/').count();
    if actual > MAX_STEPS {
        return Err(CodecSettingsError::PointerTooDeep {
            pointer: pointer.to_owned(),
            actual,
            limit: MAX_STEPS,
        });
    }
    steps
        .split('/')
        .map(|step| if step == "*" { Some(PointerStep::Any) } else { unescape(step).map(PointerStep::Name) })
        .collect::<Option<_>>()
        .ok_or_else(malformed)
}

/// Like [`parse`], for a pointer that must point to one place.
pub(crate) fn parse_single(pointer: &str) -> Result<Vec<PointerStep>, CodecSettingsError> {
    let steps = parse(pointer)?;
    if steps.contains(&PointerStep::Any) {
        return Err(CodecSettingsError::WildcardPointer { pointer: pointer.to_owned() });
    }
    Ok(steps)
}

/// `~1` stands for `/` and `~0` for `~`; no other `~` may stand.
fn unescape(step: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(letter) = rest.next() {
        text.push(match letter {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(text.into_boxed_str())
}

/// What a pointer was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The mapping with this number.
    Reading(usize),
    /// What stands beside values, with this number.
    Beside(usize),
}

/// A place in messages, and the places below it that some pointer leads to.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Pointers that end here.
    pub(super) targets: Vec<Target>,
    children: Vec<Child>,
    any: Option<Box<Node>>,
}

#[derive(Debug)]
struct Child {
    name: Box<str>,
    /// The number, where the name is one as RFC 6901 writes it.
    index: Option<usize>,
    node: Node,
}

impl Node {
    /// Adds a pointer.
    pub(super) fn insert(&mut self, steps: &[PointerStep], target: Target) {
        let Some((step, rest)) = steps.split_first() else {
            self.targets.push(target);
            return;
        };
        let next = match step {
            PointerStep::Any => self.any.get_or_insert_default(),
            PointerStep::Name(name) => self.child(name),
        };
        next.insert(rest, target);
    }

    fn child(&mut self, name: &str) -> &mut Node {
        let at = match self.children.binary_search_by(|child| (*child.name).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                let child = Child { name: Box::from(name), index: index(name), node: Node::default() };
                self.children.insert(at, child);
                at
            }
        };
        &mut self.children.get_mut(at).expect("found or inserted there above").node
    }

    /// Whether no pointer leads further.
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty() && self.any.is_none()
    }

    /// Where the member of this name leads: by name, and by `*`.
    pub(super) fn member(&self, name: &str) -> (Option<&Node>, Option<&Node>) {
        let named = self.children.binary_search_by(|child| (*child.name).cmp(name)).ok();
        (named.and_then(|at| self.children.get(at)).map(|child| &child.node), self.any.as_deref())
    }

    /// Where the element of this number leads: by number, and by `*`.
    pub(super) fn element(&self, number: usize) -> (Option<&Node>, Option<&Node>) {
        let numbered = self.children.iter().find(|child| child.index == Some(number));
        (numbered.map(|child| &child.node), self.any.as_deref())
    }
}

/// The number of an array element: digits without leading zeros (RFC 6901 section 4).
fn index(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with('0');
    (canonical && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_taken_apart() {
        let name = |text: &str| PointerStep::Name(Box::from(text));
        let check = |pointer: &str, expected: Option<Vec<PointerStep>>| {
            assert_eq!(parse(pointer).ok(), expected, "{pointer:?}");
        };
        check("", Some(vec![]));
        check("/", Some(vec![name("")]));
        check("/a/b", Some(vec![name("a"), name("b")]));
        check("/a~1b/m~0n", Some(vec![name("a/b"), name("m~n")]));
        check("/*/x", Some(vec![PointerStep::Any, name("x")]));
        check("/a*", Some(vec![name("a*")]));
        check("a", None);
        check("/a~2", None);
        check("/a~", None);
        check(&"/x".repeat(64), Some(vec![name("x"); 64]));
        check(&"/x".repeat(65), None);
        assert!(parse_single("/a/*").is_err());
    }

    #[test]
    fn elements_are_numbered_as_the_standard_writes_numbers() {
        let check = |name: &str, expected: Option<usize>| assert_eq!(index(name), expected, "{name:?}");
        check("0", Some(0));
        check("17", Some(17));
        check("01", None);
        check("-", None);
        check("", None);
        check("1x", None);
        check("99999999999999999999999", None);
    }
}
