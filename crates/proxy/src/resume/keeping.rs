//! A stream on its way to its client, and into memory.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::runs::{Bounds, Owner, RunId, Runs};
use crate::coding::{Coding, Unpacker};
use crate::upstream::broadcast::Broadcast;

/// A smaller piece is copied: it is a part of a read buffer many times its size, which would be held with it.
const SHARED: usize = 16 * 1024;
/// A small piece may decompress to a huge one, so this much is unpacked at a time.
const STEP: usize = 4096;

/// Is told what the client is told. Dropped before the end, the stream ends broken for whoever hears it again.
pub(crate) struct Keeping {
    runs: Arc<Runs>,
    id: RunId,
    broadcast: Arc<Broadcast>,
    bounds: Bounds,
    bytes: usize,
    /// Events can be counted only where no content coding hides them.
    unpacker: Option<Box<Unpacker<Vec<u8>>>>,
    ended: bool,
}

impl Keeping {
    /// `None` if such an answer cannot be kept.
    pub(super) fn begin(runs: Arc<Runs>, owner: Owner, bounds: Bounds, headers: &HeaderMap) -> Option<Self> {
        if bounds.all == 0 || bounds.each == 0 {
            return None;
        }
        let coding = Coding::of(headers)?;
        let unpacker = (coding != Coding::Identity).then(|| Box::new(Unpacker::new(coding, Vec::new())));
        let (id, broadcast) = runs.begin(owner, headers.get(CONTENT_TYPE)?.clone(), bounds)?;
        Some(Self { runs, id, broadcast, bounds, bytes: 0, unpacker, ended: false })
    }

    /// The stream's name.
    pub(crate) fn header(&self) -> HeaderValue {
        self.id.header()
    }

    /// Somebody hears it again at this moment.
    pub(crate) fn is_heard(&self) -> bool {
        self.broadcast.is_heard()
    }

    /// The client is given this.
    pub(crate) fn said(&mut self, piece: &Bytes) {
        let Some(mut unpacker) = self.unpacker.take() else {
            let shared = piece.len() >= SHARED;
            self.keep(if shared { piece.clone() } else { Bytes::copy_from_slice(piece) });
            return;
        };
        for step in piece.chunks(STEP) {
            let unpacked = unpacker.push(step);
            let plain = std::mem::take(unpacker.sink());
            if !plain.is_empty() {
                self.keep(plain.into());
            }
            if unpacked.is_err() {
                self.runs.let_go(&self.id);
                self.end(Err("its content coding is damaged"));
                break;
            }
        }
        self.unpacker = Some(unpacker);
    }

    /// The client is told that nothing follows; `Err`: that it broke off.
    pub(crate) fn end(&mut self, how: Result<(), &str>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.broadcast.end(how.map_err(str::to_owned));
            self.runs.ended(self.id);
        }
    }

    fn keep(&mut self, piece: Bytes) {
        if self.ended {
            return;
        }
        let weight = Broadcast::weight(&piece);
        self.bytes += piece.len();
        // Counted first: whoever makes room meanwhile finds it counted if they find it at all.
        self.runs.grow(weight);
        if !self.broadcast.push(piece) {
            self.runs.shrink(weight);
        } else if self.bytes > self.bounds.each {
            self.runs.let_go(&self.id);
        } else {
            self.runs.stay_within(self.bounds);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.end(Err("nobody waited for its end"));
    }
}
