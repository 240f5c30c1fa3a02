//! `verge runtime install`: the Python wheel of ONNX Runtime holds the library as one file. `pip` fetches it, so
//! that the user's own index, proxy and certificates apply; what comes is held against hashes compiled in.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zip::ZipArchive;

use super::managed_library;
use super::pinned::{self, Build};
use crate::digest::ContentDigest;
use crate::provider::Provider;
use crate::staged::StagedFile;

/// The library's place within the wheel.
const MEMBER: &str = "onnxruntime/capi/libonnxruntime.so.";
/// Its licence within the wheel.
const LICENCE: &str = "onnxruntime/LICENSE";
/// The licences of what is built into the library; whoever passes the library on passes them on.
const NOTICES: &str = "onnxruntime/ThirdPartyNotices.txt";
/// Where libraries lie in it.
const LIBRARIES: &str = "onnxruntime/capi/";
/// No library is larger (that of CUDA has 271 MiB); what claims to be is something else.
const MAX_LIBRARY_BYTES: u64 = 512 << 20;
/// Beside libraries that load others: which wheel they are of, written last.
const WHOLE: &str = "wheel.sha256";

/// Where the library is to come from.
#[derive(Debug, Clone)]
pub enum LibraryOrigin {
    /// `pip`, or `uv` where that is what stands there.
    Index,
    /// A wheel or a library that somebody brought.
    File(PathBuf),
}

/// What was installed.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The library.
    pub library: PathBuf,
    /// It was there already.
    pub already: bool,
    /// Text of its licence, where a wheel brought it.
    pub licence: Option<String>,
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No build for this machine.
    #[error(
        "there is no build of ONNX Runtime {version} for {name} in the table for {os} on {arch}: install it by other means \
         and name its library with engine.library or ORT_DYLIB_PATH",
        name = provider.name()
    )]
    NoBuild {
        /// What was to run models.
        provider: Provider,
        /// The version.
        version: &'static str,
        /// The operating system.
        os: &'static str,
        /// The machine.
        arch: &'static str,
    },
    /// Neither pip nor uv.
    #[error(
        "neither `python3 -m pip` nor `uv` is here to fetch the wheel. Three ways out: install one of them \
         (Debian: apt-get install python3-pip); or fetch the file {wheel} elsewhere and give it with \
         --from FILE.whl; or name a library that is already here with engine.library or ORT_DYLIB_PATH"
    )]
    NoFetcher {
        /// Name of the wheel.
        wheel: String,
    },
    /// It could not fetch the wheel.
    #[error("{command} failed:\n{output}")]
    Fetch {
        /// The command.
        command: String,
        /// What it said last.
        output: String,
    },
    /// Another file than the pinned one.
    #[error("{what}: its SHA-256 is {actual}, expected {expected} (ONNX Runtime {version} for {arch})")]
    Hash {
        /// The version.
        version: &'static str,
        /// Which file.
        what: String,
        /// The pinned digits.
        expected: &'static str,
        /// The digits found.
        actual: String,
        /// The machine.
        arch: &'static str,
    },
    /// Not a wheel with the library in it.
    #[error("{path}: not a wheel of ONNX Runtime {version}: {reason}", path = path.display())]
    Wheel {
        /// The version.
        version: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// One library where several belong together.
    #[error("{path}: {name} has libraries of its own beside that of ONNX Runtime; give the wheel {wheel} instead",
        path = path.display(), name = provider.name())]
    OneOfSeveral {
        /// The file.
        path: PathBuf,
        /// What is to run models.
        provider: Provider,
        /// Name of the wheel.
        wheel: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Installs the pinned version with this provider into `folder`; `report` is given each step in words.
///
/// # Errors
/// See [`InstallError`].
pub fn install(
    folder: &Path,
    provider: Provider,
    origin: &LibraryOrigin,
    report: &mut dyn FnMut(&str),
) -> Result<Installed, InstallError> {
    let build = pinned::build(provider).ok_or(InstallError::NoBuild {
        provider,
        version: pinned::version(provider),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    })?;
    let library = managed_library(folder, provider);
    if matches!(origin, LibraryOrigin::Index) && is_whole(&library, &build)? {
        return Ok(Installed { library, already: true, licence: None });
    }
    let target = library.parent().unwrap_or(folder);
    fs::create_dir_all(target).map_err(at(target))?;
    match origin {
        LibraryOrigin::Index => {
            let scratch = tempfile::tempdir_in(target).map_err(at(target))?;
            let wheel = fetch(scratch.path(), &build, report)?;
            report("checking the wheel");
            check(&wheel, build.wheel_sha256, &build)?;
            unpack(&wheel, &library, &build, report)
        }
        LibraryOrigin::File(path) if path.extension().is_some_and(|extension| extension == "whl") => {
            // Of a wheel with several libraries only the hash of the whole is known.
            if !build.beside.is_empty() {
                report("checking the wheel");
                check(path, build.wheel_sha256, &build)?;
            }
            unpack(path, &library, &build, report)
        }
        LibraryOrigin::File(path) if !build.beside.is_empty() => {
            Err(InstallError::OneOfSeveral { path: path.clone(), provider, wheel: wheel_name(&build) })
        }
        LibraryOrigin::File(path) => {
            report("checking the library");
            check(path, build.library_sha256, &build)?;
            let bytes = fs::read(path).map_err(at(path))?;
            put(&bytes, &library)?;
            Ok(Installed { library, already: false, licence: None })
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> InstallError + '_ {
    move |source| InstallError::Io { path: path.to_owned(), source }
}

fn is_whole(library: &Path, build: &Build) -> Result<bool, InstallError> {
    let is_marked = || {
        fs::read_to_string(library.with_file_name(WHOLE))
            .is_ok_and(|noted| noted.trim() == build.wheel_sha256)
    };
    Ok(library.is_file()
        && digest(library)? == build.library_sha256
        && (build.beside.is_empty() || is_marked()))
}

fn digest(path: &Path) -> Result<String, InstallError> {
    ContentDigest::of_file(path).map(|digest| digest.to_string()).map_err(at(path))
}

fn check(path: &Path, expected: &'static str, build: &Build) -> Result<(), InstallError> {
    let actual = digest(path)?;
    if actual == expected {
        return Ok(());
    }
    let what = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(InstallError::Hash { version: build.version, what, expected, actual, arch: build.arch })
}

/// Name of the wheel. Always that for CPython 3.12: the wheels for other Pythons differ in hash, though not in the
/// library.
fn wheel_name(build: &Build) -> String {
    format!("{}-{}-cp312-cp312-{}.whl", build.package.replace('-', "_"), build.version, build.platform)
}

/// Has the wheel fetched into `folder`.
fn fetch(folder: &Path, build: &Build, report: &mut dyn FnMut(&str)) -> Result<PathBuf, InstallError> {
    let wheel = wheel_name(build);
    let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
    let pip = |prefix: &str| -> Vec<OsString> {
        let fixed = format!(
            "{prefix} download {}=={} --no-deps --only-binary=:all: --python-version 3.12 \
             --platform {} --disable-pip-version-check --progress-bar off --dest",
            build.package, build.version, build.platform
        );
        [words(&fixed), vec![folder.as_os_str().to_owned()]].concat()
    };
    // uv has no download of its own; it brings pip where none stands.
    let fetchers = [pip("python3 -m pip"), pip("uv tool run pip")];
    for fetcher in fetchers {
        let [program, arguments @ ..] = &fetcher[..] else { continue };
        if !answers(program, arguments) {
            continue;
        }
        let command = fetcher.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        report(&format!(
            "fetching {wheel} (about {} MB) with {}",
            build.megabytes,
            program.to_string_lossy()
        ));
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(at(Path::new(program)))?;
        let path = folder.join(&wheel);
        if output.status.success() && path.is_file() {
            return Ok(path);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let output = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(InstallError::Fetch { command, output });
    }
    Err(InstallError::NoFetcher { wheel })
}

/// Whether the fetcher is there at all.
fn answers(program: &OsString, arguments: &[OsString]) -> bool {
    let until_pip = arguments.iter().take_while(|word| *word != "download");
    let mut command = Command::new(program);
    command.args(until_pip).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Takes the library and its licence out of a wheel.
fn unpack(
    wheel: &Path,
    library: &Path,
    build: &Build,
    report: &mut dyn FnMut(&str),
) -> Result<Installed, InstallError> {
    report("unpacking the library");
    let wrong =
        |reason: String| InstallError::Wheel { version: build.version, path: wheel.to_owned(), reason };
    let mut archive =
        ZipArchive::new(File::open(wheel).map_err(at(wheel))?).map_err(|e| wrong(e.to_string()))?;
    let mut member = |name: &str, limit: u64| -> Result<Vec<u8>, InstallError> {
        let file = archive.by_name(name).map_err(|error| wrong(format!("{name}: {error}")))?;
        if file.size() > limit {
            return Err(wrong(format!("{name} has {} bytes, at most {limit} are read", file.size())));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(at(wheel))?;
        Ok(bytes)
    };
    let bytes = member(&format!("{MEMBER}{}", build.version), MAX_LIBRARY_BYTES)?;
    let actual = ContentDigest::of(&bytes).to_string();
    if actual != build.library_sha256 {
        let what = format!("the library in {}", wheel.display());
        let (version, expected) = (build.version, build.library_sha256);
        return Err(InstallError::Hash { version, what, expected, actual, arch: build.arch });
    }
    for name in build.beside {
        let beside = member(&format!("{LIBRARIES}{name}"), MAX_LIBRARY_BYTES)?;
        put(&beside, &library.with_file_name(name))?;
    }
    let mut text =
        |name: &str| member(name, 1 << 20).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
    let (licence, notices) = (text(LICENCE), text(NOTICES));
    put(&bytes, library)?;
    if !build.beside.is_empty() {
        put(build.wheel_sha256.as_bytes(), &library.with_file_name(WHOLE))?;
    }
    for (name, text) in [("LICENSE", &licence), ("ThirdPartyNotices.txt", &notices)] {
        if let Some(text) = text {
            let path = library.with_file_name(name);
            fs::write(&path, text).map_err(at(&path))?;
        }
    }
    Ok(Installed { library: library.to_owned(), already: false, licence })
}

/// Writes beside and renames: a library that is there is whole.
fn put(bytes: &[u8], library: &Path) -> Result<(), InstallError> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = library.parent().unwrap_or(Path::new(""));
    let mut staged = StagedFile::beside(library, 0o644).map_err(at(folder))?;
    let file = staged.file();
    file.write_all(bytes).map_err(at(library))?;
    // Installed by one user, loaded by another: the folder says who may.
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(at(library))?;
    file.sync_all().map_err(at(library))?;
    staged.name(library).map_err(at(library))
}

#[cfg(test)]
mod tests {
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn wheel(folder: &Path, member: &str, content: &[u8]) -> PathBuf {
        let path = folder.join("x.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.start_file(member, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        path
    }

    #[test]
    fn only_the_pinned_library_is_installed() {
        if pinned::build(Provider::Cpu).is_none() {
            eprintln!("skipped: no build of ONNX Runtime is pinned for this machine");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let refused = |provider: Provider, path: &Path, expected: &str| {
            let origin = LibraryOrigin::File(path.to_owned());
            let error = install(folder.path(), provider, &origin, &mut |_| ()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!managed_library(folder.path(), provider).exists());
        };
        let check = |path: &Path, expected: &str| refused(Provider::Cpu, path, expected);
        let scratch = tempfile::tempdir().unwrap();
        let member = format!("{MEMBER}{}", pinned::VERSION);
        check(&wheel(scratch.path(), &member, b"not the library"), "its SHA-256 is");
        check(&wheel(scratch.path(), "other/file", b""), "not a wheel of ONNX Runtime");
        let other = scratch.path().join("lib.so");
        fs::write(&other, b"not the library").unwrap();
        check(&other, "its SHA-256 is");
        check(&scratch.path().join("missing.whl"), "No such file");
        fs::write(scratch.path().join("y.whl"), b"no zip").unwrap();
        check(&scratch.path().join("y.whl"), "not a wheel of ONNX Runtime");
        if pinned::build(Provider::Cuda).is_some() {
            refused(Provider::Cuda, &other, "give the wheel onnxruntime_gpu-");
            refused(Provider::Cuda, &scratch.path().join("y.whl"), "its SHA-256 is");
        }
    }
}
