//! The taps of a model, and what they make of pictures.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail, ensure};
use verge_engine::{EditableModel, ModelLimits, Optimisation, RecurrentState, RunError, TensorView};
use verge_models::FrameModel;
use verge_models::head::Matrix;
use verge_models::taps::{self, LEAST_OPSET, SeenShapes, Tap};
use verge_vision::Picture;
use verge_vision::features::FeatureReader;

/// Features of a tap at most: the solve takes the third power of them.
const WIDEST: usize = 4_096;

/// Where a head may be put, and what reads features there.
pub(super) struct Taps {
    pub(super) graph: EditableModel,
    pub(super) taps: Vec<Tap>,
    /// What the head may read, by places of these.
    pub(super) choices: Vec<Vec<usize>>,
    reader: FeatureReader,
}

/// What the taps make of pictures, row by row.
pub(super) struct Features {
    rows: Vec<Vec<Vec<f32>>>,
}

impl Taps {
    /// Those of a model; `asked`: `auto`, `last` or a tensor.
    pub(super) fn of(model: &FrameModel, asked: &str) -> anyhow::Result<Self> {
        let graph = EditableModel::read(model.bytes()).context("the model")?;
        let version = graph.opset("").unwrap_or(1);
        ensure!(
            version >= LEAST_OPSET,
            "the model is of opset {version}, a head needs {LEAST_OPSET}: export it again with opset 13"
        );
        let seen = seen(model, &graph)?;
        let mut taps = taps::taps(&graph, &seen);
        taps.retain(|tap| tap.width() <= WIDEST);
        ensure!(
            !taps.is_empty(),
            "the model has no layer of f32 planes to put a head behind: operators of integers alone (QLinearConv) must become \
             Q/DQ, see docs/models.md"
        );
        match asked {
            "auto" => {}
            "last" => drop(taps.drain(..taps.len() - 1)),
            names => {
                let known: Vec<String> = taps.iter().map(|tap| tap.tensor.clone()).collect();
                // A name may have commas itself.
                let is_one = known.iter().any(|known| known == names);
                let names: Vec<&str> = if is_one { vec![names] } else { names.split(',').collect() };
                for name in &names {
                    let is_known = known.iter().any(|known| known == name);
                    ensure!(is_known, "no tap is named {name:?}; there are {}", known.join(", "));
                }
                taps.retain(|tap| names.contains(&tap.tensor.as_str()));
            }
        }
        // Those that are named are joined; else the best of all is chosen.
        let choices =
            if asked == "auto" { taps::choices(taps.len()) } else { vec![(0..taps.len()).collect()] };
        let mut with_features = graph.clone();
        let outputs = taps::add_features(&mut with_features, &taps)?;
        let runner = model.runner_of(with_features.write(), outputs, ModelLimits::default())?;
        Ok(Self { reader: FeatureReader::new(model, runner)?, graph, taps, choices })
    }

    /// The features of a picture.
    pub(super) fn read(&mut self, picture: &Picture) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(self.reader.read(picture)?)
    }
}

impl Features {
    pub(super) const fn of(rows: Vec<Vec<Vec<f32>>>) -> Self {
        Self { rows }
    }

    /// Those of these taps side by side, of these rows.
    pub(super) fn matrix(&self, taps: &[usize], rows: &[usize]) -> Matrix {
        let of = |row: &usize| taps.iter().flat_map(|tap| self.rows[*row][*tap].iter().copied()).collect();
        let rows: Vec<Vec<f32>> = rows.iter().map(of).collect();
        Matrix::of_rows(rows.first().map_or(0, Vec::len), rows.iter().map(|row| &row[..]))
    }
}

/// The shapes of the tensors that may be taps, by one run.
fn seen(model: &FrameModel, graph: &EditableModel) -> anyhow::Result<SeenShapes> {
    let asked = taps::asked(graph);
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut probe = graph.clone();
    let names: Vec<&str> = asked.iter().map(String::as_str).collect();
    probe.add_outputs(&names)?;
    let limits = ModelLimits { optimisation: Optimisation::AsWritten, ..ModelLimits::default() };
    let mut runner = model.runner_of(probe.write(), asked.clone(), limits)?;
    let run = runner.run(&mut RecurrentState::default(), None, |outputs| {
        let shape = |place: usize| {
            let (shape, view): (&[i64], TensorView<'_>) = outputs.get(place)?;
            Ok::<_, RunError>((outputs.name(place).to_owned(), (view.element(), shape.to_vec())))
        };
        (0..outputs.count()).map(shape).collect::<Result<SeenShapes, RunError>>()
    });
    match run {
        Ok(seen) => Ok(seen),
        Err(RunError::Output { name, found }) => bail!("tensor {name:?} holds {found}, which no head reads"),
        Err(error) => Err(anyhow!(error)),
    }
}
