//! What a card says of an input, as text: commands that make models write the input of the old model into the card of the new.

use std::fmt::Write as _;

use super::{Colour, FedNumber, InputCard, PixelElement, Resize, SideRounding, TensorLayout};

impl InputCard {
    /// The table as it stands in a card.
    ///
    /// # Panics
    /// Never: a `String` takes everything.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = "[input]\n".to_owned();
        let mut line = |key: &str, value: String| {
            writeln!(text, "{key} = {value}").expect("a String takes everything");
        };
        if let Some(name) = &self.name {
            line("name", quoted(name));
        }
        let layout = match self.layout {
            TensorLayout::Nchw => "nchw",
            TensorLayout::Nhwc => "nhwc",
        };
        let colour = match self.colour {
            Colour::Rgb => "rgb",
            Colour::Bgr => "bgr",
            Colour::Grey => "grey",
        };
        let element = match self.element {
            PixelElement::F32 => "f32",
            PixelElement::F16 => "f16",
            PixelElement::U8 => "u8",
            PixelElement::I8 => "i8",
        };
        let resize = match self.resize {
            Resize::Stretch => "stretch",
            Resize::Letterbox => "letterbox",
            Resize::LetterboxTopleft => "letterbox-topleft",
            Resize::CentralCrop => "central-crop",
            Resize::ShorterSideCrop => "shorter-side-crop",
        };
        line("layout", quoted(layout));
        line("colour", quoted(colour));
        line("element", quoted(element));
        if let Some([width, height]) = self.size {
            line("size", format!("[{width}, {height}]"));
        }
        line("resize", quoted(resize));
        if let Some(fraction) = self.crop_fraction {
            line("crop_fraction", format!("{fraction:?}"));
        }
        if let Some(side) = self.shorter_side {
            line("shorter_side", side.to_string());
        }
        if let Some(side) = self.longest_side {
            line("longest_side", side.to_string());
        }
        if matches!(self.resize, Resize::Letterbox | Resize::LetterboxTopleft) {
            line("enlarge", self.enlarge.to_string());
            let rounding = match self.rounding {
                SideRounding::Down => "down",
                SideRounding::Nearest => "nearest",
            };
            line("rounding", quoted(rounding));
        }
        line("pad", self.pad.to_string());
        for (key, numbers) in [("mean", &self.mean), ("scale", &self.scale)] {
            if let Some(numbers) = numbers {
                let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:?}")).collect();
                line(key, format!("[{}]", numbers.join(", ")));
            }
        }
        if let Some(quantisation) = self.quantisation {
            let (scale, zero_point) = (quantisation.scale, quantisation.zero_point);
            line("quantisation", format!("{{ scale = {scale:?}, zero_point = {zero_point} }}"));
        }
        for (name, values) in &self.values {
            let value = |value: &FedNumber| match value {
                FedNumber::Width => quoted("width"),
                FedNumber::Height => quoted("height"),
                FedNumber::Number(number) => format!("{number:?}"),
            };
            let values: Vec<String> = values.iter().map(value).collect();
            line(&format!("values.{}", quoted(name)), format!("[{}]", values.join(", ")));
        }
        text
    }
}

/// A text as it stands in a card: a string of JSON is a basic string of TOML too.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Card, Meaning};

    #[test]
    fn a_table_that_is_written_is_read() {
        let check = |input: &str| {
            let card = |input: &str| {
                let text = format!(
                    "name = \"n\"\nversion = \"1\"\nfile = \"n.onnx\"\ntask = \"classify\"\nlabels = [\"a\", \"b\"]\n\
                     [input]\n{input}\n[output]\ndecoder = \"logits\"\n"
                );
                let card = Card::parse(&text, Path::new("n.toml")).unwrap();
                match card.meaning {
                    Meaning::Frames(frames) => frames.input,
                    Meaning::Windows => panic!("a card over frames"),
                }
            };
            let read = card(input);
            assert_eq!(card(read.table().trim_start_matches("[input]\n")), read, "{}", read.table());
        };
        check(
            "layout = \"nhwc\"\ncolour = \"rgb\"\nelement = \"u8\"\nresize = \"central-crop\"\ncrop_fraction = 0.875",
        );
        check(
            "name = \"x \\\"y\\\"\"\nlayout = \"nchw\"\ncolour = \"bgr\"\nelement = \"f32\"\nsize = [32, 48]\nresize = \"letterbox\"\n\
             longest_side = 30\nenlarge = false\nrounding = \"nearest\"\npad = 0\nmean = [1.5, 2.0, 3.25]\nscale = [0.017124753831663668, \
             1.0, 1e-3]\nvalues.size = [\"width\", \"height\", 1.0]",
        );
        check(
            "layout = \"nchw\"\ncolour = \"grey\"\nelement = \"i8\"\nresize = \"shorter-side-crop\"\nshorter_side = 40\nquantisation = { scale = 0.5, zero_point = -3 }",
        );
        check("layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f16\"\nresize = \"letterbox-topleft\"");
        check("layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f16\"\nresize = \"stretch\"");
    }
}
