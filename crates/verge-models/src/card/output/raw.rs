//! The text of `[output]`, key by key, and what it resolves to.

use serde::Deserialize;

use super::super::{Quantisation, Wrong, presets};
use super::{
    Activation, AnchorForm, AnchorFormula, AnomalyForm, Background, BoxForm, BoxUnits, GridForm, NanodetForm,
    Nms, NumbersAxis, OutputCard, OutputDecoder, OutputForm, OutputRole, RowColumn, RowsForm, TupleForm,
};

/// Bins of a distribution of NanoDet, less one, where the card states none.
const NANODET_REG_MAX: usize = 7;
/// Levels of anchors or strides at most.
const MAX_LEVELS: usize = 5;

/// The text of `[output]`, key by key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOutput {
    decoder: String,
    names: Option<Vec<String>>,
    outputs: Option<Vec<OutputRole>>,
    columns: Option<Vec<RowColumn>>,
    axis: Option<NumbersAxis>,
    objectness: Option<bool>,
    #[serde(rename = "box", alias = "corners")]
    boxes: Option<BoxForm>,
    units: Option<BoxUnits>,
    activation: Option<Activation>,
    extra: Option<usize>,
    angle: Option<bool>,
    strides: Option<Vec<u32>>,
    anchors: Option<Vec<Vec<[f32; 2]>>>,
    formula: Option<AnchorFormula>,
    centre_scale: Option<Vec<f32>>,
    reg_max: Option<usize>,
    centre: Option<f32>,
    quantisation: Option<Quantisation>,
    background: Option<Background>,
    label_offset: Option<usize>,
    score: Option<f32>,
    nms: Option<Nms>,
}

impl RawOutput {
    /// What a card says, completed by the preset that it names.
    pub(crate) fn resolved(self) -> Result<OutputCard, Wrong> {
        let known = |name: &str| OutputDecoder::ALL.iter().find(|one| one.as_str() == name).copied();
        if let Some(decoder) = known(&self.decoder) {
            return self.of(decoder, None);
        }
        let Some((name, text)) = presets::find(&self.decoder) else {
            return Err(("output.decoder", presets::EXPECTED));
        };
        let preset: Self = toml::from_str(text).expect("a test reads every preset");
        let decoder = known(&preset.decoder).expect("a test reads every preset");
        macro_rules! completed {
            ($($key:ident)*) => { Self { decoder: preset.decoder, $($key: self.$key.or(preset.$key),)* } };
        }
        let whole = completed!(names outputs columns axis objectness boxes units activation extra angle strides anchors
            formula centre_scale reg_max centre quantisation background label_offset score nms);
        whole.of(decoder, Some(name))
    }

    fn of(self, decoder: OutputDecoder, preset: Option<&'static str>) -> Result<OutputCard, Wrong> {
        self.only_keys_of(decoder)?;
        let form = self.form(decoder)?;
        Ok(OutputCard {
            decoder,
            preset,
            form,
            names: self.names,
            quantisation: self.quantisation,
            background: self.background,
            label_offset: self.label_offset.unwrap_or_default(),
            score: self.score,
            nms: self.nms,
        })
    }

    /// Refuses parameters of other decoders: they would be passed over in silence.
    fn only_keys_of(&self, decoder: OutputDecoder) -> Result<(), Wrong> {
        use OutputDecoder::{
            Anchors, Anomaly, Fastestdet, Grid, Heatmap, Nanodet, Query, Rows, Ssd, Tuple, Yolox,
            YoloxDecoded,
        };
        let scored = &[Grid, Tuple, Query, Heatmap, Nanodet][..];
        let rows: [(bool, &str, &[OutputDecoder], &str); 15] = [
            (
                self.outputs.is_some(),
                "output.outputs",
                &[Tuple, Query, Anomaly],
                "nothing without decoder = \"tuple\", \"query\" or \"anomaly\"",
            ),
            (self.columns.is_some(), "output.columns", &[Rows], "nothing without decoder = \"rows\""),
            (self.axis.is_some(), "output.axis", &[Grid], "nothing without decoder = \"grid\""),
            (self.objectness.is_some(), "output.objectness", &[Grid], "nothing without decoder = \"grid\""),
            (
                self.boxes.is_some(),
                "output.box, output.corners",
                &[Grid, Tuple, Query, Ssd],
                "\"xyxy\" or \"yxyx\" with decoder = \"ssd\", these or \"cxcywh\" with \"grid\", \"tuple\" or \"query\", else \
                 nothing",
            ),
            (
                self.units.is_some(),
                "output.units",
                &[Grid, Rows, Tuple, Query],
                "nothing without decoder = \"rows\", \"grid\", \"tuple\" or \"query\"",
            ),
            (
                self.activation.is_some(),
                "output.activation",
                scored,
                "nothing without decoder = \"grid\", \"tuple\", \"query\", \"heatmap\" or \"nanodet\"",
            ),
            (self.extra.is_some(), "output.extra", &[Grid], "nothing without decoder = \"grid\""),
            (self.angle.is_some(), "output.angle", &[Grid], "nothing without decoder = \"grid\""),
            (
                self.strides.is_some(),
                "output.strides",
                &[Yolox, YoloxDecoded, Grid, Anchors, Nanodet],
                "such as [8, 16, 32] with decoder = \"yolox\", \"yolox_decoded\", \"grid\", \"anchors\" or \"nanodet\", else \
                 nothing",
            ),
            (self.anchors.is_some(), "output.anchors", &[Anchors], "nothing without decoder = \"anchors\""),
            (self.formula.is_some(), "output.formula", &[Anchors], "nothing without decoder = \"anchors\""),
            (
                self.centre_scale.is_some(),
                "output.centre_scale",
                &[Anchors],
                "nothing without decoder = \"anchors\"",
            ),
            (self.reg_max.is_some(), "output.reg_max", &[Nanodet], "nothing without decoder = \"nanodet\""),
            (self.centre.is_some(), "output.centre", &[Nanodet], "nothing without decoder = \"nanodet\""),
        ];
        debug_assert!(!rows.iter().any(|row| row.2.contains(&Fastestdet)), "it has no parameters");
        let wrong = rows.into_iter().find(|(stands, _, of, _)| *stands && !of.contains(&decoder));
        wrong.map_or(Ok(()), |(_, key, _, expected)| Err((key, expected)))
    }

    fn form(&self, decoder: OutputDecoder) -> Result<OutputForm, Wrong> {
        let strides = || {
            let found = self.strides.clone().unwrap_or_default();
            let fits = (1..=MAX_LEVELS).contains(&found.len()) && !found.contains(&0);
            fits.then_some(found).ok_or((
                "output.strides",
                "such as [8, 16, 32] with decoder = \"yolox\" or \"yolox_decoded\", one for each level",
            ))
        };
        let activation = self.activation.unwrap_or(Activation::None);
        Ok(match decoder {
            OutputDecoder::Probabilities => OutputForm::Classes { softmax: false },
            OutputDecoder::Logits => OutputForm::Classes { softmax: true },
            OutputDecoder::Reconstruction => OutputForm::Image,
            OutputDecoder::Anomaly => OutputForm::Anomaly(self.anomaly()?),
            OutputDecoder::Fastestdet => OutputForm::Fastestdet,
            OutputDecoder::Yolox => OutputForm::Heads { strides: strides()? },
            OutputDecoder::YoloxDecoded => OutputForm::Grid(GridForm {
                axis: NumbersAxis::Last,
                objectness: true,
                boxes: BoxForm::Cxcywh,
                units: BoxUnits::Pixels,
                extra: 0,
                angle: false,
                activation,
                strides: self.strides.is_some().then(strides).transpose()?,
            }),
            OutputDecoder::Grid => OutputForm::Grid(self.grid(strides)?),
            OutputDecoder::Rows => OutputForm::Rows(self.rows()?),
            OutputDecoder::Anchors => OutputForm::Anchors(self.anchors(strides()?)?),
            OutputDecoder::Ssd => {
                let corners = self.boxes.filter(|corners| *corners != BoxForm::Cxcywh);
                let expected = "\"xyxy\" or \"yxyx\" with decoder = \"ssd\"";
                let boxes = corners.ok_or(("output.box, output.corners", expected))?;
                OutputForm::Tuple(TupleForm { outputs: None, boxes, units: BoxUnits::Share, activation })
            }
            OutputDecoder::Tuple | OutputDecoder::Query => OutputForm::Tuple(self.tuple(decoder)?),
            OutputDecoder::Heatmap if activation == Activation::Softmax => {
                return Err(("output.activation", "\"none\" or \"sigmoid\" with decoder = \"heatmap\""));
            }
            OutputDecoder::Heatmap => OutputForm::Heatmap { activation },
            OutputDecoder::Nanodet => {
                let reg_max = self.reg_max.unwrap_or(NANODET_REG_MAX);
                let centre = self.centre.unwrap_or(0.5);
                if !(1..=64).contains(&reg_max) {
                    return Err(("output.reg_max", "a whole number from 1 to 64"));
                }
                if !(0.0..=1.0).contains(&centre) {
                    return Err(("output.centre", "0.5, or 0 of NanoDet-Plus"));
                }
                if activation == Activation::Softmax {
                    return Err(("output.activation", "\"none\" or \"sigmoid\" with decoder = \"nanodet\""));
                }
                OutputForm::Nanodet(NanodetForm {
                    strides: strides()?,
                    bins: reg_max + 1,
                    centre,
                    activation,
                })
            }
        })
    }

    fn grid(&self, strides: impl Fn() -> Result<Vec<u32>, Wrong>) -> Result<GridForm, Wrong> {
        let needs = |key| (key, "a value with decoder = \"grid\"; see docs/models.md");
        let (extra, angle) = (self.extra.unwrap_or_default(), self.angle.unwrap_or_default());
        let boxes = self.boxes.ok_or(needs("output.box"))?;
        if angle && (extra == 0 || boxes != BoxForm::Cxcywh) {
            return Err(("output.angle", "extra = 1 or more and box = \"cxcywh\" with angle = true"));
        }
        if self.activation == Some(Activation::Softmax) {
            return Err(("output.activation", "\"none\" or \"sigmoid\" with decoder = \"grid\""));
        }
        if extra > 4096 {
            return Err(("output.extra", "a whole number from 0 to 4096"));
        }
        Ok(GridForm {
            axis: self.axis.ok_or(needs("output.axis"))?,
            objectness: self.objectness.ok_or(needs("output.objectness"))?,
            boxes,
            units: self.units.ok_or(needs("output.units"))?,
            extra,
            angle,
            activation: self.activation.unwrap_or(Activation::None),
            strides: self.strides.is_some().then(strides).transpose()?,
        })
    }

    fn rows(&self) -> Result<RowsForm, Wrong> {
        use RowColumn::{Angle, Batch, Class, Cx, Cy, H, More, Score, Unread, W, X0, X1, Y0, Y1};
        const EXPECTED: Wrong = (
            "output.columns",
            "a list with \"score\" and either \"x0\", \"y0\", \"x1\", \"y1\" or \"cx\", \"cy\", \"w\", \"h\", each once; \
             beside them \"class\", \"batch\", \"angle\" (with \"cx\"), \"-\" for a number that is not read, and \"...\" at \
             the end for more of these",
        );
        let mut columns = self.columns.clone().ok_or(EXPECTED)?;
        let more = columns.last() == Some(&More);
        columns.truncate(columns.len() - usize::from(more));
        let count = |column: RowColumn| columns.iter().filter(|one| **one == column).count();
        let all = |of: [RowColumn; 4], times: usize| of.into_iter().all(|column| count(column) == times);
        let (corners, centred) = ([X0, Y0, X1, Y1], [Cx, Cy, W, H]);
        let is_box =
            all(corners, 1) && all(centred, 0) && count(Angle) == 0 || all(centred, 1) && all(corners, 0);
        let is_once = [Class, Batch, Angle].into_iter().all(|column| count(column) <= 1);
        if !is_box || !is_once || count(Score) != 1 || count(More) > 0 || count(Unread) > 4096 {
            return Err(EXPECTED);
        }
        let units = self.units.ok_or(("output.units", "\"pixels\" or \"share\" with decoder = \"rows\""))?;
        Ok(RowsForm { columns, more, units })
    }

    fn anchors(&self, strides: Vec<u32>) -> Result<AnchorForm, Wrong> {
        let anchors = self.anchors.clone().unwrap_or_default();
        let is_side = |side: &f32| side.is_finite() && *side > 0.0;
        let fits = anchors.len() == strides.len()
            && anchors
                .iter()
                .all(|level| (1..=16).contains(&level.len()) && level.as_flattened().iter().all(is_side));
        if !fits {
            return Err((
                "output.anchors",
                "for each of output.strides a list of [width, height] in pixels, such as [[[10, 13], [16, 30], [33, 23]], …]",
            ));
        }
        let formula =
            self.formula.ok_or(("output.formula", "\"yolov3\" or \"yolov5\" with decoder = \"anchors\""))?;
        let usual = match formula {
            AnchorFormula::Yolov3 => 1.0,
            AnchorFormula::Yolov5 => 2.0,
        };
        let centre_scale = self.centre_scale.clone().unwrap_or_else(|| vec![usual; strides.len()]);
        if centre_scale.len() != strides.len()
            || !centre_scale.iter().all(|scale| (1.0..=4.0).contains(scale))
        {
            return Err(("output.centre_scale", "a number from 1 to 4 for each of output.strides"));
        }
        Ok(AnchorForm { strides, anchors, formula, centre_scale })
    }

    fn anomaly(&self) -> Result<AnomalyForm, Wrong> {
        use OutputRole::{Map, Score};
        let roles = self.outputs.as_deref().unwrap_or_default();
        let position = |role: OutputRole| roles.iter().position(|one| *one == role);
        let form = AnomalyForm { score: position(Score), map: position(Map) };
        if roles.is_empty() || form.outputs() != roles.len() {
            return Err((
                "output.outputs",
                "what each output is, in the order of output.names, with decoder = \"anomaly\": [\"score\", \"map\"], \
                 [\"map\"] or [\"score\"]",
            ));
        }
        Ok(form)
    }

    fn tuple(&self, decoder: OutputDecoder) -> Result<TupleForm, Wrong> {
        use OutputRole::{Boxes, Classes, Count, Indices, Map, Score, Scores};
        let is_query = decoder == OutputDecoder::Query;
        if let Some(roles) = &self.outputs {
            let count = |role: OutputRole| roles.iter().filter(|one| **one == role).count();
            let is_once = [Scores, Classes, Count, Indices].into_iter().all(|role| count(role) <= 1);
            let is_scored = count(Scores) == 1 || (count(Classes) == 1 && count(Indices) == 0);
            let is_indexed = count(Indices) == 0 || (count(Scores) == 1 && count(Classes) == 0);
            let is_query_like = !is_query || roles.len() == 2 && count(Scores) == 1;
            let is_foreign = count(Score) + count(Map) > 0;
            if count(Boxes) != 1 || is_foreign || !is_once || !is_scored || !is_indexed || !is_query_like {
                return Err((
                    "output.outputs",
                    "what each output is, in the order of output.names: \"boxes\", \"scores\", \"classes\", \"count\", \
                     \"indices\", such as [\"classes\", \"boxes\", \"scores\"]; with decoder = \"query\" \"scores\" and \
                     \"boxes\" alone",
                ));
            }
        }
        let usual = |boxes, units| if is_query { (Some(boxes), Some(units)) } else { (None, None) };
        let (boxes, units) = usual(BoxForm::Cxcywh, BoxUnits::Share);
        let activation = match (is_query, self.activation) {
            (_, Some(activation)) => activation,
            (false, None) => Activation::None,
            (true, None) => {
                return Err(("output.activation", "\"sigmoid\" or \"softmax\" with decoder = \"query\""));
            }
        };
        let outputs = match &self.outputs {
            None if is_query => Some(vec![Scores, Boxes]),
            stated => stated.clone(),
        };
        Ok(TupleForm {
            outputs,
            boxes: self
                .boxes
                .or(boxes)
                .ok_or(("output.box", "\"xyxy\", \"yxyx\" or \"cxcywh\" with decoder = \"tuple\""))?,
            units: self
                .units
                .or(units)
                .ok_or(("output.units", "\"pixels\" or \"share\" with decoder = \"tuple\""))?,
            activation,
        })
    }
}
