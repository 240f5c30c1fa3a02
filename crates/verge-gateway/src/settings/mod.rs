//! The configuration checked and typed: what the rest of the program is built from.
//!
//! [`Settings::check`] is pure: it opens no file and no socket, so a file can be checked on any machine.
//! Certificates and passwords are read by [`Connection::build`] and [`EmbeddedBroker::tls`].
//!
//! Reading order: [`Settings`], `connection`, `local`, `store`, then what each section becomes: `uplink`, `route`, `model`, `source`, `judge`.

mod access;
mod connection;
mod dashboard;
mod enrolment;
mod judge;
mod local;
mod model;
mod opcua;
mod renewal;
mod route;
mod server;
mod source;
mod store;
mod tags;
mod track_file;
mod uplink;
mod zone;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verge_domain::id::GatewayId;
use verge_domain::tag::TagBook;
use verge_models::ModelFiles;
use verge_pipeline::judging::GroupSettings;
use verge_wire::SiteZone;

use crate::config::{
    self, ConfigValues, DrawnLayer, DrawnSection, Fault, LoadError, Loaded, Origins, Raw, SectionValues,
    Warning,
};
pub use crate::states::StateTopics;
pub use access::BrokerRules;
pub use connection::{BuildError, Connection, Login, Password, TlsFiles};
pub use dashboard::DashboardSection;
pub use enrolment::EnrolmentSettings;
use judge::Known;
pub use judge::{FrameRules, JudgeRules, JudgeSection, ReadingRules, Rule, TrackRules};
pub use local::{EmbeddedBroker, ListenerFiles, ListenerTls, Local};
pub use model::{Engine, PackageRules};
pub(crate) use opcua::contents_of;
pub use opcua::{OPCUA_NAMESPACE, OpcUaSection};
pub use renewal::RenewalSettings;
pub use route::Route;
pub use server::ServerSection;
pub use source::{Carries, FrameSource, Overload, SourceSection};
pub use store::{ConfiguredKeyError, StoreSection};
pub use track_file::{TrackFile, read_track_file};
pub use uplink::{
    DatexFiles, DatexSnapshots, DatexUplink, HttpUplink, MqttUplink, PushFormat, RsmpUplink, SparkplugUplink,
    Uplink, UplinkKind,
};

/// All settings of a gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[gateway]`
    pub gateway: GatewaySection,
    /// Where and how verdicts are kept.
    pub store: StoreSection,
    /// The broker that devices publish to.
    pub local: Local,
    /// Largest MQTT packet with a frame that is taken from it, in bytes.
    pub max_frame_bytes: usize,
    /// Which versions of managed models are taken.
    pub packages: PackageRules,
    /// What runs models.
    pub engine: Engine,
    /// Models in the order of the file; a judge names its own by its position here.
    pub models: Vec<ModelFiles>,
    /// Models that judges over readings ask.
    pub autoencoders: Vec<ModelFiles>,
    /// Sources in the order of the file; a message names its source by its position here.
    pub sources: Vec<SourceSection>,
    /// Judges in the order of the file.
    pub judges: Vec<JudgeSection>,
    /// Connections upstream in the order of the file, which is the order of preference within a route.
    pub uplinks: Vec<Uplink>,
    /// Documents of DATEX II that are kept in a folder.
    pub publications: Vec<DatexFiles>,
    /// Routes, in the order in which uplinks first name them.
    pub routes: Vec<Route>,
    /// Servers that control systems poll.
    pub servers: Vec<ServerSection>,
    /// Those that clients of OPC UA read.
    pub opcua: Vec<OpcUaSection>,
    /// What people see and steer it by, if it is served.
    pub dashboard: Option<DashboardSection>,
    /// What the lists of tags of the sources say.
    pub tags: Arc<TagBook>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Warning>,
    /// Where each key stands, for messages.
    pub origins: Origins,
    /// What each key says, to compare two configurations.
    pub values: ConfigValues,
    /// What people drew over the file.
    pub drawn: Vec<DrawnSection>,
}

/// Who this gateway is.
#[derive(Debug, Clone)]
pub struct GatewaySection {
    /// Its name upstream.
    pub id: GatewayId,
    /// The site, for people.
    pub site: Option<String>,
    /// The time zone in which people there read times.
    pub zone: SiteZone,
    /// Folder for everything that must outlive a restart.
    pub state_dir: PathBuf,
    /// Bytes that all instances of judges over readings take together at most.
    pub judges_memory: usize,
    /// Which alarms are reported together.
    pub groups: GroupSettings,
    /// Whether upstream may request pictures.
    pub snapshots: bool,
    /// Where its own certificates are renewed; `None`: nowhere.
    pub renewal: Option<RenewalSettings>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file is wrong; every fault is listed.
    #[error("{path} has {}", Listed(.faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
}

struct Listed<'a>(&'a [Fault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fault{}", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// The state folder that a file names, whatever else is wrong with it.
///
/// # Errors
/// The file cannot be read.
pub fn state_dir_in(
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, LoadError> {
    let Raw { folder, sections } = config::load(path, variables)?.raw;
    Ok(folder.join(sections.gateway.state_dir))
}

impl Settings {
    /// The values of a section with a name.
    pub(crate) fn section(&self, kind: &str, name: &str) -> Option<&SectionValues> {
        self.values.iter().find(|values| values.section == kind && values.name.as_deref() == Some(name))
    }

    /// Whether any of its judges looks through a model.
    #[must_use]
    pub fn runs_models(&self) -> bool {
        !self.models.is_empty() || !self.autoencoders.is_empty()
    }

    /// Reads a file and the environment, and checks both.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong with it.
    pub fn load(
        path: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigurationError> {
        Self::of(config::load(path, variables)?)
            .and_then(Self::with_tags)
            .map_err(|faults| ConfigurationError::Faults { path: path.to_owned(), faults })
    }

    /// The same with this in the place of what is drawn in the state folder. The lists of tags are not read.
    pub(crate) fn load_under(path: &Path, layer: &DrawnLayer) -> Result<Self, ConfigurationError> {
        Self::of(config::load_under(path, layer, std::env::vars_os())?)
            .map_err(|faults| ConfigurationError::Faults { path: path.to_owned(), faults })
    }

    /// Checks a text as if it stood in this file. Opens nothing: what the files that it names hold is not looked at.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn of_text(
        text: &[u8],
        path: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Fault>> {
        Self::of(config::parse(text, path, variables))
    }

    /// The same with what the lists of tags say, which are read here.
    fn with_tags(mut self) -> Result<Self, Vec<Fault>> {
        let read = tags::read_all(&self.sources);
        let book = read.map_err(|faults| -> Vec<Fault> {
            faults.into_iter().map(|fault| self.origins.locate(fault)).collect()
        })?;
        self.warnings.extend(tags::warnings(&book, &self.sources, &self.judges));
        self.tags = Arc::new(book);
        Ok(self)
    }

    fn of(loaded: Loaded) -> Result<Self, Vec<Fault>> {
        let Loaded { raw, faults, origins, values, drawn, twice, lost } = loaded;
        match Self::check(&raw) {
            Ok(mut settings) if faults.is_empty() => {
                settings.warnings.extend(drawn.iter().filter_map(without_section));
                Ok(Self { origins, values, drawn, ..settings })
            }
            checked => {
                // A key that is at fault is not there for the checks; once is enough.
                let follows = |fault: &Fault| {
                    faults.iter().any(|known| fault.follows(&known.key))
                        || lost.iter().any(|key| fault.follows(key))
                };
                // What stands twice does not agree with itself.
                let is_own = |fault: &Fault| !twice.iter().any(|(other, own)| fault.is_between(other, own));
                let more: Vec<Fault> = checked.err().unwrap_or_default();
                let more: Vec<Fault> =
                    more.into_iter().filter(|fault| !follows(fault) && is_own(fault)).collect();
                let mut all: Vec<Fault> =
                    faults.into_iter().chain(more).map(|fault| origins.locate(fault)).collect();
                for (other, own) in &twice {
                    all.iter_mut().for_each(|fault| fault.rename(other, own));
                }
                Origins::sort(&mut all);
                Err(all)
            }
        }
    }

    /// What it means that there is no uplink, where there is none.
    #[must_use]
    pub fn without_uplink(&self) -> Option<Warning> {
        let (age, bytes) = self.store.replay_window();
        let remark = || {
            format!(
                "no uplink: verdicts are judged, stored and printed, not sent; the store keeps the newest (up to {age} and {bytes}: \
                 gateway.replay_age, gateway.replay_bytes), and an uplink added later sends what is kept"
            )
        };
        self.uplinks.is_empty().then(|| Warning { key: "uplink".to_owned(), remark: remark() })
    }

    /// Checks what the values say, each alone and all together. Pure.
    ///
    /// # Errors
    /// Everything that is wrong. Where the walk over the tree has found a value missing or faulty, this adds
    /// nothing about it, and there may be no fault to report and yet no settings.
    pub fn check(raw: &Raw) -> Result<Self, Vec<Fault>> {
        let mut check = Check { folder: &raw.folder, faults: Vec::new(), warnings: Vec::new() };
        let sections = &raw.sections;
        let gateway = check.gateway(&sections.gateway);
        let id = gateway.as_ref().map_or("", |gateway| gateway.id.as_str());
        let store = store::check_store(&mut check, &sections.gateway);
        let local = local::check_local(&mut check, id, &sections.local);
        let limits = source::PacketLimits {
            readings: sections.local.transport.max_packet,
            frames: sections.local.max_frame,
        };
        let engine = model::check_engine(&mut check, &sections.engine);
        let known = Known::of(sections);
        let packages = model::check_packages(&mut check, &sections.models);
        let state_dir = check.path(&sections.gateway.state_dir);
        let (autoencoders, models) = model::check_all(&mut check, &sections.model, &state_dir)
            .into_iter()
            .partition(|model| known.autoencoders.contains(&model.name.as_str()));
        let sources = source::check_all(&mut check, &sections.source, limits);
        let judges = judge::check_all(&mut check, &sections.judge, &known);
        let names: Vec<&str> = sections.judge.keys().map(String::as_str).collect();
        let servers = server::check_all(&mut check, &sections.server, &judges, &names);
        let opcua = opcua::check_all(&mut check, &sections.server, gateway.as_ref());
        let dashboard = dashboard::check_dashboard(&mut check, &sections.dashboard);
        let site = gateway.as_ref().and_then(|gateway| gateway.site.as_deref());
        let (uplinks, publications) =
            uplink::check_all(&mut check, (id, site), &sections.uplink, (&judges, &names));
        uplink::check_collisions(&mut check, &uplinks, &names);
        if let Some(local) = &local {
            uplink::check_client_ids(&mut check, local, &uplinks);
            uplink::check_loops(&mut check, local, &uplinks, &sources);
            access::refuse_unroutable(&mut check, local, &sources);
            access::warn_of_unreachable(&mut check, local, &sources);
        }
        uplink::check_lanes(&mut check, &uplinks);
        let routes = route::check_all(&mut check, &sections.route, &uplinks);
        match (gateway, local) {
            (Some(gateway), Some(local)) if check.faults.is_empty() => {
                let max_frame_bytes = limits.frames.to_usize();
                let warnings = check.warnings;
                Ok(Self {
                    gateway,
                    store,
                    local,
                    max_frame_bytes,
                    engine,
                    packages,
                    models,
                    autoencoders,
                    sources,
                    judges,
                    uplinks,
                    publications,
                    routes,
                    servers,
                    opcua,
                    dashboard,
                    tags: Arc::default(),
                    warnings,
                    origins: Origins::default(),
                    values: ConfigValues::new(),
                    drawn: Vec::new(),
                })
            }
            _ => Err(check.faults),
        }
    }
}

/// What it means that people drew in a section that is not there any more.
fn without_section(drawn: &DrawnSection) -> Option<Warning> {
    let DrawnSection { section, by, at, at_work, .. } = drawn;
    let remark =
        || format!("{by} drew in it at {at}, and the file has no such section: the drawing has no effect");
    (!at_work).then(|| Warning { key: section.clone(), remark: remark() })
}

/// What the checks share.
struct Check<'a> {
    folder: &'a Path,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl Check<'_> {
    fn gateway(&mut self, raw: &config::RawGateway) -> Option<GatewaySection> {
        let id = raw.id.as_ref()?;
        let id = self.keep("gateway.id", id, GatewayId::new(id))?;
        let (site, state_dir) = (raw.site.clone(), self.path(&raw.state_dir));
        let judges_memory = raw.judges_memory.to_usize();
        let groups = GroupSettings { within: raw.group_within.0, flood: raw.flood };
        if raw.judging_threads > 1 {
            let remark = "it has no effect any more: one thread judges all readings, which measured no slower than several; take \
                          the line out";
            self.warnings
                .push(Warning { key: "gateway.judging_threads".to_owned(), remark: remark.to_owned() });
        }
        let zone = match &raw.timezone {
            None => SiteZone::of_machine(),
            Some(name) => zone::check_zone(self, "gateway.timezone", name)?,
        };
        let snapshots = raw.snapshots;
        let renewal = renewal::check_renewal(self, raw);
        Some(GatewaySection { id, site, zone, state_dir, judges_memory, groups, snapshots, renewal })
    }

    /// Relative paths start from the folder of the file, so that a configuration works from anywhere.
    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// The value, or a fault at the key that says what its type says.
    fn keep<T, E: fmt::Display>(&mut self, key: &str, text: &str, made: Result<T, E>) -> Option<T> {
        let remedy = format!("write another {}", key.rsplit(['.', '[']).next().unwrap_or(key));
        made.map_err(|error| {
            self.faults.push(Fault::at_text(key, text, format!("another value: {error}")).remedy(remedy));
        })
        .ok()
    }
}

#[cfg(test)]
mod tests;
