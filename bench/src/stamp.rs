//! Send times inside events, so that a transit time can be measured through any relay or translation.
//!
//! A stamp is `@`, the nanoseconds since the Unix epoch in 19 digits, `;`. It sits in the generated text, the one part
//! of an event that every dialect carries through unchanged. Both ends read the same machine's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of a stamp: enough until the year 2286.
const DIGITS: u32 = 19;

/// Nanoseconds since the Unix epoch.
#[must_use]
pub fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// The stamp of an instant.
#[must_use]
pub fn write(nanoseconds: u64) -> String {
    format!("@{nanoseconds:019};")
}

/// Finds stamps in a stream that arrives in pieces cut anywhere.
#[derive(Debug, Default)]
pub struct Reader {
    /// Digits read since the last `@`; 0 outside a stamp, else one more than the digits.
    progress: u32,
    value: u64,
}

impl Reader {
    /// Reads the next piece and calls `found` with each stamp completed in it.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(u64)) {
        let mut rest = piece;
        loop {
            if self.progress == 0 {
                let Some(at) = memchr::memchr(b'@', rest) else {
                    return;
                };
                rest = &rest[at + 1..];
                (self.progress, self.value) = (1, 0);
            }
            let Some((&byte, after)) = rest.split_first() else {
                return;
            };
            match byte {
                b'0'..=b'9' if self.progress <= DIGITS => {
                    self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                    self.progress += 1;
                    rest = after;
                }
                b';' if self.progress == DIGITS + 1 => {
                    found(self.value);
                    self.progress = 0;
                    rest = after;
                }
                // Not a stamp after all; this byte may begin one.
                _ => self.progress = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamps(pieces: &[&[u8]]) -> Vec<u64> {
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        pieces.iter().for_each(|piece| reader.feed(piece, |stamp| all.push(stamp)));
        all
    }

    #[test]
    fn what_is_written_is_found() {
        let time = now();
        assert_eq!(stamps(&[format!("data: {{\"text\":\"{} hello\"}}\n\n", write(time)).as_bytes()]), [time]);
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_not() {
        assert_eq!(stamps(&[b"a@b @12; @12345678901234567890; @1234567890123456789,"]), [0; 0]);
        assert_eq!(stamps(&[b"@@1234567890123456789;@"]), [1_234_567_890_123_456_789]);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(times in prop::collection::vec(0..u64::MAX / 2, 0..5), width in 1..60_usize) {
            let text: String = times.iter().map(|time| format!("data: @x{}\n\n", write(*time))).collect();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
            prop_assert_eq!(stamps(&pieces), times);
        }
    }
}
