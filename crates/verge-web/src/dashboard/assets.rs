//! Styles and scripts: in the binary, served under a name with their hash, so that browsers keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::access::short_fingerprint;
use super::problem::Problem;
use super::routes::{Allowed, Routes};

/// A file.
struct Asset {
    stem: &'static str,
    ending: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const STYLE: Asset = Asset {
    stem: "verge",
    ending: "css",
    content_type: "text/css; charset=utf-8",
    text: include_str!("../../assets/verge.css"),
};
const SCRIPT: Asset = Asset {
    stem: "verge",
    ending: "js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("../../assets/verge.js"),
};
const CAMERAS: Asset = Asset {
    stem: "cameras",
    ending: "js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("../../assets/cameras.js"),
};
const LINES: Asset = Asset {
    stem: "lines",
    ending: "js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("../../assets/lines.js"),
};
const ICON: Asset = Asset {
    stem: "verge",
    ending: "svg",
    content_type: "image/svg+xml",
    text: include_str!("../../assets/verge.svg"),
};

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| STYLE.path());
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| SCRIPT.path());
static CAMERAS_PATH: LazyLock<String> = LazyLock::new(|| CAMERAS.path());
static LINES_PATH: LazyLock<String> = LazyLock::new(|| LINES.path());
static ICON_PATH: LazyLock<String> = LazyLock::new(|| ICON.path());

impl Asset {
    fn path(&self) -> String {
        format!("/assets/{}.{}.{}", self.stem, short_fingerprint(self.text.as_bytes()), self.ending)
    }
}

/// Where the style is.
pub(crate) fn style() -> &'static str {
    &STYLE_PATH
}

/// Where the script is.
pub(crate) fn script() -> &'static str {
    &SCRIPT_PATH
}

/// Where the script of pages with cameras is.
pub(crate) fn cameras_script() -> &'static str {
    &CAMERAS_PATH
}

/// Where the script of the editor of lines is.
pub(crate) fn lines_script() -> &'static str {
    &LINES_PATH
}

/// Where the icon is.
pub(crate) fn icon() -> &'static str {
    &ICON_PATH
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/assets/{name}", Allowed::Anyone, serve)
}

async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let all = [
        (&STYLE, style()),
        (&SCRIPT, script()),
        (&CAMERAS, cameras_script()),
        (&LINES, lines_script()),
        (&ICON, icon()),
    ];
    let is_it = |(_, path): &(&Asset, &'static str)| path.strip_prefix("/assets/") == Some(name.as_str());
    let (asset, _) = all.into_iter().find(is_it).ok_or(Problem::NoPage)?;
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_styles_stay_small_and_load_nothing() {
        let scripts = [&SCRIPT, &CAMERAS, &LINES];
        let bytes: usize = scripts.iter().map(|script| script.text.len()).sum();
        assert!(bytes <= 40_000, "scripts have {bytes} bytes");
        assert!(STYLE.text.len() <= 20_000, "styles have {} bytes", STYLE.text.len());
        for asset in [&SCRIPT, &CAMERAS, &LINES, &STYLE] {
            // The name of a namespace is no place.
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{}.{} names another place", asset.stem, asset.ending);
        }
        for unsafe_call in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(scripts.iter().all(|script| !script.text.contains(unsafe_call)), "{unsafe_call}");
        }
    }
}
