//! What a call took: tokens, cost, log id.

use std::time::Duration;

use genesis_config::PriceTable;
use genesis_config::money::Usd;
use genesis_wire::{Report, Usage};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Target;
use super::failure::text;
use crate::render;

/// One call, once it is over.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    /// `provider/model` as it was called.
    pub(crate) model: String,
    /// The model that answered, in the provider's words.
    pub(crate) answered_by: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Usage>,
    /// Nano-USD, and who says so.
    pub(crate) cost: Option<(i64, CostSource)>,
    pub(crate) log_id: Option<String>,
    /// The gateway's `cf-aig-cache-status`: `HIT`, `MISS`, …
    pub(crate) cache_status: Option<String>,
    /// Which of the gateway's fallbacks answered, from 0.
    pub(crate) step: Option<String>,
    /// The answer is made up by `genesis dev`.
    pub(crate) simulated: bool,
    /// Where the key came from.
    pub(crate) credential: String,
    pub(crate) first_text: Option<Duration>,
    pub(crate) duration: Duration,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CostSource {
    /// Its header `cf-aig-cost`.
    Gateway,
    /// It answered from its cache, so the provider was not asked.
    Cache,
    /// The price table of this program or the file: the price's id.
    Table(String),
}

impl Receipt {
    pub(super) fn new(target: &Target, headers: &HeaderMap, report: &Report) -> Self {
        let cache_status = text(headers, "cf-aig-cache-status");
        Self {
            model: target.reference.to_string(),
            answered_by: report.model.clone(),
            finish_reason: report.finish_reason.clone(),
            usage: report.usage,
            cost: cost(target, headers, cache_status.as_deref(), report.usage),
            log_id: text(headers, "cf-aig-log-id"),
            cache_status,
            step: text(headers, "cf-aig-step"),
            simulated: headers.get("cf-aig-simulated").is_some_and(|value| value == "true"),
            credential: target.credential.to_string(),
            first_text: None,
            duration: Duration::ZERO,
        }
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let cost = self.cost.as_ref().map(|(nano_usd, source)| {
            let (source, price) = match source {
                CostSource::Gateway => ("gateway", None),
                CostSource::Cache => ("cache", None),
                CostSource::Table(price) => ("table", Some(price)),
            };
            json!({ "usd": Usd(*nano_usd), "nanoUsd": nano_usd, "source": source, "price": price })
        });
        json!({
            "model": self.model,
            "answeredBy": self.answered_by,
            "finishReason": self.finish_reason,
            "usage": self.usage,
            "cost": cost,
            "logId": self.log_id,
            "cacheStatus": self.cache_status,
            "step": self.step,
            "simulated": self.simulated,
            "credential": self.credential,
            "firstTextMs": self.first_text.map(milliseconds),
            "durationMs": milliseconds(self.duration),
        })
    }
}

/// For people, on one line.
impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.model)?;
        match &self.usage {
            Some(usage) => {
                write!(f, " · {} in, {} out", render::count(usage.tokens_in()), render::count(usage.output))?;
            }
            None => f.write_str(" · tokens unknown")?,
        }
        match &self.cost {
            Some((nano_usd, source)) => {
                let source = match source {
                    CostSource::Gateway => " (as the gateway says)",
                    CostSource::Cache => " (from the gateway's cache)",
                    CostSource::Table(_) => "",
                };
                write!(f, " · {}{source}", render::money(*nano_usd))?;
            }
            None => f.write_str(" · cost unknown")?,
        }
        let duration = u32::try_from(milliseconds(self.duration)).unwrap_or(u32::MAX);
        write!(f, " · {} · key {}", render::milliseconds(duration), self.credential)?;
        if let Some(step) = self.step.as_deref().filter(|step| *step != "0") {
            write!(f, " · the gateway's fallback {step}")?;
        }
        if self.simulated {
            f.write_str(" · simulated")?;
        }
        match &self.log_id {
            Some(log_id) => write!(f, " · log {log_id}"),
            None => Ok(()),
        }
    }
}

/// What the gateway says it cost; else what its tokens cost by the price table.
fn cost(
    target: &Target,
    headers: &HeaderMap,
    cache_status: Option<&str>,
    usage: Option<Usage>,
) -> Option<(i64, CostSource)> {
    let said = headers.get("cf-aig-cost").and_then(|value| value.to_str().ok()).and_then(Usd::parse);
    if let Some(Usd(nano_usd)) = said {
        return Some((nano_usd, CostSource::Gateway));
    }
    if cache_status.is_some_and(|status| status.eq_ignore_ascii_case("hit")) {
        return Some((0, CostSource::Cache));
    }
    let now = Timestamp::now().as_millisecond();
    let model = &target.reference.model;
    let table = PriceTable::in_force();
    let of_maker = || {
        let bare = model.rsplit_once('/').map_or(model.as_str(), |(_, bare)| bare);
        target.maker.as_ref()?.price(table, bare, now)
    };
    let price = target.provider.price(table, model, now).or_else(of_maker)?;
    let cost = price.cost(&usage?);
    Some((cost.nano_usd, CostSource::Table(price.id)))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
