//! Whether a chain of lines is whole.
//!
//! Invariant: the first line that does not fit is named, with its file; what is found whole holds every
//! line that was written from the first to the last of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::chain::{Broken, Link, Seal};
use super::log::{full_files, head_of};

/// Why a log is not known to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line does not fit.
    #[error("{path}:{line}: {broken}", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong.
        broken: Broken,
    },
    /// There is nothing.
    #[error("there is no audit log at {0}: name its files, or set [audit] enabled = true")]
    Nothing(PathBuf),
}

/// What was found whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The number of the first line.
    pub first: u64,
    /// The last line: told to somebody else, it later proves that nothing was cut before it.
    pub last: Link,
    /// How many lines.
    pub lines: u64,
    /// In how many files.
    pub files: usize,
    /// Events that could not be kept, as the log says itself.
    pub dropped: u64,
}

/// What is read of a line besides its place.
#[derive(Deserialize)]
struct Said {
    action: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    count: Option<u64>,
}

/// The log at `path`, its full files and its head.
pub fn whole(path: &Path, seal: &Seal) -> Result<Report, VerifyError> {
    let mut files = full_files(path).unwrap_or_default();
    if path.exists() {
        files.push(path.to_owned());
    }
    // First: a running service writes lines before the head.
    let head = head_of(path);
    if files.is_empty() && head.is_none() {
        return Err(VerifyError::Nothing(path.to_owned()));
    }
    let mut walk = Walk::new(seal);
    for file in &files {
        walk.file(file)?;
    }
    walk.check_beginning()?;
    walk.check_end(head.as_ref(), path)?;
    walk.report().ok_or_else(|| VerifyError::Nothing(path.to_owned()))
}

/// These files alone, in this order; what was before them is not asked.
pub fn files(files: &[PathBuf], seal: &Seal) -> Result<Report, VerifyError> {
    let mut walk = Walk::new(seal);
    for file in files {
        walk.file(file)?;
    }
    walk.report().ok_or_else(|| VerifyError::Nothing(files.first().cloned().unwrap_or_default()))
}

struct Walk<'a> {
    seal: &'a Seal,
    /// The line before the first, and where the first is.
    before: Option<(Link, PathBuf)>,
    last: Option<Link>,
    /// Lines that the log says it let go, up to these.
    pruned: Vec<Link>,
    files: usize,
    dropped: u64,
    place: (PathBuf, usize),
}

impl<'a> Walk<'a> {
    fn new(seal: &'a Seal) -> Self {
        Self {
            seal,
            before: None,
            last: None,
            pruned: Vec::new(),
            files: 0,
            dropped: 0,
            place: (PathBuf::new(), 0),
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), VerifyError> {
        let io = |source| VerifyError::Io { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let mut line = Vec::new();
        self.files += 1;
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(io)? == 0 {
                break;
            }
            self.place = (path.to_owned(), number);
            self.line(&line).map_err(|broken| self.error(broken))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8]) -> Result<(), Broken> {
        let link = if let Some(last) = &self.last {
            self.seal.follow(text, last)?
        } else {
            let (link, prev) = self.seal.open(text)?;
            let seq = link.seq.checked_sub(1).ok_or(Broken::Unread)?;
            let before = Link { seq, hash: prev };
            self.before = Some((before, self.place.0.clone()));
            link
        };
        let said: Said = serde_json::from_slice(text).map_err(|_| Broken::Unread)?;
        match (said.action.as_str(), said.count) {
            ("pruned", Some(seq)) => self.pruned.push(Link { seq, hash: said.outcome }),
            ("dropped", Some(count)) => self.dropped += count,
            _ => {}
        }
        self.last = Some(link);
        Ok(())
    }

    /// What is before the first line was let go by the log itself.
    fn check_beginning(&mut self) -> Result<(), VerifyError> {
        let Some((before, path)) = self.before.clone() else { return Ok(()) };
        if before == Link::start() || self.pruned.contains(&before) {
            return Ok(());
        }
        self.place = (path, 1);
        Err(self.error(Broken::Headless(before.seq + 1)))
    }

    /// The log has come at least as far as its head says.
    fn check_end(&mut self, head: Option<&Link>, path: &Path) -> Result<(), VerifyError> {
        let last = self.last.as_ref().map_or(0, |last| last.seq);
        let Some(head) = head else {
            return if last == 0 { Ok(()) } else { Err(self.error(Broken::Unheaded)) };
        };
        if head.seq <= last {
            return Ok(());
        }
        if self.place.1 == 0 {
            self.place = (path.to_owned(), 0);
        }
        Err(self.error(Broken::Cut(head.seq - last)))
    }

    fn report(self) -> Option<Report> {
        let (before, last) = (self.before?.0, self.last?);
        Some(Report {
            first: before.seq + 1,
            lines: last.seq - before.seq,
            last,
            files: self.files,
            dropped: self.dropped,
        })
    }

    fn error(&self, broken: Broken) -> VerifyError {
        let (path, line) = self.place.clone();
        VerifyError::Broken { path, line, broken }
    }
}
