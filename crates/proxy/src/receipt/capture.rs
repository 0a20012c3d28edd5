//! What the log keeps of a body.

use bytes::{Bytes, BytesMut};

/// A copy of a body up to a limit, and its full size.
pub(super) struct Capture {
    limit: usize,
    pub(super) size: u64,
    /// A body that came in one piece is shared, not copied.
    whole: Bytes,
    joined: BytesMut,
}

impl Capture {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, size: 0, whole: Bytes::new(), joined: BytesMut::new() }
    }

    pub(super) fn push(&mut self, piece: &Bytes) {
        let first = self.size == 0;
        self.size += piece.len() as u64;
        if self.limit == 0 {
            return;
        }
        if first && piece.len() <= self.limit {
            self.whole = piece.clone();
            return;
        }
        if !self.whole.is_empty() {
            self.joined.reserve((self.whole.len() + piece.len()) * 2);
            self.joined.extend_from_slice(&std::mem::take(&mut self.whole));
        }
        let room = self.limit - self.joined.len();
        self.joined.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.whole.is_empty() { &self.joined } else { &self.whole }
    }

    pub(super) fn is_complete(&self, limit: usize) -> bool {
        self.size <= limit as u64 && self.bytes().len() as u64 == self.size
    }

    pub(super) fn take(&mut self, limit: usize) -> Bytes {
        let mut bytes = std::mem::take(&mut self.whole);
        if bytes.is_empty() {
            bytes = self.joined.split().freeze();
        }
        bytes.truncate(limit);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_share_one_piece_and_join_several() {
        let mut capture = Capture::new(8);
        let piece = Bytes::from_static(b"hello");
        capture.push(&piece);
        assert_eq!(capture.bytes().as_ptr(), piece.as_ptr(), "shared, not copied");
        capture.push(&Bytes::from_static(b" world"));
        assert_eq!(capture.bytes(), b"hello wo");
        assert_eq!(capture.size, 11);
        assert!(!capture.is_complete(8));
    }
}
