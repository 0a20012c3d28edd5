//! OpenAI Responses. The last event of a stream holds the whole answer; the many events a whole would have come as are
//! not made up.

use serde_json::Value;

use super::events;

pub(super) fn whole(stream: &[u8]) -> Option<Vec<u8>> {
    let (events, _) = events(stream)?;
    let mut last = events.into_iter().next_back()?;
    match last.get("type")?.as_str()? {
        "response.completed" | "response.incomplete" => {}
        _ => return None,
    }
    let response = last.remove("response").filter(Value::is_object)?;
    serde_json::to_vec(&response).ok()
}
