//! What can be wrong with versions of models.

use super::Member;

impl Member {
    /// What can be wrong with a version of a model. No judge of a configuration reports it.
    pub const OF_MODELS: [Self; 5] =
        [Self::ModelFailed, Self::ModelSlow, Self::ModelUnproved, Self::ModelDisagrees, Self::ModelDamaged];
}
