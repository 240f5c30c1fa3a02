//! Sums over pictures from which a head is solved. Those of several places add up, so that a head is trained on the pictures of all
//! without one of them leaving its place: the weights are those of all pictures in one place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Head;
use super::matrix::{Matrix, add_times, count};
use super::ridge::inverse;
use super::standard::Standard;

/// The form of the file.
const FORMAT: u32 = 2;
/// Features of a row at most: the sums hold the square of that.
const WIDEST: usize = 8_192;

/// Sums over pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// SHA-256 of the weights whose layers made the features.
    pub source: String,
    /// The layers.
    pub taps: Vec<String>,
    /// Names of the classes, in order.
    pub classes: Vec<String>,
    /// Rows of each class.
    pub rows: Vec<f64>,
    /// Pictures, and those that cross-validation had right.
    pub pictures: (u64, u64),
    /// λ in parts of the mean square of a row, and the logarithm of the temperature, each times the rows.
    weighted: (f64, f64),
    features: Vec<f64>,
    /// Of each row with itself.
    squares: Matrix,
    /// Of each row with its class.
    products: Matrix,
}

/// Why sums are not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// Not such a file.
    #[error("no file of sums that this version of Verge reads: {0}")]
    Form(String),
    /// Of other features.
    #[error(
        "its {what} is {found}, that of the first is {expected}: sums of the same model and layers add up"
    )]
    Other {
        /// What differs.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSums {
    format: u32,
    source_sha256: String,
    tap: Vec<String>,
    classes: Vec<String>,
    rows: Vec<f64>,
    pictures: (u64, u64),
    weighted: (f64, f64),
    features: String,
    squares: String,
    products: String,
}

impl Sums {
    /// Of rows of features, and of the head that was trained with them; `right`: how many of the pictures cross-validation had right.
    #[must_use]
    pub fn of(
        (source, taps): (&str, &[String]),
        features: &Matrix,
        (labels, classes): (&[usize], &[String]),
        head: &Head,
        pictures: (u64, u64),
    ) -> Self {
        let targets = Matrix::one_hot(classes.len(), labels);
        let turned = features.transposed();
        let rows = count(features.rows());
        Self {
            source: source.to_owned(),
            taps: taps.to_vec(),
            classes: classes.to_vec(),
            rows: (0..classes.len())
                .map(|class| count(labels.iter().filter(|own| **own == class).count()))
                .collect(),
            pictures,
            weighted: (head.lambda * rows, head.temperature.ln() * rows),
            features: features.means().iter().map(|mean| mean * rows).collect(),
            squares: turned.gram(),
            products: turned.times(&targets),
        }
    }

    /// Adds those of another place; a class that one of them lacks has no pictures there.
    ///
    /// # Errors
    /// They are of other features.
    pub fn add(&mut self, other: &Self) -> Result<(), SumsError> {
        let differ = |what, expected: &dyn ToString, found: &dyn ToString| {
            Err(SumsError::Other { what, expected: expected.to_string(), found: found.to_string() })
        };
        if self.source != other.source {
            return differ("model", &self.source, &other.source);
        }
        if self.taps != other.taps {
            return differ("tap", &self.taps.join(", "), &other.taps.join(", "));
        }
        if self.features.len() != other.features.len() {
            return differ("number of features", &self.features.len(), &other.features.len());
        }
        let mut classes: Vec<String> = self.classes.iter().chain(&other.classes).cloned().collect();
        classes.sort();
        classes.dedup();
        let (own, others) = (self.over(&classes), other.over(&classes));
        self.products = own.1;
        self.rows = own.0;
        add_times(&mut self.rows, 1.0, &others.0);
        for row in 0..self.features.len() {
            add_times(self.products.row_mut(row), 1.0, others.1.row(row));
            add_times(self.squares.row_mut(row), 1.0, other.squares.row(row));
        }
        add_times(&mut self.features, 1.0, &other.features);
        self.classes = classes;
        self.pictures = (
            self.pictures.0.saturating_add(other.pictures.0),
            self.pictures.1.saturating_add(other.pictures.1),
        );
        self.weighted = (self.weighted.0 + other.weighted.0, self.weighted.1 + other.weighted.1);
        Ok(())
    }

    /// Rows and products for these classes, which hold all of its own.
    fn over(&self, classes: &[String]) -> (Vec<f64>, Matrix) {
        let (mut rows, mut products) =
            (vec![0.0; classes.len()], Matrix::zeros(self.features.len(), classes.len()));
        for (own, class) in self.classes.iter().enumerate() {
            let Some(to) = classes.iter().position(|known| known == class) else { continue };
            rows[to] = self.rows[own];
            (0..products.rows()).for_each(|row| products.row_mut(row)[to] = self.products.row(row)[own]);
        }
        (rows, products)
    }

    /// The head of all pictures; λ and temperature are the means of those that each place found. Nothing is unknown to it: that takes
    /// the pictures. `None` where the numbers allow no solution.
    #[must_use]
    pub fn solve(&self) -> Option<Head> {
        let rows: f64 = self.rows.iter().sum();
        let means: Vec<f64> = self.features.iter().map(|sum| sum / rows).collect();
        let variances =
            means.iter().enumerate().map(|(place, mean)| self.squares.row(place)[place] / rows - mean * mean);
        let standard = Standard::of_moments(means.clone(), variances);
        let constant: Vec<f64> = self.rows.iter().map(|count| count / rows).collect();
        let width = means.len();
        let (mut gram, mut targets) = (Matrix::zeros(width, width), Matrix::zeros(width, self.classes.len()));
        for row in 0..width {
            let by = standard.deviations[row];
            for column in 0..width {
                let around = self.squares.row(row)[column] - rows * means[row] * means[column];
                gram.row_mut(row)[column] = around / (by * standard.deviations[column]);
            }
            for (class, share) in constant.iter().enumerate() {
                targets.row_mut(row)[class] =
                    (self.products.row(row)[class] - rows * means[row] * share) / by;
            }
        }
        let lambda = self.weighted.0 / rows;
        let scale = (0..width).map(|place| gram.row(place)[place]).sum::<f64>() / rows;
        let weights = inverse(&gram, (lambda * scale).max(f64::MIN_POSITIVE))?.times(&targets);
        let temperature = (self.weighted.1 / rows).exp();
        Some(Head { standard, weights, constant, temperature, lambda, unknown: None })
    }

    /// As text.
    ///
    /// # Panics
    /// Never: it is text and numbers.
    #[must_use]
    pub fn text(&self) -> String {
        let packed = |numbers: &[f64]| {
            STANDARD.encode(numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
        };
        let raw = RawSums {
            format: FORMAT,
            source_sha256: self.source.clone(),
            tap: self.taps.clone(),
            classes: self.classes.clone(),
            rows: self.rows.clone(),
            pictures: self.pictures,
            weighted: self.weighted,
            features: packed(&self.features),
            squares: packed(self.squares.values()),
            products: packed(self.products.values()),
        };
        serde_json::to_string(&raw).expect("text and numbers")
    }

    /// Reads the text.
    ///
    /// # Errors
    /// It is no such text.
    pub fn parse(text: &str) -> Result<Self, SumsError> {
        let form = |why: &str| SumsError::Form(why.to_owned());
        let raw: RawSums = serde_json::from_str(text).map_err(|error| form(&error.to_string()))?;
        if raw.format != FORMAT {
            return Err(form(&format!(
                "its format is {}, {FORMAT} is read: write it anew with this version",
                raw.format
            )));
        }
        let unpacked = |text: &str| -> Result<Vec<f64>, SumsError> {
            let bytes = STANDARD.decode(text).map_err(|_| form("numbers that are not in base64"))?;
            let numbers = bytes.chunks_exact(size_of::<f64>());
            if !numbers.remainder().is_empty() {
                return Err(form("a number that is cut"));
            }
            let numbers: Vec<f64> =
                numbers.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("chunks of eight"))).collect();
            if numbers.iter().all(|number| number.is_finite()) {
                Ok(numbers)
            } else {
                Err(form("NaN or an infinity"))
            }
        };
        let (features, squares, products) =
            (unpacked(&raw.features)?, unpacked(&raw.squares)?, unpacked(&raw.products)?);
        let (width, classes) = (features.len(), raw.classes.len());
        let fits = (1..=WIDEST).contains(&width)
            && classes >= 2
            && raw.classes.is_sorted_by(|one, next| one < next)
            && squares.len() == width * width
            && products.len() == width * classes
            && raw.rows.len() == classes
            && raw.rows.iter().all(|count| *count >= 0.0)
            && raw.rows.iter().sum::<f64>() >= 1.0
            && raw.weighted.0.is_finite()
            && raw.weighted.1.is_finite()
            && raw.pictures.1 <= raw.pictures.0;
        if !fits {
            return Err(form("its numbers do not fit each other"));
        }
        Ok(Self {
            source: raw.source_sha256,
            taps: raw.tap,
            classes: raw.classes,
            rows: raw.rows,
            pictures: raw.pictures,
            weighted: raw.weighted,
            squares: Matrix::of_values(width, squares),
            products: Matrix::of_values(classes, products),
            features,
        })
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::trained::{Method, Samples};
    use super::*;

    fn drawn(rows: usize, classes: &[&str], seed: u64) -> (Matrix, Samples, Vec<String>) {
        let mut random = Rng::with_seed(seed);
        let labels: Vec<usize> = (0..rows).map(|row| row % classes.len()).collect();
        let values: Vec<Vec<f32>> = labels
            .iter()
            .map(|label| {
                let own = classes[*label].len();
                (0..40).map(|place| f32::from(u8::from(place % 5 == own)) + random.f32()).collect()
            })
            .collect();
        let pictures = (0..rows).map(|row| vec![row]).collect();
        let samples = Samples { classes: classes.len(), labels, groups: (0..rows).collect(), pictures };
        let names = classes.iter().map(|class| (*class).to_owned()).collect();
        (Matrix::of_rows(40, values.iter().map(|row| &row[..])), samples, names)
    }

    fn sums(features: &Matrix, samples: &Samples, classes: &[String], head: &Head) -> Sums {
        let taps = ["t".to_owned()];
        Sums::of(
            ("ab", &taps),
            features,
            (&samples.labels, classes),
            head,
            (samples.pictures.len() as u64, 1),
        )
    }

    #[test]
    fn sums_of_two_places_give_the_weights_of_all_pictures_in_one() {
        let (features, samples, classes) = drawn(90, &["a", "bb", "ccc"], 1);
        let pooled = Head::train(&features, &samples, Method::Ridge, false).unwrap();
        let part = |rows: Vec<usize>| {
            let labels: Vec<usize> = rows.iter().map(|row| samples.labels[*row]).collect();
            let part = Samples { labels, pictures: vec![Vec::new(); rows.len()], ..samples.clone() };
            sums(&features.chosen(&rows), &part, &classes, &pooled)
        };
        let mut both = part((0..30).collect());
        both.add(&part((30..90).collect())).unwrap();
        let both = Sums::parse(&both.text()).unwrap();
        let found = both.solve().unwrap();
        let pairs = found.weights.values().iter().zip(pooled.weights.values());
        assert!(pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) < 1e-5);
        assert!(found.constant.iter().zip(&pooled.constant).all(|(x, y)| (x - y).abs() < 1e-9));
        assert!((found.temperature / pooled.temperature - 1.0).abs() < 1e-9);
        assert_eq!(both.pictures, (90, 2));
    }

    #[test]
    fn a_place_may_lack_a_class() {
        let (features, samples, classes) = drawn(60, &["a", "bb"], 2);
        let head = Head::train(&features, &samples, Method::Ridge, false).unwrap();
        let mut all = sums(&features, &samples, &classes, &head);
        let (features, samples, classes) = drawn(60, &["a", "ccc"], 3);
        let head = Head::train(&features, &samples, Method::Ridge, false).unwrap();
        all.add(&sums(&features, &samples, &classes, &head)).unwrap();
        assert_eq!(all.classes, ["a", "bb", "ccc"]);
        assert_eq!(all.rows, [60.0, 30.0, 30.0]);
        let answers = all.solve().unwrap().answer(&features);
        let right = answers
            .iter()
            .zip(&samples.labels)
            .filter(|((said, _), label)| super::super::matrix::greatest(said) == [0, 2][**label]);
        assert!(right.count() >= 55);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let (features, samples, classes) = drawn(20, &["a", "bb"], 2);
        let head = Head::train(&features, &samples, Method::Ridge, false).unwrap();
        let good = sums(&features, &samples, &classes, &head);
        let refused = |other: Sums| good.clone().add(&other).unwrap_err().to_string();
        assert!(refused(Sums { source: "cd".to_owned(), ..good.clone() }).contains("its model is cd"));
        assert!(refused(Sums { taps: vec!["u".to_owned()], ..good.clone() }).contains("its tap is u"));
        let text = good.text();
        for (from, to) in [
            ("\"format\":2", "\"format\":1"),
            ("\"classes\":[\"a\"", "\"classes\":[\"c\""),
            ("\"features\":\"", "\"features\":\"AAAA"),
            ("\"rows\":[10.0", "\"rows\":[-10.0"),
            ("{", "["),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Sums::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
