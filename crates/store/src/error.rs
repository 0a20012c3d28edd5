//! What can go wrong in the store, and what to do about it.

use std::error::Error as StdError;

/// A failure of the store: a kind for programs, a sentence with the next step for people. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a program may want to tell apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorKind {
    /// There is no such row, or no store at that path.
    NotFound,
    /// The name is taken.
    Exists,
    /// The caller's value cannot be used.
    Invalid,
    /// Another process holds the database.
    Locked,
    /// The database or its folder cannot be written, or was opened for reading only.
    ReadOnly,
    /// No space is left.
    Full,
    /// The file is damaged or is not one of ours.
    Corrupt,
    /// The file was written by a newer version of Genesis.
    Newer,
    /// The master key is missing, malformed, wrong, or readable by others.
    MasterKey,
    /// Anything else the database or the operating system reports.
    Io,
}

/// Result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }
}
