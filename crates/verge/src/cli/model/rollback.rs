//! `verge model rollback`: back to the version before.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use verge_gateway::exit::Exit;
use verge_gateway::settings::Settings;
use verge_models::ModelFiles;
use verge_models::store::{FACTORY, ModelStore, Slots, StoreLock};

use super::super::{FileArgs, say, words};
use super::versions::{Taken, begin, find, fits, let_gateway_know, report, stored};

#[derive(Debug, Args)]
#[command(
    after_help = "A gateway that runs is asked to reload its file: all that has changed in the file takes effect with it. A version \
before that is damaged gives way to the file of the configuration. While a candidate is on trial, the trial ends, and the active \
version stays in use."
)]
pub(super) struct RollbackArgs {
    /// The model, as [model.NAME] calls it
    #[arg(value_name = "NAME")]
    name: String,
    /// Only from this version: where it is neither on trial nor in use (any more), there is nothing to do
    #[arg(long, value_name = "ID")]
    from: Option<String>,
    #[command(flatten)]
    file: FileArgs,
}

/// Ends the trial of a candidate.
fn end_trial(
    args: &RollbackArgs,
    settings: &Settings,
    (store, lock, slots): (&ModelStore, &StoreLock, &Slots),
) -> anyhow::Result<Option<(Slots, String, String)>> {
    let Some((candidate, _)) = slots.trial() else { return Ok(None) };
    let Some(next) = slots.without_candidate(Timestamp::now().as_millisecond()) else { return Ok(None) };
    store.switch(lock, &next).map_err(stored)?;
    let active = next.active.as_deref().unwrap_or(FACTORY);
    let what = format!("the trial of {candidate} has ended, {active} stays in use");
    let (Taken::Fine(taken) | Taken::Refused(taken)) = let_gateway_know(settings, &args.file.config);
    Ok(Some((next, what, taken)))
}

pub(super) fn rollback(args: &RollbackArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let (model, store) = find(&settings, &args.name)?;
    let (lock, slots) = begin(store)?;
    let left = slots.trial().map(|(id, _)| id).or(slots.active.as_deref()).unwrap_or(FACTORY);
    if let Some(from) = args.from.as_ref().filter(|from| *from != left) {
        let what = format!("nothing to roll back: {from} is neither on trial nor in use, but {left}");
        return report(&args.name, &slots, &what, None, as_json, out);
    }
    if let Some((next, what, taken)) = end_trial(args, &settings, (store, &lock, &slots))? {
        return report(&args.name, &next, &what, Some(&taken), as_json, out);
    }
    let Some(mut next) = slots.rolled_back(Timestamp::now().as_millisecond()) else {
        return report(&args.name, &slots, "nothing to roll back", None, as_json, out);
    };
    let mut files = ModelFiles { store: None, ..model.clone() };
    if let Some(id) = next.active.take() {
        match store.version(&id).check() {
            Ok(card) => {
                files = ModelFiles { name: model.name.clone(), ..ModelFiles::of_card(&card) };
                next.active = Some(id);
            }
            Err(why) => say(&format!(
                "{}: version {id} is damaged ({why}): the file of the configuration is used instead; push it again",
                args.name
            )),
        }
    }
    store.switch(&lock, &next).map_err(stored)?;
    if let Err(error) = fits(&settings, files) {
        say(&format!(
            "{}: warning: the gateway will not start with it: {}",
            args.name,
            words(error.as_ref())
        ));
    }
    let active = next.active.clone().unwrap_or_else(|| FACTORY.to_owned());
    let (Taken::Fine(taken) | Taken::Refused(taken)) = let_gateway_know(&settings, &args.file.config);
    report(&args.name, &next, &format!("{active} is in use again"), Some(&taken), as_json, out)
}
