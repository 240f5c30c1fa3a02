//! Where the library comes from. Whatever depends on the environment runs in a process of its own: this program
//! again, with one test.

#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use verge_engine::runtime::{self, LibraryOrigin, Search, VARIABLE};
use verge_engine::{Provider, Runtime, RuntimeError};

/// Names the folder that [`child`] is to install into.
const INSTALL_INTO: &str = "VERGE_TEST_INSTALL_INTO";
/// Names what [`child_loads_a_provider`] is to load.
const PROVIDER: &str = "VERGE_TEST_PROVIDER";

/// This program with one test, and nothing of this environment but what is given.
fn alone(test: &str, environment: &[(&str, &Path)]) -> (Output, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
fn without_pip_the_ways_out_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (output, said) = alone("child", &[("PATH", folder.path()), (INSTALL_INTO, folder.path())]);
    assert!(output.status.success(), "{said}");
    for part in ["neither `python3 -m pip` nor `uv`", ".whl", "--from", "engine.library", VARIABLE] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[test]
fn what_pip_says_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("python3");
    std::fs::write(
        &program,
        "#!/bin/sh\ncase \"$*\" in *--version) exit 0;; esac\necho 'no way to the index' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (output, said) = alone("child", &[("PATH", folder.path()), (INSTALL_INTO, folder.path())]);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("python3 -m pip download onnxruntime==") && said.contains("no way to the index"),
        "{said}"
    );
}

/// Installs and prints the error; only for the tests above.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(INSTALL_INTO) {
        let error = runtime::install(Path::new(&folder), Provider::Cpu, &LibraryOrigin::Index, &mut |_| ())
            .unwrap_err();
        println!("{error}");
    }
}

#[test]
fn the_variable_names_the_library() {
    let library = support::runtime().path().to_owned();
    let check = |path: &Path, expected: &str| {
        let (output, said) = alone("child_loads", &[(VARIABLE, path)]);
        assert!(output.status.success() && said.contains(expected), "{expected:?} is not in: {said}");
    };
    check(&library, "loaded, named by ORT_DYLIB_PATH");
    // What is named and not there is not passed over.
    check(Path::new("/nowhere/libonnxruntime.so"), "No such file");
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "no library").unwrap();
    check(&text, "named by ORT_DYLIB_PATH");
    if let Some(old) = pretended(folder.path(), "1.19.2") {
        check(&old, "1.19.2");
        check(&old, "1.20 or later");
    }
}

/// Loads what the environment names and prints what came of it; only for the test above.
#[test]
fn child_loads() {
    if std::env::var_os(VARIABLE).is_some() {
        match Runtime::load(&Search::default()) {
            Ok(runtime) => println!("loaded, {}", runtime.found().as_str()),
            Err(error) => println!("{error}"),
        }
    }
}

/// What `engine.provider` asks for runs models, or nothing does.
#[test]
fn a_provider_that_cannot_be_had_is_no_processor() {
    let library = support::runtime().path().to_owned();
    for provider in [Provider::Cuda, Provider::TensorRt, Provider::OpenVino] {
        let word = Path::new(provider.as_str());
        let (output, said) = alone("child_loads_a_provider", &[(VARIABLE, &library), (PROVIDER, word)]);
        assert!(output.status.success(), "{said}");
        let install = format!("verge runtime install --provider {}", provider.as_str());
        for part in ["was built without", provider.name(), &install, "engine.provider = \"cpu\""] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
}

/// Loads the library with the provider that the environment names and prints what came of it; only for the test above.
#[test]
fn child_loads_a_provider() {
    let Some(word) = std::env::var(PROVIDER).ok() else { return };
    let provider = Provider::of_word(&word).unwrap();
    match Runtime::load(&Search { provider, ..Search::default() }) {
        Ok(runtime) => println!("loaded, {}", runtime.provider().name()),
        Err(error) => println!("{error}"),
    }
}

/// A library that says it is of this version and has no functions.
fn pretended(folder: &Path, version: &str) -> Option<PathBuf> {
    let (source, library) = (folder.join("old.c"), folder.join("old.so"));
    let code = format!(
        "static const void *api(unsigned v) {{ return 0; }}\n\
         static const char *version(void) {{ return \"{version}\"; }}\n\
         struct base {{ const void *(*api)(unsigned); const char *(*version)(void); }};\n\
         static const struct base it = {{ api, version }};\n\
         const struct base *OrtGetApiBase(void) {{ return &it; }}\n"
    );
    std::fs::write(&source, code).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler makes an old library");
        return None;
    }
    Some(library)
}

#[test]
fn a_failed_load_does_not_stand_in_the_way_of_the_next() {
    let at = |path: &str| Search { configured: Some(PathBuf::from(path)), ..Search::default() };
    // Another test of this program may have loaded the library before.
    let missing = Runtime::load(&at("/nowhere/lib.so")).unwrap_err();
    assert!(
        matches!(missing, RuntimeError::NotLoaded { .. } | RuntimeError::AlreadyLoaded { .. }),
        "{missing}"
    );
    let loaded = support::runtime();
    assert!(!loaded.build_info().is_empty());
    let again = support::runtime();
    assert_eq!(loaded.path(), again.path());
    let second = Runtime::load(&at("/nowhere/lib.so")).unwrap_err();
    assert!(matches!(second, RuntimeError::AlreadyLoaded { .. }), "{second}");
}
