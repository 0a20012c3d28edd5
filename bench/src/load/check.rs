//! Is the answer the one the mock gave? Only answers that are whole count.

use anyhow::{Result, ensure};
use memchr::memmem;

use crate::mock::answer::SENTINEL;
use crate::stamp;

/// Bytes kept from the end of a stream, where its closing event is.
const TAIL: usize = 128;

/// Watches one answer go by.
#[derive(Debug)]
pub struct Check {
    stream: bool,
    stamps: stamp::Reader,
    events: u32,
    /// The whole answer, or the tail of a stream.
    kept: Vec<u8>,
}

impl Check {
    /// For a streamed or a whole answer.
    #[must_use]
    pub fn new(stream: bool) -> Check {
        Check { stream, stamps: stamp::Reader::default(), events: 0, kept: Vec::new() }
    }

    /// Takes the next piece of the body; calls `found` with each stamp in it.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(u64)) {
        if !self.stream {
            self.kept.extend_from_slice(piece);
            return;
        }
        let events = &mut self.events;
        self.stamps.feed(piece, |stamp| {
            *events += 1;
            found(stamp);
        });
        let new = &piece[piece.len().saturating_sub(TAIL)..];
        let old = self.kept.len().saturating_sub(TAIL - new.len());
        self.kept.drain(..old);
        self.kept.extend_from_slice(new);
    }

    /// Fails unless the whole answer was seen; a stream must have had `events` stamped events.
    pub fn finish(&self, events: u32) -> Result<()> {
        let has = |text: &str| memmem::find(&self.kept, text.as_bytes()).is_some();
        if self.stream {
            ensure!(self.events == events, "a stream had {} of its {events} events", self.events);
            let end = |text: &str| self.kept.ends_with(text.as_bytes());
            let closed = end("data: [DONE]\n\n") || (has("message_stop") && end("}\n\n"));
            ensure!(closed, "a stream ended without its closing event");
        } else {
            // The mock's text has no braces, so they tell whether the JSON is complete.
            let count = |brace| memchr::memchr_iter(brace, &self.kept).count();
            ensure!(
                has(SENTINEL) && has("\"usage\"") && count(b'{') == count(b'}'),
                "an answer of {} bytes is not the mock's: {}",
                self.kept.len(),
                self.kept[..self.kept.len().min(200)].escape_ascii()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::mock::answer;

    fn stream(dialect: Dialect) -> Vec<u8> {
        use http_body_util::BodyExt as _;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let events = answer::Events::new(dialect, "events=9".parse().unwrap(), 300);
        runtime.block_on(events.collect()).unwrap().to_bytes().to_vec()
    }

    fn verdict(streamed: bool, bytes: &[u8], width: usize) -> Result<()> {
        let mut check = Check::new(streamed);
        bytes.chunks(width).for_each(|piece| check.feed(piece, |_| ()));
        check.finish(9)
    }

    #[test]
    fn what_the_mock_sends_passes_however_it_is_cut() {
        for dialect in [Dialect::Openai, Dialect::Anthropic] {
            for width in [1, 7, 100, 1000, 100_000] {
                verdict(true, &stream(dialect), width).unwrap();
                verdict(false, &answer::whole(dialect, 300), width).unwrap();
            }
        }
    }

    #[test]
    fn anything_less_does_not() {
        for dialect in [Dialect::Openai, Dialect::Anthropic] {
            let events = stream(dialect);
            assert!(verdict(true, &events[..events.len() - 20], 50).is_err());
            assert!(verdict(true, &events[events.len() / 3..], 50).is_err());
            let answer = answer::whole(dialect, 300);
            assert!(verdict(false, &answer[..answer.len() - 1], 50).is_err());
        }
        assert!(verdict(false, br#"{"usage":{}}"#, 50).is_err());
    }
}
