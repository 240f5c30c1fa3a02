//! The objects: devices, their judges, signals and strands. Their variables are not kept, but read out of the image.

use std::collections::HashMap;
use std::sync::Arc;

use verge_domain::image::PointSelector;

use crate::names::{GATEWAY, ROOT, objects_of};

/// An object.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its name, as verdicts have it.
    pub(crate) name: String,
    /// The path of the one above it.
    pub(crate) above: Option<Arc<str>>,
    /// The paths of those below it.
    pub(crate) below: Vec<Arc<str>>,
    /// The point whose values are its variables.
    pub(crate) point: Option<usize>,
}

/// The objects, by their paths.
#[derive(Debug)]
pub(crate) struct Tree {
    objects: HashMap<Arc<str>, Object>,
}

impl Tree {
    /// The root, and the object of the gateway.
    pub(crate) fn new() -> Self {
        let mut tree = Self { objects: HashMap::new() };
        tree.add(ROOT, ROOT, None);
        tree.add(GATEWAY, GATEWAY, Some(ROOT));
        tree
    }

    fn add(&mut self, path: &str, name: &str, above: Option<&str>) {
        if self.objects.contains_key(path) {
            return;
        }
        let path: Arc<str> = path.into();
        let above = above.and_then(|above| {
            let (key, _) = self.objects.get_key_value(above)?;
            Some(Arc::clone(key))
        });
        if let Some(parent) = above.as_ref().and_then(|above| self.objects.get_mut(above)) {
            if parent.below.is_empty() {
                // Most have one below them.
                parent.below.reserve_exact(1);
            }
            parent.below.push(Arc::clone(&path));
        }
        let object = Object { name: name.to_owned(), above, below: Vec::new(), point: None };
        self.objects.insert(path, object);
    }

    /// Adds the object of a point, and those above it.
    pub(crate) fn insert(&mut self, point: &PointSelector, index: usize) {
        let mut above = ROOT.to_owned();
        for (path, name) in objects_of(point) {
            self.add(&path, &name, Some(&above));
            above = path;
        }
        if let Some(object) = self.objects.get_mut(above.as_str()) {
            object.point = Some(index);
        }
    }

    /// The object with a path.
    pub(crate) fn object(&self, path: &str) -> Option<(&Arc<str>, &Object)> {
        self.objects.get_key_value(path)
    }

    /// The objects that a variable with this path may belong to, and what it would be called there.
    pub(crate) fn owners<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Object, &'a str)> {
        path.rmatch_indices('/').filter_map(move |(at, _)| {
            let (owner, name) = (path.get(..at)?, path.get(at + 1..)?);
            Some((owner, self.objects.get(owner)?, name))
        })
    }
}
