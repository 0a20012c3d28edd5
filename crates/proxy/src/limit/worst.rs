//! The most a call can cost, known before it is made.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use genesis_config::{Price, PriceTable, Provider};
use genesis_wire::{Bound, Demand, Dialect};

/// How a call's cost is bounded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Worst {
    /// It cannot cost more than this many nano-USD.
    AtMost { nano_usd: u64, output: u64 },
    /// Nobody can say, and why.
    Unknown(&'static str),
}

impl Worst {
    pub(crate) const FREE: Self = Self::AtMost { nano_usd: 0, output: 0 };
}

/// What a call asks for, as far as its cost depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) generation: u64,
    pub(crate) provider: &'a Provider,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) model: &'a str,
    /// `None` if it is passed on while it arrives, or a session is opened.
    pub(crate) body: Option<&'a [u8]>,
    /// The client's own `cf-aig-custom-cost`.
    pub(crate) custom: Option<&'a Price>,
    pub(crate) path: &'a str,
    pub(crate) at_ms: i64,
}

/// Bounds the cost of a call.
///
/// A price that the client gives counts only where it is higher than the known one: whoever calls could otherwise make
/// its own budget last for ever.
pub(crate) fn worst(asked: &Asked<'_>) -> Worst {
    match (asked.dialect, asked.body) {
        (_, Some(b"")) => Worst::FREE,
        _ if is_free(asked.path) => Worst::FREE,
        (Some(dialect), Some(body)) => match Demand::of(dialect, asked.model, body) {
            Some(demand) => bounded(asked, &demand),
            None => Worst::FREE, // providers refuse what is not a JSON object
        },
        _ => Worst::Unknown("what a call to this path uses cannot be read"),
    }
}

fn bounded(asked: &Asked<'_>, demand: &Demand) -> Worst {
    let terms = terms(asked);
    let Some(price) = terms.price.as_ref().or(asked.custom) else {
        return Worst::Unknown(
            "no price of this model is known; set one under models.providers in genesis.json",
        );
    };
    let input = match demand.input {
        Bound::Tokens(tokens) => tokens,
        // A model with a price beyond its window has a larger one on request.
        Bound::Context => {
            match terms.context.filter(|window| price.tiers.iter().all(|tier| tier.above < *window)) {
                Some(context) => context,
                None => return Worst::Unknown("it refers to content whose size is unknown"),
            }
        }
        Bound::Endless => return Worst::Unknown("it lets the provider run tools, which use without bound"),
    };
    let Some(output) = demand.output.or(terms.most_output) else {
        return Worst::Unknown(
            "it sets no limit on output, and that of the model is unknown; send max_tokens",
        );
    };
    let output = output.saturating_mul(demand.answers);
    let custom = asked.custom.map_or(0, |custom| custom.at_most(input, output));
    let nano_usd = price.at_most(input, output).max(custom);
    Worst::AtMost { nano_usd: nano_usd.max(0).unsigned_abs(), output }
}

/// Calls that generate nothing and are billed by nobody.
fn is_free(path: &str) -> bool {
    let last =
        path.split('?').next().unwrap_or(path).trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "count_tokens" | "count-tokens" | "input_tokens" | "moderations")
        || last.ends_with(":countTokens")
}

struct Terms {
    price: Option<Price>,
    context: Option<u64>,
    most_output: Option<u64>,
}

/// What is known of a model, remembered per thread since the search walks rules; for one snapshot and, since prices
/// change at a time, for a minute.
fn terms(asked: &Asked<'_>) -> Rc<Terms> {
    const KEPT: usize = 1024;
    const MINUTE_MS: i64 = 60_000;
    #[derive(Default)]
    struct Known {
        of: (u64, i64),
        terms: HashMap<String, Rc<Terms>>,
    }
    thread_local! {
        static KNOWN: RefCell<Known> = RefCell::default();
    }
    let Asked { provider, model, at_ms, generation, .. } = *asked;
    let of = (generation, at_ms / MINUTE_MS);
    KNOWN.with_borrow_mut(|known| {
        if known.of != of || known.terms.len() >= KEPT {
            *known = Known { of, terms: HashMap::new() };
        }
        let key = [&provider.slug, "/", model].concat();
        let entry = known.terms.entry(key);
        let terms = entry.or_insert_with(|| {
            let table = PriceTable::builtin();
            Rc::new(Terms {
                price: provider.price(table, model, at_ms),
                context: provider.context_window(table, model),
                most_output: provider.most_output(table, model),
            })
        });
        Rc::clone(terms)
    })
}
