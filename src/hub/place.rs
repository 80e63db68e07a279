//! Where models go: a folder a model, in the folder of the models.
//!
//! Invariant: a folder there is whole, for it is filled elsewhere and moved there in one step; its
//! stamp says what it was fetched as.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::HubError;
use crate::embed::IN_BINARY;

/// Says what a folder was fetched as.
const STAMP: &str = ".stamp";
/// Folders that are being filled: dotted, so that no model is looked for in them.
const PREFIX: &str = ".pull-";
/// What no fetched model may be called, for it means something else.
const TAKEN: [&str; 3] = [IN_BINARY, "minilm", "onnxruntime"];

/// Refuses what can't be the name of a model, or means another.
pub fn check_name(name: &str) -> Result<(), HubError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let problem = if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        "use 1 to 64 letters, digits, `.`, `_` and `-`"
    } else if name.starts_with(['.', '-']) {
        "begin it with a letter or digit"
    } else if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
        "it means another; give one with --as"
    } else {
        return Ok(());
    };
    Err(HubError::Name { name: name.into(), problem })
}

/// A folder that is being filled, gone when dropped.
pub struct Staged {
    work: TempDir,
    filled: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// A new folder, to become `name` in `models`.
    pub(super) fn new(models: &Path, name: &str) -> Result<Self, HubError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Io { path, source }
        };
        fs::create_dir_all(models).map_err(io(models))?;
        let work =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(models).map_err(io(models))?;
        // A folder of its own: the temporary one is for nobody else to read, a model is.
        let filled = work.path().join("new");
        fs::create_dir(&filled).map_err(io(&filled))?;
        Ok(Self { work, filled, target: models.join(name) })
    }

    /// Where it is until it is published.
    pub fn folder(&self) -> &Path {
        &self.filled
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// A file beside the folder, for what is not to be published.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Writes a file of the folder.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), HubError> {
        let path = self.filled.join(name);
        fs::write(&path, content).map_err(|source| HubError::Io { path, source })
    }

    pub(super) fn stamp(&self, stamp: &str) -> Result<(), HubError> {
        self.write(STAMP, format!("{stamp}\n"))
    }

    /// Moves it to its place, instead of what is there.
    pub fn publish(self) -> Result<PathBuf, HubError> {
        let io = |source| HubError::Io { path: self.target.clone(), source };
        match fs::rename(&self.target, self.work.path().join("old")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        match fs::rename(&self.filled, &self.target) {
            // Another run was quicker, with the same.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            moved => moved.map_err(io)?,
        }
        Ok(self.target)
    }
}

/// What is at the place of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Absent,
    /// What is wanted.
    Current,
    /// The same in another version.
    Older,
    /// Something else.
    Other,
}

/// What is in `folder`, of which `stamp` and these files are wanted. The first word of a stamp
/// says where it came from: only what is from there is the same in another version.
pub(super) fn standing<'a>(
    folder: &Path,
    stamp: &str,
    files: impl IntoIterator<Item = &'a str>,
) -> Standing {
    if !folder.exists() {
        return Standing::Absent;
    }
    let Ok(found) = fs::read_to_string(folder.join(STAMP)) else { return Standing::Other };
    let is_whole = files.into_iter().all(|file| folder.join(file).is_file());
    if found.trim_end() == stamp && is_whole {
        return Standing::Current;
    }
    let source = |stamp: &str| stamp.split_whitespace().next().map(str::to_owned);
    if source(&found) == source(stamp) { Standing::Older } else { Standing::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_or_mean_another_are_refused() {
        for good in ["bge-small-en-v1.5", "e5", "x_1"] {
            check_name(good).unwrap();
        }
        let long = "x".repeat(65);
        for bad in
            ["", ".", "..", "a/b", "a\\b", ".x", "-x", "scout", "MiniLM", "onnxruntime", "é", &long]
        {
            assert!(matches!(check_name(bad), Err(HubError::Name { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_is_filled_elsewhere_and_moved_in_one_step() {
        let models = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(models.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| !name.starts_with(PREFIX)).collect::<Vec<_>>()
        };
        let fill = |stamp: &str| {
            let staged = Staged::new(models.path(), "e5").unwrap();
            staged.write("model.onnx", stamp).unwrap();
            staged.stamp(stamp).unwrap();
            staged
        };
        let target = models.path().join("e5");
        let is = |stamp: &str| standing(&target, stamp, ["model.onnx"]);
        assert_eq!(is("a 1"), Standing::Absent);
        let staged = fill("a 1");
        assert!(names().is_empty());
        staged.publish().unwrap();
        assert_eq!((names(), is("a 1")), (vec!["e5".to_owned()], Standing::Current));
        assert_eq!((is("a 2"), is("b 1")), (Standing::Older, Standing::Other));
        fill("a 2").publish().unwrap();
        assert_eq!(
            (is("a 2"), fs::read_dir(models.path()).unwrap().count()),
            (Standing::Current, 1)
        );
        fs::remove_file(target.join("model.onnx")).unwrap();
        assert_eq!(is("a 2"), Standing::Older);
        fs::remove_file(target.join(STAMP)).unwrap();
        assert_eq!(is("a 2"), Standing::Other);
        drop(fill("a 3"));
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 1);
    }
}
