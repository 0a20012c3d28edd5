//! Server-sent events, framed byte-exactly: what comes out, put together again, is what went in.
//!
//! Framing follows the event stream format of the WHATWG HTML standard: lines end in LF, CR or CRLF, and a
//! blank line ends an event. It works on bytes, so bad UTF-8 cannot upset it, and it never fails.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2, memrchr2};

/// The largest event taken in, in bytes, unless [`Splitter::with_limit`] says otherwise.
pub const DEFAULT_EVENT_LIMIT: usize = 1024 * 1024;

/// How much room for an unfinished event stays reserved between events.
const TAIL_KEPT: usize = 16 * 1024;

/// Cuts a stream, in whatever chunks it arrives, into events.
///
/// Events that lie wholly in a chunk are handed out as slices of it; only an event that straddles chunks is
/// copied. An event whose blank line ends in a bare CR is handed out when the next byte shows that no LF follows.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// The unfinished event; empty while skipping an oversized one.
    tail: Vec<u8>,
    /// Where the unfinished event's last line stands.
    line: Line,
    /// The unfinished event outgrew the limit and its bytes are gone.
    skipping: bool,
    limit: usize,
    oversized: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter that takes events of up to [`DEFAULT_EVENT_LIMIT`].
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_EVENT_LIMIT)
    }

    /// A splitter that skips events of more than `limit` bytes and holds at most that many.
    pub fn with_limit(limit: usize) -> Self {
        Self { tail: Vec::new(), line: Line::Start, skipping: false, limit, oversized: 0 }
    }

    /// Takes the next bytes and calls `on_event` with the raw bytes of each event they complete, its blank line
    /// included. A blank line that follows no event is an event of its own.
    pub fn push(&mut self, chunk: &[u8], mut on_event: impl FnMut(&[u8])) {
        self.push_runs(chunk, |run| {
            for event in events(run) {
                on_event(event);
            }
        });
    }

    /// Like [`Self::push`], but calls `on_run` with runs of one or more complete events, which costs nothing per
    /// event. [`events`] and [`event_around`] find the events in a run.
    pub fn push_runs(&mut self, chunk: &[u8], mut on_run: impl FnMut(&[u8])) {
        let mut chunk = chunk;
        if self.line != Line::Start || !self.tail.is_empty() || self.skipping {
            let Some(end) = self.line.event_end(chunk) else {
                self.keep(chunk);
                return;
            };
            self.keep(&chunk[..end]);
            if !self.skipping {
                on_run(&self.tail);
            }
            self.forget_tail();
            chunk = &chunk[end..];
        }
        let (run, tail) = chunk.split_at(last_event_end(chunk, None));
        if run.len() <= self.limit {
            if !run.is_empty() {
                on_run(run);
            }
        } else {
            for event in events(run) {
                if event.len() <= self.limit {
                    on_run(event);
                } else {
                    self.oversized += 1;
                }
            }
        }
        // The tail holds no event end, so this only finds out where its last line stands.
        self.line.event_end(tail);
        self.keep(tail);
    }

    /// The bytes after the last complete event; empty if they belong to an oversized one.
    pub fn rest(&self) -> &[u8] {
        &self.tail
    }

    /// How many events were skipped because they were over the limit.
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    fn forget_tail(&mut self) {
        self.tail.clear();
        // One large event must not weigh on an idle stream for the rest of its life.
        self.tail.shrink_to(TAIL_KEPT);
        self.skipping = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.tail.len() + bytes.len() <= self.limit {
            self.tail.extend_from_slice(bytes);
        } else {
            self.tail = Vec::new();
            self.skipping = true;
            self.oversized += 1;
        }
    }
}

/// Finds where in a stream, in whatever chunks it arrives, its first events are over.
///
/// What [`Splitter`] hands out counts as an event here, too.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    line: Line,
    left: u64,
}

impl Skip {
    /// Skips so many events.
    pub fn new(events: u64) -> Self {
        Self { line: Line::Start, left: events }
    }

    /// Takes the next bytes; how many of them belong to the events that are skipped.
    pub fn push(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while self.left > 0 {
            match self.line.event_end(&chunk[at..]) {
                Some(end) => at += end,
                None => return chunk.len(),
            }
            self.left -= 1;
        }
        at
    }
}

/// The events in a run of whole events.
pub fn events(run: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (event, after) = rest.split_at(first_event_end(rest));
        rest = after;
        (!event.is_empty()).then_some(event)
    })
}

/// Where the event that holds the byte at `position` lies in a run of whole events.
///
/// # Panics
/// If `position` is not in `run`.
pub fn event_around(run: &[u8], position: usize) -> Range<usize> {
    let start = last_event_end(&run[..position], Some(run[position]));
    start..start + first_event_end(&run[start..])
}

/// The fields of one event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event<'a> {
    /// The `event` field.
    pub name: Option<&'a [u8]>,
    /// The `data` lines, joined with LF; copied only if there are several.
    pub data: Cow<'a, [u8]>,
    /// The `id` field.
    pub id: Option<&'a [u8]>,
}

impl<'a> Event<'a> {
    /// Reads the fields of one event as [`Splitter`] hands it out. Comments and unknown fields are skipped.
    pub fn parse(raw: &'a [u8]) -> Self {
        let mut event = Self::default();
        let mut has_data = false;
        let mut rest = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
        while !rest.is_empty() {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            // A CRLF leaves an empty line behind, which says nothing.
            rest = rest.get(end + 1..).unwrap_or_default();
            let (field, value) = match memchr(b':', line) {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (line, &line[line.len()..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" if has_data => {
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
                b"data" => {
                    event.data = Cow::Borrowed(value);
                    has_data = true;
                }
                b"event" => event.name = Some(value),
                b"id" => event.id = Some(value),
                _ => {}
            }
        }
        event
    }
}

/// Where the scan stands in the current line of an unfinished event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    /// At the first byte of a line.
    Start,
    /// Past it.
    Middle,
    /// After the CR of a line with content: an LF would still belong to that line end.
    AfterCr,
    /// After the CR of a blank line: the event is over, but an LF would still belong to it.
    AfterBlankCr,
}

impl Line {
    /// Scans on and finds where the current event ends in `bytes`.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let byte = *bytes.get(at)?;
            match (*self, byte) {
                (Self::AfterBlankCr, _) => {
                    *self = Self::Start;
                    return Some(at + usize::from(byte == b'\n'));
                }
                (Self::AfterCr, _) => {
                    *self = Self::Start;
                    at += usize::from(byte == b'\n');
                }
                (Self::Start, b'\n') => return Some(at + 1),
                (Self::Start, b'\r') => {
                    *self = Self::AfterBlankCr;
                    at += 1;
                }
                (Self::Start | Self::Middle, _) => {
                    *self = Self::Middle;
                    at += memchr2(b'\n', b'\r', &bytes[at..])?;
                    *self = if bytes[at] == b'\n' { Self::Start } else { Self::AfterCr };
                    at += 1;
                }
            }
        }
    }
}

/// Where the first event of a run ends. A run's last event may end in a bare CR.
fn first_event_end(run: &[u8]) -> usize {
    Line::Start.event_end(run).unwrap_or(run.len())
}

/// Where the last complete event in `bytes`, which begin with an event, ends; 0 if none does. `next` is the byte
/// after them, if known.
///
/// Whether an event ends at a place shows in the few bytes before it, so the search goes backwards and in the
/// usual case, a chunk that ends with an event, is over at once.
fn last_event_end(bytes: &[u8], next: Option<u8>) -> usize {
    let mut end = bytes.len();
    while let Some(terminator) = memrchr2(b'\n', b'\r', &bytes[..end]) {
        end = terminator;
        let after = terminator + 1;
        let following = bytes.get(after).copied().or(next);
        let line_end = if bytes[terminator] == b'\n' {
            &bytes[..after - 1 - usize::from(bytes[..terminator].ends_with(b"\r"))]
        } else if following.is_none_or(|byte| byte == b'\n') {
            continue;
        } else {
            &bytes[..terminator]
        };
        if line_end.last().is_none_or(|byte| matches!(byte, b'\n' | b'\r')) {
            return after;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Vec<u8>, u64) {
        let mut splitter = Splitter::with_limit(limit);
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |event| events.push(event.to_vec()));
        }
        (events, splitter.rest().to_vec(), splitter.oversized())
    }

    #[test]
    fn every_kind_of_line_end_ends_an_event() {
        for (stream, expected) in [
            ("a\n\nb\n\n", vec!["a\n\n", "b\n\n"]),
            ("a\r\n\r\nb\r\n\r\n", vec!["a\r\n\r\n", "b\r\n\r\n"]),
            ("a\r\rb\r\rc", vec!["a\r\r", "b\r\r"]),
            ("a\n\r\nb\r\n\nc\r\n\rd", vec!["a\n\r\n", "b\r\n\n", "c\r\n\r"]),
            ("\n\r\n\rx", vec!["\n", "\r\n", "\r"]),
            ("a\nb\r\nc\rd", vec![]),
            ("\u{feff}data: 1\n\nx", vec!["\u{feff}data: 1\n\n"]),
        ] {
            let (events, rest, _) = split(&[stream.as_bytes()], 100);
            let expected: Vec<_> = expected.iter().map(|event| event.as_bytes().to_vec()).collect();
            assert_eq!(events, expected, "{stream:?}");
            assert_eq!([events.concat(), rest].concat(), stream.as_bytes(), "{stream:?}");
        }
    }

    #[test]
    fn a_whole_event_is_a_slice_of_its_chunk() {
        let chunk = b"data: 1\n\ndata: 2\n\n";
        let mut splitter = Splitter::new();
        let mut seen = 0;
        splitter.push(chunk, |event| {
            assert!(chunk.as_ptr_range().contains(&event.as_ptr()));
            seen += 1;
        });
        assert_eq!((seen, splitter.tail.capacity()), (2, 0));
    }

    #[test]
    fn an_oversized_event_is_skipped_and_framing_goes_on() {
        let stream = b"a\n\n0123456789\n\nb\n\n";
        let kept: Vec<Vec<u8>> = vec![b"a\n\n".to_vec(), b"b\n\n".to_vec()];
        assert_eq!(split(&[stream], 8), (kept.clone(), vec![], 1));
        for cut in 0..stream.len() {
            assert_eq!(split(&[&stream[..cut], &stream[cut..]], 8), (kept.clone(), vec![], 1), "{cut}");
        }
        assert_eq!(split(&[b"012345", b"6789", b"\n"], 8), (vec![], vec![], 1));
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let event = Event::parse(
            b"\xef\xbb\xbf: comment\nevent: delta\r\nid:7\rdata:  two\ndata\ndata:x\nother: 1\n\n",
        );
        assert_eq!(event.name, Some(&b"delta"[..]));
        assert_eq!(event.id, Some(&b"7"[..]));
        assert_eq!(event.data.as_ref(), b" two\n\nx");
        assert!(matches!(Event::parse(b"data: {}\n\n").data, Cow::Borrowed(b"{}")));
        assert_eq!(Event::parse(b"\n"), Event::default());
        assert_eq!(Event::parse(b"data: unfinished").data.as_ref(), b"unfinished");
    }

    #[test]
    fn the_event_around_a_byte_is_found() {
        let run = b"a: 1\r\n\r\n\nb: 2\n\nc\r\r";
        for (start, event) in events(run).scan(0, |at, event| {
            *at += event.len();
            Some((*at - event.len(), event))
        }) {
            for position in start..start + event.len() {
                assert_eq!(event_around(run, position), start..start + event.len(), "{position}");
            }
        }
    }
}
