//! Reading the content of messages: text, pictures, files, and the cache markers on them.

use std::borrow::Cow;

use crate::translate::conversation::{Cache, Part, Source};
use crate::translate::json::{Fields, Json, Path};
use crate::translate::{BadRequest, Dropped};

/// `content`: a string or an array of parts.
pub(super) fn read_content<'a>(
    message: &mut Fields<'a, '_>,
    dropped: &mut Dropped,
) -> Result<Vec<Part<'a>>, BadRequest> {
    let path = message.path;
    let path = path.key("content");
    match message.take("content") {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part::text(text)]),
        Some(Json::Array(items)) => {
            let mut parts = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                parts.push(read_part(item, path.index(at), dropped)?);
            }
            Ok(parts)
        }
        Some(_) => Err(path.bad("must be a string or an array of content parts")),
    }
}

fn read_part<'a>(item: Json<'a>, path: Path<'_>, dropped: &mut Dropped) -> Result<Part<'a>, BadRequest> {
    let mut fields = Fields::new(item, path)?;
    let kind = fields.required_string("type")?;
    let cache = read_cache(&mut fields)?;
    let part = match kind.as_ref() {
        "text" => Part::Text {
            text: fields.required_string("text")?,
            citations: Vec::new(),
            cache,
            signature: None,
        },
        "refusal" => Part::Refusal(fields.required_string("refusal")?),
        "image_url" => read_image(&mut fields, cache, dropped)?,
        "file" => read_file(&mut fields, cache, dropped)?,
        "input_audio" => {
            let path = path.key("input_audio");
            let mut audio = Fields::new(fields.take("input_audio").unwrap_or(Json::Null), path)?;
            let format = audio.required_string("format")?;
            let data = audio.required_string("data")?;
            audio.finish(dropped);
            Part::Audio { media_type: Cow::Owned(format!("audio/{format}")), data }
        }
        other => {
            return Err(path
                .key("type")
                .bad(format!("{other:?} is not a content part this gateway can translate")));
        }
    };
    fields.finish(dropped);
    Ok(part)
}

fn read_image<'a>(
    fields: &mut Fields<'a, '_>,
    cache: Option<Cache>,
    dropped: &mut Dropped,
) -> Result<Part<'a>, BadRequest> {
    let path = fields.path;
    let path = path.key("image_url");
    let mut image = match fields.take("image_url") {
        // Not in the specification, but common.
        Some(url @ Json::String(_)) => Fields::new(Json::Object(vec![(Cow::Borrowed("url"), url)]), path)?,
        Some(image) => Fields::new(image, path)?,
        None => return Err(path.bad("is required")),
    };
    let url = image.required_string("url")?;
    let detail = image.string("detail")?;
    image.finish(dropped);
    let source = read_url(url, path.key("url"))?;
    Ok(Part::Image { source, detail, cache })
}

/// An image's address: a data URL, or one the provider fetches.
pub(in crate::translate) fn read_url<'a>(
    url: Cow<'a, str>,
    path: Path<'_>,
) -> Result<Source<'a>, BadRequest> {
    if url.starts_with("data:") {
        return data_url(url)
            .ok_or_else(|| path.bad("must be a data URL of the form data:<media type>;base64,<data>"));
    }
    if ["https://", "http://", "gs://", "s3://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(Source::Url(url));
    }
    Err(path.bad("must be an http(s) address or a data URL"))
}

/// The parts of `data:{media type};base64,{data}`.
pub(in crate::translate) fn data_url(url: Cow<'_, str>) -> Option<Source<'_>> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    let (type_end, data_start) = (5 + media_type.len(), url.len() - data.len());
    Some(match url {
        Cow::Borrowed(url) => Source::Base64 {
            media_type: Cow::Borrowed(&url[5..type_end]),
            data: Cow::Borrowed(&url[data_start..]),
        },
        Cow::Owned(url) => Source::Base64 {
            media_type: Cow::Owned(url[5..type_end].to_owned()),
            data: Cow::Owned(url[data_start..].to_owned()),
        },
    })
}

fn read_file<'a>(
    fields: &mut Fields<'a, '_>,
    cache: Option<Cache>,
    dropped: &mut Dropped,
) -> Result<Part<'a>, BadRequest> {
    let path = fields.path;
    let path = path.key("file");
    let mut file = Fields::new(fields.take("file").unwrap_or(Json::Null), path)?;
    let title = file.string("filename")?;
    let data = file.string("file_data")?;
    let id = file.string("file_id")?;
    file.finish(dropped);
    let source = match (data, id) {
        (Some(data), _) => data_url(data).ok_or_else(|| {
            path.key("file_data").bad("must be a data URL such as data:application/pdf;base64,<data>")
        })?,
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(path.bad("needs file_data or file_id")),
    };
    Ok(Part::Document { source, title, context: None, citations: false, cache })
}

/// The marker in either spelling: Anthropic's, widely accepted, and OpenAI's own.
pub(in crate::translate) fn read_cache(fields: &mut Fields<'_, '_>) -> Result<Option<Cache>, BadRequest> {
    let path = fields.path;
    let mut found = None;
    for key in ["prompt_cache_breakpoint", "cache_control"] {
        let Some(marker) = fields.take(key) else { continue };
        let mut marker = Fields::new(marker, path.key(key))?;
        marker.take("type");
        marker.take("mode");
        let hour = match marker.string("ttl")?.as_deref() {
            None | Some("5m" | "30m") => false,
            Some("1h" | "12h") => true,
            Some(other) => {
                return Err(path.key(key).key("ttl").bad(format!("must be \"5m\" or \"1h\", not {other:?}")));
            }
        };
        found = Some(Cache { hour });
    }
    Ok(found)
}
