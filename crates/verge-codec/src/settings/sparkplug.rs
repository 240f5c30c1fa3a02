//! Codec `sparkplug`.

/// Codec `sparkplug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparkplugCodecSettings {
    /// Whether values that are historical are judged.
    pub takes_history: bool,
    /// Whether edge nodes are asked for births where a message lacks something.
    pub asks_for_births: bool,
}

/// What of a topic of Sparkplug B names a device. Metrics of the edge node itself are those of a device without the last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparkplugDevice {
    /// `DEVICE`; the edge node's own: `NODE`.
    Device,
    /// `NODE/DEVICE`.
    Node,
    /// `GROUP/NODE/DEVICE`.
    Group,
}
