//! Answers of a scripted provider, in each dialect.

use crate::http::Message;

/// The head of a streamed answer, ended by closing; `more` are further header lines, each with its line end.
pub(super) fn stream_head(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n{more}\r\n")
        .into_bytes()
}

/// The first events of a Messages stream, with one piece of text.
pub(super) fn messages_begin(text: &str) -> String {
    format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\
         \"role\":\"assistant\",\"model\":\"claude-sonnet-4-6-20260101\",\"content\":[],\"stop_reason\":null,\
         \"usage\":{{\"input_tokens\":12,\"output_tokens\":1}}}}}}\n\n\
         event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\
         \"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n{}",
        messages_delta(text)
    )
}

pub(super) fn messages_delta(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":{text}}}}}\n\n"
    )
}

pub(super) fn messages_end() -> &'static str {
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
     event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
     \"usage\":{\"output_tokens\":34}}\n\n\
     event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
}

/// A whole streamed answer in the dialect of the request's path.
pub(super) fn answer(request: &Message, text: &str, more: &str) -> Vec<u8> {
    let path = request.head.split(' ').nth(1).unwrap_or_default();
    let text_json = serde_json::Value::from(text);
    let events = if path.ends_with("/messages") {
        format!("{}{}", messages_begin(text), messages_end())
    } else if path.ends_with("/responses") {
        let item = format!(
            "{{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"status\":\"completed\",\
             \"content\":[{{\"type\":\"output_text\",\"text\":{text_json},\"annotations\":[]}}]}}"
        );
        [
            "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"gpt-5\",\"status\":\"in_progress\",\"output\":[]}}".to_owned(),
            "{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"status\":\"in_progress\",\"content\":[]}}".to_owned(),
            "{\"type\":\"response.content_part.added\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}".to_owned(),
            format!("{{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":{text_json}}}"),
            format!("{{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{item}}}"),
            format!("{{\"type\":\"response.completed\",\"response\":{{\"id\":\"resp_1\",\"model\":\"gpt-5\",\"status\":\"completed\",\"output\":[{item}],\"usage\":{{\"input_tokens\":12,\"output_tokens\":34,\"total_tokens\":46}}}}}}"),
        ]
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect()
    } else {
        format!(
            "data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"claude-sonnet-4-5\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":{text_json}}},\"finish_reason\":null}}]}}\n\n\
             data: {{\"id\":\"c1\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
             data: {{\"id\":\"c1\",\"choices\":[],\"usage\":{{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}}}}\n\n\
             data: [DONE]\n\n"
        )
    };
    [stream_head(more), events.into_bytes()].concat()
}
