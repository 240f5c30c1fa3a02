//! For tests with the library: ONNX Runtime, installed on first use into this user's cache folder as `verge runtime
//! install` does. `verge-models` uses this file too.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![allow(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use verge_engine::runtime::{self, FoundBy, LibraryOrigin, Search};
use verge_engine::{Provider, Runtime};

/// The library, installed where it is missing. Test programs may do so at the same time: each writes beside and
/// renames.
pub fn runtime() -> Runtime {
    static ONCE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONCE.lock().unwrap();
    let folder = cache();
    let search = Search { managed: vec![folder.clone()], ..Search::default() };
    if !matches!(search.find().1, FoundBy::Environment | FoundBy::Managed) {
        runtime::install(&folder, Provider::Cpu, &LibraryOrigin::Index, &mut |step| eprintln!("{step}"))
            .unwrap();
    }
    Runtime::load(&search).unwrap()
}

/// The folder that `verge runtime install` fills.
pub fn cache() -> PathBuf {
    let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    base.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned()).join("verge").join("runtime")
}
