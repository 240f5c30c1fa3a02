//! The nodes: no copy of what is shown, but read out of it when a client asks.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use opcua::nodes::{DefaultTypeTree, TypeTree};
use opcua::server::address_space::AccessLevel;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::{
    AddReferenceResult, BrowseNode, BrowsePathItem, ExternalReferenceRequest, MonitoredItemRef, NodeManager,
    NodeMetadata, ParsedReadValueId, ReadNode, RequestContext, ServerContext, WriteNode,
    impl_translate_browse_paths_using_browse,
};
use opcua::server::{CreateMonitoredItem, MonitoredItemHandle};
use opcua::types::{
    AttributeId, BrowseDirection, DataValue, ExpandedNodeId, IdType, Identifier, LocalizedText, NodeClass,
    NodeId, NumericRange, ObjectId, ObjectTypeId, QualifiedName, ReferenceDescription, ReferenceTypeId,
    StatusCode, TimestampsToReturn, VariableTypeId, Variant,
};

use crate::names::ROOT;
use crate::shown::{NamedNode, Node, ObjectNode, Shown, VariableNode};

/// The namespace of the nodes. Another than that of the application: two with one URI would be taken for each other.
pub const NAMESPACE: &str = "urn:verge:verdicts";
/// Variables that are followed at most, by all clients together.
pub const MAX_ITEMS: usize = 10_000;
/// Values of one variable that wait for its client at most.
const MAX_QUEUE: usize = 64;
/// The library keeps a value back, and gives it the source time of another, where a client asks for a sampling interval:
/// this one is as good as zero, which says that a value is reported when it changes.
const NO_SAMPLING_MS: f64 = 1e-4;

/// A variable that a client follows.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) path: String,
    /// It has no filter: the library then compares values alone, and would not report another status.
    pub(crate) is_plain: bool,
    /// It is sampled with its subscription: the library would give its values the source times of those before them.
    pub(crate) without_source: bool,
}

/// The variables that clients follow.
#[derive(Debug, Default)]
pub(crate) struct Items(Mutex<HashMap<MonitoredItemHandle, Item>>);

impl Items {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<MonitoredItemHandle, Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct VerdictNodes {
    pub(crate) shown: Arc<Shown>,
    pub(crate) items: Arc<Items>,
    pub(crate) namespace: u16,
    /// Operations that were answered with an error.
    pub(crate) errors: Arc<AtomicU64>,
}

/// What did not fit into an answer to Browse.
struct Rest(VecDeque<ReferenceDescription>);

impl VerdictNodes {
    fn path<'a>(&self, id: &'a NodeId) -> Option<&'a str> {
        match &id.identifier {
            Identifier::String(path) if id.namespace == self.namespace => Some(path.as_ref()),
            _ => None,
        }
    }

    fn id(&self, path: &str) -> NodeId {
        NodeId::new(self.namespace, path.to_owned())
    }

    fn note_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn object_metadata(&self, path: &str, name: &str, is_point: bool) -> NodeMetadata {
        let kind = if is_point { ObjectTypeId::BaseObjectType } else { ObjectTypeId::FolderType };
        NodeMetadata {
            node_id: self.id(path).into(),
            type_definition: kind.into(),
            browse_name: QualifiedName::new(self.namespace, name),
            display_name: LocalizedText::new("", name),
            node_class: NodeClass::Object,
        }
    }

    fn variable_metadata(&self, path: &str, name: &str) -> NodeMetadata {
        NodeMetadata {
            node_id: self.id(path).into(),
            type_definition: VariableTypeId::BaseDataVariableType.into(),
            browse_name: QualifiedName::new(self.namespace, name),
            display_name: LocalizedText::new("", name),
            node_class: NodeClass::Variable,
        }
    }

    fn metadata(&self, path: &str) -> Option<NodeMetadata> {
        Some(match self.shown.node(path)? {
            Node::Object(ObjectNode { name, is_point, .. }) => self.object_metadata(path, &name, is_point),
            Node::Variable(VariableNode { name, .. }) => self.variable_metadata(path, &name),
        })
    }

    /// What a node refers to, and what refers to it.
    fn references(&self, node: Node) -> Vec<ReferenceDescription> {
        let of_object = |named: &NamedNode| self.object_metadata(&named.path, &named.name, named.is_point);
        match node {
            Node::Object(object) => {
                let to_below = |below: &NamedNode| {
                    let kind = if object.is_point {
                        ReferenceTypeId::HasComponent
                    } else {
                        ReferenceTypeId::Organizes
                    };
                    of_object(below).into_ref_desc(true, kind)
                };
                let mut references: Vec<_> = object.below.iter().map(to_below).collect();
                references.extend(object.variables.iter().map(|variable| {
                    let variable = self.variable_metadata(&variable.path, &variable.name);
                    variable.into_ref_desc(true, ReferenceTypeId::HasComponent)
                }));
                let (kind, name) = if object.is_point {
                    (ObjectTypeId::BaseObjectType, "BaseObjectType")
                } else {
                    (ObjectTypeId::FolderType, "FolderType")
                };
                references.push(type_reference(kind.into(), name, NodeClass::ObjectType));
                references.push(match &object.above {
                    Some(above) => {
                        let kind = if above.is_point {
                            ReferenceTypeId::HasComponent
                        } else {
                            ReferenceTypeId::Organizes
                        };
                        of_object(above).into_ref_desc(false, kind)
                    }
                    None => ReferenceDescription {
                        reference_type_id: ReferenceTypeId::Organizes.into(),
                        is_forward: false,
                        node_id: ObjectId::ObjectsFolder.into(),
                        browse_name: QualifiedName::new(0, "Objects"),
                        display_name: LocalizedText::new("", "Objects"),
                        node_class: NodeClass::Object,
                        type_definition: ObjectTypeId::FolderType.into(),
                    },
                });
                references
            }
            Node::Variable(variable) => vec![
                type_reference(
                    VariableTypeId::BaseDataVariableType.into(),
                    "BaseDataVariableType",
                    NodeClass::VariableType,
                ),
                of_object(&variable.owner).into_ref_desc(false, ReferenceTypeId::HasComponent),
            ],
        }
    }

    fn browse_one(&self, node: &mut BrowseNode, types: &dyn TypeTree) {
        if let Some(Rest(mut rest)) = node.take_continuation_point::<Rest>().map(|rest| *rest) {
            node.set_status(StatusCode::Good);
            while node.remaining() > 0
                && let Some(reference) = rest.pop_front()
            {
                // It was filtered before.
                node.add_unchecked(reference);
            }
            keep_rest(node, rest);
            return;
        }
        let references = if *node.node_id() == ObjectId::ObjectsFolder {
            let root = self.object_metadata(ROOT, ROOT, false);
            vec![root.into_ref_desc(true, ReferenceTypeId::Organizes)]
        } else if let Some(path) = self.path(node.node_id()) {
            let Some(shown) = self.shown.node(path) else { return self.note_error() };
            node.set_status(StatusCode::Good);
            self.references(shown)
        } else {
            return;
        };
        let mut rest = VecDeque::new();
        for reference in references {
            let is_wanted = match node.browse_direction() {
                BrowseDirection::Forward => reference.is_forward,
                BrowseDirection::Inverse => !reference.is_forward,
                _ => true,
            };
            if is_wanted && let AddReferenceResult::Full(left) = node.add(types, reference) {
                rest.push_back(left);
            }
        }
        keep_rest(node, rest);
    }

    /// An attribute of a node.
    fn attribute(&self, asked: &ParsedReadValueId) -> Result<DataValue, StatusCode> {
        let path = self.path(&asked.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
        let node = self.shown.node(path).ok_or(StatusCode::BadNodeIdUnknown)?;
        let (name, class) = match &node {
            Node::Object(object) => (&object.name, NodeClass::Object),
            Node::Variable(variable) => (&variable.name, NodeClass::Variable),
        };
        let readable = AccessLevel::CURRENT_READ.bits();
        let value: Variant = match (asked.attribute_id, &node) {
            (AttributeId::NodeId, _) => asked.node_id.clone().into(),
            (AttributeId::NodeClass, _) => (class as i32).into(),
            (AttributeId::BrowseName, _) => QualifiedName::new(self.namespace, name.as_str()).into(),
            (AttributeId::DisplayName, _) => LocalizedText::new("", name).into(),
            (AttributeId::WriteMask | AttributeId::UserWriteMask, _) => 0_u32.into(),
            (AttributeId::EventNotifier, Node::Object(_)) => 0_u8.into(),
            (AttributeId::Value, Node::Variable(variable)) => {
                let mut data = variable.data.clone();
                if !matches!(asked.index_range, NumericRange::None) {
                    let value = data.value.take().unwrap_or(Variant::Empty);
                    data.value = Some(value.range_of_owned(&asked.index_range)?);
                }
                return Ok(data);
            }
            (AttributeId::DataType, Node::Variable(variable)) => NodeId::from(variable.datatype).into(),
            (AttributeId::ValueRank, Node::Variable(_)) => (-1_i32).into(),
            (AttributeId::AccessLevel | AttributeId::UserAccessLevel, Node::Variable(_)) => readable.into(),
            (AttributeId::MinimumSamplingInterval, Node::Variable(_)) => 0_f64.into(),
            (AttributeId::Historizing, Node::Variable(_)) => false.into(),
            _ => return Err(StatusCode::BadAttributeIdInvalid),
        };
        Ok(DataValue { value: Some(value), status: Some(StatusCode::Good), ..DataValue::default() })
    }

    fn follow_one(&self, item: &mut CreateMonitoredItem) {
        let asked = item.item_to_monitor().clone();
        let found = self.attribute(&asked);
        // The library does not export the type of its filters.
        let filter = format!("{:?}", item.filter());
        let mut items = self.items.lock();
        let outcome = match found {
            Err(status) => Err(status),
            Ok(_) if asked.attribute_id != AttributeId::Value => Err(StatusCode::BadAttributeIdInvalid),
            Ok(_) if filter.starts_with("EventFilter") => Err(StatusCode::BadFilterNotAllowed),
            Ok(_) if items.len() >= MAX_ITEMS => Err(StatusCode::BadTooManyMonitoredItems),
            Ok(mut data) => {
                item.revise_queue_size(MAX_QUEUE);
                let without_source = item.sampling_interval() < 0.0;
                item.revise_sampling_interval(NO_SAMPLING_MS);
                if without_source {
                    data.source_timestamp = None;
                }
                let path = self.path(&asked.node_id).unwrap_or_default().to_owned();
                let is_plain = filter == "None";
                items.insert(item.handle(), Item { path, is_plain, without_source });
                Ok(data)
            }
        };
        match outcome {
            Ok(data) => {
                item.set_initial_value(data);
                item.set_status(StatusCode::Good);
            }
            Err(status) => {
                self.note_error();
                item.set_status(status);
            }
        }
    }
}

fn keep_rest(node: &mut BrowseNode, rest: VecDeque<ReferenceDescription>) {
    if !rest.is_empty() {
        node.set_next_continuation_point(Box::new(Rest(rest)));
    }
}

fn type_reference(id: NodeId, name: &str, class: NodeClass) -> ReferenceDescription {
    ReferenceDescription {
        reference_type_id: ReferenceTypeId::HasTypeDefinition.into(),
        is_forward: true,
        node_id: id.into(),
        browse_name: QualifiedName::new(0, name),
        display_name: LocalizedText::new("", name),
        node_class: class,
        type_definition: ExpandedNodeId::null(),
    }
}

/// Leaves out the times that were not asked for.
fn with_times(mut data: DataValue, wanted: TimestampsToReturn) -> DataValue {
    if matches!(wanted, TimestampsToReturn::Server | TimestampsToReturn::Neither) {
        data.source_timestamp = None;
    }
    if matches!(wanted, TimestampsToReturn::Source | TimestampsToReturn::Neither) {
        data.server_timestamp = None;
    }
    data
}

#[async_trait]
impl NodeManager for VerdictNodes {
    fn owns_node(&self, id: &NodeId) -> bool {
        id.namespace == self.namespace
    }

    fn name(&self) -> &str {
        "verdicts"
    }

    fn namespaces_for_user(&self, _context: &RequestContext) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: NAMESPACE.to_owned(),
            is_namespace_subset: Some(false),
            static_node_id_types: Some(vec![IdType::String]),
            namespace_index: self.namespace,
            ..NamespaceMetadata::default()
        }]
    }

    async fn init(&self, _types: &mut DefaultTypeTree, _context: ServerContext) {}

    async fn resolve_external_references(
        &self,
        _context: &RequestContext,
        items: &mut [&mut ExternalReferenceRequest],
    ) {
        for item in items {
            let metadata = self.path(item.node_id()).and_then(|path| self.metadata(path));
            if let Some(metadata) = metadata {
                item.set(metadata);
            }
        }
    }

    async fn read(
        &self,
        _context: &RequestContext,
        _max_age: f64,
        times: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        for node in nodes {
            match self.attribute(node.node()) {
                Ok(data) => node.set_result(with_times(data, times)),
                Err(status) => {
                    self.note_error();
                    node.set_error(status);
                }
            }
        }
        Ok(())
    }

    /// Nothing can be written.
    async fn write(&self, _context: &RequestContext, nodes: &mut [&mut WriteNode]) -> Result<(), StatusCode> {
        for node in nodes {
            self.note_error();
            let known = self.path(&node.value().node_id).and_then(|path| self.shown.node(path));
            node.set_status(known.map_or(StatusCode::BadNodeIdUnknown, |_| StatusCode::BadNotWritable));
        }
        Ok(())
    }

    async fn browse(&self, context: &RequestContext, nodes: &mut [BrowseNode]) -> Result<(), StatusCode> {
        let types = context.get_type_tree_for_user();
        nodes.iter_mut().for_each(|node| self.browse_one(node, types.get()));
        Ok(())
    }

    async fn translate_browse_paths_to_node_ids(
        &self,
        context: &RequestContext,
        nodes: &mut [&mut BrowsePathItem],
    ) -> Result<(), StatusCode> {
        impl_translate_browse_paths_using_browse(self, context, nodes).await
    }

    async fn create_monitored_items(
        &self,
        _context: &RequestContext,
        items: &mut [&mut CreateMonitoredItem],
    ) -> Result<(), StatusCode> {
        items.iter_mut().for_each(|item| self.follow_one(item));
        Ok(())
    }

    async fn delete_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemRef]) {
        let mut known = self.items.lock();
        for item in items {
            known.remove(&item.handle());
        }
    }
}
