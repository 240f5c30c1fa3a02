//! Who may see pictures.

use super::Role;

verge_domain::words! {
    /// From which role on pictures of cameras are shown.
    #[derive(Default)]
    pub enum PictureAccess {
        /// To everybody who has a login.
        Viewer = "viewer",
        /// From operators on.
        #[default]
        Operator = "operator",
        /// To nobody.
        Off = "off",
    }
}

impl PictureAccess {
    /// The least role that sees them; `None` where none does.
    #[must_use]
    pub const fn from_role(self) -> Option<Role> {
        match self {
            Self::Viewer => Some(Role::Viewer),
            Self::Operator => Some(Role::Operator),
            Self::Off => None,
        }
    }
}
