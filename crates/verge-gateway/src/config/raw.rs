//! The configuration as it is written, after the walk: every key with its own type, defaults filled in.
//! What each key means stands where people read it, in `configs/gateway.toml`.
//!
//! What the schema requires is an `Option` here all the same: where the walk has found a fault the value is
//! missing, and the checks go on without it to find the others.

use std::path::PathBuf;

use config::Map;
use serde::Deserialize;

use super::units::{Size, Span, SpanOrNever};

/// A configuration whose every value has the right type; what the values say is not checked yet.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Folder that relative paths start from: the one of the file.
    pub(crate) folder: PathBuf,
    pub(crate) sections: Sections,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sections {
    pub(crate) gateway: RawGateway,
    pub(crate) local: RawLocal,
    pub(crate) uplink: Map<String, RawUplink>,
    pub(crate) route: Map<String, RawRoute>,
    pub(crate) engine: RawEngine,
    pub(crate) model: Map<String, RawModel>,
    pub(crate) source: Map<String, RawSource>,
    pub(crate) judge: Map<String, RawJudge>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGateway {
    pub(crate) id: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) state_dir: String,
    pub(crate) store_cap: Size,
    pub(crate) replay_age: Span,
    pub(crate) replay_bytes: Size,
    pub(crate) states_cap: Option<Size>,
    pub(crate) when_full: RawWhenFull,
    pub(crate) ballast: Size,
    pub(crate) judging_threads: usize,
    pub(crate) judges_memory: Size,
    pub(crate) verdict_life: SpanOrNever,
    pub(crate) telemetry_life: SpanOrNever,
    pub(crate) summary_interval: Span,
    pub(crate) store_key: Option<RawSecret>,
    pub(crate) store_key_file: Option<String>,
    pub(crate) store_key_credential: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawWhenFull {
    Wait,
    DropOldest,
}

/// A password on its way from the environment to the connection.
#[derive(Clone, Deserialize)]
pub(crate) struct RawSecret(pub(crate) String);

impl std::fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The keys that sections with a connection share.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawConnection {
    pub(crate) url: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<RawSecret>,
    pub(crate) password_file: Option<String>,
    pub(crate) ca: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) keep_alive: Span,
    pub(crate) max_packet: Size,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEngine {
    pub(crate) library: Option<String>,
    pub(crate) workers: Option<usize>,
    pub(crate) threads: usize,
    pub(crate) max_model: Size,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModel {
    pub(crate) file: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawLocal {
    pub(crate) mode: RawMode,
    pub(crate) listen: Option<String>,
    pub(crate) max_frame: Size,
    #[serde(flatten)]
    pub(crate) connection: RawConnection,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawMode {
    External,
    Embedded,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawUplink {
    pub(crate) kind: RawUplinkKind,
    pub(crate) insecure_plaintext: bool,
    #[serde(flatten)]
    pub(crate) connection: RawConnection,
    pub(crate) prefix: String,
    pub(crate) topic: String,
    pub(crate) format: RawFormat,
    pub(crate) window: usize,
    pub(crate) rewind: Span,
    pub(crate) lanes: Vec<RawLane>,
    pub(crate) batch: RawBatch,
    pub(crate) route: Option<String>,
    pub(crate) budget: Option<Size>,
    pub(crate) commands: bool,
    pub(crate) status: bool,
    pub(crate) retain: bool,
    pub(crate) will: bool,
    pub(crate) echo: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRoute {
    pub(crate) mode: RawRouteMode,
    pub(crate) return_after: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawRouteMode {
    Failover,
    Spread,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawUplinkKind {
    Mqtt,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawFormat {
    Cbor,
    Json,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawLane {
    Alarm,
    Verdict,
    Telemetry,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBatch {
    pub(crate) max_verdicts: usize,
    pub(crate) verdict_wait: Span,
    pub(crate) telemetry_wait: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSource {
    pub(crate) topic: Option<String>,
    pub(crate) codec: Option<RawCodec>,
    pub(crate) compression: RawCompression,
    pub(crate) retained: bool,
    pub(crate) max_payload: Option<Size>,
    pub(crate) max_readings: Option<usize>,
    pub(crate) overload: Option<RawOverload>,
    pub(crate) max_pixels: Option<u64>,
    pub(crate) frames: Option<RawFrames>,
    pub(crate) max_age: Option<Span>,
    pub(crate) urgency: Option<Span>,
    pub(crate) device: Option<String>,
    pub(crate) signal: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) scale: Option<f64>,
    pub(crate) offset: Option<f64>,
    pub(crate) words: Option<Map<String, f64>>,
    pub(crate) decimal: Option<RawDecimal>,
    pub(crate) time: Option<RawTime>,
    pub(crate) quality: Option<RawQuality>,
    pub(crate) image: Option<String>,
    pub(crate) reading: Option<Vec<RawReading>>,
    pub(crate) format: Option<RawSenmlFormat>,
    pub(crate) precision: Option<RawPrecision>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawOverload {
    Wait,
    Newest,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawCodec {
    Number,
    Json,
    Senml,
    Line,
    #[serde(rename = "samples_f32")]
    SamplesF32,
    #[serde(rename = "samples_i16")]
    SamplesI16,
    Jpeg,
    JpegB64,
    JsonImage,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) enum RawDecimal {
    #[serde(rename = ".")]
    Point,
    #[serde(rename = ",")]
    Comma,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawFrames {
    Newest,
    Every,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawCompression {
    None,
    Lz4,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTime {
    pub(crate) pointer: Option<String>,
    pub(crate) format: Option<RawTimeFormat>,
    pub(crate) zone: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawTimeFormat {
    UnixS,
    UnixMs,
    UnixUs,
    UnixNs,
    Rfc3339,
    Auto,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuality {
    pub(crate) pointer: Option<String>,
    pub(crate) format: RawQualityFormat,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawQualityFormat {
    Auto,
    OpcDa,
    OpcUa,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReading {
    pub(crate) pointer: Option<String>,
    pub(crate) signal: Option<String>,
    pub(crate) time: Option<RawTime>,
    pub(crate) quality: Option<RawQuality>,
    pub(crate) unit: Option<String>,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    pub(crate) words: Option<Map<String, f64>>,
    pub(crate) required: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawSenmlFormat {
    Auto,
    Json,
    Cbor,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawPrecision {
    S,
    Ms,
    Us,
    Ns,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJudge {
    pub(crate) inputs: Option<Vec<String>>,
    pub(crate) devices: Option<Vec<String>>,
    pub(crate) detector: RawDetector,
    pub(crate) severity: RawSeverity,
    pub(crate) lane: Option<RawLane>,
    pub(crate) raise_after: Option<Span>,
    pub(crate) clear_after: Option<Span>,
    pub(crate) update_every: Option<SpanOrNever>,
    pub(crate) above: Option<f64>,
    pub(crate) clear_below: Option<f64>,
    pub(crate) below: Option<f64>,
    pub(crate) clear_above: Option<f64>,
    pub(crate) rise_above: Option<f64>,
    pub(crate) fall_above: Option<f64>,
    pub(crate) per: Option<Span>,
    pub(crate) window: Option<Span>,
    pub(crate) hysteresis: Option<f64>,
    pub(crate) after: Option<Span>,
    pub(crate) expect: Option<Vec<String>>,
    pub(crate) interval: Option<Span>,
    pub(crate) pulses: Option<String>,
    pub(crate) presence: Option<String>,
    pub(crate) occupancy: Option<String>,
    pub(crate) occupancy_unit: Option<RawOccupancyUnit>,
    pub(crate) speed: Option<String>,
    pub(crate) effective_length: Option<f64>,
    pub(crate) max_gap: Option<Span>,
    pub(crate) model: Option<String>,
    pub(crate) score: Option<f32>,
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) top: Option<usize>,
    pub(crate) region: Option<RawRegion>,
    pub(crate) report: Option<RawReport>,
    pub(crate) hold: Option<Span>,
    pub(crate) alarm_budget: Option<String>,
    pub(crate) hold_off: Option<u32>,
    pub(crate) resolution: Option<f64>,
    pub(crate) commissioning: Option<usize>,
    pub(crate) machine: Option<String>,
    pub(crate) shape: Option<usize>,
    pub(crate) sample_rate: Option<f64>,
    pub(crate) analysis_rate: Option<f64>,
    pub(crate) block: Option<usize>,
    pub(crate) learn: Option<usize>,
    pub(crate) target: Option<f64>,
    pub(crate) sigma: Option<f64>,
    pub(crate) slack: Option<f64>,
    pub(crate) limit: Option<f64>,
    pub(crate) reset: Option<bool>,
    pub(crate) stride: Option<usize>,
    pub(crate) causes: Option<Vec<RawCause>>,
    pub(crate) patience: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRegion {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawReport {
    Change,
    Every,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawDetector {
    Threshold,
    Rate,
    Silence,
    Loop,
    Classify,
    Detect,
    Auto,
    Multi,
    Pattern,
    Vibration,
    Cusum,
    Health,
    Autoencoder,
}

/// What of a sensor's health is watched.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawCause {
    Stuck,
    Flat,
    Noisy,
    Saturated,
    Silent,
    ClockSkewed,
    Duplicate,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawSeverity {
    Info,
    Warning,
    Critical,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawOccupancyUnit {
    Percent,
    Fraction,
}
