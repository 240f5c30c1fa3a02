//! A judge that panics loses the observation at hand and its own state; nothing else is affected.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::id::SignalId;
use verge_domain::reading::{Decoded, Inbound, Reading};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Checkpoint, Decoder, Judge};
use verge_domain::time::Moment;

use super::instance::Instance;
use super::{Decision, JudgeSpec, saved};
use crate::counters::{Counters, is_power_of_ten};

/// Runs one instance. If it panics, its judge starts anew, its saved state is removed (it might be the cause)
/// and this returns `None`. Its open events stay open.
pub(super) fn contained<J: Judge, T>(
    instance: &mut Instance<J>,
    spec: &JudgeSpec<J>,
    counters: &Counters,
    doing: &'static str,
    now: Moment,
    out: &mut Decision,
    work: impl FnOnce(&mut Instance<J>, &mut Decision) -> T,
) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(|| work(&mut *instance, &mut *out))) {
        Ok(done) => Some(done),
        Err(panic) => {
            start_anew(instance, spec, counters, doing, now, out, &*panic);
            None
        }
    }
}

#[cold]
fn start_anew<J: Judge>(
    instance: &mut Instance<J>,
    spec: &JudgeSpec<J>,
    counters: &Counters,
    doing: &'static str,
    now: Moment,
    out: &mut Decision,
    panic: &(dyn Any + Send),
) {
    counters.defects_total.add(1);
    let count = counters.defects_total.get();
    // Not one line per message.
    if count <= 10 || is_power_of_ten(count) {
        let subject = &instance.subject;
        let signal = subject.signal.as_ref().map_or("all", SignalId::as_str);
        tracing::error!(
            judge = %spec.name, source = %subject.source, device = %subject.device, signal, doing,
            panic = text_of(panic), count,
            "a judge failed, which is a defect of this program; it starts anew and forgets what it had learnt of this \
             subject. Please report it"
        );
    }
    let replaced = catch_unwind(AssertUnwindSafe(|| instance.judge = (spec.make)(now)));
    if replaced.is_err() {
        tracing::error!(judge = %spec.name, "a judge that failed cannot be made anew either; it is asked again as it is");
    }
    instance.forget_saved();
    out.checkpoints.push(Checkpoint { key: instance.saved_key(saved::STATE, &spec.name), state: None });
}

/// In the place of the codecs where no message is decoded.
pub struct Undecoded;

impl Decoder for Undecoded {
    type Item = Reading;

    fn decode(&mut self, _message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
    }
}

/// Decodes a message. If the codec panics, the message is lost.
pub(crate) fn decode<D: Decoder>(
    decoder: &mut D,
    message: &Inbound,
    decoded: &mut Decoded<D::Item>,
    counters: &Counters,
) {
    let done = catch_unwind(AssertUnwindSafe(|| decoder.decode(message, decoded)));
    if let Err(panic) = done {
        decoded.clear();
        decoded.rejections.push(Rejection::whole(Reason::Defect));
        counters.defects_total.add(1);
        if is_power_of_ten(counters.defects_total.get()) {
            let source = counters.source(message.source).map_or("", |source| source.name.as_str());
            tracing::error!(
                source, topic = %message.topic.escape_debug(), panic = text_of(&*panic),
                "a codec failed on a message, which is a defect of this program; please report it"
            );
        }
    }
}

/// The message of a panic.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
