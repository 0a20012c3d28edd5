//! Follows the frames of one direction of a WebSocket (RFC 6455 §5) without holding them back: where one ends, what the
//! text messages say, whether a Close has passed.

/// Messages longer than this are passed on without being looked into.
const TEXT_LIMIT: usize = 256 * 1024;
/// Two bytes, eight of extended length, four of mask.
const LONGEST_HEADER: usize = 14;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; LONGEST_HEADER],
    /// Bytes of the header that are in.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// The message under way is text that is being collected.
    collecting: bool,
    text: Vec<u8>,
    closed: bool,
}

impl Frames {
    /// Takes in what passes; `on_text` sees each whole text message that is not masked, as a server's are not.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut on_text: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.push_header(bytes);
            } else {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                if self.takes_text() {
                    self.collect(&bytes[..here]);
                }
                self.left -= here as u64;
                bytes = &bytes[here..];
            }
            if self.have > 0 && self.left == 0 && self.header_is_complete() {
                self.frame_ended(&mut on_text);
            }
        }
    }

    /// Nothing of a frame is under way: another could be put in here.
    pub(crate) fn between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    pub(crate) fn has_closed(&self) -> bool {
        self.closed
    }

    fn push_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = self.header_length() - self.have;
        let here = wanted.min(bytes.len());
        self.header[self.have..self.have + here].copy_from_slice(&bytes[..here]);
        self.have += here;
        if self.header_is_complete() {
            self.frame_begins();
        }
        &bytes[here..]
    }

    /// As far as it is known: the first two bytes say how long it is.
    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.is_masked() { 4 } else { 0 }
    }

    fn header_is_complete(&self) -> bool {
        self.have >= 2 && self.have == self.header_length()
    }

    fn is_masked(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0f
    }

    fn frame_begins(&mut self) {
        let extended = |length: usize| {
            self.header[2..2 + length].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        self.left = match self.header[1] & 0x7f {
            126 => extended(2),
            127 => extended(8),
            short => u64::from(short),
        };
        match self.opcode() {
            TEXT => {
                self.text.clear();
                self.collecting = !self.is_masked();
            }
            BINARY => self.collecting = false,
            CLOSE => self.closed = true,
            _ => {}
        }
    }

    fn takes_text(&self) -> bool {
        self.collecting && matches!(self.opcode(), TEXT | CONTINUATION)
    }

    fn collect(&mut self, piece: &[u8]) {
        if self.text.len() + piece.len() > TEXT_LIMIT {
            self.collecting = false;
            self.text = Vec::new();
            return;
        }
        self.text.extend_from_slice(piece);
    }

    fn frame_ended(&mut self, on_text: &mut impl FnMut(&[u8])) {
        let last = self.header[0] & 0x80 != 0;
        if last && self.takes_text() {
            on_text(&self.text);
            self.collecting = false;
            self.text.clear();
        }
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame, masked with zeros if it is a client's.
    fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
        let mut bytes = vec![first];
        let mask = if masked { 0x80 } else { 0 };
        match payload.len() {
            short @ ..126 => bytes.push(mask | u8::try_from(short).expect("short")),
            medium @ ..65_536 => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(medium).expect("medium").to_be_bytes());
            }
            long => {
                bytes.push(mask | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([0; 4]);
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    proptest! {
        #[test]
        fn messages_are_seen_however_the_bytes_are_cut(
            messages in prop::collection::vec((0_usize..70_000, 1_usize..4, any::<bool>()), 1..5),
            cuts in prop::collection::vec(1_usize..5_000, 1..20),
        ) {
            let mut bytes = Vec::new();
            let mut texts = Vec::new();
            for (number, (length, parts, binary)) in messages.into_iter().enumerate() {
                let text = vec![b'a' + u8::try_from(number).expect("few"); length];
                let part = length.div_ceil(parts).max(1);
                let pieces: Vec<_> = if length == 0 { vec![&text[..]] } else { text.chunks(part).collect() };
                for (at, piece) in pieces.iter().enumerate() {
                    let last = if at + 1 == pieces.len() { 0x80 } else { 0 };
                    let opcode = if at > 0 { CONTINUATION } else if binary { 0x2 } else { TEXT };
                    bytes.extend(frame(last | opcode, piece, false));
                    bytes.extend(frame(0x89, b"ping", false)); // control frames may come between
                }
                if !binary {
                    texts.push(text);
                }
            }
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                frames.push(piece, |text| seen.push(text.to_vec()));
                rest = left;
            }
            prop_assert_eq!(seen, texts);
            prop_assert!(frames.between() && !frames.has_closed());
        }

        #[test]
        fn nonsense_does_not_break_it(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            Frames::default().push(&bytes, |_| {});
        }
    }

    #[test]
    fn a_close_is_seen_and_so_is_being_inside_a_frame() {
        let mut frames = Frames::default();
        let text = frame(0x81, b"hello", true);
        frames.push(&text[..8], |_| unreachable!("masked"));
        assert!(!frames.between());
        frames.push(&text[8..], |_| unreachable!("masked"));
        assert!(frames.between() && !frames.has_closed());
        frames.push(&frame(0x88, &1000_u16.to_be_bytes(), true), |_| {});
        assert!(frames.between() && frames.has_closed());
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_next_is_seen() {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for text in [vec![b'x'; TEXT_LIMIT + 1], b"short".to_vec()] {
            frames.push(&frame(0x81, &text, false), |text| seen.push(text.to_vec()));
        }
        assert_eq!(seen, [b"short".to_vec()]);
    }
}
