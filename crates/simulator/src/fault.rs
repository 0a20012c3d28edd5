//! Spoils a good answer the way the script says.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::body::Ending;
use crate::dialect::{self, Family, event_stream};
use crate::line::Switch;
use crate::reply::{Framing, JSON, Reply};
use crate::script::Script;

/// Changes the reply and decides how its body ends.
pub(crate) fn apply(reply: &mut Reply, script: &Script, family: Family, switch: &Arc<Switch>) -> Ending {
    if script.wrong_type {
        *reply = Reply::whole(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Simulated</title><p>Not JSON.\n",
        );
    }
    if script.garbage {
        *reply = Reply::whole(200, JSON, "{\"simulated\": \"not JSON\", ]");
    }
    let streamed = reply.framing != Framing::Whole;
    if script.error_event && streamed {
        let kept = (reply.frames.len() / 2).max(1);
        reply.frames.truncate(kept);
        reply.frames.push(dialect::stream_error(family, reply.framing, kept));
    }
    if script.malformed && streamed {
        reply.frames = interleaved(std::mem::take(&mut reply.frames), reply.framing);
    }
    if script.gzip {
        reply.frames = compressed(&reply.frames);
        reply.headers.push(("content-encoding", "gzip".into()));
    }
    if let Some(seconds) = &script.retry_after {
        reply.headers.push(("retry-after", seconds.clone()));
    }
    if script.close {
        reply.headers.push(("connection", "close".into()));
    }
    ending(reply, script, switch)
}

fn ending(reply: &mut Reply, script: &Script, switch: &Arc<Switch>) -> Ending {
    if script.stall {
        reply.frames.truncate(1);
        return Ending::Stall;
    }
    if let Some(events) = script.cut {
        reply.frames.truncate(events.saturating_add(1));
        return if reply.frames.len() > events { Ending::Cut(Arc::clone(switch)) } else { Ending::Abort };
    }
    if script.cut_json {
        let sent: usize = reply.frames.iter().map(Bytes::len).sum();
        reply.headers.push(("content-length", (sent + 100).to_string()));
        return Ending::Abort;
    }
    Ending::Clean
}

/// Junk before every event; the events themselves stay whole and in order.
fn interleaved(frames: Vec<Bytes>, framing: Framing) -> Vec<Bytes> {
    let junk: &[Bytes] = match framing {
        Framing::Sse => &[
            Bytes::from_static(b": a comment\n\n"),
            Bytes::from_static(b"event: simulated_unknown\ndata: {\"type\":\"simulated_unknown\"}\n\n"),
            Bytes::from_static(b": invalid UTF-8 \xff\xfe\xc3\x28\n\n"),
            Bytes::from_static(
                b"event: simulated_junk\r\nid: 7\r\nretry: 10\r\ndata: {not json \xf0\x28\r\n\r\n",
            ),
            Bytes::from_static(b"unknownfield: simulated\nfieldwithoutcolon\n\n"),
        ],
        Framing::EventStream => &[event_stream::event("simulatedUnknown", b"{}")],
        Framing::JsonArray => &[Bytes::from_static(b" \r\n\t")],
        Framing::Whole => &[],
    };
    frames.into_iter().zip(junk.iter().cycle()).flat_map(|(frame, junk)| [junk.clone(), frame]).collect()
}

/// One gzip stream, flushed after every frame so that each can be read as soon as it arrives.
fn compressed(frames: &[Bytes]) -> Vec<Bytes> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out: Vec<Bytes> = Vec::with_capacity(frames.len() + 1);
    for frame in frames {
        encoder.write_all(frame).and_then(|()| encoder.flush()).expect(IN_MEMORY);
        out.push(std::mem::take(encoder.get_mut()).into());
    }
    let tail = encoder.finish().expect(IN_MEMORY);
    match out.pop() {
        // The trailer travels with the last event: a reader that has it has everything.
        Some(last) => out.push([last.as_ref(), &tail].concat().into()),
        None => out.push(tail.into()),
    }
    out
}
