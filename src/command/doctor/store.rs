//! Whether the databases are sound, and room on the disk.

use std::path::Path;
use std::time::Duration;

use genesis_store::health::{FileHealth, FileState, health};

use super::finding::{Area, Finding, Level};
use crate::home::{Home, Settings};
use crate::render;

/// For each file.
const CHECK_WITHIN: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
/// Below this the log soon cannot be written.
const NO_ROOM: u64 = 100 * MIB;
const LITTLE_ROOM: u64 = GIB;

pub(super) fn findings(home: &Home, settings: &Settings) -> Vec<Finding> {
    let path = match home.store_path(settings) {
        Ok(path) => path,
        Err(failed) => return vec![Finding::failed(Area::Store, Level::Problem, failed)],
    };
    let mut findings: Vec<Finding> = health(&path, CHECK_WITHIN).iter().map(file).collect();
    if findings.is_empty() {
        let what = format!("there is no {} yet; the first key, token or call creates it", path.display());
        findings.push(Finding::note(Area::Store, what));
    } else if let Err(failed) = home.store_to_read(settings) {
        findings.push(Finding::failed(Area::Store, Level::Problem, failed));
    }
    findings.extend(room(&path));
    findings
}

fn file(file: &FileHealth) -> Finding {
    let path = file.path.display();
    let size = size(file.bytes);
    match &file.state {
        FileState::Sound => Finding::good(Area::Store, format!("{path} is sound ({size})")),
        FileState::TooLarge => Finding::note(
            Area::Store,
            format!(
                "{path} is sound as far as it was read ({size}; the check stops after {} s)",
                CHECK_WITHIN.as_secs()
            ),
        ),
        FileState::Damaged(complaint) => {
            Finding::problem(Area::Store, format!("{path} is damaged: {}", render::plain(complaint))).remedy(
                "stop the gateway, then restore the file from a backup or move it away to start afresh",
            )
        }
        FileState::Unreadable(error) => Finding::problem(Area::Store, error.to_string()),
    }
}

/// Where the store is or will be.
fn room(path: &Path) -> Option<Finding> {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{} free on the disk of {}", size(free), folder.display());
    let remedy = "make room, or lower `log_management` of the gateways";
    Some(match free {
        ..NO_ROOM => Finding::problem(Area::Store, what).remedy(remedy),
        NO_ROOM..LITTLE_ROOM => Finding::warning(Area::Store, what).remedy(remedy),
        _ => Finding::good(Area::Store, what),
    })
}

/// `812 KiB`, `3.4 GiB`
fn size(bytes: u64) -> String {
    match bytes {
        ..MIB => format!("{} KiB", bytes.div_ceil(1024)),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}
