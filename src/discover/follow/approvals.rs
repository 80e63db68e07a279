//! Which servers of a registry an operator has approved: a small file each.
//!
//! Invariant: an approval is of one address. A registry that moves a server elsewhere has it asked
//! for again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The approvals of one registry, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals(BTreeMap<String, String>);

#[derive(Serialize, Deserialize)]
struct Approval {
    url: String,
}

impl Approvals {
    /// Those that are kept in a folder; without the folder there are none.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut approvals = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            let Some(id) = id.filter(|id| !id.starts_with('.')) else { continue };
            let approval = fs::read(entry.path()).ok();
            // One that is taken back at this moment is not there.
            let approval = approval.and_then(|text| serde_json::from_slice::<Approval>(&text).ok());
            approvals.extend(approval.map(|approval| (id.to_owned(), approval.url)));
        }
        Ok(Self(approvals))
    }

    /// The server at this address is approved.
    pub fn has(&self, id: &str, url: &str) -> bool {
        self.0.get(id).is_some_and(|approved| approved == url)
    }

    /// Keeps an approval.
    pub fn add(folder: &Path, id: &str, url: &str) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string(&Approval { url: url.to_owned() })?;
        crate::config::edit::write(&file(folder, id), &text, 0o600)
    }

    /// Takes an approval back; false where there is none.
    pub fn remove(folder: &Path, id: &str) -> io::Result<bool> {
        match fs::remove_file(file(folder, id)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cfg(test)]
    pub(super) fn of(approvals: &[(&str, &str)]) -> Self {
        Self(approvals.iter().map(|(id, url)| ((*id).into(), (*url).into())).collect())
    }
}

/// Ids are made of letters, digits, `.`, `-` and `_`: each is a file's name.
fn file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}
