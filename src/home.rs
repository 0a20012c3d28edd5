//! The folder everything lives in: `genesis.json`, `.env`, the database.

use std::path::{Path, PathBuf};

use genesis_config::{Environment, ExposeSecret, File, PriceTable};
use genesis_store::{Store, StoreOptions};

use crate::printer::Failed;

/// What happens when `prices.json` is of no use.
const INSTEAD: &str = "the prices in force before are used; `genesis models update` puts a good one there";

pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

/// What the file and the environment say.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) file: File,
    pub(crate) environment: Environment,
    /// What the user should know; nothing here is a reason to stop.
    pub(crate) warnings: Vec<String>,
}

impl Home {
    /// `GENESIS_HOME`, else `~/.genesis`.
    pub(crate) fn find() -> Result<Self, Failed> {
        let path = genesis_config::home_dir()
            .map_err(|error| Failed::usage(error.to_string()).hint("set GENESIS_HOME to a folder you own"))?;
        Ok(Self { path })
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path.join("genesis.json")
    }

    /// A price table that takes the place of the built-in one; `genesis models update` puts it there.
    pub(crate) fn prices_path(&self) -> PathBuf {
        self.path.join("prices.json")
    }

    /// Puts the newer of both price tables in force. An error says why the file is not used.
    fn use_prices(&self) -> Result<(), String> {
        let path = self.prices_path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                PriceTable::put_in_force(None);
                return Ok(());
            }
            Err(error) => return Err(format!("{} cannot be read ({error}); {INSTEAD}", path.display())),
        };
        let table = PriceTable::parse(&text)
            .map_err(|problem| format!("{} cannot be used: {problem}; {INSTEAD}", path.display()))?;
        let newer = table.as_of() >= PriceTable::builtin().as_of();
        if !newer || table.as_of() != PriceTable::in_force().as_of() {
            PriceTable::put_in_force(newer.then_some(table));
        }
        Ok(())
    }

    /// When `genesis.json` was last written, in milliseconds since the epoch; 0 if there is none.
    pub(crate) fn written_at_ms(&self) -> i64 {
        let modified = std::fs::metadata(self.config_path()).and_then(|metadata| metadata.modified()).ok();
        let since = modified.and_then(|time| time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
    }

    pub(crate) fn settings(&self) -> Result<Settings, Failed> {
        let path = self.config_path();
        let file = File::load(&path).map_err(|error| {
            Failed::config(error.to_string())
                .hint(format!("mend {}, or move it away to start with defaults", path.display()))
        })?;
        let file = file.unwrap_or_default();
        let (environment, mut warnings) = Environment::load(&self.path, &file.env);
        warnings.extend(file.warnings.iter().cloned());
        warnings.extend(self.use_prices().err());
        Ok(Settings { file, environment, warnings })
    }

    /// Opens the store the settings name, and creates it if it is the first time.
    pub(crate) fn store(&self, settings: &Settings) -> Result<Store, Failed> {
        self.open_store(self.store_path(settings)?, settings, false)
    }

    /// Opens the store for reading, also while a gateway writes to it; `None` if there is none yet.
    pub(crate) fn store_to_read(&self, settings: &Settings) -> Result<Option<Store>, Failed> {
        let path = self.store_path(settings)?;
        if !path.exists() {
            return Ok(None);
        }
        self.open_store(path, settings, true).map(Some)
    }

    fn open_store(&self, path: PathBuf, settings: &Settings, read_only: bool) -> Result<Store, Failed> {
        let master_key = settings.environment.lookup("GENESIS_MASTER_KEY").map(|(key, _)| key.clone());
        let options = StoreOptions { path: path.clone(), master_key, read_only };
        Store::open_with(options).map_err(|error| Failed::from(error).hint_path(&path))
    }

    pub(crate) fn store_path(&self, settings: &Settings) -> Result<PathBuf, Failed> {
        let Some(url) = &settings.file.gateway.store else { return Ok(self.path.join("genesis.db")) };
        let url = settings
            .environment
            .substitute(url.expose_secret())
            .map_err(|missing| Failed::config(format!("gateway.store: {missing}")))?;
        let Some(path) = url.expose_secret().strip_prefix("sqlite:") else {
            return Err(Failed::config("gateway.store: this version keeps its data in SQLite only")
                .hint("write `sqlite:<path>`, or leave gateway.store out"));
        };
        Ok(match path.strip_prefix("~/") {
            Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
            None => Path::new(path).to_path_buf(),
        })
    }
}
