//! Every section and every key there is: what the checks read, what is accepted, and the defaults, each declared once.
//! What a key means stands where people read it, in `configs/gateway.toml`; a test holds that file to these declarations.
//!
//! What is required is an `Option` here all the same: where the walk has found a fault the value is missing, and the checks
//! go on without it to find the others.

mod dashboard;
mod datex2;
mod find;
mod judge;
mod links;
mod rsmp;
mod server;
mod source;
mod track;

use std::path::PathBuf;
use std::time::Duration;

use super::declare::*;
use super::key::*;
use super::tree::{ConfigNode, Map, Table, Value};
use super::units::{Size, Span, SpanOrNever};
pub(crate) use dashboard::*;
pub(crate) use datex2::*;
pub(crate) use find::{homes_of, kind_of, kind_of_table, other_name};
pub(crate) use judge::*;
pub(crate) use links::*;
pub(crate) use rsmp::*;
pub(crate) use server::*;
pub(crate) use source::*;
pub(crate) use track::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// The largest packet that MQTT can frame (MQTT 3.1.1 section 2.2.3: remaining length).
const MAX_MQTT_PACKET: u64 = 256 * MIB - 1;
/// No device of the embedded broker is faster.
const MAX_RATE_BYTES: u64 = 2 * GIB;
/// What a web service can be expected to take at once.
const MAX_PUSH_BODY: u64 = 16 * MIB;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A configuration whose every value has the right type; what the values say is not checked yet.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Folder that relative paths start from: the one of the file.
    pub(crate) folder: PathBuf,
    pub(crate) sections: Sections,
}

/// One section of the file.
#[derive(Debug)]
pub(crate) struct SectionKeys {
    pub(crate) name: &'static str,
    /// Whether it repeats under names: `[source.NAME]`.
    pub(crate) named: bool,
    /// Whether a file without one of them is still a configuration; of named sections only.
    pub(crate) optional: bool,
    pub(crate) keys: &'static Keys,
}

impl SectionKeys {
    /// Its header as people write it.
    pub(crate) fn header(&self) -> String {
        if self.named { format!("[{}.NAME]", self.name) } else { format!("[{}]", self.name) }
    }
}

/// A section, or the named sections of one kind.
trait Declared: Sized {
    const NAMED: bool;
    const KEYS: &'static Keys;
    fn take(table: &Table) -> Self;
}

impl<T: Section> Declared for T {
    const NAMED: bool = false;
    const KEYS: &'static Keys = &<T as Section>::KEYS;

    fn take(table: &Table) -> Self {
        Section::take(table)
    }
}

impl<T: Section> Declared for Map<T> {
    const NAMED: bool = true;
    const KEYS: &'static Keys = &<T as Section>::KEYS;

    fn take(table: &Table) -> Self {
        let section = |(name, node): (&String, &ConfigNode)| Some((name.clone(), T::take(node.table()?)));
        table.iter().filter_map(section).collect()
    }
}

macro_rules! sections {
    ($($name:ident: $type:ty, optional: $optional:literal;)*) => {
        /// All sections.
        #[derive(Debug, Clone)]
        pub(crate) struct Sections { $(pub(crate) $name: $type),* }

        /// All sections, in the order in which people write them.
        pub(crate) const SECTIONS: &[SectionKeys] = &[$(SectionKeys {
            name: stringify!($name),
            named: <$type as Declared>::NAMED,
            optional: $optional,
            keys: <$type as Declared>::KEYS,
        }),*];

        impl Sections {
            /// Out of a tree that the walk has made fit.
            pub(super) fn take(root: &Table) -> Self {
                let none = Table::new();
                let table = |name: &str| root.get(name).and_then(ConfigNode::table).unwrap_or(&none);
                Self { $($name: Declared::take(table(stringify!($name)))),* }
            }
        }
    };
}

sections! {
    gateway: RawGateway, optional: false;
    local: RawLocal, optional: false;
    uplink: Map<RawUplink>, optional: true;
    route: Map<RawRoute>, optional: true;
    engine: RawEngine, optional: false;
    models: RawModels, optional: false;
    model: Map<RawModel>, optional: true;
    source: Map<RawSource>, optional: false;
    judge: Map<RawJudge>, optional: false;
    server: Map<RawServer>, optional: true;
    dashboard: RawDashboard, optional: false;
}

declare! {
    /// `[gateway]`
    struct RawGateway {
        id: Option<String> = name().required(),
        site: Option<String> = name(),
        timezone: Option<String> = text(r#"the name of a time zone, such as "Europe/Berlin""#),
        state_dir: String = text("the path of a folder").or("/var/lib/verge"),
        store_cap: Size = size(16 * MIB, TIB).or("2 GiB"),
        replay_age: Span = span(Duration::ZERO, YEAR).or("24h"),
        replay_bytes: Size = size(0, TIB).or("256 MiB"),
        states_cap: Option<Size> = size(0, TIB),
        when_full: RawWhenFull = word::<RawWhenFull>().or("wait"),
        ballast: Size = size(0, GIB).or("16 MiB"),
        /// Without effect, for files of earlier versions.
        judging_threads: usize = whole(1, 16).or("1"),
        judges_memory: Size = size(MIB, TIB).or("256 MiB"),
        group_within: Span = span(Duration::ZERO, DAY).or("5m"),
        flood: usize = whole(0, 1_000).or("10"),
        verdict_life: SpanOrNever = span_or_never(YEAR).or("never"),
        telemetry_life: SpanOrNever = span_or_never(YEAR).or("never"),
        summary_interval: Span = span(SECOND, DAY).or("10m"),
        snapshots: bool = flag().or("false"),
        renew_at: Option<String> = text(r#"the address of an authority, such as "https://authority.example:8443""#),
        renew_ca: Option<String> = text("the path of a PEM file"),
        store_key: Option<RawSecret> = secret(),
        store_key_file: Option<String> = text("the path of a file that holds a key of 64 hexadecimal digits"),
        store_key_credential: Option<String> = text("the name of a systemd credential"),
    }

    /// What happens when the store is full.
    words RawWhenFull { "wait" => Wait, "drop_oldest" => DropOldest }

    /// `[engine]`
    struct RawEngine {
        library: Option<String> = text("the path of an ONNX Runtime library, 1.20 or later"),
        workers: Option<usize> = whole(1, 256),
        threads: usize = whole(1, 64).or("1"),
        max_model: Size = size(KIB, 2 * GIB).or("512 MiB"),
        provider: RawProvider = word::<RawProvider>().or("cpu"),
    }

    /// What runs models.
    words RawProvider { "cpu" => Cpu, "cuda" => Cuda, "tensorrt" => TensorRt, "openvino" => OpenVino }

    /// `[models]`
    struct RawModels {
        trust: Option<Vec<String>> = any_texts("paths of public keys of Ed25519 in PEM"),
        unsigned: bool = flag().or("false"),
        cap: Size = size(MIB, TIB).or("2 GiB"),
        keep: usize = whole(0, 100).or("2"),
        upstream: bool = flag().or("false"),
        rate: Size = size(KIB, GIB).or("256 KiB"),
        from: Option<Vec<String>> = texts(
            "addresses that packages are fetched below, each with a slash at its end, such as \"https://models.example/verge/\"",
        ),
        ca: Option<String> = text("the path of certificates in PEM that those of these addresses must lead to"),
        promote: RawPromote = word::<RawPromote>().or("manual"),
        canary: usize = whole(1, 100).or("20"),
        confirm_after: Span = span(SECOND, DAY).or("10m"),
    }

    /// Who moves a version that is on trial on.
    words RawPromote { "manual" => Manual, "auto" => Auto }

    /// `[model.NAME]`
    struct RawModel {
        file: Option<String> = text(
            r#"the path of a model with its card beside it, such as "models/vehicles.onnx", or of the card"#,
        )
        .required(),
        smaller: Option<String> = text("the name of another [model.NAME] of the same task"),
        managed: bool = flag().or("false"),
    }
}

/// A password on its way from the environment to the connection.
#[derive(Clone)]
pub(crate) struct RawSecret(pub(crate) String);

impl std::fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Setting for RawSecret {
    fn of(value: &Value) -> Option<Self> {
        String::of(value).map(Self)
    }
}

#[cfg(test)]
mod tests;
