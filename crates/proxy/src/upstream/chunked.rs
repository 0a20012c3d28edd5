//! The chunked transfer coding (RFC 9112 §7.1), decoded in place.

use bytes::{Buf, Bytes, BytesMut};

/// Longest size line (with extensions) and trailer section we accept.
const LINE_LIMIT: usize = 4 * 1024;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chunked {
    /// A size line is next.
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// The line end after a chunk's data is next.
    DataEnd,
    /// Trailer lines are next, up to an empty one.
    Trailer,
    Done,
}

#[derive(Debug, thiserror::Error)]
#[error("malformed chunk: {0}")]
pub(crate) struct BadChunk(&'static str);

impl Chunked {
    /// Takes the payload of all chunks in `buffer`, moved together, and leaves what is incomplete.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Bytes, BadChunk> {
        let (mut read, mut written) = (0, 0);
        loop {
            if written == 0 && read > 0 {
                buffer.advance(read); // the first chunk is handed out where it lies
                read = 0;
            }
            match *self {
                Self::Size => {
                    let Some((line, after)) = line(&buffer[read..])? else { break };
                    let size = size(line)?;
                    read += after;
                    *self = if size == 0 { Self::Trailer } else { Self::Data(size) };
                }
                Self::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len() - read);
                    if here == 0 {
                        break;
                    }
                    if read != written {
                        buffer.copy_within(read..read + here, written);
                    }
                    read += here;
                    written += here;
                    let left = left - here as u64;
                    *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                }
                Self::DataEnd => match &buffer[read..] {
                    [b'\r', b'\n', ..] => {
                        read += 2;
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(BadChunk("data is longer than its size")),
                },
                Self::Trailer => {
                    let Some((line, after)) = line(&buffer[read..])? else { break };
                    let last = line.is_empty();
                    read += after;
                    if last {
                        *self = Self::Done;
                    }
                }
                Self::Done => break,
            }
        }
        let payload = buffer.split_to(written).freeze();
        buffer.advance(read - written);
        Ok(payload)
    }
}

/// The line at the start of `bytes` without its end, and where the next begins.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, BadChunk> {
    match memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_LIMIT)]) {
        Some(0) => Err(BadChunk("line without carriage return")),
        Some(end) if bytes[end - 1] == b'\r' => Ok(Some((&bytes[..end - 1], end + 1))),
        Some(_) => Err(BadChunk("line without carriage return")),
        None if bytes.len() >= LINE_LIMIT => Err(BadChunk("line too long")),
        None => Ok(None),
    }
}

fn size(line: &[u8]) -> Result<u64, BadChunk> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 {
        return Err(BadChunk("size is not a number"));
    }
    digits.iter().try_fold(0, |size, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(BadChunk("size is not a number"))?;
        Ok(size << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_in(pieces: &[&[u8]]) -> Result<(Vec<u8>, Chunked, Vec<u8>), BadChunk> {
        let (mut state, mut buffer, mut payload) = (Chunked::Size, BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            payload.extend_from_slice(&state.decode(&mut buffer)?);
        }
        Ok((payload, state, buffer.to_vec()))
    }

    #[test]
    fn several_chunks_come_out_as_one_piece() {
        let (payload, state, rest) =
            decode_in(&[b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: 1\r\n\r\nnext"]).expect("valid");
        assert_eq!(payload, b"hello world");
        assert_eq!(state, Chunked::Done);
        assert_eq!(rest, b"next");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"zz\r\n"[..],
            b"\r\n",
            b"5\nhello",
            b"2\r\nabc\r\n",
            b"fffffffffffffffff\r\n",
            b"-1\r\n",
            b"+1\r\n",
        ] {
            assert!(decode_in(&[bad]).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert!(decode_in(&[&[b'1'; LINE_LIMIT]]).is_err());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_payload(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            at.extend([0, wire.len()]);
            at.sort_unstable();
            let pieces: Vec<_> = at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let (payload, state, rest) = decode_in(&pieces).expect("valid");
            prop_assert_eq!(payload, chunks.concat());
            prop_assert_eq!(state, Chunked::Done);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode_in(&[&bytes]);
        }
    }
}
