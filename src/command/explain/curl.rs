//! A curl line → the request curl would send.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::printer::Failed;

/// Options without a value that change nothing about what is asked for.
const PLAIN: [&str; 22] = [
    "--silent",
    "--show-error",
    "--include",
    "--verbose",
    "--no-buffer",
    "--location",
    "--insecure",
    "--fail",
    "--fail-with-body",
    "--compressed",
    "--http1.1",
    "--http2",
    "--globoff",
    "-s",
    "-S",
    "-i",
    "-v",
    "-N",
    "-L",
    "-k",
    "-f",
    "-g",
];
/// Options with a value that change nothing about it either.
const IGNORED: [&str; 10] = [
    "--output",
    "--max-time",
    "--connect-timeout",
    "--write-out",
    "--retry",
    "--retry-delay",
    "--dump-header",
    "-o",
    "-m",
    "-w",
];

#[derive(Default)]
struct Line {
    url: Option<String>,
    method: Option<String>,
    headers: Vec<String>,
    data: Option<Vec<u8>>,
    json: bool,
}

/// Reads the words of a line, `curl` first.
pub(super) fn request(words: &[String]) -> Result<Request<Bytes>, Failed> {
    let mut line = Line::default();
    let mut words = words.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        let (option, attached) = option(word);
        if PLAIN.contains(&option) && attached.is_none() {
            continue;
        }
        if let (true, Some(attached)) = (!option.starts_with("--") && PLAIN.contains(&option), attached) {
            line.cluster(attached, &mut words)?;
            continue;
        }
        if !option.starts_with('-') {
            line.address(word)?;
            continue;
        }
        line.take(option, attached, &mut words)?;
    }
    line.request()
}

/// An option and the value attached to it: `-XPOST`; long ones have none.
fn option(word: &str) -> (&str, Option<&str>) {
    match word.as_bytes() {
        [b'-', b'-', ..] | [b'-'] | [] => (word, None),
        [b'-', ..] if word.is_char_boundary(2) && word.len() > 2 => (&word[..2], Some(&word[2..])),
        _ => (word, None),
    }
}

impl Line {
    /// What follows the first of several short options in one word: `-sSX`.
    fn cluster<'w>(
        &mut self,
        rest: &'w str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), Failed> {
        for (at, letter) in rest.char_indices() {
            let option = format!("-{letter}");
            if !PLAIN.contains(&option.as_str()) {
                let attached = Some(&rest[at + letter.len_utf8()..]).filter(|value| !value.is_empty());
                return self.take(&option, attached, words);
            }
        }
        Ok(())
    }

    /// An option that has a value.
    fn take<'w>(
        &mut self,
        option: &str,
        attached: Option<&'w str>,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), Failed> {
        let mut value = || {
            attached
                .or_else(|| words.next())
                .ok_or_else(|| Failed::usage(format!("curl's {option} needs a value")))
        };
        match option {
            "-X" | "--request" => self.method = Some(value()?.to_owned()),
            "-H" | "--header" => self.headers.push(value()?.to_owned()),
            "-A" | "--user-agent" => self.headers.push(format!("user-agent: {}", value()?)),
            "--url" => return self.address(value()?),
            "-d" | "--data" | "--data-ascii" => self.data(value()?, Data::Text)?,
            "--data-binary" => self.data(value()?, Data::Binary)?,
            "--data-raw" => self.data(value()?, Data::Raw)?,
            "--json" => {
                self.json = true;
                self.data(value()?, Data::Binary)?;
            }
            _ if IGNORED.contains(&option) => drop(value()?),
            _ => {
                return Err(Failed::usage(format!("curl's option {option} is not understood here"))
                    .hint("leave it out if it does not change what is sent, or give the request as a file"));
            }
        }
        Ok(())
    }

    fn address(&mut self, url: &str) -> Result<(), Failed> {
        match self.url.replace(url.to_owned()) {
            None => Ok(()),
            Some(_) => Err(Failed::usage("the line has two addresses; explain one call at a time")
                .hint("put quotes around what holds blanks")),
        }
    }

    /// `--data` more than once is joined with `&`, `--json` without.
    fn data(&mut self, written: &str, kind: Data) -> Result<(), Failed> {
        let piece = match (written.strip_prefix('@'), kind) {
            (None, _) | (_, Data::Raw) => written.as_bytes().to_vec(),
            (Some(path), kind) => {
                let mut bytes = std::fs::read(path)
                    .map_err(|error| Failed::usage(format!("{path} cannot be read: {error}")))?;
                if kind == Data::Text {
                    bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                }
                bytes
            }
        };
        match &mut self.data {
            None => self.data = Some(piece),
            Some(data) => {
                data.extend((!self.json).then_some(b'&'));
                data.extend(piece);
            }
        }
        Ok(())
    }

    fn request(self) -> Result<Request<Bytes>, Failed> {
        let url = self.url.ok_or_else(|| {
            Failed::usage("the line has no address")
                .hint("it should be that of a gateway: http://…/v1/{account}/{gateway}/…")
        })?;
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        // Addresses may hold keys, so they are not repeated.
        let uri: Uri = url.parse().map_err(|_| Failed::usage("the line's address is not a URL"))?;
        let method =
            self.method.unwrap_or_else(|| if self.data.is_some() { "POST" } else { "GET" }.to_owned());
        let method =
            Method::try_from(method.as_str()).map_err(|_| Failed::usage("curl's -X names no HTTP method"))?;
        let has_body = self.data.is_some();
        let mut request = Request::new(Bytes::from(self.data.unwrap_or_default()));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        let headers = request.headers_mut();
        for written in &self.headers {
            let (name, value) = header(written)?;
            headers.append(name, value);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("curl"));
        let (sent, accepted) = match self.json {
            true => ("application/json", "application/json"),
            false => ("application/x-www-form-urlencoded", "*/*"),
        };
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static(accepted));
        if has_body {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(sent));
        }
        Ok(request)
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Data {
    /// Files lose their line breaks.
    Text,
    Binary,
    /// `@` means nothing.
    Raw,
}

/// `Name: value`. What is wrong is said without the value, which may be a key.
pub(super) fn header(written: &str) -> Result<(HeaderName, HeaderValue), Failed> {
    let wrong = || Failed::usage("a header is not written as `Name: value`");
    let (name, value) = written.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim());
    let value = value.map_err(|_| {
        Failed::usage(format!("the value of header {name} holds characters no header can carry"))
    })?;
    Ok((name, value))
}
