//! What keeping a stream costs it. Run by hand, optimised:
//! `cargo test --release -p genesis-proxy resume::timing -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::runs::{Bounds, Owner, Runs};
use super::{Keeping, Offer};
use crate::admit::Caller;

const STREAMS: u32 = 5_000;
const PIECES: u32 = 200;

#[test]
#[ignore = "measures; says nothing without optimisation"]
fn a_stream_in_pieces_of_one_event() {
    let runs = Arc::new(Runs::new());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let piece = Bytes::from(vec![b'x'; 250]);
    let owner = || Owner { account: "a".to_owned(), gateway: "g".to_owned(), caller: Caller::default() };
    let begun = Instant::now();
    for _ in 0..STREAMS {
        let bounds = Bounds { all: 64 << 20, each: 8 << 20 };
        let offer = Offer { runs: Arc::clone(&runs), owner: owner(), bounds, drains: None };
        let (mut keeping, _): (Keeping, _) = offer.begin(&headers).expect("a stream");
        for _ in 0..PIECES {
            keeping.said(&piece);
        }
        keeping.end(Ok(()));
    }
    let took = begun.elapsed();
    eprintln!(
        "{:?} a piece of {} bytes, beginning, ending and making room included; {} bytes are held",
        took / (STREAMS * PIECES),
        piece.len(),
        runs.held()
    );
}
