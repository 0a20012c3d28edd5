//! Backups: one file with everything that outlives a request, made while the gateway runs.
//!
//! The file is a copy of the log's database as of one moment, with the settings' database inside it as one row. The master
//! key is another row if it was asked for: whoever has such a file has the provider keys.

use std::path::{Path, PathBuf};

use crate::{Result, Store, sqlite::backup};

/// What a restore brought back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// When the backup was made, in milliseconds since the epoch.
    pub made_at_ms: i64,
    /// The master key was in the backup and has been put in place.
    pub master_key: bool,
    /// Files that were in the way, where they are now.
    pub moved_aside: Vec<PathBuf>,
}

impl Store {
    /// Writes a backup to a new file that only its owner can read; true if it has the master key. Readers and the journal go
    /// on meanwhile. A master key that came from the environment is never written.
    pub fn backup(&self, file: &Path, with_master_key: bool, now_ms: i64) -> Result<bool> {
        let master_key = self.master_key_path();
        let master_key =
            Some(master_key).filter(|path| with_master_key && self.master_is_file() && path.exists());
        backup::write(file, self.path(), self.log_database().path(), master_key.as_deref(), now_ms)?;
        Ok(master_key.is_some())
    }

    /// Puts the store of a backup at `path`. Existing files are an error, or with `replace` are moved aside. No gateway may
    /// run on that path meanwhile.
    pub fn restore(file: &Path, path: &Path, replace: bool, now_ms: i64) -> Result<Restored> {
        let master_key = path.with_file_name("master.key");
        backup::read(file, [path, &super::store::log_path(path), &master_key], replace, now_ms)
    }
}
