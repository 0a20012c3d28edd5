//! Server-sent events: framing that loses no byte, whatever the chunks and the line ends.

use genesis_wire::sse::{Event, Skip, Splitter, event_around, events};
use proptest::prelude::*;

use crate::cuts::{cut, ends};

/// Line ends, field names and a few other bytes, so that events are frequent and odd.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(&b"\n"[..]),
        3 => Just(&b"\r"[..]),
        2 => Just(&b"\r\n"[..]),
        2 => Just(&b"data: {\"a\":1}"[..]),
        1 => Just(&b"event: x"[..]),
        1 => Just(&b": comment"[..]),
        1 => Just(&b"\xef\xbb\xbf"[..]),
        1 => Just(&b"\xff:"[..]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn push(splitter: &mut Splitter, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for chunk in chunks {
        splitter.push(chunk, |event| seen.push(event.to_vec()));
    }
    seen
}

/// The standard's rule, spelled out line by line over the whole stream.
fn events_by_the_book(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut events, mut event_start, mut line_start, mut at) = (Vec::new(), 0, 0, 0);
    while at < stream.len() {
        let line_end = match (stream[at], stream.get(at + 1)) {
            (b'\n', _) => at + 1,
            (b'\r', Some(b'\n')) => at + 2,
            // Whether a CR at the very end is a whole line end, the next byte would tell.
            (b'\r', None) => break,
            (b'\r', _) => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if at == line_start {
            events.push(stream[event_start..line_end].to_vec());
            event_start = line_end;
        }
        (line_start, at) = (line_end, line_end);
    }
    events
}

proptest! {
    #[test]
    fn any_number_of_events_can_be_skipped_in_any_cut(stream in stream(), ends in ends()) {
        let events = events_by_the_book(&stream);
        for from in 0..events.len() + 2 {
            let mut skip = Skip::new(from as u64);
            let mut rest = Vec::new();
            for chunk in cut(&stream, &ends) {
                rest.extend_from_slice(&chunk[skip.push(chunk)..]);
            }
            let skipped: usize = events.iter().take(from).map(Vec::len).sum();
            let skipped = if from > events.len() { stream.len() } else { skipped };
            prop_assert_eq!(rest, &stream[skipped..], "{}", from);
        }
    }

    #[test]
    fn any_cut_gives_the_same_events_and_no_byte_is_lost(stream in stream(), ends in ends()) {
        let mut splitter = Splitter::new();
        let events = push(&mut splitter, &cut(&stream, &ends));
        prop_assert_eq!([events.concat(), splitter.rest().to_vec()].concat(), stream.clone());
        prop_assert_eq!(events, events_by_the_book(&stream));
        prop_assert_eq!(splitter.oversized(), 0);
    }

    #[test]
    fn a_limit_drops_the_large_events_and_only_those(stream in stream(), ends in ends(), limit in 0_usize..40) {
        let mut splitter = Splitter::with_limit(limit);
        let kept = push(&mut splitter, &cut(&stream, &ends));
        let (small, large): (Vec<_>, Vec<_>) =
            events_by_the_book(&stream).into_iter().partition(|event| event.len() <= limit);
        let consumed: usize = small.iter().chain(&large).map(Vec::len).sum();
        let unfinished_is_large = stream.len() - consumed > limit;
        prop_assert_eq!(kept, small);
        prop_assert_eq!(splitter.oversized(), (large.len() + usize::from(unfinished_is_large)) as u64);
        prop_assert!(splitter.rest().len() <= limit);
    }

    #[test]
    fn runs_hold_the_same_events(stream in stream(), ends in ends()) {
        let mut splitter = Splitter::new();
        let mut seen = Vec::new();
        for chunk in cut(&stream, &ends) {
            splitter.push_runs(chunk, |run| {
                let mut start = 0;
                for event in events(run) {
                    for position in start..start + event.len() {
                        assert_eq!(event_around(run, position), start..start + event.len());
                    }
                    start += event.len();
                    seen.push(event.to_vec());
                }
                assert_eq!(start, run.len());
            });
        }
        prop_assert_eq!(seen, events_by_the_book(&stream));
    }

    #[test]
    fn parsing_any_bytes_is_harmless(raw in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(Event::parse(&raw).data.len() <= raw.len());
    }
}
