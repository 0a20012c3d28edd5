//! A request as HTTP has it, from a file or from the log.

use bytes::Bytes;
use genesis_store::Store;
use http::{Method, Request, Uri};

use super::Asked;
use super::curl::header;
use crate::printer::Failed;
use crate::render;

/// `POST /path HTTP/1.1`, headers, an empty line, the body.
pub(super) fn request(text: &str) -> Result<Request<Bytes>, Failed> {
    let ends = [("\r\n\r\n", 4), ("\n\n", 2)];
    let end = ends.iter().filter_map(|(end, length)| Some((text.find(end)?, *length))).min();
    let (head, body) = match end {
        Some((at, length)) => (&text[..at], &text[at + length..]),
        None => (text.trim_end(), ""),
    };
    with_head(head, Bytes::from(body.to_owned()))
}

fn with_head(head: &str, body: Bytes) -> Result<Request<Bytes>, Failed> {
    let wrong = || {
        Failed::usage("this is no request: its first line should be like `POST /v1/acct/default/openai/responses HTTP/1.1`")
            .hint("a curl line starts with `curl `")
    };
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split_ascii_whitespace();
    let (Some(method), Some(target)) = (first.next(), first.next()) else { return Err(wrong()) };
    if first.next().is_none_or(|version| !version.starts_with("HTTP/")) {
        return Err(wrong());
    }
    let method = Method::try_from(method).map_err(|_| wrong())?;
    let uri: Uri = target.parse().map_err(|_| wrong())?;
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for line in lines {
        let (name, value) = header(line)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// How the log writes what it does not keep.
const MASKED: &str = "[masked]";

/// A call of the log. Its secrets were masked: whose token it was is on record, and so is whether the client brought a
/// key of its own.
pub(super) fn of_log(id: &str, store: Option<&Store>) -> Result<Asked, Failed> {
    let found = store.map(|store| store.log(id)).transpose().map_err(|error| match error.kind() {
        genesis_store::ErrorKind::Invalid => Failed::usage(error.to_string()),
        _ => error.into(),
    })?;
    let Some((record, payload)) = found.flatten() else {
        return Err(Failed::new(format!("no record has an id that starts with `{}`", render::plain(id)))
            .hint("`genesis logs` shows the newest; older ones may have been deleted to make room"));
    };
    let Some(payload) = payload.filter(|payload| payload.request_complete && !record.request_head.is_empty())
    else {
        return Err(Failed::new(
            "the whole request of this call was not kept, so it cannot be looked at again",
        )
        .hint("explain the call itself: `genesis explain -- curl …`"));
    };
    let mut request = with_head(record.request_head.trim_end(), payload.request)?;
    let own_key = record.credential == "request";
    let headers = request.headers_mut();
    headers.remove("cf-aig-authorization");
    let masked = headers.iter().filter(|(_, value)| value.as_bytes().ends_with(MASKED.as_bytes()));
    let masked: Vec<_> = masked.map(|(name, _)| name.clone()).collect();
    if !own_key {
        masked.iter().for_each(|name| drop(headers.remove(name)));
    }
    Ok(Asked { request, token_id: Some(record.token_id) })
}
