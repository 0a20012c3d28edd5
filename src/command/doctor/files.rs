//! The configuration file, and who may read what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::finding::{Area, Finding, Level};
use crate::home::{Home, Settings};

/// What a file or folder must not allow others.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Files that hold secrets or what was said; the rest of the folder is anybody's own.
const PRIVATE: [&str; 4] = ["genesis.json", ".env", "master.key", "genesis.db"];

/// Permissions of the home folder and what is in it. With `fix`, others lose theirs.
pub(super) fn modes(home: &Home, fix: bool) -> Vec<Finding> {
    if !home.path.exists() {
        let what = format!("{} does not exist yet: nothing is set up", home.path.display());
        let start = "`genesis onboard` sets a model up; `genesis dev` runs a gateway that needs no set-up";
        return vec![Finding::note(Area::Files, what).remedy(start)];
    }
    let mut findings: Vec<Finding> = std::iter::once(home.path.clone())
        .chain(private_files(home))
        .filter_map(|path| mode(&path, fix))
        .collect();
    if findings.is_empty() {
        let what = format!("{} and its files are private", home.path.display());
        findings.push(Finding::good(Area::Files, what));
    }
    findings
}

/// What the file says, once it could be read.
pub(super) fn settings(home: &Home, settings: &Settings) -> Vec<Finding> {
    let path = home.config_path();
    let mut findings = vec![match path.exists() {
        true => Finding::good(Area::Config, format!("{} is valid", path.display())),
        false => Finding::note(Area::Config, format!("there is no {}; defaults hold", path.display())),
    }];
    // Permissions are looked at above, with a remedy that can be had by --fix.
    let warnings = settings.warnings.iter().filter(|warning| !warning.contains("chmod 600"));
    findings.extend(warnings.map(|warning| Finding::warning(Area::Config, warning)));
    let mut unset = settings.file.unresolved(&settings.environment);
    if let Ok(text) = fs::read_to_string(&path) {
        genesis_config::Problem::locate(&text, &mut unset);
    }
    findings.extend(unset.into_iter().map(|problem| Finding::warning(Area::Config, problem.to_string())));
    findings
}

/// Every private file that is there, with what SQLite keeps beside its databases.
fn private_files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(&home.path).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            PRIVATE.contains(&name.as_ref()) || name.contains(".db") || name.starts_with("genesis.json.")
        })
        .map(|entry| entry.path())
        .collect();
    files.sort_unstable();
    files
}

fn mode(path: &Path, fix: bool) -> Option<Finding> {
    let shown = path.display();
    let metadata = fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() {
        // Whose file is behind it, and who else uses it, is not ours to decide.
        let target = fs::metadata(path).ok()?;
        let open = target.permissions().mode() & OTHERS != 0;
        let what = format!("{shown} leads elsewhere, to something other users may read or write");
        return open.then(|| Finding::warning(Area::Files, what).remedy("change the permissions there"));
    }
    let mode = metadata.permissions().mode();
    if mode & OTHERS == 0 {
        return None;
    }
    let private = if metadata.is_dir() { 0o700 } else { 0o600 };
    let what = format!("{shown} has mode {:03o}: other users of this machine can get at it", mode & 0o777);
    let remedy = format!("`chmod {private:o} {shown}`, or `genesis doctor --fix`");
    let level = if mode & OTHERS_WRITE != 0 { Level::Problem } else { Level::Warning };
    let finding = Finding::new(Area::Files, level, what);
    if !fix {
        return Some(finding.remedy(remedy));
    }
    Some(match fs::set_permissions(path, fs::Permissions::from_mode(private)) {
        Ok(()) => Finding {
            fixed: true,
            level: Level::Note,
            what: format!("{shown} had mode {:03o}; it has {private:o} now", mode & 0o777),
            ..finding
        }
        .remedy("if others may have read a key in it, replace that key at the provider"),
        Err(error) => {
            Finding { what: format!("{} (it cannot be changed: {error})", finding.what), ..finding }
                .remedy("its owner has to change it")
        }
    })
}
