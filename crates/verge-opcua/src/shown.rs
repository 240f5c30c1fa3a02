//! What a server shows: the book of points, the objects, and how the gateway is. Locked for moments only, and by nobody on
//! the data path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opcua::types::DataValue;
use tokio::sync::Notify;
use verge_domain::board::{LastWord, RaisedBefore};
use verge_domain::id::JudgeId;
use verge_domain::image::{
    GatewayState, Heartbeat, PointBook, PointContent, PointQuality, PointsView, selector_of,
};
use verge_domain::time::Moment;

use crate::names::{GATEWAY, node_path};
use crate::tree::{Place, Tree};
use crate::values::{ObjectValues, values_of_gateway, values_of_point};

/// Points at most; the words of further ones are counted.
pub const MAX_POINTS: usize = 65_536;

/// What a server sees of the gateway. No call blocks.
pub trait OpcuaView: PointsView + Send + Sync {
    /// The clock.
    fn now(&self) -> Moment;

    /// How the gateway is. Asked once a second.
    fn state(&self) -> GatewayState;
}

/// A variable that says something else.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) data: DataValue,
    /// Its status is another.
    pub(crate) is_restated: bool,
}

/// News for those who follow variables.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) changed: Vec<Change>,
    /// Paths of points that are no more.
    pub(crate) gone: Vec<String>,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Node {
    /// An object: its name, the paths and names around it, and its variables with their types.
    Object(ObjectNode),
    /// A variable.
    Variable(VariableNode),
}

/// See [`Node::Object`].
#[derive(Debug)]
pub(crate) struct ObjectNode {
    pub(crate) name: String,
    /// It has variables.
    pub(crate) is_point: bool,
    /// `None`: it stands right below the objects of the server.
    pub(crate) above: Option<NamedNode>,
    pub(crate) below: Vec<NamedNode>,
    /// Paths of variables.
    pub(crate) variables: Vec<NamedNode>,
}

/// See [`Node::Variable`].
#[derive(Debug)]
pub(crate) struct VariableNode {
    pub(crate) name: String,
    pub(crate) owner: NamedNode,
    pub(crate) datatype: opcua::types::DataTypeId,
    pub(crate) data: DataValue,
}

/// A path, its name, and whether it has variables.
#[derive(Debug, Clone)]
pub(crate) struct NamedNode {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) is_point: bool,
}

struct ShownNow {
    book: PointBook,
    tree: Tree,
    heart: Heartbeat,
    beats: u32,
    is_beating: bool,
    state: GatewayState,
    /// What was last said of the gateway.
    said: Vec<(String, DataValue)>,
    /// Paths of points that are no more.
    gone: Vec<String>,
    left_out: u64,
}

pub(crate) struct Shown {
    view: Arc<dyn OpcuaView>,
    now: Mutex<ShownNow>,
    /// The judges at work from now on.
    reselect: Mutex<Option<HashMap<JudgeId, PointContent>>>,
    pub(crate) changed: Notify,
}

impl Shown {
    pub(crate) fn new(
        view: Arc<dyn OpcuaView>,
        stale_after: std::time::Duration,
        judges: HashMap<JudgeId, PointContent>,
        before: &[RaisedBefore],
    ) -> Self {
        let mut now = ShownNow {
            book: PointBook::new(stale_after, judges),
            tree: Tree::new(),
            heart: Heartbeat::default(),
            beats: 0,
            is_beating: false,
            state: GatewayState::default(),
            said: Vec::new(),
            gone: Vec::new(),
            left_out: 0,
        };
        let known = now.book.known_before(before);
        now.add(known);
        let book = now.book.counting_from(before);
        let now = Mutex::new(ShownNow { book, ..now });
        Self { view, now, reselect: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, ShownNow> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other judges are at work. What is said of that comes by the task that follows the board.
    pub(crate) fn take_up(&self, judges: HashMap<JudgeId, PointContent>) {
        *self.reselect.lock().unwrap_or_else(PoisonError::into_inner) = Some(judges);
        self.changed.notify_one();
    }

    /// The judges that [`Shown::take_up`] was given, once.
    pub(crate) fn taken_up(&self) -> Option<HashMap<JudgeId, PointContent>> {
        self.reselect.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn fold(&self, words: &[Arc<LastWord>]) {
        self.lock().fold(words);
    }

    pub(crate) fn begin_anew(&self, words: &[Arc<LastWord>]) {
        let mut now = self.lock();
        now.book.empty();
        now.fold(words);
    }

    pub(crate) fn select(&self, judges: HashMap<JudgeId, PointContent>, words: &[Arc<LastWord>]) {
        let mut now = self.lock();
        let before = now.paths_of_all();
        if now.book.select(judges, words).is_some() {
            now.rebuild(before);
        }
        now.book.empty();
        now.fold(words);
    }

    /// A second has passed.
    pub(crate) fn second(&self) {
        let state = self.view.state();
        let mut now = self.lock();
        now.is_beating = now.heart.second(&state.progress);
        now.beats = now.beats.wrapping_add(u32::from(now.is_beating));
        now.state = state;
        let selectors = Arc::clone(now.book.image().selectors());
        if let Some(kept) = now.book.second(&*self.view) {
            let mut stays = kept.into_iter().peekable();
            let gone = (0..selectors.len()).filter(|index| stays.next_if_eq(index).is_none());
            let gone: Vec<String> = gone.filter_map(|index| selectors.get(index).map(node_path)).collect();
            now.rebuild(gone);
        }
    }

    /// Points by their quality, in the order of [`PointQuality::ALL`]; points for which there was no room.
    pub(crate) fn qualities(&self) -> ([u64; PointQuality::ALL.len()], u64) {
        let now = self.lock();
        let mut counts = [0; PointQuality::ALL.len()];
        for index in 0..now.book.image().points().len() {
            let standing = now.book.standing(index, &*self.view);
            if let Some(count) = standing.and_then(|(quality, _)| counts.get_mut(quality as usize)) {
                *count += 1;
            }
        }
        (counts, now.left_out)
    }

    /// What says something else than it did. `is_wanted`: whether anybody follows any variable.
    pub(crate) fn changes(&self, is_wanted: bool) -> Changes {
        let mut guard = self.lock();
        let now = &mut *guard;
        let (gone, mut changes) = (std::mem::take(&mut now.gone), Vec::new());
        let selectors = Arc::clone(now.book.image().selectors());
        for index in now.book.take_due() {
            let Some(standing) = now.book.standing(index, &*self.view) else { continue };
            let before = now.book.show(index, standing);
            let (true, Some(selector)) = (is_wanted, selectors.get(index)) else { continue };
            let said = values_of_point(now.book.image(), index, selector, standing);
            let (path, is_restated) =
                (node_path(selector), before.is_some_and(|(quality, _)| quality != standing.0));
            changes.extend(said.values.iter().map(|value| Change {
                path: format!("{path}/{}", value.name),
                data: said.data(value),
                is_restated,
            }));
        }
        Changes { changed: changes, gone }
    }

    /// What says something else of the gateway than a second ago.
    pub(crate) fn changes_of_gateway(&self) -> Changes {
        let at = self.view.now().wall;
        let (mut now, mut changes) = (self.lock(), Changes::default());
        let of_gateway = now.of_gateway(at);
        let said: Vec<(String, DataValue)> = of_gateway
            .values
            .iter()
            .map(|value| (format!("{GATEWAY}/{}", value.name), of_gateway.data(value)))
            .collect();
        for (index, (path, data)) in said.iter().enumerate() {
            if now.said.get(index).is_none_or(|(_, before)| before.value != data.value) {
                changes.changed.push(Change { path: path.clone(), data: data.clone(), is_restated: false });
            }
        }
        now.said = said;
        changes
    }

    /// The node with a path.
    pub(crate) fn node(&self, path: &str) -> Option<Node> {
        let at = self.view.now().wall;
        let now = self.lock();
        let values_of = |place: Place| -> Option<ObjectValues> {
            if now.tree.is_gateway(place) {
                return Some(now.of_gateway(at));
            }
            let index = now.tree.point(place)?;
            let standing = now.book.standing(index, &*self.view)?;
            let selector = now.book.image().selectors().get(index)?;
            Some(values_of_point(now.book.image(), index, selector, standing))
        };
        let named = |place: Place| {
            let is_point = now.tree.point(place).is_some() || now.tree.is_gateway(place);
            NamedNode { path: now.tree.path(place), name: now.tree.name(place).into_owned(), is_point }
        };
        if let Some(place) = now.tree.find(path) {
            let said = values_of(place);
            let variables = said.iter().flat_map(|said| &said.values).map(|value| NamedNode {
                path: format!("{path}/{}", value.name),
                name: value.name.to_string(),
                is_point: false,
            });
            return Some(Node::Object(ObjectNode {
                name: now.tree.name(place).into_owned(),
                is_point: said.is_some(),
                above: now.tree.above(place).map(named),
                below: now.tree.below(place).map(named).collect(),
                variables: variables.collect(),
            }));
        }
        now.tree.owners(path).find_map(|(owner, name)| {
            let said = values_of(owner)?;
            let value = said.values.iter().find(|value| value.name == name)?;
            Some(Node::Variable(VariableNode {
                name: name.to_owned(),
                owner: named(owner),
                datatype: value.datatype,
                data: said.data(value),
            }))
        })
    }
}

impl ShownNow {
    fn add(&mut self, keys: Vec<verge_domain::image::PointKey>) {
        let room = MAX_POINTS.saturating_sub(self.book.image().points().len());
        self.left_out += keys.len().saturating_sub(room) as u64;
        let keys: Vec<_> = keys.into_iter().take(room).collect();
        let first = self.book.image().points().len();
        for (index, key) in keys.iter().enumerate() {
            self.tree.insert(&selector_of(key), first + index);
        }
        self.book.add(keys);
    }

    fn fold(&mut self, words: &[Arc<LastWord>]) {
        let missing = self.book.missing(words);
        if !missing.is_empty() {
            self.add(missing);
        }
        self.book.fold(words);
    }

    /// The paths of all points.
    fn paths_of_all(&self) -> Vec<String> {
        self.book.image().selectors().iter().map(node_path).collect()
    }

    /// Some of these points are no more.
    fn rebuild(&mut self, before: Vec<String>) {
        self.tree = Tree::new();
        let selectors = Arc::clone(self.book.image().selectors());
        for (index, selector) in selectors.iter().enumerate() {
            self.tree.insert(selector, index);
        }
        let is_gone = |path: &String| self.tree.find(path).and_then(|place| self.tree.point(place)).is_none();
        self.gone.extend(before.into_iter().filter(is_gone));
    }

    fn of_gateway(&self, at: verge_domain::time::UtcMillis) -> ObjectValues {
        let points = self.book.image().points().len();
        values_of_gateway((self.beats, self.is_beating), &self.state, points, at)
    }
}
