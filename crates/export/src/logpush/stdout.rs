//! Lines on standard output, for containers whose output is collected.

use std::io::{self, Write as _};

use genesis_store::LogEntry;

use super::pack::{Packing, pack};
use crate::post::Post;
use crate::target::{Target, Undelivered};

pub(super) struct Stdout {
    packing: Packing,
}

impl Stdout {
    pub(super) fn new(packing: Packing) -> Self {
        Self { packing }
    }
}

impl Target for Stdout {
    fn deliver(&mut self, entries: &[LogEntry], _: &mut dyn Post) -> Result<(), Undelivered> {
        let packed = pack(&self.packing, entries)?;
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&packed.bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| Undelivered::later(format!("standard output cannot be written: {error}")))
    }
}
