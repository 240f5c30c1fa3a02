//! The payload of Sparkplug B as protobuf, written from the field numbers of the specification. Data sets, templates and
//! metadata are passed over when they are read, and never written.

use prost::{Message, Oneof};

/// What one message holds.
#[derive(Clone, PartialEq, Message)]
pub struct SparkplugPayload {
    /// When it was sent, in milliseconds since 1970 (UTC).
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// The metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// The number of the message, over the whole edge node: 0 to 255.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

impl SparkplugPayload {
    /// What travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// One metric.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// Its name, in births and commands.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What stands for the name in data.
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// When the value was true, in milliseconds since 1970 (UTC).
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    /// See [`DataType`].
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// It is not the newest value: for the historian alone.
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    /// It is not to be stored.
    #[prost(bool, optional, tag = "6")]
    pub is_transient: Option<bool>,
    /// There is no value.
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    /// Its properties.
    #[prost(message, optional, tag = "9")]
    pub properties: Option<PropertySet>,
    /// The value.
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15, 16")]
    pub value: Option<MetricValue>,
}

/// The value of a metric, in the field that its type names.
#[derive(Clone, PartialEq, Oneof)]
pub enum MetricValue {
    /// Integers up to 32 bits; signed ones as two's complement.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Integers of 64 bits and times.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// A float of 32 bits.
    #[prost(float, tag = "12")]
    Float(f32),
    /// A float of 64 bits.
    #[prost(double, tag = "13")]
    Double(f64),
    /// A truth value.
    #[prost(bool, tag = "14")]
    Boolean(bool),
    /// A text.
    #[prost(string, tag = "15")]
    Text(String),
    /// Bytes.
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
}

/// Properties by name.
#[derive(Clone, PartialEq, Message)]
pub struct PropertySet {
    /// Their names.
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    /// Their values, in the same order.
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<PropertyValue>,
}

/// The value of a property.
#[derive(Clone, PartialEq, Message)]
pub struct PropertyValue {
    /// See [`DataType`].
    #[prost(uint32, optional, tag = "1")]
    pub datatype: Option<u32>,
    /// The value, where it is a number.
    #[prost(uint32, optional, tag = "3")]
    pub int: Option<u32>,
    /// The value, where it is a text.
    #[prost(string, optional, tag = "8")]
    pub text: Option<String>,
}

/// Types of values that are written here, with the numbers of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum DataType {
    /// Integer of 32 bits.
    Int32 = 3,
    /// Integer of 64 bits.
    Int64 = 4,
    /// Integer of 32 bits without a sign.
    UInt32 = 7,
    /// Integer of 64 bits without a sign.
    UInt64 = 8,
    /// Float of 64 bits.
    Double = 10,
    /// Truth value.
    Boolean = 11,
    /// Text.
    Text = 12,
    /// Milliseconds since 1970 (UTC).
    DateTime = 13,
}

impl DataType {
    /// Its number.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int32 => "Int32",
            Self::Int64 => "Int64",
            Self::UInt32 => "UInt32",
            Self::UInt64 => "UInt64",
            Self::Double => "Double",
            Self::Boolean => "Boolean",
            Self::Text => "String",
            Self::DateTime => "DateTime",
        }
    }
}
