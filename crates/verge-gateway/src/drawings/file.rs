//! The file of what is drawn, and its earlier versions. It is whole at all times: written beside, made durable, then renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use verge_web::dashboard::access::write_private;

use crate::config::DRAWN_FILE;

/// Earlier versions that are kept: `drawn.toml.1` is the newest of them.
const VERSIONS: usize = 10;

/// The file in a state folder.
#[derive(Debug, Clone)]
pub(crate) struct DrawnFile {
    folder: PathBuf,
}

impl DrawnFile {
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self { folder: state_dir.to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(DRAWN_FILE)
    }

    fn version(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{DRAWN_FILE}.{number}"))
    }

    /// What is drawn; nothing where there is no file.
    pub(crate) fn read(&self) -> io::Result<String> {
        read(&self.path())
    }

    /// The version before, if there is one.
    pub(crate) fn before(&self) -> io::Result<Option<String>> {
        let version = self.version(1);
        if version.exists() { read(&version).map(Some) } else { Ok(None) }
    }

    /// Puts a text in the place of the one that is there, which becomes the newest of the earlier versions.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let present = self.read()?;
        for number in (1..VERSIONS).rev() {
            let version = self.version(number);
            if version.exists() {
                fs::rename(version, self.version(number + 1))?;
            }
        }
        write_private(&self.version(1), present.as_bytes())?;
        write_private(&self.path(), text.as_bytes())
    }

    /// Takes back what [`Self::write`] has done last.
    pub(crate) fn take_back(&self) -> io::Result<()> {
        let before = read(&self.version(1))?;
        write_private(&self.path(), before.as_bytes())?;
        fs::remove_file(self.version(1))?;
        for number in 2..=VERSIONS {
            let version = self.version(number);
            if version.exists() {
                fs::rename(version, self.version(number - 1))?;
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_versions_are_kept_and_the_last_step_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = DrawnFile::of(folder.path());
        assert_eq!((file.read().unwrap(), file.before().unwrap()), (String::new(), None));
        for number in 0..13 {
            file.write(&number.to_string()).unwrap();
        }
        assert_eq!((file.read().unwrap(), file.before().unwrap()), ("12".to_owned(), Some("11".to_owned())));
        assert_eq!(read(&file.version(10)).unwrap(), "2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 11);
        file.take_back().unwrap();
        assert_eq!((file.read().unwrap(), file.before().unwrap()), ("11".to_owned(), Some("10".to_owned())));
    }
}
