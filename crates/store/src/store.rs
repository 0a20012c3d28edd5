//! The store itself: one folder with a small database of settings, a large one with the log, and one with cached
//! answers.
//!
//! They are files of their own because they live differently: settings are few, precious and changed by hand; log and
//! cache are large, written without pause, and may be deleted to make room. None can damage or block another.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Result, Secret,
    seal::MasterSource,
    sqlite::{Cache, Log, Settings},
};

/// How to open a store.
#[derive(Debug)]
pub struct StoreOptions {
    /// The settings database; the log and the cache are kept beside it, as `<name>-log.db` and
    /// `<name>-cache.db`, and `master.key` too.
    pub path: PathBuf,
    /// Value of `GENESIS_MASTER_KEY`: 32 bytes in base64 or hex. `None`: the file `master.key`.
    pub master_key: Option<Secret>,
    /// Open for reading only; the store must exist.
    pub read_only: bool,
}

/// What outlives a request. Cheap to clone. Every call may do I/O and block; none belongs on the request path
/// (the [`Journal`](crate::Journal) does).
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    master: MasterSource,
    settings: Settings,
    log: Log,
    cache: Cache,
}

impl Store {
    /// Opens the store at `path`, creating it (folder mode 0700, files 0600) and bringing its schema up to date.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(StoreOptions { path: path.to_owned(), master_key: None, read_only: false })
    }

    /// Opens an existing store for reading, also while a server writes to it.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::open_with(StoreOptions { path: path.to_owned(), master_key: None, read_only: true })
    }

    /// Opens a store as the options say.
    pub fn open_with(options: StoreOptions) -> Result<Self> {
        let StoreOptions { path, master_key, read_only } = options;
        let settings = Settings::open(&path, read_only)?;
        let log = Log::at(beside(&path, "log"));
        let cache = Cache::at(beside(&path, "cache"));
        let master = master_key.map_or(MasterSource::File, MasterSource::Given);
        Ok(Self { inner: Arc::new(Inner { path, master, settings, log, cache }) })
    }

    /// A number that changes whenever tokens, keys or gateways change, whichever process changes them. Cheap to poll.
    pub fn version(&self) -> Result<u64> {
        self.inner.settings.version()
    }

    /// Where the settings are.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn log_database(&self) -> &Log {
        &self.inner.log
    }

    pub(crate) fn cache_database(&self) -> &Cache {
        &self.inner.cache
    }

    pub(crate) fn master(&self) -> &MasterSource {
        &self.inner.master
    }

    /// The master key is in a file, not given by the environment.
    pub(crate) fn master_is_file(&self) -> bool {
        matches!(self.inner.master, MasterSource::File)
    }

    pub(crate) fn master_key_path(&self) -> PathBuf {
        self.inner.path.with_file_name("master.key")
    }
}

/// `genesis.db` → `genesis-log.db`.
pub(crate) fn log_path(path: &Path) -> PathBuf {
    beside(path, "log")
}

/// Another file of the store, named after its first one.
pub(crate) fn beside(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{name}{end}"))
}
