//! A TOML text as a tree of the `config` crate, with the place of each key beside it.

use config::{ConfigError, Map, Source, Value};
use toml::de::{DeTable, DeValue};

use super::origin::{LineIndex, Origins};
use super::walk::join;

/// The file as a source of settings, which variables are laid over.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) tree: Map<String, Value>,
}

impl Source for Document {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.tree.clone())
    }
}

/// Takes a parsed text over.
pub(super) fn read(text: &str, table: DeTable<'_>, origins: &mut Origins) -> Document {
    let mut reader = Reader { lines: LineIndex::new(text), origins };
    Document { tree: reader.table("", table) }
}

struct Reader<'a> {
    lines: LineIndex<'a>,
    origins: &'a mut Origins,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: DeTable<'_>) -> Map<String, Value> {
        let mut read = Map::new();
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.origins.note(&path, self.lines.locate(key.span().start));
            let value = self.value(&path, value.into_inner());
            read.insert(key.into_inner().into_owned(), value);
        }
        read
    }

    fn value(&mut self, path: &str, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::new(None, text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) => Value::new(None, whole),
                // Beyond any whole number that a key takes, and perhaps a number all the same.
                Err(_) => Value::new(None, number.as_str().parse().unwrap_or(f64::INFINITY)),
            },
            DeValue::Float(number) => Value::new(None, number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::new(None, flag),
            DeValue::Datetime(time) => Value::new(None, time.to_string()),
            DeValue::Table(table) => Value::new(None, self.table(path, table)),
            DeValue::Array(items) => {
                let mut read = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    let at = self.lines.locate(item.span().start);
                    let inner = format!("{path}[{index}]");
                    self.origins.note(&inner, at);
                    let item = self.value(&inner, item.into_inner());
                    self.origins.note_element(path, &item, at);
                    read.push(item);
                }
                Value::new(None, read)
            }
        }
    }
}
