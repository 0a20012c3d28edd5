//! Everything written at once, or nothing: genesis.json, `.env`, and a token if one is made.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};

use genesis_config::edit::NewValue;
use genesis_config::{Environment, ExposeSecret, Secret, dot_env};
use genesis_store::{NewToken, Permissions};
use jiff::Timestamp;

use super::flags::ResetScope;
use super::plan::{Edit, Place, Plan};
use crate::command::config::Document;
use crate::command::models::put_default;
use crate::home::{Home, Settings};
use crate::printer::Failed;
use crate::private_file;

/// What was written.
pub(super) struct Written {
    /// genesis.json, if it changed.
    pub(super) config: Option<PathBuf>,
    /// It was there before, and is kept beside it.
    pub(super) backup: Option<PathBuf>,
    /// `.env`, if it changed.
    pub(super) dot_env: Option<PathBuf>,
}

/// The files as they will be; nothing is written yet.
pub(super) struct Pages {
    document: Document,
    dot_env: DotEnv,
    existed: bool,
}

struct DotEnv {
    path: PathBuf,
    before: Option<String>,
    text: String,
}

impl Pages {
    /// Carries the plan out in memory, and checks that the file would be a good one.
    pub(super) fn of(plan: &Plan, home: &Home, reset: Option<ResetScope>) -> Result<Self, Failed> {
        let mut document = Document::open(home)?;
        let existed = document.exists();
        let mut dot_env = DotEnv::open(home)?;
        if let Some(scope) = reset {
            document.clear();
            if scope == ResetScope::Credentials {
                dot_env.text.clear();
            }
        }
        for edit in &plan.edits {
            match edit {
                Edit::Set(path, text) => document.set(path, &NewValue::text(text))?,
                Edit::Unset(path) => {
                    document.unset(path)?;
                }
                Edit::DefaultModel(reference) => put_default(&mut document, reference)?,
            }
        }
        for kept in &plan.secrets {
            if let Place::DotEnv(secret) = &kept.place {
                dot_env.set(&kept.variable, secret)?;
            }
        }
        document.check()?;
        Ok(Self { document, dot_env, existed })
    }

    /// Whether anything will be different.
    pub(super) fn is_changed(&self, plan: &Plan) -> bool {
        let made = plan.secrets.iter().any(|kept| matches!(kept.place, Place::Made));
        self.document.is_changed() || self.dot_env.is_changed() || made
    }

    /// Writes. If one part fails the others are as they were.
    pub(super) fn write(mut self, plan: &Plan, home: &Home, settings: &Settings) -> Result<Written, Failed> {
        private_file::make_private(&home.path).map_err(|error| unwritable(&home.path, &error))?;
        for kept in plan.secrets.iter().filter(|kept| matches!(kept.place, Place::Made)) {
            let token = make_token(home, settings)?;
            self.dot_env.set(&kept.variable, &token)?;
        }
        let dot_env = self.dot_env.is_changed().then(|| self.dot_env.path.clone());
        if dot_env.is_some() {
            self.dot_env.save()?;
        }
        let changed = self.document.save().inspect_err(|_| {
            if dot_env.is_some() {
                self.dot_env.restore();
            }
        })?;
        let config = changed.then(|| self.document.path().to_owned());
        let backup = config.as_ref().filter(|_| self.existed).map(|path| path.with_extension("json.bak"));
        Ok(Written { config, backup, dot_env })
    }
}

impl DotEnv {
    fn open(home: &Home) -> Result<Self, Failed> {
        let path = home.path.join(".env");
        let path = fs::canonicalize(&path).unwrap_or(path);
        let before = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failed::new(format!("cannot read {}: {error}", path.display()))
                    .hint("nothing was written; it must be a text file in UTF-8 that you may read"));
            }
        };
        let text = before.clone().unwrap_or_default();
        Ok(Self { path, before, text })
    }

    fn set(&mut self, name: &str, value: &Secret) -> Result<(), Failed> {
        self.text = dot_env::set(&self.text, name, value)
            .ok_or_else(|| Failed::new(format!("the value for {name} has a line break in it")))?;
        Ok(())
    }

    fn is_changed(&self) -> bool {
        self.before.as_deref().unwrap_or_default() != self.text
    }

    fn save(&self) -> Result<(), Failed> {
        private_file::replace(&self.path, &self.text).map_err(|error| unwritable(&self.path, &error))
    }

    fn restore(&self) {
        // If this fails too there is nothing left to try; the failure that led here is reported.
        let _ = match &self.before {
            Some(before) => private_file::replace(&self.path, before),
            None => fs::remove_file(&self.path),
        };
    }
}

/// Says so where a variable has another value than the one just written, and that one is used.
pub(super) fn overruled(plan: &Plan, home: &Home, settings: &Settings) -> Vec<String> {
    let (environment, _) = Environment::load(&home.path, &settings.file.env);
    let written = plan.secrets.iter().filter_map(|kept| match &kept.place {
        Place::DotEnv(secret) => Some((&kept.variable, secret)),
        Place::Made | Place::Found(_) => None,
    });
    written
        .filter_map(|(name, secret)| {
            let (value, source) = environment.lookup(name)?;
            let other = value.expose_secret() != secret.expose_secret();
            other.then(|| {
                format!("{name} has another value in the {source}, and that one is used, not the one in .env")
            })
        })
        .collect()
}

fn make_token(home: &Home, settings: &Settings) -> Result<Secret, Failed> {
    let new = NewToken {
        name: "onboard".to_owned(),
        permissions: Permissions { run: true, read: false, edit: false },
        ..NewToken::default()
    };
    let (_, secret) = home.store(settings)?.create_token(new, Timestamp::now().as_millisecond())?;
    Ok(secret)
}

fn unwritable(path: &FilePath, error: &std::io::Error) -> Failed {
    Failed::new(format!("cannot write {}: {error}", path.display())).hint(
        "nothing was written; check that the folder is yours and the disk has room, or set GENESIS_HOME",
    )
}
