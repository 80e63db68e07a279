//! The files of an audit log: one that grows, and full ones beside it.
//!
//! `audit.jsonl` is followed by another once it is full, and is then called `audit.SEQ.jsonl` after
//! its last line. `audit.head` says how far the chain had come a moment ago, so that lines cut from
//! the end are missed. Invariant: the chain goes on over files, restarts and failures; what a crash
//! left of a line is moved aside and told of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::AuditError;
use super::chain::{Link, Seal};
use super::event::{Action, Event};

/// The digits in the name of a full file.
const DIGITS: usize = 12;

/// The log.
pub(super) struct Log {
    path: PathBuf,
    seal: Seal,
    max_bytes: u64,
    /// Full files that are kept; 0 is all.
    keep: usize,
    file: File,
    /// Bytes of whole lines.
    size: u64,
    /// A failure may have left more than those.
    dirty: bool,
    link: Link,
    /// Held as long as the log is open.
    _lock: File,
}

/// Lines that are to be written at once.
pub(super) struct Draft {
    seal: Seal,
    link: Link,
    lines: String,
}

impl Draft {
    /// One more, of this object.
    pub(super) fn add(&mut self, object: &str) {
        self.lines.push_str(&self.seal.close(object, &mut self.link));
    }
}

/// What there is of a file.
struct Found {
    /// Bytes of whole lines.
    whole: u64,
    /// Bytes after them.
    torn: u64,
    /// The last line, if it can be read as one.
    link: Option<Link>,
    /// There is a last line.
    any: bool,
}

impl Log {
    /// Opens it, and goes on behind what is there.
    pub(super) fn open(
        path: &Path,
        seal: Seal,
        max_bytes: u64,
        keep: usize,
    ) -> Result<Self, AuditError> {
        let io = |source| AuditError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let lock = private().open(path.with_extension("lock")).map_err(io)?;
        if lock.try_lock().is_err() {
            return Err(AuditError::Taken(path.to_owned()));
        }
        let mut file = private().open(path).map_err(io)?;
        let found = look_at(path, &seal).map_err(io)?;
        let mut said = Event::own(Action::Opened, env!("CARGO_PKG_VERSION"));
        if found.torn > 0 {
            let aside = set_torn_aside(path, &file, &found).map_err(io)?;
            tracing::warn!(
                "the last line of the audit log was not written to its end: set aside as {}",
                aside.display()
            );
            said.outcome = "torn line set aside".into();
            said.target = aside.file_name().map(|name| name.to_string_lossy().into_owned());
            said.count = Some(found.torn);
        }
        let last = if found.any { found.link.clone() } else { last_of_full(path, &seal) };
        let head = head_of(path);
        let link = match (last, head) {
            (Some(last), Some(head)) if head.seq > last.seq => {
                let missing = head.seq - last.seq;
                tracing::error!("{missing} lines are missing at the end of the audit log");
                said.outcome = "lines missing at the end".into();
                said.count = Some(missing);
                head
            }
            (Some(last), None) => {
                tracing::error!(
                    "the head of the audit log is gone: lines may be missing at its end"
                );
                if found.torn == 0 {
                    said.outcome = "head missing".into();
                }
                last
            }
            (Some(last), Some(_)) => last,
            (None, Some(head)) => {
                tracing::error!("the audit log is not where it was: its chain goes on");
                said.outcome = "lines missing at the end".into();
                head
            }
            (None, None) if found.any => {
                tracing::error!("the last line of the audit log is none: the chain begins anew");
                said.outcome = "unreadable line before".into();
                Link::start()
            }
            (None, None) => Link::start(),
        };
        file = append_to(path).map_err(io)?;
        let mut log = Self {
            path: path.to_owned(),
            seal,
            max_bytes,
            keep,
            file,
            size: found.whole,
            dirty: false,
            link,
            _lock: lock,
        };
        log.own(&said).and_then(|()| log.settle()).map_err(io)?;
        Ok(log)
    }

    /// Lines that follow what is there.
    pub(super) fn draft(&self) -> Draft {
        Draft { seal: self.seal.clone(), link: self.link.clone(), lines: String::new() }
    }

    /// Writes them all, or none.
    pub(super) fn append(&mut self, draft: Draft) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.size)?;
            self.dirty = false;
        }
        if self.size > 0 && self.size + draft.lines.len() as u64 > self.max_bytes {
            self.begin_next()?;
            // What was let go is told first, so these lines come behind that.
            let mut moved = self.draft();
            let objects = draft.lines.lines().map(reopened);
            objects.for_each(|object| moved.add(&object));
            return self.write(moved);
        }
        self.write(draft)
    }

    fn write(&mut self, draft: Draft) -> io::Result<()> {
        self.dirty = true;
        let written = self.file.write_all(draft.lines.as_bytes());
        if written.is_err() {
            // Else the next line would begin in the middle of this one.
            self.dirty = self.file.set_len(self.size).is_err();
            return written;
        }
        self.dirty = false;
        self.size += draft.lines.len() as u64;
        self.link = draft.link;
        Ok(())
    }

    fn own(&mut self, event: &Event) -> io::Result<()> {
        let mut draft = self.draft();
        draft.add(&plain(event));
        self.write(draft)
    }

    /// Has all of it on disk, and the head beside it.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &self.link)?;
        file.persist(self.path.with_extension("head")).map_err(|error| error.error)?;
        Ok(())
    }

    /// The file is full: another one takes its place, and the oldest may go.
    fn begin_next(&mut self) -> io::Result<()> {
        self.settle()?;
        fs::rename(&self.path, full_name(&self.path, self.link.seq))?;
        self.file = append_to(&self.path)?;
        self.size = 0;
        if self.keep == 0 {
            return Ok(());
        }
        let full = full_files(&self.path)?;
        for old in &full[..full.len().saturating_sub(self.keep)] {
            let last = look_at(old, &self.seal)?.link;
            let mut told = Event::own(
                Action::Pruned,
                last.as_ref().map_or(String::new(), |link| link.hash.clone()),
            );
            told.count = last.map(|link| link.seq);
            told.target = old.file_name().map(|name| name.to_string_lossy().into_owned());
            self.own(&told)?;
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// The object that a line was made of.
fn reopened(line: &str) -> String {
    let end = line.rfind(",\"seq\":").unwrap_or(line.len());
    format!("{}}}", &line[..end])
}

/// An event of the log itself, in which nothing is to be hidden.
fn plain(event: &Event) -> String {
    let at = humantime::format_rfc3339_millis(event.at).to_string();
    let mut object = serde_json::json!({
        "at": at, "action": event.action, "outcome": event.outcome, "way": event.way,
    });
    if let Some(target) = &event.target {
        object["target"] = target.as_str().into();
    }
    if let Some(count) = event.count {
        object["count"] = count.into();
    }
    object.to_string()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options
}

/// Opens it for its owner alone, whatever it was before.
fn append_to(path: &Path) -> io::Result<File> {
    let file = private().open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

fn look_at(path: &Path, seal: &Seal) -> io::Result<Found> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut next, mut last) = (Vec::new(), Vec::new());
    let (mut whole, mut torn) = (0, 0);
    loop {
        next.clear();
        let read = reader.read_until(b'\n', &mut next)? as u64;
        if read == 0 {
            break;
        }
        if next.last() == Some(&b'\n') {
            whole += read;
            std::mem::swap(&mut next, &mut last);
        } else {
            torn = read;
        }
    }
    let link = seal.open(&last).ok().map(|(link, _)| link);
    Ok(Found { whole, torn, link, any: !last.is_empty() })
}

/// Moves the beginning of a line out of the file, keeping it for inspection.
fn set_torn_aside(path: &Path, file: &File, found: &Found) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_extension(format!("torn-{}", now.as_millis()));
    let bytes = fs::read(path)?;
    let torn = usize::try_from(found.torn).unwrap_or(usize::MAX).min(bytes.len());
    private().open(&aside)?.write_all(&bytes[bytes.len() - torn..])?;
    file.set_len(found.whole)?;
    Ok(aside)
}

/// How far the chain of the log at `path` had come a moment ago.
pub fn head_of(path: &Path) -> Option<Link> {
    let bytes = fs::read(path.with_extension("head")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn full_name(path: &Path, seq: u64) -> PathBuf {
    path.with_extension(format!("{seq:0DIGITS$}.{}", extension(path)))
}

fn extension(path: &Path) -> String {
    path.extension().map_or_else(|| "jsonl".into(), |end| end.to_string_lossy().into_owned())
}

/// The full files of the log at `path`, oldest first.
pub(super) fn full_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let end = format!(".{}", extension(path));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number =
            name.strip_prefix(&format!("{stem}.")).and_then(|rest| rest.strip_suffix(&end));
        if number.is_some_and(|number| {
            number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit())
        }) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Where the newest full file ends.
fn last_of_full(path: &Path, seal: &Seal) -> Option<Link> {
    let newest = full_files(path).ok()?.pop()?;
    look_at(&newest, seal).ok()?.link
}
