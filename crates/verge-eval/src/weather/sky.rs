//! The light over the street, and what hides it.

/// What the weather and the hour are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// Light of the sky: 1 at noon, 0.02 by night.
    pub light: f32,
    /// How much of what is far the fog hides, 0 to 1.
    pub fog: f32,
    /// Streaks of rain or flakes of snow in a picture.
    pub rain: usize,
    /// Clouds that darken the street within seconds: the share of light that they take.
    pub clouds: f32,
}

impl Weather {
    /// Names of the weathers there are.
    pub const NAMES: [&'static str; 7] = ["noon", "clouds", "rain", "haze", "dusk", "night", "wet night"];

    /// One of them by its place, over a time that goes from 0 to 1: dusk falls.
    #[must_use]
    pub fn named(name: &str, time: f32) -> Self {
        let clear = Self { light: 1.0, fog: 0.0, rain: 0, clouds: 0.0 };
        match name {
            "clouds" => Self { clouds: 0.6, ..clear },
            "rain" => Self { light: 0.4, fog: 0.25, rain: 120, clouds: 0.2 },
            "haze" => Self { light: 0.7, fog: 0.4, ..clear },
            "dusk" => Self { light: 0.02_f32.powf(time.clamp(0.0, 1.0)), ..clear },
            "night" => Self { light: 0.02, ..clear },
            "wet night" => Self { light: 0.02, fog: 0.15, rain: 120, clouds: 0.0 },
            _ => clear,
        }
    }

    /// Light at a time, with the clouds.
    pub(super) fn light_at(&self, at: f64) -> f32 {
        let cloud = ((at / 7.0).sin() + (at / 23.0).sin()) as f32 / 2.0;
        self.light * (1.0 - self.clouds * cloud.max(0.0))
    }
}
