//! `then` of a judge: the second model that looks at what its own finds, and what its answers are called.

use verge_domain::id::Label;
use verge_domain::scheme::{ClassScheme, MAX_CLASSES, SchemeError};
use verge_scene::SceneSettings;
use verge_vision::CascadeSettings;

use super::frames::check_model_name;
use crate::config::{Fault, RawThen, nearest};
use crate::settings::Check;

/// Classes as they are written.
const EXPECTED: &str = "classes that share no label, such as { red = [\"red\"], other = [\"*\"] }";

/// The position of the second model.
pub(super) fn check_second_model(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawThen,
    models: &[&str],
) -> Option<usize> {
    check_model_name(check, &format!("{section}.then.model"), raw.model.as_deref()?, models)
}

/// How a second model looks. `classes`: the judge's, where it has its own; `keeps`: see [`CascadeSettings::keeps`]. Which model
/// it is is left to the caller.
pub(super) fn check_cascade(
    check: &mut Check<'_>,
    section: &str,
    (raw, keeps): (&RawThen, bool),
    classes: Option<Vec<&str>>,
) -> Option<CascadeSettings> {
    let labels = raw.labels.clone().unwrap_or_default();
    let unknown = |label: &&String| classes.as_ref().is_some_and(|known| !known.contains(&label.as_str()));
    let is_known = match labels.iter().find(unknown) {
        None => true,
        Some(label) => {
            let classes = classes.unwrap_or_default();
            let remedy = nearest(label, classes.iter().copied()).map_or_else(
                || format!("add {label:?} to {section}.classes"),
                |near| format!("write {near:?}"),
            );
            let known: Vec<String> = classes.iter().map(|class| format!("{class:?}")).collect();
            let expected = format!("classes of this judge, here {}", known.join(", "));
            let fault = Fault::at_text(format!("{section}.then.labels"), label, expected);
            check.faults.push(fault.remedy(remedy));
            false
        }
    };
    let kinds = raw.classes.clone().map(|classes| ClassScheme::new(classes.into_iter().collect()));
    let kinds = kinds.transpose().map_err(|error| {
        let remedy = match &error {
            SchemeError::Count { .. } => "list fewer classes".to_owned(),
            SchemeError::Name { name, .. } => format!("give {name:?} another name"),
            SchemeError::Empty { name } => format!("write {name} = [\"LABEL\"], or take it out"),
            SchemeError::Twice { label, second, .. } => format!("take {label:?} out of {second}"),
        };
        let fault = Fault::new(format!("{section}.then.classes"), error.to_string(), EXPECTED);
        check.faults.push(fault.remedy(remedy));
    });
    is_known.then_some(())?;
    Some(CascadeSettings {
        model: 1,
        labels,
        margin: raw.margin,
        at_most: raw.at_most,
        every: raw.every.map(|every| every.0),
        score: raw.score,
        kinds: kinds.ok()?,
        keeps,
    })
}

/// The same of a judge that counts: it must know before what there is to count.
pub(super) fn check_counted_kinds(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawThen,
    classes: &[Label],
) -> Option<CascadeSettings> {
    let key = format!("{section}.then.classes");
    if raw.classes.is_none() {
        let expected = "the kinds that are counted, each with labels of the second model";
        let remedy = "write classes = { red = [\"LABEL\"], other = [\"*\"] } in then";
        check.faults.push(Fault::missing(key, expected).remedy(remedy));
        return None;
    }
    let names = classes.iter().map(Label::as_str).collect();
    let cascade = check_cascade(check, section, (raw, false), Some(names))?;
    let kinds = cascade.kinds.as_ref().map_or(0, |kinds| kinds.names().len());
    let wanted = if cascade.labels.is_empty() { classes.len() } else { cascade.labels.len() };
    let all = classes.len() + wanted * kinds;
    if all > MAX_CLASSES {
        let expected = format!("at most {MAX_CLASSES} classes and kinds of classes together");
        let fault = Fault::new(key, format!("{wanted} classes of {kinds} kinds, {all} together"), expected);
        check.faults.push(
            fault.remedy(format!("list fewer kinds, or the classes that have some in {section}.then.labels")),
        );
        return None;
    }
    Some(cascade)
}

/// Lets a scene count the kinds, too.
pub(super) fn add_kinds(
    check: &mut Check<'_>,
    section: &str,
    scene: &mut SceneSettings,
    (scheme, then): (&ClassScheme, &CascadeSettings),
) -> Option<()> {
    let kinds = then.kinds.as_ref()?;
    for (class, name) in scheme.names().iter().enumerate() {
        if then.labels.is_empty() || then.labels.iter().any(|label| label == name.as_str()) {
            check.keep(
                &format!("{section}.then.classes"),
                name.as_str(),
                scene.add_kinds(class, kinds.names()),
            )?;
        }
    }
    Some(())
}
