//! The pieces of an answer, streamed or whole, in any dialect: text as it comes, a report at its end.

use genesis_wire::translate::{self, Context, StreamTranslator};
use genesis_wire::{Dialect, Report, StreamReader, read_json, sse};
use serde_json::Value;

use super::Target;
use super::failure::{Cause, Failure};

/// Reads the stream of an answer.
pub(super) struct Reading {
    translator: StreamTranslator,
    /// Watches the provider's own bytes: a translation has no room for every class of tokens.
    watch: StreamReader,
    chunks: sse::Splitter,
    translated: Vec<u8>,
    failed: Option<Failure>,
}

impl Reading {
    pub(super) fn new(context: Context, dialect: Dialect) -> Result<Self, Failure> {
        let translator = StreamTranslator::new(context)
            .ok_or_else(|| Failure::new(Cause::Internal, format!("{} is not streamed", dialect.name())))?;
        Ok(Self {
            translator,
            watch: StreamReader::new(dialect),
            chunks: sse::Splitter::new(),
            translated: Vec::new(),
            failed: None,
        })
    }

    /// The text in the next bytes; empty if there is none.
    pub(super) fn push(&mut self, target: &Target, bytes: &[u8]) -> String {
        self.watch.push(bytes);
        self.translator.push(bytes, &mut self.translated);
        self.text(target)
    }

    /// The stream ended: the text that was left. An answer that is not complete has failed.
    pub(super) fn end(&mut self, target: &Target) -> String {
        self.translator.finish(&mut self.translated);
        self.text(target)
    }

    /// The stream broke.
    pub(super) fn broken(&mut self, target: &Target, why: &str) {
        self.translator.broken(&mut self.translated, why);
        self.text(target);
    }

    /// Whether the answer is complete, so that nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.translator.is_over()
    }

    /// Why the answer is none, if it has failed.
    pub(super) fn failed(&mut self) -> Option<Failure> {
        self.failed.take()
    }

    /// What it said about itself so far.
    pub(super) fn report(self) -> Report {
        self.watch.finish()
    }

    fn text(&mut self, target: &Target) -> String {
        let Self { chunks, translated, failed, .. } = self;
        let mut text = String::new();
        chunks.push(translated, |raw| {
            let event = sse::Event::parse(raw);
            // `[DONE]` is no JSON.
            let Ok(chunk) = serde_json::from_slice::<Value>(&event.data) else { return };
            if chunk["error"].is_object() {
                failed.get_or_insert_with(|| failure(target, &chunk["error"]));
            }
            let delta = &chunk["choices"][0]["delta"];
            let said = [&delta["content"], &delta["refusal"]];
            said.into_iter().filter_map(Value::as_str).for_each(|piece| text.push_str(piece));
        });
        translated.clear();
        text
    }
}

/// An answer that came in one piece, although a stream was asked for.
pub(super) fn whole(target: &Target, context: &Context, body: &[u8]) -> Result<(String, Report), Failure> {
    let broken =
        |why: String| Failure::new(Cause::Broken, format!("{} sent no answer: {why}", target.provider.name));
    let answer = translate::response(context, 200, body).map_err(|bad| broken(bad.message))?;
    let chat: Value = serde_json::from_slice(&answer.body).map_err(|error| broken(error.to_string()))?;
    let message = &chat["choices"][0]["message"];
    let text = message["content"].as_str().or(message["refusal"].as_str()).unwrap_or_default();
    Ok((text.to_owned(), read_json(target.dialect, body)))
}

/// An error in the middle of a stream that began well.
fn failure(target: &Target, error: &Value) -> Failure {
    let said = error["message"].as_str().unwrap_or("no reason given");
    let kind = error["type"].as_str().unwrap_or_default();
    let cause = if kind.contains("rate_limit") { Cause::RateLimited } else { Cause::Broken };
    Failure::new(cause, format!("the answer of {} broke off: {}", target.provider.name, target.masked(said)))
        .hint("the call may be tried again")
}
