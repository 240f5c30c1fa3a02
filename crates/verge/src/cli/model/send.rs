//! `verge model push --gateway`: a package goes to gateways that are elsewhere. It is offered; each gateway asks for the parts that it
//! lacks, and they are published until it has all and has taken it in, or says why not.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use serde_json::{Value, json};
use verge_domain::model_order::PART_BYTES;
use verge_engine::staged::TrialFolder;
use verge_engine::{ContentDigest, ModelLimits};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::package::changes::{self, open_any, read_at_most};
use verge_mqtt::{ConnectionSettings, NotPublished, Subscriber, SubscriberEvent, TopicUse};
use verge_pipeline::clock::random_event_id;
use verge_pipeline::delivery::STATUS_EVERY;

use super::super::async_runtime;
use super::super::output::{Progress, json_line};
use super::super::uplink::{Topics, Upstream};
use super::versions::PushArgs;

/// Retained statuses come within this time.
const STATUSES: Duration = Duration::from_secs(3);
/// A gateway that has just promoted says so within this time: it looks for it every few seconds, and then its status has to come.
const NEXT_STATUS: Duration = Duration::from_secs(STATUS_EVERY.as_secs() + 10);
/// An offer that is not answered is made again.
const ANSWER: Duration = Duration::from_secs(15);
/// A gateway that has no room for an offer now is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Ranges that wait to be published at most; a gateway asks for fewer.
const MAX_WANTED: usize = 64;

/// One form of the package.
struct Form {
    bytes: Bytes,
    sha256: String,
    /// SHA-256 of the weights that it holds the changes of.
    base: Option<String>,
}

/// What became of it at a gateway.
struct Sent {
    gateway: String,
    exit: Exit,
    state: String,
    /// Bytes of the form that was taken, and of the parts that were published.
    form: Option<(u64, bool)>,
    published: u64,
    error: Option<String>,
}

pub(super) fn send(args: &PushArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let most = ModelLimits::default().max_file_bytes;
    let (name, forms) = forms(&args.package, &args.from, most)?;
    let upstream = args.uplink.upstream("push")?;
    if !upstream.topics.has_channels() {
        let error =
            anyhow!("the topics have no {{channel}} and no {{lane}}: such an uplink takes no commands");
        return Err(error).exit_with(Exit::Usage);
    }
    let patience = Duration::from_secs(args.seconds);
    let sent = async_runtime()?.block_on(async {
        let gateways = match &args.gateway {
            Some(gateway) => vec![gateway.clone()],
            None => with_base(&upstream, &name, &forms, patience.min(NEXT_STATUS)).await?,
        };
        let mut sent = Vec::new();
        for gateway in gateways {
            sent.push(to(&upstream, gateway, &name, &forms, patience).await?);
        }
        anyhow::Ok(sent)
    })?;
    if sent.is_empty() {
        let error = anyhow!(
            "no gateway publishes a status that shows the weights of model {name:?} which this package changes"
        );
        return Err(error).exit_with(Exit::Unavailable);
    }
    let has = |exit: Exit| sent.iter().any(|one| one.exit == exit);
    let exit = [Exit::BadInput, Exit::Temporary].into_iter().find(|exit| has(*exit)).unwrap_or(Exit::Fine);
    if as_json {
        let gateways: Vec<Value> = sent.iter().map(Sent::json).collect();
        json_line(out, &json!({ "model": name, "package": args.package, "gateways": gateways }))?;
    } else {
        for one in &sent {
            writeln!(out, "{}", one.words(&name)).context("standard output")?;
        }
    }
    Ok(exit)
}

impl Sent {
    fn json(&self) -> Value {
        json!({
            "gateway": self.gateway, "state": self.state, "bytes": self.form.map(|(bytes, _)| bytes),
            "delta": self.form.map(|(_, is_delta)| is_delta), "published": self.published, "error": self.error,
        })
    }

    fn words(&self, name: &str) -> String {
        match (&self.error, self.form) {
            (Some(error), _) => format!("{}: {name}: {}: {error}", self.gateway, self.state),
            (None, Some((bytes, is_delta))) => {
                let what = if is_delta { "what changed" } else { "the whole package" };
                format!("{}: {name}: {} ({what}, {bytes} bytes)", self.gateway, self.state)
            }
            (None, None) => format!("{}: {name}: {}", self.gateway, self.state),
        }
    }
}

/// The package as it is offered: what changed from each of the old ones, the smallest first, and last the whole.
fn forms(package: &Path, old: &[PathBuf], most: u64) -> anyhow::Result<(String, Vec<Form>)> {
    let mut opened = open_any(package, most).exit_with(Exit::BadInput)?;
    opened.read_through().exit_with(Exit::BadInput)?;
    let name = opened.manifest.name.clone();
    let is_delta = opened.changed().is_some();
    if is_delta && !old.is_empty() {
        let error =
            anyhow!("{} holds what changed already: give the whole package beside --from", package.display());
        return Err(error).exit_with(Exit::Usage);
    }
    let mut forms = Vec::new();
    for old in old {
        let folder = TrialFolder::new().context("a folder for what changed").exit_with(Exit::Temporary)?;
        let beside = folder.path().join("changes.vmodel");
        let made = changes::changes(old, package, &beside, most);
        let read =
            made.map_err(anyhow::Error::from).and_then(|made| Ok((read_at_most(&beside, most)?, made.base)));
        let (bytes, base) = read.exit_with(Exit::BadInput)?;
        forms.push(Form::new(bytes, Some(base)));
    }
    forms.sort_by_key(|form| form.bytes.len());
    let base = if is_delta { Some(opened.base().exit_with(Exit::BadInput)?) } else { None };
    let whole = read_at_most(package, u64::MAX - 1).with_context(|| package.display().to_string());
    forms.push(Form::new(whole.exit_with(Exit::BadInput)?, base));
    Ok((name, forms))
}

impl Form {
    fn new(bytes: Vec<u8>, base: Option<String>) -> Self {
        Self { sha256: ContentDigest::of(&bytes).to_string(), bytes: bytes.into(), base }
    }

    /// A part: the SHA-256 of the package, where the part begins, its bytes.
    fn part(&self, from: u64, bytes: u64) -> Option<Bytes> {
        let begin = usize::try_from(from).ok()?;
        let end = begin.checked_add(usize::try_from(bytes.min(PART_BYTES)).ok()?)?;
        let content = self.bytes.get(begin..end)?;
        let mut part = ContentDigest::of_digits(&self.sha256)?.as_bytes().to_vec();
        part.extend(from.to_le_bytes());
        part.extend_from_slice(content);
        Some(part.into())
    }

    fn offer(&self, id: &str, name: &str) -> Bytes {
        let mut offer = json!({
            "id": id, "command": "offer", "name": name, "bytes": self.bytes.len(), "hash": self.sha256,
        });
        if let Some(base) = &self.base {
            offer["base"] = json!(base);
        }
        offer.to_string().into()
    }
}

/// The gateways whose status shows weights that a form changes; of a package that holds all, those that manage the model.
/// Where none does at first, the next statuses are awaited.
async fn with_base(
    upstream: &Upstream,
    name: &str,
    forms: &[Form],
    patience: Duration,
) -> anyhow::Result<Vec<String>> {
    let filter = upstream.topics.filter(TopicUse::Status, None);
    let mut subscriber = Subscriber::spawn(upstream.connection.clone(), vec![filter]);
    let mut found = Vec::new();
    let mut progress = Progress::new();
    progress.show(&format!(
        "waiting for a gateway that has these weights of {name} in use, {} s at most",
        patience.as_secs()
    ))?;
    let mut until = Instant::now() + patience.max(STATUSES);
    let looked = async {
        loop {
            let Ok(Some(event)) = tokio::time::timeout_at(until.into(), subscriber.next()).await else {
                return Ok(());
            };
            match event {
                SubscriberEvent::Subscribed => {}
                SubscriberEvent::Disconnected { reason } => {
                    return Err(anyhow!("{}: {reason}", upstream.connection.address));
                }
                SubscriberEvent::Message(message) => {
                    let gateway = upstream.topics.gateway_of(TopicUse::Status, &message.topic);
                    let status = serde_json::from_slice::<Value>(&message.payload).unwrap_or_default();
                    if let Some(gateway) =
                        gateway.filter(|_| status["state"] == "online" && shows(&status, name, forms))
                    {
                        if found.is_empty() {
                            // Others may have promoted at the same time.
                            until = Instant::now() + STATUSES;
                        }
                        found.push(gateway.to_string());
                    }
                }
            }
        }
    };
    let looked = looked.await;
    progress.clear()?;
    if let Err(error) = looked {
        return Err(error).exit_with(Exit::Unavailable);
    }
    subscriber.stop().await;
    found.sort();
    found.dedup();
    Ok(found)
}

fn shows(status: &Value, name: &str, forms: &[Form]) -> bool {
    let bases: Vec<&str> = forms.iter().filter_map(|form| form.base.as_deref()).collect();
    let weights = status["offers"]["weights"].as_array().into_iter().flatten();
    weights.filter(|one| one["model"] == name).any(|one| {
        let used = one["sha256"].as_str().unwrap_or_default();
        bases.is_empty() || bases.iter().any(|base| base.eq_ignore_ascii_case(used))
    })
}

/// One gateway that is sent to.
struct Sending<'a> {
    topics: (String, String),
    forms: &'a [Form],
    name: &'a str,
    id: String,
    /// The form that is offered.
    at: usize,
    wanted: VecDeque<(usize, u64, u64)>,
    published: u64,
    have: u64,
    /// When the offer is to be made again, where it has not been answered.
    offer_again: Option<Instant>,
}

async fn to(
    upstream: &Upstream,
    gateway: String,
    name: &str,
    forms: &[Form],
    patience: Duration,
) -> anyhow::Result<Sent> {
    let (command, part, reply) = topics(&upstream.topics, &gateway)?;
    let mut sending = Sending {
        topics: (command, part),
        forms,
        name,
        id: format!("{:032x}", u128::from_be_bytes(random_event_id().0)),
        at: 0,
        wanted: VecDeque::new(),
        published: 0,
        have: 0,
        offer_again: None,
    };
    let connection: ConnectionSettings = upstream.connection.clone();
    let mut subscriber = Subscriber::spawn(connection, vec![reply]);
    let mut progress = Progress::new();
    let (mut moved, mut why) = (Instant::now(), "no answer".to_owned());
    let (exit, state, error) = loop {
        if moved.elapsed() >= patience {
            break (
                Exit::Temporary,
                "waits",
                Some(format!("{why}; nothing came for {} s", patience.as_secs())),
            );
        }
        if sending.offer_again.is_some_and(|again| again <= Instant::now()) {
            sending.offer(&subscriber);
        }
        sending.publish(&subscriber)?;
        let wait =
            if sending.wanted.is_empty() { Duration::from_millis(500) } else { Duration::from_millis(20) };
        let Ok(event) = tokio::time::timeout(wait, subscriber.next()).await else { continue };
        match event {
            Some(SubscriberEvent::Subscribed) => sending.offer(&subscriber),
            Some(SubscriberEvent::Disconnected { reason }) => {
                why = format!("{}: {reason}", upstream.connection.address);
                sending.wanted.clear();
                sending.offer_again = None;
            }
            Some(SubscriberEvent::Message(message)) => {
                let answer = serde_json::from_slice::<Value>(&message.payload).unwrap_or_default();
                if sending.want(&answer) {
                    moved = Instant::now();
                    progress.show(&sending.progress(&gateway))?;
                    continue;
                }
                // Others ask as well.
                if answer["id"] != sending.id.as_str() {
                    continue;
                }
                if answer["temporary"] == true {
                    // It is offered again, but for as long as the caller waits at most.
                    answer["error"].as_str().unwrap_or("not now").clone_into(&mut why);
                } else {
                    moved = Instant::now();
                }
                match sending.answered(&answer, &subscriber) {
                    None => {}
                    Some(Ok(())) => break (Exit::Fine, "staged", None),
                    Some(Err(error)) => break (Exit::BadInput, "refused", Some(error)),
                }
            }
            None => break (Exit::Temporary, "waits", Some("the connection has ended".to_owned())),
        }
    };
    progress.clear()?;
    subscriber.stop().await;
    let form = &forms[sending.at];
    let form = (exit == Exit::Fine).then(|| (form.bytes.len() as u64, form.base.is_some()));
    Ok(Sent { gateway, exit, state: state.to_owned(), form, published: sending.published, error })
}

/// The topics of commands and parts to a gateway, and of its answers.
fn topics(topics: &Topics, gateway: &str) -> anyhow::Result<(String, String, String)> {
    let of = |topic: TopicUse| topics.filter(topic, Some(gateway));
    let all = (of(TopicUse::Command), of(TopicUse::Part), of(TopicUse::Reply));
    for topic in [&all.0, &all.1, &all.2] {
        verge_domain::filter::validate(topic).with_context(|| format!("{topic:?}")).exit_with(Exit::Usage)?;
    }
    Ok(all)
}

impl Sending<'_> {
    fn offer(&mut self, subscriber: &Subscriber) {
        let offer = self.forms[self.at].offer(&self.id, self.name);
        // Without a connection it is offered at the next one.
        let published = subscriber.publish(&self.topics.0, offer);
        self.offer_again = Some(Instant::now() + if published.is_ok() { ANSWER } else { AGAIN });
    }

    /// Takes what is asked for.
    fn want(&mut self, answer: &Value) -> bool {
        if answer["state"] != "wanted" {
            return false;
        }
        let form = self.forms.iter().position(|form| answer["hash"] == form.sha256.as_str());
        let (Some(form), Some(from), Some(bytes)) = (form, answer["from"].as_u64(), answer["bytes"].as_u64())
        else {
            return false;
        };
        self.offer_again = None;
        self.have = self.have.max(from);
        if self.wanted.len() < MAX_WANTED && !self.wanted.contains(&(form, from, bytes)) {
            self.wanted.push_back((form, from, bytes));
        }
        true
    }

    fn publish(&mut self, subscriber: &Subscriber) -> anyhow::Result<()> {
        while let Some((form, from, bytes)) = self.wanted.front().copied() {
            let Some(part) = self.forms[form].part(from, bytes) else {
                self.wanted.pop_front();
                continue;
            };
            let length = part.len() as u64;
            match subscriber.publish(&self.topics.1, part) {
                Ok(()) => self.published += length,
                Err(NotPublished::Busy | NotPublished::NotConnected) => return Ok(()),
                Err(error @ NotPublished::TooLarge { .. }) => return Err(error).exit_with(Exit::BadConfig),
            }
            self.wanted.pop_front();
        }
        Ok(())
    }

    /// `None`: it goes on.
    fn answered(&mut self, answer: &Value, subscriber: &Subscriber) -> Option<Result<(), String>> {
        if answer["ok"] == true {
            self.offer_again = None;
            self.have = answer["have"].as_u64().unwrap_or(self.have);
            return (answer["state"] == "staged").then_some(Ok(()));
        }
        if answer["whole"] == true && self.at + 1 < self.forms.len() {
            self.at += 1;
            self.offer(subscriber);
            return None;
        }
        if answer["temporary"] == true {
            self.offer_again = Some(Instant::now() + AGAIN);
            return None;
        }
        Some(Err(answer["error"].as_str().unwrap_or("without a reason").to_owned()))
    }

    fn progress(&self, gateway: &str) -> String {
        let total = self.forms[self.at].bytes.len().max(1) as u64;
        let share = self.have.min(total) * 100 / total;
        format!("{gateway}: {} {share} % of {total} bytes", self.name)
    }
}
