//! An operation of the interface: registered once, with its role and what its documentation says. The document of the
//! interface, the page made from it and the test of all roles follow from this alone.
//!
//! ```text
//! routes.operation(
//!     Operation::get("/api/v1/cameras", Role::Viewer, "Lists cameras").query(&[LIMIT]).gives(CAMERAS),
//!     list,
//! )
//! ```

use hyper::Method;
use serde_json::{Map, Value, json};

use crate::dashboard::access::Role;

/// The shape of a JSON value, which stands in the document under its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// As programs may call the type, such as `Event`.
    pub(crate) name: &'static str,
    /// JSON Schema 2020-12.
    pub(crate) make: fn() -> Value,
}

/// A part of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// What it does, in a sentence without its final dot.
    pub(crate) says: &'static str,
    pub(crate) schema: fn() -> Value,
}

/// What is answered with 200.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    /// JSON of this shape.
    Json(Schema),
    /// Something of this media type.
    Media(&'static str),
}

/// How a body comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// JSON of this shape; `required` says whether it may be left out.
    Json { schema: Schema, required: bool },
    /// A text of this media type.
    Text(&'static str),
}

verge_domain::words! {
    /// What an operation does to its path.
    pub enum Verb {
        /// It sees.
        Get = "get",
        /// Something happens each time.
        Post = "post",
        /// Something is so afterwards.
        Put = "put",
        /// Something ends.
        Delete = "delete",
    }
}

impl Verb {
    /// As HTTP has it.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What `If-Match` is to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Nothing.
    Ignored,
    /// Where it is sent, it must name the present version.
    Heeded,
    /// It must be sent.
    Required,
}

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    pub(crate) role: Role,
    /// What it does, in a sentence without its final dot.
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [Parameter],
    pub(crate) takes: Option<Takes>,
    pub(crate) gives: Gives,
    /// Statuses beside 200 and those that every operation of its kind has.
    pub(crate) others: &'static [u16],
    /// What `If-Match` is to it.
    pub(crate) if_match: IfMatch,
}

const NOTHING: Schema = Schema { name: "Nothing", make: || object(json!({}), json!({})) };

impl Operation {
    const fn new(verb: Verb, path: &'static str, role: Role, summary: &'static str) -> Self {
        let gives = Gives::Json(NOTHING);
        Self {
            verb,
            path,
            role,
            summary,
            query: &[],
            takes: None,
            gives,
            others: &[],
            if_match: IfMatch::Ignored,
        }
    }

    /// Something to see.
    pub(crate) const fn get(path: &'static str, role: Role, summary: &'static str) -> Self {
        Self::new(Verb::Get, path, role, summary)
    }

    /// Something that happens each time.
    pub(crate) const fn post(path: &'static str, role: Role, summary: &'static str) -> Self {
        Self::new(Verb::Post, path, role, summary)
    }

    /// Something that is so afterwards, however often it is asked for.
    pub(crate) const fn put(path: &'static str, role: Role, summary: &'static str) -> Self {
        Self::new(Verb::Put, path, role, summary)
    }

    /// Something that ends.
    pub(crate) const fn delete(path: &'static str, role: Role, summary: &'static str) -> Self {
        Self::new(Verb::Delete, path, role, summary)
    }

    /// The query that it reads. It refuses any other key.
    pub(crate) const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// A body that it needs.
    pub(crate) const fn takes(self, schema: Schema) -> Self {
        Self { takes: Some(Takes::Json { schema, required: true }), ..self }
    }

    /// A body that may be left out.
    pub(crate) const fn may_take(self, schema: Schema) -> Self {
        Self { takes: Some(Takes::Json { schema, required: false }), ..self }
    }

    /// A body that is a text.
    pub(crate) const fn takes_text(self, media: &'static str) -> Self {
        Self { takes: Some(Takes::Text(media)), ..self }
    }

    /// Its answer, in JSON.
    pub(crate) const fn gives(self, schema: Schema) -> Self {
        Self { gives: Gives::Json(schema), ..self }
    }

    /// Its answer, in another form.
    pub(crate) const fn gives_media(self, media: &'static str) -> Self {
        Self { gives: Gives::Media(media), ..self }
    }

    /// Further statuses of its answers.
    pub(crate) const fn or(self, others: &'static [u16]) -> Self {
        Self { others, ..self }
    }

    /// It is carried out only on the version that `If-Match` names, where that is sent.
    pub(crate) const fn if_match(self) -> Self {
        Self { if_match: IfMatch::Heeded, ..self }
    }

    /// It is carried out only on the version that `If-Match` names, which must be sent.
    pub(crate) const fn if_match_required(self) -> Self {
        Self { if_match: IfMatch::Required, ..self }
    }

    /// Names of the parts of its path.
    pub(crate) fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Every status that it may answer with, in order.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let mut statuses = vec![200, 401, 403, 421, 503];
        statuses.extend(self.others);
        if self.path_parameters().next().is_some() {
            statuses.push(404);
        }
        if self.takes.is_some() {
            statuses.extend([413, 415, 422]);
        }
        if !self.query.is_empty() {
            statuses.push(422);
        }
        match self.if_match {
            IfMatch::Ignored => {}
            IfMatch::Heeded => statuses.push(412),
            IfMatch::Required => statuses.extend([412, 428]),
        }
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

/// The schema of an object that has these keys and no others.
pub(crate) fn object(required: Value, optional: Value) -> Value {
    let (Value::Object(required), Value::Object(optional)) = (required, optional) else { return json!({}) };
    let names: Vec<&String> = required.keys().collect();
    let names = json!(names);
    let properties: Map<String, Value> = required.into_iter().chain(optional).collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": properties })
}

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 128;

/// The schema of a name of a source, a device, a signal or a judge.
pub(crate) fn name_schema(says: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "description": format!("{says}; at most {MAX_NAME} bytes"),
    })
}

/// The schema of a list.
pub(crate) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// The schema of a text.
pub(crate) fn text(says: &str) -> Value {
    json!({ "type": "string", "description": says })
}

/// The schema of a whole number that is not negative.
pub(crate) fn count(says: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": says })
}

/// The schema of a number.
pub(crate) fn number(says: &str) -> Value {
    json!({ "type": "number", "description": says })
}

/// The schema of yes or no.
pub(crate) fn flag(says: &str) -> Value {
    json!({ "type": "boolean", "description": says })
}

/// The schema of a time.
pub(crate) fn time(says: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "description": format!("{says}, in ms since 1970 (UTC)") })
}

/// The schema of one of these words.
pub(crate) fn word(says: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words, "description": says })
}

/// How many entries are listed.
pub(crate) const LIMIT: Parameter =
    Parameter { name: "limit", says: "Most entries of the answer", schema: || limit_schema(MAX_LIMIT) };
/// Largest value of `limit`, and its default, of most lists.
pub(crate) const MAX_LIMIT: u64 = 1_000;

/// The schema of `limit` of a list that gives `most` entries at once.
pub(crate) fn limit_schema(most: u64) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": most, "default": most })
}

/// Where a list goes on.
pub(crate) const AFTER: Parameter = Parameter {
    name: "after",
    says: "Where the list goes on: `next` of the answer before",
    schema: || json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
};

/// Largest number of a verdict here: programs read JSON numbers exactly up to it.
pub(crate) const MAX_SEQ: u64 = (1 << 53) - 1;
