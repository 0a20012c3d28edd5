//! The text of genesis.json, edited in memory and written as a whole or not at all.

use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use genesis_config::edit::{self, EditError, NewValue, Path};
use genesis_config::{File, Problem};

use crate::home::Home;
use crate::printer::Failed;
use crate::private_file::{make_private, replace};

pub(crate) struct Document {
    /// Where it is, links followed: a link stays a link.
    path: PathBuf,
    /// As it was read; `None` if there is no file yet.
    before: Option<String>,
    text: String,
}

impl Document {
    /// Reads the file, or starts an empty one in memory.
    pub(crate) fn open(home: &Home) -> Result<Self, Failed> {
        let path = home.config_path();
        let path = fs::canonicalize(&path).unwrap_or(path);
        let before = read(&path)?;
        let text = before.clone().unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { path, before, text })
    }

    /// Starts over with nothing in it.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    pub(crate) fn exists(&self) -> bool {
        self.before.is_some()
    }

    pub(crate) fn path(&self) -> &FilePath {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn value(&self, path: &Path) -> Option<serde_json::Value> {
        edit::value_at(&self.text, path)
    }

    pub(crate) fn set(&mut self, path: &Path, value: &NewValue) -> Result<(), Failed> {
        self.text = edit::set(&self.text, path, value).map_err(|error| self.not_edited(&error))?;
        Ok(())
    }

    /// Whether there was anything to remove.
    pub(crate) fn unset(&mut self, path: &Path) -> Result<bool, Failed> {
        if self.text.trim().is_empty() {
            return Ok(false);
        }
        let edited = edit::unset(&self.text, path).map_err(|error| self.not_edited(&error))?;
        Ok(edited.map(|text| self.text = text).is_some())
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.text)
    }

    /// Whether the file would be a good one.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        let Err(after) = File::parse(&self.text) else { return Ok(()) };
        let ill_before = self.before.as_deref().is_some_and(|text| File::parse(text).is_err());
        let failed =
            Failed::new(format!("nothing is written, for the file would be wrong:\n{}", lines(&after)));
        Err(if ill_before {
            failed.hint(format!("it was wrong before; mend {} by hand first", self.path.display()))
        } else {
            failed.hint("`genesis config schema` describes every field")
        })
    }

    /// Checks and writes the file, readable for its owner only; what it was before is kept beside it as
    /// `genesis.json.bak`. `false` if nothing changed.
    pub(crate) fn save(&self) -> Result<bool, Failed> {
        self.check()?;
        if !self.is_changed() {
            return Ok(false);
        }
        if read(&self.path)? != self.before {
            return Err(Failed::new(format!(
                "{} was changed by somebody else at this moment",
                self.path.display()
            ))
            .hint("nothing is written; run the command again"));
        }
        let folder = self.path.parent().unwrap_or(FilePath::new("."));
        let written = make_private(folder)
            .and_then(|()| match &self.before {
                Some(before) => replace(&self.path.with_extension("json.bak"), before),
                None => Ok(()),
            })
            .and_then(|()| replace(&self.path, &self.text));
        match written {
            Ok(()) => Ok(true),
            Err(error) => Err(Failed::new(format!("cannot write {}: {error}", self.path.display()))
                .hint("the file is as it was; check that the folder is yours and the disk has room")),
        }
    }

    fn not_edited(&self, error: &EditError) -> Failed {
        match (error, File::parse(&self.text)) {
            (EditError::Syntax, Err(problems)) => {
                Failed::config(format!("nothing is written, for the file is wrong:\n{}", lines(&problems)))
                    .hint(format!("mend {} by hand", self.path.display()))
            }
            (EditError::NoPlace { .. }, _) => {
                Failed::new(error.to_string()).hint("nothing is written; set that value as a whole instead")
            }
            _ => Failed::new(error.to_string()),
        }
    }
}

pub(crate) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn read(path: &FilePath) -> Result<Option<String>, Failed> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failed::config(format!("cannot read {}: {error}", path.display()))
            .hint("it must be a text file in UTF-8 that you may read")),
    }
}
