//! The objects: devices, their judges, signals and strands. Their variables are not kept, but read out of the image; nor are
//! their paths, which are put together out of names when a client asks. Names are kept once: most points share theirs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use verge_domain::image::PointSelector;

use crate::names::{GATEWAY, ROOT, name_of, parts_of};

/// No object, and no point.
const NONE: u32 = u32::MAX;

/// The place of an object in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// The root.
const TOP: Place = Place(0);

#[derive(Debug)]
struct Object {
    /// The part of its path, by its place among the names.
    part: u32,
    above: u32,
    /// The first and the last of those below it, and the next one below the same: in the order in which they came.
    first: u32,
    last: u32,
    next: u32,
    /// The point whose values are its variables.
    point: u32,
}

/// The objects.
#[derive(Debug)]
pub(crate) struct Tree {
    objects: Vec<Object>,
    /// By the object above and the part of the path.
    places: HashMap<(u32, u32), Place>,
    parts: Vec<Arc<str>>,
    by_part: HashMap<Arc<str>, u32>,
}

impl Tree {
    /// The root, and the object of the gateway.
    pub(crate) fn new() -> Self {
        let mut tree =
            Self { objects: Vec::new(), places: HashMap::new(), parts: Vec::new(), by_part: HashMap::new() };
        tree.push(NONE, ROOT);
        tree.push(TOP.0, GATEWAY);
        tree
    }

    fn object(&self, place: Place) -> &Object {
        &self.objects[place.0 as usize]
    }

    fn part(&mut self, text: &str) -> u32 {
        if let Some(known) = self.by_part.get(text) {
            return *known;
        }
        let (text, number): (Arc<str>, _) = (text.into(), count(self.parts.len()));
        self.parts.push(Arc::clone(&text));
        self.by_part.insert(text, number);
        number
    }

    fn push(&mut self, above: u32, part: &str) -> Place {
        let part = self.part(part);
        if let Some(place) = self.places.get(&(above, part)) {
            return *place;
        }
        let place = Place(count(self.objects.len()));
        self.objects.push(Object { part, above, first: NONE, last: NONE, next: NONE, point: NONE });
        self.places.insert((above, part), place);
        if let Some(parent) = self.objects.get_mut(above as usize) {
            let before = std::mem::replace(&mut parent.last, place.0);
            match self.objects.get_mut(before as usize) {
                Some(before) => before.next = place.0,
                None => self.objects[above as usize].first = place.0,
            }
        }
        place
    }

    /// Adds the object of a point, and those above it.
    pub(crate) fn insert(&mut self, point: &PointSelector, index: usize) {
        let place = parts_of(point).fold(TOP, |above, part| self.push(above.0, &part));
        self.objects[place.0 as usize].point = count(index);
    }

    /// The object with a path.
    pub(crate) fn find(&self, path: &str) -> Option<Place> {
        if path == ROOT {
            return Some(TOP);
        }
        path.split('/').try_fold(TOP, |above, part| {
            let part = *self.by_part.get(part)?;
            self.places.get(&(above.0, part)).copied()
        })
    }

    /// The objects that a variable with this path may belong to, and what it would be called there.
    pub(crate) fn owners<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (Place, &'a str)> {
        path.rmatch_indices('/').filter_map(move |(at, _)| {
            let (owner, name) = (path.get(..at)?, path.get(at + 1..)?);
            Some((self.find(owner)?, name))
        })
    }

    /// The path of an object.
    pub(crate) fn path(&self, place: Place) -> String {
        let mut parts = vec![&*self.parts[self.object(place).part as usize]];
        let mut above = self.above(place);
        while let Some(place) = above.filter(|place| *place != TOP) {
            parts.push(&self.parts[self.object(place).part as usize]);
            above = self.above(place);
        }
        parts.reverse();
        parts.join("/")
    }

    /// Its name, as verdicts have it.
    pub(crate) fn name(&self, place: Place) -> Cow<'_, str> {
        name_of(&self.parts[self.object(place).part as usize])
    }

    /// Whether it is that of the gateway.
    pub(crate) fn is_gateway(&self, place: Place) -> bool {
        // It was the first below the root.
        place.0 == self.object(TOP).first
    }

    /// The one above it.
    pub(crate) fn above(&self, place: Place) -> Option<Place> {
        some(self.object(place).above).map(Place)
    }

    /// Those below it.
    pub(crate) fn below(&self, place: Place) -> impl Iterator<Item = Place> {
        let after = |place: &Place| some(self.object(*place).next).map(Place);
        std::iter::successors(some(self.object(place).first).map(Place), after)
    }

    /// The point whose values are its variables.
    pub(crate) fn point(&self, place: Place) -> Option<usize> {
        some(self.object(place).point).map(|point| point as usize)
    }
}

fn some(number: u32) -> Option<u32> {
    (number != NONE).then_some(number)
}

/// There are some four objects to a point, and no more points than [`MAX_POINTS`](crate::shown::MAX_POINTS).
fn count(number: usize) -> u32 {
    u32::try_from(number).ok().filter(|number| *number != NONE).expect("fewer objects than numbers")
}

#[cfg(test)]
mod tests {
    use verge_domain::finding::Member;
    use verge_domain::id::{DeviceId, JudgeId, SignalId};
    use verge_domain::image::PointContent;

    use super::*;
    use crate::names::node_path;

    fn point(device: &str, signal: Option<&str>) -> PointSelector {
        PointSelector {
            judge: JudgeId::new("vibration-high").unwrap(),
            device: DeviceId::new(device).unwrap(),
            signal: signal.map(|signal| SignalId::new(signal).unwrap()),
            strand: Some(Member::High),
            content: PointContent::Events,
        }
    }

    fn paths_below(tree: &Tree, path: &str) -> Vec<String> {
        tree.below(tree.find(path).unwrap()).map(|place| tree.path(place)).collect()
    }

    #[test]
    fn an_object_is_found_by_its_path_and_says_it() {
        let mut tree = Tree::new();
        let points = [point("a/b", Some("s")), point("a/b", None), point("gateway", Some("gateway"))];
        for (index, point) in points.iter().enumerate() {
            tree.insert(point, index);
        }
        for (index, point) in points.iter().enumerate() {
            let place = tree.find(&node_path(point)).unwrap();
            assert_eq!((tree.point(place), tree.path(place)), (Some(index), node_path(point)));
        }
        assert_eq!(paths_below(&tree, ROOT), ["gateway", "a%2Fb", "%67ateway"]);
        assert_eq!(
            paths_below(&tree, "a%2Fb/vibration-high"),
            ["a%2Fb/vibration-high/s", "a%2Fb/vibration-high/high"]
        );
        let device = tree.find("%67ateway").unwrap();
        assert_eq!((&*tree.name(device), tree.is_gateway(device)), (GATEWAY, false));
        assert!(tree.is_gateway(tree.find(GATEWAY).unwrap()) && !tree.is_gateway(TOP));
        assert_eq!((tree.above(TOP), tree.above(device)), (None, Some(TOP)));
        for none in ["", "/", "a", "a%2Fb/", "Verge/a%2Fb", "vibration-high", "a%2Fb/vibration-high/s/high/x"]
        {
            assert_eq!(tree.find(none), None, "{none:?}");
        }
        let owners: Vec<_> = tree
            .owners("a%2Fb/vibration-high/count/car")
            .map(|(place, name)| (tree.path(place), name))
            .collect();
        assert_eq!(
            owners,
            [
                ("a%2Fb/vibration-high".to_owned(), "count/car"),
                ("a%2Fb".to_owned(), "vibration-high/count/car")
            ]
        );
    }

    #[test]
    fn ten_thousand_points_take_little() {
        let mut tree = Tree::new();
        for number in 0..10_000 {
            let signal = format!("signal-{}", number % 10);
            tree.insert(&point(&format!("pump-{}", number / 10), Some(&signal)), number);
        }
        let of_map = |capacity: usize, entry: usize| capacity * 8 / 7 * (entry + 1);
        let bytes = tree.objects.capacity() * size_of::<Object>()
            + of_map(tree.places.capacity(), size_of::<((u32, u32), Place)>())
            + tree.parts.iter().map(|part| part.len() + 32).sum::<usize>()
            + of_map(tree.by_part.capacity(), size_of::<(Arc<str>, u32)>());
        assert!(bytes < 1_500_000, "{bytes} bytes");
    }
}
