//! A record as one line of JSON.
//!
//! The first fields are those of Cloudflare's dataset `ai_gateway_events`
//! (<https://developers.cloudflare.com/logs/logpush/logpush-job/datasets/account/ai_gateway_events/>); the others are ours,
//! named in the same manner. [`FIELDS`] names them all.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesis_config::logpush::FIELDS;
use genesis_config::money::Usd;
use genesis_store::{LogEntry, LogRecord, Outcome};
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::seal::{NotSealed, Sealer, SealingKey};

/// How records become lines.
#[derive(Clone, Debug)]
pub struct Lines {
    /// By gateway; one without a key is written in the clear.
    keys: HashMap<String, Option<SealingKey>>,
    /// Records of gateways that are not among them are written, too.
    others: bool,
    /// `None`: all.
    fields: Option<HashSet<&'static str>>,
}

impl Lines {
    /// `fields`: only these, all if empty.
    pub fn new(keys: HashMap<String, Option<SealingKey>>, fields: &[String]) -> Self {
        let chosen = FIELDS.iter().copied().filter(|field| fields.iter().any(|wanted| wanted == field));
        Self { keys, others: false, fields: (!fields.is_empty()).then(|| chosen.collect()) }
    }

    /// Writes records of every other gateway in the clear; without this, not at all.
    #[must_use]
    pub fn with_other_gateways(self) -> Self {
        Self { others: true, ..self }
    }

    /// Whether bodies are among the fields.
    pub fn has_bodies(&self) -> bool {
        ["RequestBody", "ResponseBody", "RequestedModel"].iter().any(|field| self.has(field))
    }

    /// Appends a line for each record, its line end included.
    pub fn write(&self, entries: &[LogEntry], text: &mut Vec<u8>) -> Result<(), NotSealed> {
        for entry in entries {
            let key = match self.keys.get(&entry.record.gateway) {
                Some(key) => key.as_ref(),
                None if self.others => None,
                None => continue,
            };
            let sealer = key.map(SealingKey::sealer).transpose()?;
            self.write_one(entry, sealer.as_ref(), text)?;
            text.push(b'\n');
        }
        Ok(())
    }

    fn has(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains(field))
    }

    fn write_one(
        &self,
        entry: &LogEntry,
        sealer: Option<&Sealer>,
        text: &mut Vec<u8>,
    ) -> Result<(), NotSealed> {
        let record = &entry.record;
        let body = |of: fn(&genesis_store::Payload) -> &[u8]| -> Result<Box<RawValue>, NotSealed> {
            match (&entry.payload, sealer) {
                (None, _) => raw(&json!({})),
                (Some(payload), Some(sealer)) => raw(&sealer.seal(of(payload))?),
                (Some(payload), None) => plain(of(payload)),
            }
        };
        let metadata = match sealer {
            Some(sealer) => raw(&sealer.seal(json!(record.metadata).to_string().as_bytes())?)?,
            None => raw(&record.metadata)?,
        };
        let (request, response) = (body(|payload| &payload.request)?, body(|payload| &payload.response)?);
        let mut serializer = serde_json::Serializer::new(&mut *text);
        // Writing JSON to memory fails for no value that is written here.
        let mut line = Line { map: serializer.serialize_map(None).map_err(|_| NotSealed)?, lines: self };
        line.cloudflare(entry, &metadata, &request, &response)
            .and_then(|()| line.ours(entry))
            .and_then(|()| line.map.end())
            .map_err(|_| NotSealed)
    }
}

/// A line being written.
struct Line<'l, M> {
    map: M,
    lines: &'l Lines,
}

impl<M: SerializeMap> Line<'_, M> {
    fn put(&mut self, field: &'static str, value: &(impl Serialize + ?Sized)) -> Result<(), M::Error> {
        debug_assert!(FIELDS.contains(&field), "{field} is not in the list of fields");
        if self.lines.has(field) { self.map.serialize_entry(field, value) } else { Ok(()) }
    }

    fn cloudflare(
        &mut self,
        entry: &LogEntry,
        metadata: &RawValue,
        request: &RawValue,
        response: &RawValue,
    ) -> Result<(), M::Error> {
        let record = &entry.record;
        self.put("Cached", &record.cached)?;
        self.put("Endpoint", &record.path)?;
        self.put("Gateway", &record.gateway)?;
        self.put("Metadata", metadata)?;
        let cost = record.cost_nano_usd.map(Usd);
        self.put("Metrics", &json!({ "cost": cost, "durationMs": record.duration_ms }))?;
        self.put("Model", &record.model)?;
        self.put("Provider", &record.provider)?;
        self.put("RateLimited", &(record.outcome == Outcome::Refused && record.status == 429))?;
        self.put("RequestBody", request)?;
        self.put("RequestedModel", &requested_model(entry))?;
        self.put("ResponseBody", response)?;
        // There is no smart routing here.
        self.put("RoutingDecisionID", "")?;
        self.put("RoutingReason", "")?;
        self.put("StatusCode", &record.status)?;
        self.put("Timestamp", &moment(record.created_at_ms))
    }

    fn ours(&mut self, entry: &LogEntry) -> Result<(), M::Error> {
        let LogRecord { usage, .. } = &entry.record;
        let record = &entry.record;
        let payload = entry.payload.as_ref();
        self.put("Account", &record.account)?;
        self.put("Attempts", &record.attempts)?;
        self.put("CachedTokensIn", &usage.map(|usage| usage.cache_read))?;
        self.put("CostNanoUSD", &record.cost_nano_usd)?;
        self.put("Credential", &record.credential)?;
        self.put("CustomCost", &record.custom_cost)?;
        self.put("Dropped", &record.dropped)?;
        self.put("DurationMs", &record.duration_ms)?;
        self.put("Error", &record.error)?;
        self.put("EventID", &record.event_id)?;
        self.put("Feedback", &record.feedback)?;
        self.put("FirstByteMs", &record.first_byte_ms)?;
        self.put("ID", &record.id)?;
        self.put("Method", &record.method)?;
        self.put("ModelType", record.kind())?;
        self.put("Outcome", record.outcome.name())?;
        self.put("PriceID", &record.price_id)?;
        self.put("ReasoningTokens", &usage.map(|usage| usage.reasoning))?;
        self.put("RequestBodyComplete", &payload.map(|payload| payload.request_complete))?;
        self.put("RequestContentType", &record.request_content_type)?;
        self.put("RequestSize", &record.request_size)?;
        self.put("ResponseBodyComplete", &payload.map(|payload| payload.response_complete))?;
        self.put("ResponseContentType", &record.response_content_type)?;
        self.put("ResponseSize", &record.response_size)?;
        self.put("Score", &record.score)?;
        self.put("Simulated", &record.simulated)?;
        self.put("Step", &record.step)?;
        self.put("Stream", &record.stream)?;
        self.put("Success", &(record.outcome == Outcome::Success))?;
        self.put("TokenID", &record.token_id)?;
        self.put("TokensIn", &usage.map(|usage| usage.tokens_in()))?;
        self.put("TokensOut", &usage.map(|usage| usage.tokens_out()))?;
        self.put("TraceID", &record.trace_id)?;
        self.put("UserAgent", &record.user_agent)
    }
}

/// RFC 3339 in UTC, with milliseconds.
fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// What the caller asked for, if the request's body is known; else what answered.
fn requested_model(entry: &LogEntry) -> Cow<'_, str> {
    let asked = entry.payload.as_ref().and_then(|payload| genesis_wire::peek(&payload.request).ok()?.model);
    asked.unwrap_or(Cow::Borrowed(&entry.record.model))
}

/// A body in the clear: JSON as it is, other text as text, anything else in base64.
fn plain(body: &[u8]) -> Result<Box<RawValue>, NotSealed> {
    let Ok(text) = std::str::from_utf8(body) else {
        return raw(&json!({ "type": "base64", "data": STANDARD.encode(body) }));
    };
    // Line ends stand between the tokens of JSON only, never inside its texts.
    match RawValue::from_string(text.trim().replace(['\n', '\r'], " ")) {
        Ok(json) => Ok(json),
        Err(_) => raw(text),
    }
}

fn raw(value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, NotSealed> {
    serde_json::value::to_raw_value(value).map_err(|_| NotSealed)
}
