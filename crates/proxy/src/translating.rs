//! Events on their way from one dialect to another, out of whatever coding the provider sent them in.

use std::io;

use genesis_wire::translate::StreamTranslator;

use crate::coding::{Coding, Unpacker};

/// A small piece may decompress to a huge one, so this much is unpacked and translated at a time.
const STEP: usize = 4096;

pub(crate) struct Translating {
    /// `None`: the provider did as it was asked and sent the events as they are.
    unpacker: Option<Box<Unpacker<Vec<u8>>>>,
    translator: StreamTranslator,
}

impl Translating {
    pub(crate) fn new(coding: Coding, translator: StreamTranslator) -> Self {
        let packed = coding != Coding::Identity;
        let unpacker = packed.then(|| Box::new(Unpacker::new(coding, Vec::new())));
        Self { unpacker, translator }
    }

    /// Appends what a piece from the provider means to the client. An error: the coding is damaged.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let Some(unpacker) = &mut self.unpacker else {
            self.translator.push(piece, out);
            return Ok(());
        };
        for step in piece.chunks(STEP) {
            let unpacked = unpacker.push(step);
            self.translator.push(&std::mem::take(unpacker.sink()), out);
            unpacked?;
        }
        Ok(())
    }

    /// The provider's stream has ended; if its events have not, the client is told.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.translator.finish(out);
    }

    /// The provider's stream was cut.
    pub(crate) fn broken(&mut self, out: &mut Vec<u8>, message: &str) {
        self.translator.broken(out, message);
    }

    /// Whether the client has been told that the answer failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.translator.has_failed()
    }
}
