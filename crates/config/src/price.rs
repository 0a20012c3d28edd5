//! What a model costs, and what a call cost: integers only.

use std::fmt::Write;

use genesis_wire::Usage;
use serde::Deserialize;

use crate::file::ModelCost;
use crate::money::{Usd, scaled};

/// Dated rates of one model, in nano-USD per million tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Price {
    /// `provider/model@date`: the date is the day from which these rates hold, or the table's.
    pub id: String,
    pub rates: Rates,
    /// Rates that replace all others once the call's input, cached tokens included, is above a number of
    /// tokens; ascending.
    pub tiers: Vec<Tier>,
    /// Nano-USD for the call itself, besides its tokens.
    pub per_request: i64,
    /// A sum that holds whatever was used (`total_cost` of a custom cost), in nano-USD.
    pub fixed: Option<i64>,
}

/// Nano-USD per million tokens of each class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rates {
    pub input: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub cache_write_1h: i64,
    pub output: i64,
    /// Reasoning tokens, where they cost something else than other output.
    pub reasoning: i64,
}

/// Rates from a number of input tokens on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tier {
    /// The rates hold for calls with more input tokens than this.
    pub above: u64,
    pub rates: Rates,
}

/// What a call cost, and how that was reckoned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cost {
    pub nano_usd: i64,
    /// Terms of the sum, such as `1000 input × $3/M + 200 output × $15/M`.
    pub formula: String,
}

impl Price {
    /// The cost of a call: the exact sum of tokens × rate, rounded half up once, at the end. Absurd counts give the
    /// largest amount rather than a wrong one.
    pub fn cost(&self, usage: &Usage) -> Cost {
        if let Some(nano_usd) = self.fixed {
            return Cost { nano_usd, formula: format!("${} as given", Usd(nano_usd)) };
        }
        let rates = self.rates_for(usage);
        let reasoning = if rates.reasoning == rates.output { 0 } else { usage.reasoning.min(usage.output) };
        let terms = [
            ("input", usage.input, rates.input),
            ("cache_read", usage.cache_read, rates.cache_read),
            ("cache_write", usage.cache_write, rates.cache_write),
            ("cache_write_1h", usage.cache_write_1h, rates.cache_write_1h),
            ("output", usage.output - reasoning, rates.output),
            ("reasoning", reasoning, rates.reasoning),
        ];
        // Six products of a u64 and a positive i64 fit an i128 with room to spare.
        let sum: i128 = terms.iter().map(|(_, tokens, rate)| i128::from(*tokens) * i128::from(*rate)).sum();
        let rounded = (sum + 500_000).div_euclid(1_000_000) + i128::from(self.per_request);
        let mut formula = String::with_capacity(96);
        let plus = |formula: &String| if formula.is_empty() { "" } else { " + " };
        for (class, tokens, rate) in terms.iter().filter(|(_, tokens, _)| *tokens > 0) {
            let plus = plus(&formula);
            let _ = write!(formula, "{plus}{tokens} {class} × ${}/M", Usd(*rate));
        }
        if self.per_request > 0 {
            let plus = plus(&formula);
            let _ = write!(formula, "{plus}${} per request", Usd(self.per_request));
        }
        Cost { nano_usd: i64::try_from(rounded).unwrap_or(i64::MAX), formula }
    }

    /// The most a call can cost that uses no more than so many input and output tokens, however they turn out to be
    /// priced: written to the most expensive cache, in the highest tier it can reach, rounded up.
    pub fn at_most(&self, input: u64, output: u64) -> i64 {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let tiers = self.tiers.iter().filter(|tier| input > tier.above).map(|tier| &tier.rates);
        let most =
            |rate: fn(&Rates) -> i64| tiers.clone().chain([&self.rates]).map(rate).max().unwrap_or(0).max(0);
        let input_rate =
            most(|rates| rates.input.max(rates.cache_read).max(rates.cache_write).max(rates.cache_write_1h));
        let output_rate = most(|rates| rates.output.max(rates.reasoning));
        let sum = i128::from(input) * i128::from(input_rate) + i128::from(output) * i128::from(output_rate);
        let rounded_up = (sum + 999_999).div_euclid(1_000_000) + i128::from(self.per_request);
        i64::try_from(rounded_up).unwrap_or(i64::MAX)
    }

    /// Reads the `cf-aig-custom-cost` header: USD per token, or a sum. `None` if it says neither, or nonsense.
    ///
    /// As on Cloudflare, a cache rate that is missing is the input rate.
    pub fn custom(json: &str) -> Option<Self> {
        let custom: CustomCost = serde_json::from_str(json).ok()?;
        let fixed = match custom.total_cost {
            Some(total) => Some(amount(&total, 9)?),
            None => None,
        };
        let rate = |value: &Option<serde_json::Number>| value.as_ref().map(|value| amount(value, 15));
        let given = [
            &custom.per_token_in,
            &custom.per_token_out,
            &custom.per_cache_read_token,
            &custom.per_cache_write_token,
        ];
        if fixed.is_none() && given.iter().all(|value| value.is_none()) {
            return None;
        }
        let input = rate(&custom.per_token_in).unwrap_or(Some(0))?;
        let cache_write = rate(&custom.per_cache_write_token).unwrap_or(Some(input))?;
        let output = rate(&custom.per_token_out).unwrap_or(Some(0))?;
        let rates = Rates {
            input,
            cache_read: rate(&custom.per_cache_read_token).unwrap_or(Some(input))?,
            cache_write,
            cache_write_1h: cache_write,
            output,
            reasoning: output,
        };
        Some(Self { id: "custom".to_owned(), rates, tiers: Vec::new(), per_request: 0, fixed })
    }

    /// The price the operator wrote into the file.
    pub(crate) fn configured(provider: &str, model: &str, cost: &ModelCost) -> Self {
        let (input, output) = (cost.input.0, cost.output.0);
        let cache_write = cost.cache_write.map_or(input, |rate| rate.0);
        let rates = Rates {
            input,
            cache_read: cost.cache_read.map_or(input, |rate| rate.0),
            cache_write,
            cache_write_1h: cache_write,
            output,
            reasoning: output,
        };
        Self {
            id: format!("{provider}/{model}@genesis.json"),
            rates,
            tiers: Vec::new(),
            per_request: 0,
            fixed: None,
        }
    }

    fn rates_for(&self, usage: &Usage) -> Rates {
        let input = [usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h]
            .into_iter()
            .fold(0_u64, u64::saturating_add);
        self.tiers.iter().rev().find(|tier| input > tier.above).map_or(self.rates, |tier| tier.rates)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CustomCost {
    per_token_in: Option<serde_json::Number>,
    per_token_out: Option<serde_json::Number>,
    per_cache_read_token: Option<serde_json::Number>,
    per_cache_write_token: Option<serde_json::Number>,
    total_cost: Option<serde_json::Number>,
}

/// A number of USD times 10^`exponent`; `None` if negative or too large.
fn amount(number: &serde_json::Number, exponent: i32) -> Option<i64> {
    scaled(&number.to_string(), exponent)
        .and_then(|value| i64::try_from(value).ok())
        .filter(|value| *value >= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates() -> impl Strategy<Value = Rates> {
        proptest::array::uniform6(0..100_000_000_000_i64).prop_map(|[a, b, c, d, e, f]| Rates {
            input: a,
            cache_read: b,
            cache_write: c,
            cache_write_1h: d,
            output: e,
            reasoning: f,
        })
    }

    proptest! {
        #[test]
        fn nothing_costs_more_than_the_most(
            base in rates(),
            tier in rates(),
            above in 0..1_000_u64,
            parts in proptest::array::uniform6(0..1_000_u64),
            (spare_input, spare_output) in (0..1_000_u64, 0..1_000_u64),
            per_request in 0..1_000_i64,
        ) {
            let price =
                Price { id: String::new(), rates: base, tiers: vec![Tier { above, rates: tier }], per_request, fixed: None };
            let [input, cache_read, cache_write, cache_write_1h, output, reasoning] = parts;
            let usage = Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning: reasoning.min(output) };
            let most = price.at_most(usage.tokens_in() + spare_input, usage.tokens_out() + spare_output);
            prop_assert!(price.cost(&usage).nano_usd <= most);
        }
    }
}
