//! Sound, images and files, in OpenAI's shapes.

use serde_json::json;

use crate::answer::tokens_in;
use crate::dialect::CREATED;
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::Reply;

/// One transparent pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono: the length of one frame.
const MP3_FRAME: usize = 417;
const MP3_HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0xc0];

/// `POST …/audio/transcriptions`
pub(crate) fn transcription(incoming: &Incoming) -> Reply {
    let text = format!("Simulated transcription of {} bytes", incoming.bytes.len());
    let usage = json!({"type": "duration", "seconds": 1});
    Reply::json(&json!({"text": text, "usage": usage}))
}

/// `POST …/audio/speech`: a second or so of frames with a valid header and made-up contents.
pub(crate) fn speech(incoming: &Incoming) -> Reply {
    let noise = digest::numbers(incoming.seed).flat_map(u64::to_le_bytes);
    let mut sound: Vec<u8> = noise.take(MP3_FRAME * 40).collect();
    sound.chunks_mut(MP3_FRAME).for_each(|frame| frame[..4].copy_from_slice(&MP3_HEADER));
    Reply::whole(200, "audio/mpeg", sound)
}

/// `POST …/images/generations`
pub(crate) fn image(incoming: &Incoming) -> Reply {
    let count = incoming.body["n"].as_u64().unwrap_or(1).clamp(1, 10);
    let input = tokens_in(incoming.bytes.len());
    let usage = json!({
        "input_tokens": input, "input_tokens_details": {"text_tokens": input, "image_tokens": 0},
        "output_tokens": count, "total_tokens": input + count,
    });
    let images: Vec<_> = (0..count).map(|_| json!({"b64_json": PNG})).collect();
    Reply::json(&json!({"created": CREATED, "data": images, "output_format": "png", "usage": usage}))
}

/// `POST …/files`
pub(crate) fn file(incoming: &Incoming) -> Reply {
    Reply::json(&json!({
        "id": digest::id("file-", incoming.seed, 22), "object": "file", "bytes": incoming.bytes.len(),
        "created_at": CREATED, "filename": "simulated.bin", "purpose": "user_data", "status": "processed",
    }))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_pixel_is_a_png() {
        assert!(STANDARD.decode(PNG).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}
