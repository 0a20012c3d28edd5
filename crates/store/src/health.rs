//! Whether the files of a store are sound. Reads only, and opens each file by itself: one that is damaged keeps a
//! [`crate::Store`] from being opened at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::sqlite::quick_check;
use crate::store::beside;

/// One database file.
#[derive(Debug)]
pub struct FileHealth {
    pub path: PathBuf,
    pub bytes: u64,
    pub state: FileState,
}

/// What SQLite's quick check says.
#[derive(Debug)]
pub enum FileState {
    Sound,
    /// Its first complaint.
    Damaged(String),
    /// It is so large that the time was up before the end; what was read is sound.
    TooLarge,
    /// It cannot be opened or read.
    Unreadable(Error),
}

/// Checks the settings at `path` and the log beside them, each for at most `within`. Files that do not exist yet are
/// left out.
pub fn health(path: &Path, within: Duration) -> Vec<FileHealth> {
    let files = [path.to_owned(), beside(path, "log")];
    let there = files.into_iter().filter_map(|path| Some((fs::metadata(&path).ok()?.len(), path)));
    there
        .map(|(bytes, path)| {
            let state = match quick_check(&path, within) {
                Ok(None) => FileState::TooLarge,
                Ok(Some(complaint)) if complaint == "ok" => FileState::Sound,
                Ok(Some(complaint)) => FileState::Damaged(complaint),
                Err(error) => FileState::Unreadable(error),
            };
            FileHealth { path, bytes, state }
        })
        .collect()
}
