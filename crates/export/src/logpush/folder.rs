//! Objects as files: written beside their name, synced, then renamed, so that a file that is there is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use genesis_store::LogEntry;

use super::pack::{Packing, pack, with_date};
use crate::post::Post;
use crate::target::{Target, Undelivered};

pub(super) struct Folder {
    /// May hold `{DATE}`.
    path: String,
    packing: Packing,
}

impl Folder {
    pub(super) fn new(path: String, packing: Packing) -> Self {
        Self { path, packing }
    }
}

impl Target for Folder {
    fn deliver(&mut self, entries: &[LogEntry], _: &mut dyn Post) -> Result<(), Undelivered> {
        let packed = pack(&self.packing, entries)?;
        let folder = PathBuf::from(with_date(&self.path, &packed.date));
        write(&folder, &packed.name, &packed.bytes).map_err(|error| {
            Undelivered::later(format!(
                "{} cannot be written ({error}); make room, or make the folder writable",
                folder.display()
            ))
        })
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    let mut options = OpenOptions::new();
    builder.recursive(true);
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.create(folder)?;
    let unfinished = folder.join(format!(".{name}.part"));
    let written = options.open(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // What fills the disk shall not stay there.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, folder.join(name))?;
    // The name must be on disk, too, before the records count as sent.
    File::open(folder)?.sync_all()
}
