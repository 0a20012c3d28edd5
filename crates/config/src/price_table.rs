//! The price table: the embedded one (`data/prices.json`, whose shape `data/update_prices.py` describes), or a newer
//! one put in its place.
//!
//! Nothing is read at start-up: the first question indexes the text by provider, and a provider's models are read
//! when first asked for. A table from outside is read whole before it is used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model_name::candidates;
use crate::price::{Price, Rates, Tier};

/// Prices of known models, by provider of the table.
#[derive(Debug)]
pub struct PriceTable {
    as_of: String,
    providers: BTreeMap<String, Shelf>,
}

impl PriceTable {
    /// The table this binary was built with.
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<PriceTable> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let index: Index<'static> = serde_json::from_str(include_str!("../data/prices.json"))
                .expect("the embedded table is read by every test");
            let shelf =
                |text: &'static RawValue| Shelf { text: Cow::Borrowed(text.get()), models: OnceLock::new() };
            Self {
                as_of: index.as_of.to_owned(),
                providers: index
                    .providers
                    .into_iter()
                    .map(|(name, text)| (name.to_owned(), shelf(text)))
                    .collect(),
            }
        })
    }

    /// The table that prices are taken from: the one put in force last, else the built-in one.
    pub fn in_force() -> &'static Self {
        IN_FORCE.read().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Self::builtin)
    }

    /// Reads a table in the shape of the built-in one. An error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let index: Index<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let shelf = |text: &RawValue| Shelf { text: text.get().to_owned().into(), models: OnceLock::new() };
        let providers = index.providers.into_iter().map(|(name, text)| (name.to_owned(), shelf(text)));
        let table = Self { as_of: index.as_of.to_owned(), providers: providers.collect() };
        table.check()?;
        Ok(table)
    }

    /// Puts this table in force for the whole process; `None`: the built-in one. Every exchange is priced with the table
    /// in force when it ends.
    pub fn put_in_force(table: Option<Self>) {
        // Prices are asked for by reference from many places; a table is replaced a few times in a process's life, and
        // the old one stays in memory.
        let table: Option<&'static Self> = table.map(|table| &*Box::leak(Box::new(table)));
        *IN_FORCE.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// The price with this id ([`Price::id`]), if the table still has it: a row without a first day is known by the
    /// table's own.
    pub fn by_id(&self, id: &str) -> Option<Price> {
        let (name, day) = id.rsplit_once('@')?;
        let (provider, model) = name.split_once('/')?;
        let model = self.providers.get(provider)?.read().models.iter().find(|other| other.id == model)?;
        let row = model.prices.iter().find(|row| row.from.as_deref().unwrap_or(&self.as_of) == day)?;
        Some(model.price_of(row, provider, &self.as_of))
    }

    /// How many models there are, and an error if a provider cannot be read or a price is out of all bounds.
    fn check(&self) -> Result<usize, String> {
        if self.as_of.len() != 10 || !digits_match("####-##-##", &self.as_of) {
            return Err(format!("as_of is `{}`, which is no date", self.as_of));
        }
        let mut count = 0;
        for (provider, shelf) in &self.providers {
            let models: Models =
                serde_json::from_str(&shelf.text).map_err(|error| format!("{provider}: {error}"))?;
            if let Some(missing) = models.fallback.iter().find(|name| !self.providers.contains_key(*name)) {
                return Err(format!("{provider} falls back to {missing}, which is not there"));
            }
            for model in &models.models {
                model.check().map_err(|problem| format!("{provider}/{}: {problem}", model.id))?;
            }
            count += models.models.len();
        }
        if count == 0 { Err("there is no model in it".to_owned()) } else { Ok(count) }
    }

    /// How many models there are.
    pub fn len(&self) -> usize {
        self.providers.values().map(|shelf| shelf.read().models.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The day the prices were taken, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// What `model` cost at a time (milliseconds since 1970, UTC). `provider` is a name of the table
    /// ([`crate::Provider::price_provider`]); `model` may be written as any provider or client writes it.
    ///
    /// `None` if the model is unknown: no price is better than a wrong one.
    pub fn find(&self, provider: &str, model: &str, at_ms: i64) -> Option<Price> {
        let (shelf, found) = self.look_up(provider, model)?;
        Some(found.price(shelf, &self.as_of, at_ms))
    }

    /// Reads everything at once, a few milliseconds of work that requests are then spared.
    pub fn warm(&self) {
        self.providers.values().for_each(|shelf| {
            shelf.read();
        });
    }

    /// The most tokens a model takes, input and output together, if the table says so.
    pub fn context_window(&self, provider: &str, model: &str) -> Option<u64> {
        self.look_up(provider, model)?.1.context
    }

    /// The ids of all models of a provider.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = &str> {
        let shelf = self.providers.get(provider);
        shelf.into_iter().flat_map(|shelf| &shelf.read().models).map(|model| model.id.as_str())
    }

    /// The model, and the provider of the table it was found under. Some providers sell others' models (Azure
    /// OpenAI's, Vertex Anthropic's) at the makers' prices.
    fn look_up(&self, provider: &str, model: &str) -> Option<(&str, &Model)> {
        let (name, own) = self.providers.get_key_value(provider)?;
        let own = own.read();
        // Nearly every name is the table's own but for capitals; the other spellings need not be thought of.
        if let Some(found) = own.find(&[model.to_ascii_lowercase()]) {
            return Some((name, found));
        }
        let names = candidates(model);
        let fallbacks = own.fallback.iter().filter_map(|name| self.providers.get_key_value(name));
        std::iter::once((name, own))
            .chain(fallbacks.map(|(name, shelf)| (name, shelf.read())))
            .find_map(|(shelf, models)| Some((shelf.as_str(), models.find(&names)?)))
    }
}

static IN_FORCE: RwLock<Option<&'static PriceTable>> = RwLock::new(None);

#[derive(Deserialize)]
struct Index<'a> {
    as_of: &'a str,
    #[serde(borrow)]
    providers: BTreeMap<&'a str, &'a RawValue>,
}

/// One provider's models, read on first use.
#[derive(Debug)]
struct Shelf {
    text: Cow<'static, str>,
    models: OnceLock<Models>,
}

impl Shelf {
    fn read(&self) -> &Models {
        self.models.get_or_init(|| {
            serde_json::from_str(&self.text)
                .expect("a test reads every provider of the embedded table, and parse reads every other")
        })
    }
}

#[derive(Debug, Deserialize)]
struct Models {
    #[serde(default)]
    fallback: Vec<String>,
    models: Vec<Model>,
}

impl Models {
    fn find(&self, names: &[String]) -> Option<&Model> {
        names.iter().find_map(|name| self.models.iter().find(|model| model.rule.matches(name)))
    }
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    #[serde(rename = "match")]
    rule: Rule,
    context: Option<u64>,
    prices: Vec<Row>,
}

impl Model {
    fn price(&self, provider: &str, as_of: &str, at_ms: i64) -> Price {
        let at = Moment::of(at_ms);
        let holds = self.prices.iter().rev().find(|row| row.holds(&at)).or(self.prices.first());
        let row = holds.expect("every model was checked to have a price");
        self.price_of(row, provider, as_of)
    }

    fn price_of(&self, row: &Row, provider: &str, as_of: &str) -> Price {
        let claude = self.id.contains("claude");
        Price {
            id: format!("{provider}/{}@{}", self.id, row.from.as_deref().unwrap_or(as_of)),
            rates: row.rates.complete(claude),
            tiers: row
                .tiers
                .iter()
                .map(|(above, rates)| Tier { above: *above, rates: rates.complete(claude) })
                .collect(),
            per_request: row.req.unwrap_or(0),
            fixed: None,
        }
    }
}

impl Model {
    /// Nothing that would make a wrong cost: a price there is, ascending tiers, rates that can be.
    fn check(&self) -> Result<(), String> {
        if self.prices.is_empty() {
            return Err("it has no price".to_owned());
        }
        for row in &self.prices {
            if !row.tiers.is_sorted_by_key(|(above, _)| *above) {
                return Err("its tiers do not ascend".to_owned());
            }
            let rates = std::iter::once(&row.rates).chain(row.tiers.iter().map(|(_, rates)| rates));
            for Rates { input, cache_read, cache_write, cache_write_1h, output, reasoning } in
                rates.map(|rates| rates.complete(true))
            {
                let all = [input, cache_read, cache_write, cache_write_1h, output, reasoning];
                if !all.iter().all(|rate| (0..=HIGHEST_RATE).contains(rate)) {
                    return Err("a rate is below zero or above $100,000 per million tokens".to_owned());
                }
            }
            if !(0..=HIGHEST_RATE).contains(&row.req.unwrap_or(0)) {
                return Err("the price per request is below zero or above $100,000".to_owned());
            }
        }
        Ok(())
    }
}

/// Nano-USD: beyond it is a slip, not a price.
const HIGHEST_RATE: i64 = 100_000_000_000_000;

/// One price as the table writes it.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(flatten)]
    rates: Given,
    /// Nano-USD for each request.
    req: Option<i64>,
    /// First UTC day.
    from: Option<String>,
    /// Minutes of the UTC day: start, and end, which is no longer part. The end may be on the next day.
    utc: Option<(u32, u32)>,
    #[serde(default)]
    tiers: Vec<(u64, Given)>,
}

impl Row {
    fn holds(&self, at: &Moment) -> bool {
        let day = self.from.as_deref().is_none_or(|from| at.day.as_str() >= from);
        let time = self.utc.is_none_or(|(start, end)| {
            if end < start {
                at.minute >= start || at.minute < end
            } else {
                (start..end).contains(&at.minute)
            }
        });
        day && time
    }
}

/// Rates of the table; what it leaves out is missing.
#[derive(Debug, Deserialize)]
struct Given {
    #[serde(rename = "in")]
    input: Option<i64>,
    out: Option<i64>,
    cr: Option<i64>,
    cw: Option<i64>,
    cw1: Option<i64>,
    rs: Option<i64>,
}

impl Given {
    /// Fills the gaps. Without a rate of their own, cached tokens are input tokens, and reasoning is output. For Claude,
    /// writing costs 1.25 times the input rate, and 2 times with the one-hour lifetime, as Anthropic publishes
    /// for every model.
    fn complete(&self, claude: bool) -> Rates {
        let input = self.input.unwrap_or(0);
        let output = self.out.unwrap_or(0);
        let cache_write = self.cw.unwrap_or(if claude { input * 5 / 4 } else { input });
        Rates {
            input,
            cache_read: self.cr.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cw1.unwrap_or(if claude { input * 2 } else { cache_write }),
            output,
            reasoning: self.rs.unwrap_or(output),
        }
    }
}

/// Whether a name means a model.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rule {
    /// A text whose first character says how it is compared.
    Text(String),
    Any(Vec<Rule>),
    All {
        and: Vec<Rule>,
    },
    None {
        not: Box<Rule>,
    },
}

impl Rule {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Text(rule) => {
                let (how, text) = rule.split_at(1);
                match how {
                    "=" => name == text,
                    "^" => name.starts_with(text),
                    "$" => name.ends_with(text),
                    "~" => name.contains(text),
                    "#" => digits_match(text, name),
                    _ => false,
                }
            }
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(name)),
            Self::All { and } => and.iter().all(|rule| rule.matches(name)),
            Self::None { not } => !not.matches(name),
        }
    }
}

/// `#` stands for a digit, a final `*` for anything.
fn digits_match(pattern: &str, name: &str) -> bool {
    let (pattern, open_ended) = match pattern.strip_suffix('*') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let length = if open_ended { name.len() >= pattern.len() } else { name.len() == pattern.len() };
    length
        && pattern.bytes().zip(name.bytes()).all(|(expected, found)| match expected {
            b'#' => found.is_ascii_digit(),
            _ => expected == found,
        })
}

/// A time as the table's conditions see it.
struct Moment {
    /// `YYYY-MM-DD`, which sorts as text.
    day: String,
    /// Of the UTC day.
    minute: u32,
}

impl Moment {
    fn of(ms: i64) -> Self {
        let minutes = ms.div_euclid(60_000);
        let (year, month, day) = civil(minutes.div_euclid(1_440));
        Self { day: format!("{year:04}-{month:02}-{day:02}"), minute: minutes.rem_euclid(1_440) as u32 }
    }
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_reads_and_every_model_has_a_price() {
        let table = PriceTable::builtin();
        assert!(table.providers.len() > 15);
        assert!(table.check().expect("the embedded table is in order") > 300);
    }

    #[test]
    fn days_and_minutes_are_utc() {
        for (ms, day, minute) in [
            (0, "1970-01-01", 0),
            (-1, "1969-12-31", 1_439),
            (951_782_400_000, "2000-02-29", 0),
            (1_795_391_999_999, "2026-11-22", 1_439),
        ] {
            let moment = Moment::of(ms);
            assert_eq!((moment.day.as_str(), moment.minute), (day, minute));
        }
    }

    #[test]
    fn a_price_holds_from_its_day_and_within_its_hours() {
        let row = |text: &str| serde_json::from_str::<Row>(text).unwrap();
        let at = |minute| Moment { day: "2026-11-22".to_owned(), minute };
        assert!(row(r#"{"in":1,"from":"2026-11-22"}"#).holds(&at(0)));
        assert!(!row(r#"{"in":1,"from":"2026-11-23"}"#).holds(&at(1_439)));
        let (day, night) = (row(r#"{"in":1,"utc":[30,990]}"#), row(r#"{"in":1,"utc":[990,30]}"#));
        for (minute, by_day) in [(29, false), (30, true), (989, true), (990, false), (1_439, false)] {
            assert_eq!((day.holds(&at(minute)), night.holds(&at(minute))), (by_day, !by_day), "{minute}");
        }
    }

    #[test]
    fn digits_stand_where_the_pattern_says() {
        assert!(digits_match("gpt-6-####-##-##", "gpt-6-2026-11-01"));
        assert!(!digits_match("gpt-6-####-##-##", "gpt-6-2026-11-0x"));
        assert!(!digits_match("gpt-6-####-##-##", "gpt-6-2026-11-01-mini"));
        assert!(digits_match("gemini-4-#*", "gemini-4-2-flash"));
        assert!(!digits_match("gemini-4-#*", "gemini-4-flash"));
    }
}
