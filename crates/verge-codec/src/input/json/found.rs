//! What one message holds where pointers lead. Nothing is kept of what no pointer leads to, and nothing is allocated
//! once the buffers have grown.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use verge_domain::excerpt::Excerpt;
use verge_domain::reading::Quality;
use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;

use super::pairs;
use super::pointer::Target;
use super::quality::{self, Bad};
use super::time::TimeNotation;
use crate::figures::Figures;
use crate::input::json_text::text;
use crate::input::{base64, buffer};
use crate::settings::QualityFormat;

/// A value that a reading's pointer leads to.
#[derive(Debug)]
pub(crate) struct Match {
    /// Which mapping.
    pub(super) mapping: usize,
    /// The number, before scale and offset.
    pub(super) value: Result<f64, Refused>,
    /// Where in `MessageMatches::stars` stands what the pointer's `*` stood for.
    pub(super) stars: Range<usize>,
}

/// Why a value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    /// Where it is shown, see [`MessageMatches::came`].
    shown: usize,
}

/// Values of one message that are shown where they are refused.
const SHOWN: usize = 8;

/// What is taken from a message beside its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beside {
    /// A text, a whole number or a flat object, for a name.
    Name,
    Time(TimeNotation),
    Quality(QualityFormat),
    /// A JPEG in base64, or as Node-RED writes bytes.
    Picture,
}

/// Something beside the values.
#[derive(Debug)]
struct Note {
    /// The element that it is of: the number of the last `*` on the way, 0 for the message.
    element: usize,
    /// The position of this element in its array.
    position: Option<usize>,
    said: Said,
}

#[derive(Debug)]
enum Said {
    /// A range of [`MessageMatches::texts`].
    Name(Range<usize>),
    Time(Result<UtcMillis, Refused>),
    Quality(Result<Quality, Bad>),
    Picture(Result<Bytes, Refused>),
}

/// Where to look beside a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BesidePlace {
    /// Which of [`MessageMatches::beside`].
    pub(super) number: usize,
    /// How many `*` it shares with the value's pointer: all that it has.
    pub(super) stars: usize,
    /// It stands in another array, at the position that the value has in its own.
    pub(super) by_position: bool,
}

/// What a `*` stands for at one place of a message.
#[derive(Debug, Clone, Copy)]
struct Star {
    /// Counted from 1 in the message: this very element.
    element: usize,
    /// From where to where in [`MessageMatches::texts`].
    start: usize,
    end: usize,
    /// The position in an array, if it is one.
    position: Option<usize>,
}

/// What one message holds. Reused from message to message.
#[derive(Debug)]
pub(crate) struct MessageMatches {
    pub(super) matches: Vec<Match>,
    /// How numbers are written, by mapping.
    figures: Vec<Figures>,
    /// What is to be taken beside the values.
    pub(super) beside: Vec<Beside>,
    /// What was, by its place in `beside` and in the order of the message, in which elements are counted.
    notes: Vec<Vec<Note>>,
    stars: Vec<Star>,
    texts: String,
    /// The `*` on the way to the place that is being read.
    path: Vec<Star>,
    elements: usize,
    limit: usize,
    received: UtcMillis,
    /// Values that are refused, to be shown.
    refused: Vec<Excerpt>,
}

impl MessageMatches {
    pub(crate) fn new(figures: Vec<Figures>, beside: Vec<Beside>) -> Self {
        Self {
            figures,
            matches: Vec::new(),
            notes: beside.iter().map(|_| Vec::new()).collect(),
            beside,
            stars: Vec::new(),
            texts: String::new(),
            path: Vec::new(),
            elements: 0,
            limit: 0,
            received: UtcMillis(0),
            refused: Vec::new(),
        }
    }

    /// A message begins: at most `limit` values are remembered, and one more, which shows that there are too many.
    pub(crate) fn begin(&mut self, limit: usize, received: UtcMillis) {
        self.matches.clear();
        self.notes.iter_mut().for_each(Vec::clear);
        self.stars.clear();
        self.texts.clear();
        self.path.clear();
        self.elements = 0;
        self.limit = limit;
        self.received = received;
        self.refused.clear();
    }

    /// What the pointer's `*` with this number stood for in a match.
    pub(super) fn star(&self, of: &Match, number: usize) -> Option<&str> {
        let star = self.stars.get(of.stars.clone())?.get(number)?;
        self.texts.get(star.start..star.end)
    }

    /// Whether the pointer's `*` with this number stood for a position.
    pub(super) fn is_position(&self, of: &Match, number: usize) -> bool {
        self.stars
            .get(of.stars.clone())
            .and_then(|stars| stars.get(number))
            .is_some_and(|star| star.position.is_some())
    }

    /// What was said beside a value, or of the message where there is none.
    fn said(&self, of: Option<&Match>, place: BesidePlace) -> Option<&Said> {
        let element = match (of, place.stars.checked_sub(1)) {
            (_, None) => 0,
            (of, Some(last)) => self.stars.get(of?.stars.clone())?.get(last)?.element,
        };
        let notes = self.notes.get(place.number)?;
        if place.by_position {
            let position = self.stars.get(of?.stars.clone())?.last()?.position?;
            let at = notes.partition_point(|note| note.position.is_none_or(|other| other < position));
            return notes.get(at).filter(|note| note.position == Some(position)).map(|note| &note.said);
        }
        // Of a name that stands there twice the last counts.
        let after = notes.partition_point(|note| note.element <= element);
        let note = notes.get(after.checked_sub(1)?)?;
        (note.element == element).then_some(&note.said)
    }

    pub(super) fn name(&self, of: Option<&Match>, place: BesidePlace) -> Option<&str> {
        match self.said(of, place)? {
            Said::Name(range) => self.texts.get(range.clone()),
            _ => None,
        }
    }

    pub(crate) fn time(&self, of: Option<&Match>, place: BesidePlace) -> Option<Result<UtcMillis, Refused>> {
        match self.said(of, place)? {
            Said::Time(time) => Some(*time),
            _ => None,
        }
    }

    pub(super) fn quality(&self, of: &Match, place: BesidePlace) -> Option<Result<Quality, Bad>> {
        match self.said(Some(of), place)? {
            Said::Quality(quality) => Some(*quality),
            _ => None,
        }
    }

    pub(crate) fn picture(&self, place: BesidePlace) -> Option<Result<Bytes, Refused>> {
        match self.said(None, place)? {
            Said::Picture(picture) => Some(picture.clone()),
            _ => None,
        }
    }

    /// A value stands where a pointer leads; `raw` is its JSON text.
    pub(super) fn take(&mut self, target: Target, raw: &str) {
        match target {
            Target::Reading(mapping) => {
                if self.matches.len() > self.limit {
                    return;
                }
                let Some(value) = self.figures.get(mapping).and_then(|figures| figures.of_json(raw)) else {
                    return;
                };
                let value = value.map_err(|reason| self.refuse(reason, raw));
                let start = self.stars.len();
                self.stars.extend_from_slice(&self.path);
                self.matches.push(Match { mapping, value, stars: start..self.stars.len() });
            }
            Target::Beside(number) => {
                let said = match self.beside.get(number) {
                    Some(Beside::Name) => self.take_name(raw).map(Said::Name),
                    Some(Beside::Time(clock)) => clock
                        .read(raw, self.received)
                        .map(|time| Said::Time(time.map_err(|reason| self.refuse(reason, raw)))),
                    Some(Beside::Quality(format)) => quality::read(raw, *format).map(Said::Quality),
                    Some(Beside::Picture) => {
                        Some(Said::Picture(picture(raw).map_err(|reason| self.refuse(reason, raw))))
                    }
                    None => None,
                };
                let (element, position) =
                    self.path.last().map_or((0, None), |star| (star.element, star.position));
                if let (Some(said), Some(notes)) = (said, self.notes.get_mut(number)) {
                    notes.push(Note { element, position, said });
                }
            }
        }
    }

    #[cold]
    fn refuse(&mut self, reason: Reason, raw: &str) -> Refused {
        if self.refused.len() < SHOWN {
            self.refused.push(Excerpt::of(raw.as_bytes()));
            return Refused { reason, shown: self.refused.len().saturating_sub(1) };
        }
        Refused { reason, shown: SHOWN }
    }

    /// A value that was refused, where it is one of the first of its message.
    pub(crate) fn came(&self, refused: Refused) -> Excerpt {
        self.refused.get(refused.shown).copied().unwrap_or(Excerpt::NONE)
    }

    fn take_name(&mut self, raw: &str) -> Option<Range<usize>> {
        let start = self.texts.len();
        if raw.starts_with('{') {
            pairs::write(raw, &mut self.texts)?;
        } else {
            let digits = raw.strip_prefix('-').unwrap_or(raw);
            let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
            let name = if whole { Cow::Borrowed(raw) } else { text(raw)? };
            self.texts.push_str(&name);
        }
        Some(start..self.texts.len())
    }

    /// How much was found so far.
    pub(super) fn mark(&self) -> (usize, usize, usize) {
        (self.matches.len(), self.stars.len(), self.path.len())
    }

    /// Forgets the values found since.
    pub(super) fn return_to(&mut self, (matches, stars, path): (usize, usize, usize)) {
        self.matches.truncate(matches);
        self.stars.truncate(stars);
        self.path.truncate(path);
    }

    pub(super) fn enter_star<N: StarName>(&mut self, name: N) {
        let start = self.texts.len();
        let position = name.position();
        name.write(&mut self.texts);
        self.elements = self.elements.saturating_add(1);
        self.path.push(Star { element: self.elements, start, end: self.texts.len(), position });
    }

    pub(super) fn leave_star(&mut self) {
        self.path.pop();
    }
}

fn picture(raw: &str) -> Result<Bytes, Reason> {
    match text(raw) {
        Some(text) => base64::decode(text.as_bytes()),
        None => buffer::bytes(raw).map(Bytes::from).ok_or(Reason::BadBase64),
    }
}

/// What a `*` stands for: the name of a member, or the position of an element.
pub(super) trait StarName {
    fn position(&self) -> Option<usize>;

    fn write(&self, out: &mut String);
}

impl StarName for &str {
    fn position(&self) -> Option<usize> {
        None
    }

    fn write(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl StarName for usize {
    fn position(&self) -> Option<usize> {
        Some(*self)
    }

    fn write(&self, out: &mut String) {
        // Writing to a string does not fail.
        let written = fmt::Write::write_fmt(out, format_args!("{self}"));
        debug_assert!(written.is_ok());
    }
}
