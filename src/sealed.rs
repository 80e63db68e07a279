//! A file that is written whole or not at all, and that tells when it is not what was written.
//!
//! Layout: eight bytes that say what it is, format version (u32, little-endian), BLAKE3 of the
//! payload, payload. Written to a temporary file, synced, renamed. Invariant: [`Kind::read`] gives
//! back what [`Kind::write`] was given, or an error.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

const HEADER: usize = 8 + 4 + 32;
/// What names of temporary files begin with.
const TEMPORARY: &str = ".toolscout-";
/// No write takes as long as this.
const ABANDONED: Duration = Duration::from_hours(1);

/// What such a file holds.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its first bytes.
    pub magic: [u8; 8],
    /// The format of its payload.
    pub version: u32,
}

/// Why a sealed file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{path} is damaged ({problem})", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another release wrote it.
    #[error(
        "{path} has format {found}, which {who} toolscout wrote; this release reads {read}",
        path = path.display(),
        who = if found > read { "a newer" } else { "an older" }
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The one that is read.
        read: u32,
    },
}

impl SealedError {
    /// The payload of the file at `path` makes no sense.
    pub fn undecodable(path: &Path) -> Self {
        Self::Damaged { path: path.into(), problem: "payload can't be decoded" }
    }
}

impl Kind {
    /// Writes `payload` to `path`, all or nothing.
    pub fn write(self, path: &Path, payload: &[u8]) -> Result<(), SealedError> {
        let io = |source| SealedError::Io { path: path.into(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io)?;
        let mut file = temporary(folder).map_err(io)?;
        file.write_all(&self.magic).map_err(io)?;
        file.write_all(&self.version.to_le_bytes()).map_err(io)?;
        file.write_all(blake3::hash(payload).as_bytes()).map_err(io)?;
        file.write_all(payload).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        // The rename itself is on disk only when the folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }

    /// The payload of the file at `path`; `None` when there is no such file.
    pub fn read(self, path: &Path) -> Result<Option<Vec<u8>>, SealedError> {
        let mut bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SealedError::Io { path: path.into(), source }),
        };
        let damaged = |problem| SealedError::Damaged { path: path.into(), problem };
        let (header, payload) = bytes.split_at_checked(HEADER).ok_or(damaged("cut short"))?;
        let (magic, header) = header.split_at(self.magic.len());
        let (version, checksum) = header.split_at(4);
        if magic != self.magic {
            return Err(damaged("another kind of file"));
        }
        let found = version.try_into().map_or(0, u32::from_le_bytes);
        if found != self.version {
            return Err(SealedError::Version { path: path.into(), found, read: self.version });
        }
        if blake3::Hasher::new().update_rayon(payload).finalize().as_bytes() != checksum {
            return Err(damaged("checksum differs"));
        }
        bytes.drain(..HEADER);
        Ok(Some(bytes))
    }
}

/// A temporary file in `folder`, its owner's alone. What a process left there that was killed in the
/// middle of a write goes on the way, so that such files do not add up.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(TEMPORARY));
        let written = entry.metadata().and_then(|found| found.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > ABANDONED) {
            // Another process may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
    let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
    hand_over(file.as_file(), folder)?;
    Ok(file)
}

/// Makes what root has just made in `folder` its owner's: an operator's command beside a service that
/// has a user of its own would else leave there what that service can't read.
fn hand_over(made: &File, folder: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

/// Waits until no other process holds the file at `path`, which is made where it is not there. The
/// lock lasts as long as what is given back.
pub fn lock(path: &Path) -> io::Result<File> {
    let options = File::options().append(true).clone();
    let file = match options.clone().create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            hand_over(&file, path.parent().unwrap_or(Path::new(".")))?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
        Err(error) => return Err(error),
    };
    file.lock()?;
    Ok(file)
}

/// A file with this line, for its owner alone, there as a whole or not at all; false where there is
/// one by now.
pub fn write_new(path: &Path, line: &str) -> io::Result<bool> {
    let mut file = temporary(path.parent().unwrap_or(Path::new(".")))?;
    writeln!(file, "{line}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Makes a folder for its owner alone, if it is not there.
pub fn folder_of_owner(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    hand_over(&made, path.parent().unwrap_or(Path::new(".")))
}

/// Moves a file that can't be used out of the way, keeping it for inspection; gives its new path.
pub fn set_aside(path: &Path) -> Result<PathBuf, SealedError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_extension(format!("bad-{}", now.as_millis()));
    fs::rename(path, &aside)
        .map_err(|source| SealedError::Io { path: path.into(), source })
        .map(|()| aside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - ABANDONED * 2;
        for (name, age) in [
            (".toolscout-old", Some(long_ago)),
            (".toolscout-new", None),
            ("catalog.snapshot", Some(long_ago)),
        ] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(age.unwrap_or_else(SystemTime::now)).unwrap();
        }
        drop(temporary(folder.path()).unwrap());
        let left = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".toolscout-new", "catalog.snapshot"]);
    }

    #[test]
    fn what_was_written_comes_back_or_it_is_said_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        let kind = Kind { magic: *b"TESTFILE", version: 2 };
        assert_eq!(kind.read(&path).unwrap(), None);
        kind.write(&path, b"payload").unwrap();
        assert_eq!(kind.read(&path).unwrap().as_deref(), Some(b"payload".as_slice()));
        let bytes = fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            kind.read(&path).unwrap_err().to_string()
        };
        for (at, problem) in [
            (0, "another kind of file"),
            (8, "has format 3, which a newer toolscout wrote; this release reads 2"),
            (12, "checksum differs"),
            (44, "checksum differs"),
        ] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let said = read(&other);
            assert!(said.contains(problem), "{at}: {said}");
        }
        let said = read(&bytes[..43]);
        assert!(said.contains("cut short"), "{said}");
        assert!(kind.read(folder.path()).is_err(), "there is something, and it can't be read");

        let aside = set_aside(&path).unwrap();
        assert_eq!(fs::read(&aside).unwrap(), &bytes[..43]);
        assert!(!path.exists() && set_aside(&path).is_err());
    }

    #[test]
    fn who_comes_first_writes_a_new_file_and_its_folder_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("a/b");
        folder_of_owner(&own).unwrap();
        assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let path = own.join("name");
        assert!(write_new(&path, "first").unwrap());
        assert!(!write_new(&path, "second").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        assert!(write_new(&own.join("x".repeat(300)), "no such name").is_err());
    }
}
