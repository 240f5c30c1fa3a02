//! What keeps a camera from seeing, by what its frames say of it.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Member, ShownValue, Standing};
use verge_domain::frame::CameraLook;
use verge_domain::time::{Moment, Monotonic};

use super::lasting::{Lasting, Spans};
use super::reference::{AfterRestart, EdgeReference, RestartCheck};
use super::usual::{Usual, UsualLevels};

/// Shares of equal blocks from which a picture stands still: the rest may be a clock that is burnt in.
const EQUAL: f32 = 0.99;
/// A picture that stands still does so for this many frames, and longer than this, in seconds.
const STILL_FRAMES: u32 = 10;
const STILL_FOR: f64 = 3.0;
/// Below this mean grey level and this contrast a picture is dark.
const DARK: f32 = 12.0;
const NO_CONTRAST: f32 = 6.0;
/// With a larger share of saturated pixels a picture is bright.
const BRIGHT: f32 = 0.6;
/// Below this share of what is usual there is no detail, no contrast.
const LITTLE: f32 = 0.25;
/// Shares of the usual edges that are missing where all, and where half of a picture is covered.
const ALL_GONE: f32 = 0.7;
const HALF_GONE: f32 = 0.45;
/// With no more than this missing, the layout remains whatever shines into it.
const FEW_GONE: f32 = 0.3;
/// With this share of as many edges as are usual, a picture shows something else rather than nothing.
const AS_MANY: f32 = 0.75;
/// Correlation of the layout from which it remains.
const LAYOUT: f32 = 0.8;
/// Shift from which a camera has moved, as a share of the picture's width.
const SHIFT: f64 = 0.02;
/// Means that alternate by more than this share, and this many grey levels, flicker.
const ALTERNATES: f32 = 0.15;
const LEAST_LEVELS: f32 = 4.0;
/// As many of the last ten frames make it flicker.
const OF_TEN: u32 = 8;
/// Frames after which another size is the camera's size.
const SIZE_FRAMES: u32 = 10;
/// What was found is over after this long without it, in seconds.
const OVER: f64 = 3.0;
/// Longest time after which a camera that moved is found, in seconds: soon after that the new view is learnt.
const MOVED_WITHIN: f64 = 18.0;
/// What was covered when the usual picture was lost is another view after this long, in seconds.
const HELD: f64 = 24.0 * 3600.0;

/// What blinds a camera, and since when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blindness {
    /// What is wrong.
    pub cause: Member,
    /// When that began, by the time of receipt in seconds since 1970; it is found some seconds later.
    pub since: f64,
}

/// What is known of one camera: how it usually looks, and what is wrong with it. Some 900 bytes, and 600 on the heap.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CameraCauses {
    /// When the newest look was received: in seconds since 1970, and by the clock of this process, which never steps.
    newest: Option<f64>,
    #[serde(skip)]
    received: Option<Monotonic>,
    usual: UsualLevels,
    frozen: Lasting,
    still: u32,
    dark: Lasting,
    bright: Lasting,
    blurred: Lasting,
    /// All of the picture, and half of it.
    covered: [Lasting; 2],
    low_contrast: Lasting,
    moved: Lasting,
    flicker: Lasting,
    /// The mean before, the last step, and which of the last ten alternated, the newest lowest.
    mean: f32,
    step: f32,
    alternated: u16,
    size: (u32, u32),
    /// Frames of that size, and those of another that followed.
    sized: (u32, u32),
    /// By cause: what the last frame showed. Its height beside.
    seen: [f64; CAUSES],
    height: f64,
    /// Share of the picture that is hidden. Saved in [`CausesMore`].
    #[serde(skip)]
    hidden: f32,
    /// Seconds for which a picture is held for covered whose usual edges were lost meanwhile.
    #[serde(skip)]
    held: Option<f64>,
    /// Where edges usually are. Saved apart.
    #[serde(skip)]
    reference: EdgeReference,
    /// Until it is clear whether the camera was moved or covered while the gateway did not run.
    #[serde(skip)]
    restart: Option<RestartCheck>,
}

/// What the first version of the saved state did not know: it stands behind what that saved.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct CausesMore {
    hidden: f32,
}

/// The causes in the order of `seen`.
const CAUSES: usize = Member::OF_CAMERAS.len();

impl CameraCauses {
    /// Causes that leave nothing to be seen, or show something else: what happens then is not observed.
    pub const BLINDING: [Member; 6] =
        [Member::Dark, Member::Bright, Member::Frozen, Member::Covered, Member::Blurred, Member::Moved];

    /// Takes in what a frame says, which was received then: the time that a camera gives may stand still with its picture.
    /// `patience` multiplies how long a fault must last before it is found.
    pub fn look(&mut self, look: &CameraLook, received: Moment, patience: f64) {
        let at = received.wall.0 as f64 / 1e3;
        let step = match self.received {
            Some(before) => received.mono.since(before).as_secs_f64(),
            None => self.newest.map_or(0.0, |newest| (at - newest).max(0.0)),
        };
        (self.newest, self.received) = (Some(at), Some(received.mono));
        let times = (at, step);
        let spans = |found: f64| Spans { found: found * patience, over: OVER };
        let contrast = look.contrast();
        let is_dark = look.mean < DARK && contrast < NO_CONTRAST;
        let is_bright = look.saturated > BRIGHT;
        let is_blank = is_dark || is_bright;
        self.dark.enter(Some(is_dark), times, spans(5.0));
        self.bright.enter(Some(is_bright), times, spans(5.0));
        let flickers = self.alternates(look.mean);
        self.flicker.enter(Some(flickers), times, spans(3.0));
        self.stand_still(look, is_blank, times, patience);
        self.note_size((look.width, look.height));

        if look.hidden != self.hidden {
            (self.hidden, self.usual) = (look.hidden, UsualLevels::default());
            self.reference.forget();
        }
        let usual = self.usual.at(look.mean);
        let restart = self.after_restart(look, is_blank, step);
        // What shows nothing since a restart is not what was usual before, whatever was learnt of it since.
        let layout_remains = restart != Some(AfterRestart::Covered)
            && look.known.is_none_or(|known| known.layout >= LAYOUT || known.missing_area <= FEW_GONE);
        let share = |now: f32, usual: f32| now / usual.max(1e-4);
        let detail = usual.map(|usual| share(look.sharpness, usual.sharpness));
        let of_contrast = usual.map(|usual| share(contrast, usual.contrast));
        let is_blurred = detail.map(|detail| detail < LITTLE && layout_remains && contrast >= NO_CONTRAST);
        self.blurred.enter(is_blurred.filter(|_| !is_blank), times, spans(10.0));
        let is_hazy = of_contrast.map(|contrast| contrast < LITTLE && layout_remains);
        self.low_contrast.enter(is_hazy.filter(|_| !is_blank && !flickers), times, spans(30.0));

        let known = look.known.map(|known| known.missing.max(known.missing_area));
        let held = self.hold((look.edges, known), usual.map(|usual| usual.edges), step);
        let missing = held.map_or(known, |edges| Some((1.0 - edges).max(0.0)));
        let is_full = usual.is_some_and(|usual| look.edges >= AS_MANY * usual.edges);
        let is_other = match restart {
            Some(AfterRestart::Moved) => Some(true),
            _ => missing.map(|missing| look.shift.is_some() || (missing > ALL_GONE && is_full)),
        };
        let moved = Spans { found: (10.0 * patience).min(MOVED_WITHIN), over: OVER };
        self.moved.enter(is_other.filter(|_| !is_blank), times, moved);
        let explained =
            is_blank || is_other == Some(true) || is_blurred == Some(true) || is_hazy == Some(true);
        for (covered, (least, found)) in self.covered.iter_mut().zip([(ALL_GONE, 5.0), (HALF_GONE, 30.0)]) {
            let is_gone = match held {
                _ if restart == Some(AfterRestart::Covered) => Some(true),
                Some(edges) => Some(edges < AS_MANY),
                None => missing.map(|missing| missing > least),
            };
            covered.enter(is_gone.filter(|is_gone| !(*is_gone && explained)), times, spans(found));
        }

        let shift = look.shift.map_or(f64::from(is_other == Some(true)), |shift| {
            let down = f64::from(shift.y) * f64::from(look.height) / f64::from(look.width.max(1));
            f64::from(shift.x).hypot(down)
        });
        self.seen = [
            self.frozen.since().map_or(0.0, |since| (at - since).max(0.0)),
            f64::from(look.mean),
            f64::from(look.saturated),
            f64::from(detail.unwrap_or(1.0)),
            f64::from(missing.unwrap_or(0.0)),
            f64::from(of_contrast.unwrap_or(1.0)),
            shift,
            f64::from(self.step.abs() / look.mean.max(1.0)),
            f64::from(look.width),
        ];
        self.height = f64::from(look.height);
        let is_healthy = !is_blank
            && !explained
            && !flickers
            && missing.is_none_or(|missing| missing <= HALF_GONE)
            && self.held.is_none()
            && restart.is_none();
        if is_healthy && contrast >= NO_CONTRAST {
            let now = Usual { contrast, sharpness: look.sharpness, edges: look.edges };
            self.usual.learn(look.mean, now, step.min(2.0) as f32);
            if self.restart.is_none() && missing.is_some_and(|missing| missing <= FEW_GONE) {
                self.reference.learn(look, step.min(2.0));
            }
        }
    }

    /// How the camera stands to how it looked before a restart, as long as that is in question.
    fn after_restart(&mut self, look: &CameraLook, is_blank: bool, step: f64) -> Option<AfterRestart> {
        if !is_blank {
            let check = self.restart.take();
            self.restart = check.and_then(|check| check.look(&mut self.reference, look, step.min(2.0)));
        }
        self.restart.and_then(RestartCheck::found)
    }

    /// What blinds the camera now: it is found, and not over.
    #[must_use]
    pub fn blind(&self) -> Option<Blindness> {
        let found = Self::BLINDING.into_iter().find(|cause| self.is_found(*cause));
        found.map(|cause| Blindness { cause, since: self.since(cause) })
    }

    /// Whether a cause is found, and not over.
    #[must_use]
    pub fn is_found(&self, cause: Member) -> bool {
        match cause {
            Member::Size => self.sized.1 > 0,
            Member::Covered => self.covered.iter().any(Lasting::is_found),
            _ => self.lasting(cause).is_some_and(Lasting::is_found),
        }
    }

    /// When that began, in seconds since 1970; of a cause that is not found, the time of the newest look.
    #[must_use]
    pub fn since(&self, cause: Member) -> f64 {
        let newest = self.newest.unwrap_or_default();
        let since = match cause {
            Member::Covered => {
                self.covered.iter().filter(|one| one.is_found()).filter_map(Lasting::since).reduce(f64::min)
            }
            _ => self.lasting(cause).and_then(Lasting::since),
        };
        since.unwrap_or(newest)
    }

    const fn lasting(&self, cause: Member) -> Option<&Lasting> {
        Some(match cause {
            Member::Frozen => &self.frozen,
            Member::Dark => &self.dark,
            Member::Bright => &self.bright,
            Member::Blurred => &self.blurred,
            Member::Covered => &self.covered[0],
            Member::LowContrast => &self.low_contrast,
            Member::Moved => &self.moved,
            Member::Flicker => &self.flicker,
            _ => return None,
        })
    }

    /// How a cause stands after the newest look; `None` for what is no cause of cameras.
    pub(super) fn condition(&self, cause: Member) -> Option<Condition> {
        let place = Member::OF_CAMERAS.iter().position(|one| *one == cause)?;
        let range = |low: Option<f64>, high: Option<f64>| Expected { low, high };
        let expected = match cause {
            Member::Frozen => range(None, Some(STILL_FOR)),
            Member::Dark => range(Some(f64::from(DARK)), None),
            Member::Bright => range(None, Some(f64::from(BRIGHT))),
            Member::Blurred | Member::LowContrast => range(Some(f64::from(LITTLE)), None),
            Member::Covered => range(None, Some(f64::from(HALF_GONE))),
            Member::Moved => range(None, Some(SHIFT)),
            Member::Flicker => range(None, Some(f64::from(ALTERNATES))),
            Member::Size => range(Some(f64::from(self.size.0)), Some(f64::from(self.size.0))),
            _ => return None,
        };
        let standing = if self.is_found(cause) { Standing::Abnormal } else { Standing::Normal };
        let height = f64::from(self.size.1);
        let shown = ShownValue { value: self.height, usual: range(Some(height), Some(height)) };
        Some(Condition {
            shown: (cause == Member::Size).then_some(shown),
            ..Condition::of_rule(cause, standing, self.seen[place], expected)
        })
    }

    /// Whether the mean alternates, as of this frame.
    fn alternates(&mut self, mean: f32) -> bool {
        let step = mean - self.mean;
        let turns = step * self.step < 0.0;
        let is_large = step.abs() > (ALTERNATES * mean.max(self.mean)).max(LEAST_LEVELS);
        self.alternated = (self.alternated << 1 | u16::from(turns && is_large)) & 0x3ff;
        (self.mean, self.step) = (mean, step);
        self.alternated.count_ones() >= OF_TEN
    }

    /// Of a picture that was covered when its usual edges were lost, which then were learnt of what covers it: the share of as many
    /// edges as are usual that it shows.
    fn hold(&mut self, (edges, missing): (f32, Option<f32>), usual: Option<f32>, step: f64) -> Option<f32> {
        let is_covered = self.is_found(Member::Covered);
        let lost = (is_covered && missing.is_none()).then_some(0.0);
        // When it is uncovered, the edges of what covered it are missing.
        let lasts = is_covered || missing.is_some_and(|missing| missing > HALF_GONE);
        self.held = self.held.map(|held| held + step).or(lost).filter(|held| lasts && *held < HELD);
        let usual = usual.filter(|_| self.held.is_some())?;
        Some(edges / usual.max(1e-4))
    }

    fn stand_still(&mut self, look: &CameraLook, is_blank: bool, times: (f64, f64), patience: f64) {
        let Some(equal) = look.equal.filter(|_| !is_blank) else { return };
        let stands = equal >= EQUAL;
        self.still = if stands { self.still.saturating_add(1) } else { 0 };
        // Ten frames may come in less time.
        let found = if self.still >= STILL_FRAMES - 1 { STILL_FOR * patience } else { f64::INFINITY };
        if stands || self.frozen.is_found() {
            self.frozen.enter(Some(stands), times, Spans { found, over: 1.0 });
        } else {
            // A single frame that differs is no picture that stands still.
            self.frozen = Lasting::default();
        }
    }

    fn note_size(&mut self, size: (u32, u32)) {
        if size == self.size {
            self.sized = (self.sized.0.saturating_add(1), 0);
        } else if self.sized.0 >= SIZE_FRAMES && self.sized.1 + 1 < SIZE_FRAMES {
            self.sized.1 += 1;
        } else {
            (self.size, self.sized) = (size, (1, 0));
        }
    }

    /// What is saved behind the rest.
    pub(crate) const fn more(&self) -> CausesMore {
        CausesMore { hidden: self.hidden }
    }

    /// Where its edges usually are, which is saved behind all else.
    pub(crate) const fn reference(&self) -> &EdgeReference {
        &self.reference
    }

    /// With what was saved behind the rest; `None` is not sound.
    pub(crate) fn restored(self, more: CausesMore, reference: EdgeReference) -> Option<Self> {
        let is_sound = self.is_sound() && more.hidden.is_finite() && reference.is_sound();
        let restart = reference.is_known().then(RestartCheck::default);
        is_sound.then_some(Self { hidden: more.hidden, reference, restart, ..self })
    }

    /// As it is after a restart. For measuring.
    ///
    /// # Panics
    /// Never: it reads what it has written.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let copy = Self { received: None, held: None, restart: None, ..self.clone() };
        copy.restored(self.more(), self.reference.clone()).expect("it was sound")
    }

    /// Whether it is what looks could have made.
    fn is_sound(&self) -> bool {
        let all = [
            &self.frozen,
            &self.dark,
            &self.bright,
            &self.blurred,
            &self.low_contrast,
            &self.moved,
            &self.flicker,
        ];
        all.into_iter().chain(&self.covered).all(Lasting::is_sound)
            && self.usual.is_sound()
            && self.seen.iter().chain([&self.height]).all(|seen| seen.is_finite())
            && self.newest.is_none_or(f64::is_finite)
            && [self.mean, self.step].iter().all(|number| number.is_finite())
    }
}
