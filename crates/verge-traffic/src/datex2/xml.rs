//! Elements and their text, escaped; one publication in its root.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use verge_domain::time::UtcMillis;

use super::settings::DatexSettings;
use crate::time::timestamp;

/// The version of the model that the schemas state.
const MODEL: &str = "3";

/// Prefixes, and the namespaces that they stand for.
const NAMESPACES: [(&str, &str); 6] = [
    ("xmlns:d2", "http://datex2.eu/schema/3/d2Payload"),
    ("xmlns:com", "http://datex2.eu/schema/3/common"),
    ("xmlns:loc", "http://datex2.eu/schema/3/locationReferencing"),
    ("xmlns:roa", "http://datex2.eu/schema/3/roadTrafficData"),
    ("xmlns:sit", "http://datex2.eu/schema/3/situation"),
    ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
];

/// A document that is being written.
pub(super) struct Xml {
    writer: Writer<Vec<u8>>,
}

impl Xml {
    /// A publication of this type, what `content` writes within it.
    pub(super) fn publication(
        kind: &str,
        settings: &DatexSettings,
        now: UtcMillis,
        content: impl FnOnce(&mut Self),
    ) -> Vec<u8> {
        let mut xml = Self { writer: Writer::new(Vec::new()) };
        xml.put(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        let own = [("xsi:type", kind), ("lang", &settings.language), ("modelBaseVersion", MODEL)];
        let attributes: Vec<(&str, &str)> = NAMESPACES.into_iter().chain(own).collect();
        xml.within("d2:payload", &attributes, |xml| {
            xml.leaf("com:publicationTime", &timestamp(now));
            xml.within("com:publicationCreator", &[], |xml| {
                xml.leaf("com:country", &settings.country);
                xml.leaf("com:nationalIdentifier", &settings.national_identifier);
            });
            content(xml);
        });
        xml.writer.into_inner()
    }

    /// An element with what `content` writes within it.
    pub(super) fn within(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        content: impl FnOnce(&mut Self),
    ) {
        let clean: Vec<(&str, String)> =
            attributes.iter().map(|(key, value)| (*key, cleaned(value))).collect();
        let start =
            BytesStart::new(name).with_attributes(clean.iter().map(|(key, value)| (*key, value.as_str())));
        self.put(Event::Start(start));
        content(self);
        self.put(Event::End(BytesEnd::new(name)));
    }

    /// An element with a text.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.within(name, &[], |xml| xml.put(Event::Text(BytesText::new(&cleaned(text)))));
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.within(name, attributes, |_| {});
    }

    /// A word that the model's list does not have, as it lets one be added.
    pub(super) fn extended(&mut self, name: &str, word: &str) {
        self.within(name, &[("_extendedValue", word)], |xml| {
            xml.put(Event::Text(BytesText::new("_extended")))
        });
    }

    /// A text for people, in one language.
    pub(super) fn words(&mut self, name: &str, language: &str, text: &str) {
        self.within(name, &[], |xml| {
            xml.within("com:values", &[], |xml| {
                xml.within("com:value", &[("lang", language)], |xml| {
                    xml.put(Event::Text(BytesText::new(&cleaned(text))));
                });
            });
        });
    }

    /// What every publication says of its content: it is real, not an exercise.
    pub(super) fn header(&mut self, name: &str) {
        self.within(name, &[], |xml| xml.leaf("com:informationStatus", "real"));
    }

    fn put(&mut self, event: Event<'_>) {
        self.writer.write_event(event).expect("a vector takes everything");
    }
}

/// XML has no place for control characters, escaped or not (XML 1.0, section 2.2).
fn cleaned(text: &str) -> String {
    let is_allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|letter| if is_allowed(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}
