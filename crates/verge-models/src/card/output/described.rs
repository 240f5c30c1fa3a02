//! An output's decoder with every parameter, as a card writes it.

use std::fmt::Display;

use super::{Background, BoxForm, BoxUnits, OutputCard, OutputForm, OutputRole, RowColumn};

impl OutputCard {
    /// The decoder with every parameter and, where the card names a preset, that name in front.
    #[must_use]
    pub fn described(&self) -> String {
        let mut keys = DescribedKeys(Vec::new());
        keys.form(&self.form);
        if let Some(names) = &self.names {
            keys.list("names", names.iter().map(String::as_str));
        }
        match self.background {
            Some(Background::Class(class)) => keys.value("background", class),
            Some(Background::Last) => keys.text("background", "last"),
            None => {}
        }
        if self.label_offset > 0 {
            keys.value("label_offset", self.label_offset);
        }
        if let Some(nms) = self.nms {
            keys.value("nms", format!("{{ iou = {}, per_class = {} }}", nms.iou, nms.per_class));
        }
        let keys = keys.0.join(", ");
        let (preset, decoder) = (self.preset, self.decoder.as_str());
        let named =
            preset.map_or_else(|| decoder.to_owned(), |preset| format!("{preset}, which is {decoder}"));
        if keys.is_empty() { named } else { format!("{named} ({keys})") }
    }
}

/// DescribedKeys and their values.
struct DescribedKeys(Vec<String>);

impl DescribedKeys {
    fn value(&mut self, key: &str, value: impl Display) {
        self.0.push(format!("{key} = {value}"));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.value(key, format_args!("{text:?}"));
    }

    fn list<'a>(&mut self, key: &str, texts: impl Iterator<Item = &'a str>) {
        let texts: Vec<String> = texts.map(|text| format!("{text:?}")).collect();
        self.value(key, format_args!("[{}]", texts.join(", ")));
    }

    fn boxes(&mut self, form: BoxForm, units: BoxUnits) {
        self.text("box", form.as_str());
        self.text("units", units.as_str());
    }

    fn form(&mut self, form: &OutputForm) {
        match form {
            OutputForm::Classes { .. } | OutputForm::Image | OutputForm::Fastestdet => {}
            OutputForm::Anomaly(form) => {
                let mut roles = [(form.score, OutputRole::Score), (form.map, OutputRole::Map)];
                roles.sort_by_key(|(position, _)| *position);
                let stated = roles.into_iter().filter(|(position, _)| position.is_some());
                self.list("outputs", stated.map(|(_, role)| role.as_str()));
            }
            OutputForm::Heads { strides } => self.value("strides", format_args!("{strides:?}")),
            OutputForm::Grid(grid) => {
                self.text("axis", grid.axis.as_str());
                self.value("objectness", grid.objectness);
                self.boxes(grid.boxes, grid.units);
                if grid.extra > 0 {
                    self.value("extra", grid.extra);
                    self.value("angle", grid.angle);
                }
                self.text("activation", grid.activation.as_str());
                if let Some(strides) = &grid.strides {
                    self.value("strides", format_args!("{strides:?}"));
                }
            }
            OutputForm::Rows(rows) => {
                let more = rows.more.then_some(RowColumn::More);
                self.list("columns", rows.columns.iter().chain(&more).map(|column| column.as_str()));
                self.text("units", rows.units.as_str());
            }
            OutputForm::Anchors(anchors) => {
                self.text("formula", anchors.formula.as_str());
                self.value("strides", format_args!("{:?}", anchors.strides));
                self.value("anchors", format_args!("{:?}", anchors.anchors));
                self.value("centre_scale", format_args!("{:?}", anchors.centre_scale));
            }
            OutputForm::Tuple(tuple) => {
                if let Some(outputs) = &tuple.outputs {
                    self.list("outputs", outputs.iter().map(|role| role.as_str()));
                }
                self.boxes(tuple.boxes, tuple.units);
                self.text("activation", tuple.activation.as_str());
            }
            OutputForm::Heatmap { activation } => self.text("activation", activation.as_str()),
            OutputForm::Nanodet(nanodet) => {
                self.value("strides", format_args!("{:?}", nanodet.strides));
                self.value("reg_max", nanodet.bins - 1);
                self.value("centre", nanodet.centre);
                self.text("activation", nanodet.activation.as_str());
            }
        }
    }
}
