//! Conditions tried on what a chapter says of its pages: which of them may hold something that matches.

use uuid::Uuid;

use super::{
    LogField, Operator,
    compiled::{Compiled, EMPTY, Test, Values, has_part},
    field::{Found, Head},
};
use crate::{
    chapter::{Bounds, NUMBERS, Outline, PageSet, Signatures, TEXTS, Vocabulary, pages_where},
    packed::read_key,
};

/// The pages about whose records something was noted later, which a chapter does not know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Annotated(pub(crate) PageSet);

/// Fields that a record's key tells.
const OF_KEY: [LogField; 11] = [
    LogField::Account,
    LogField::Gateway,
    LogField::Provider,
    LogField::Model,
    LogField::Token,
    LogField::Authentication,
    LogField::Status,
    LogField::Outcome,
    LogField::Success,
    LogField::Cached,
    LogField::Simulated,
];

impl Compiled {
    /// The pages that may match by their bounds.
    pub(crate) fn pages_by_bounds(&self, outlines: &[Outline], annotated: Annotated) -> PageSet {
        let mut pages = pages_where(outlines, |_| true);
        for test in &self.tests {
            pages &= match test.field {
                LogField::Feedback if test.holds(Found::Number(None)) => PageSet::MAX,
                LogField::Feedback => annotated.0,
                LogField::CreatedAt => pages_where(outlines, |outline| {
                    let range = Some((outline.zone.first_ms, outline.zone.last_ms));
                    test.may_hold(Bounds { missing: false, range })
                }),
                LogField::Id => match (&test.values, test.operator) {
                    (Values::Ids(ids), Operator::Equal) => {
                        pages_where(outlines, |outline| ids.iter().any(|id| outline.may_have(*id)))
                    }
                    _ => PageSet::MAX,
                },
                field => match NUMBERS.iter().position(|other| *other == field) {
                    Some(at) => pages_where(outlines, |outline| test.may_hold(outline.numbers[at])),
                    None => PageSet::MAX,
                },
            } | if test.is_annotated() { annotated.0 } else { 0 };
        }
        if self.wants_failures() {
            pages &= pages_where(outlines, |outline| outline.zone.failures > 0);
        }
        pages
    }

    /// Whether [`Compiled::pages_by_words`] can tell more.
    pub(crate) fn asks_for_words(&self) -> bool {
        self.search.is_some()
            || self.asks_for_key()
            || self.tests.iter().any(|test| test.listed_field().is_some())
    }

    /// The pages that may match by their keys and texts. Where a list is missing, by `signatures`, which are loaded if
    /// that is so.
    pub(crate) fn pages_by_words<E>(
        &self,
        outlines: &[Outline],
        vocabulary: &Vocabulary,
        annotated: Annotated,
        signatures: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<PageSet, E> {
        let mut pages = self.pages_by_keys(vocabulary) & self.pages_by_search(vocabulary);
        let listed = |field| TEXTS.iter().position(|other| *other == field).map(|at| &vocabulary.texts[at]);
        let mut unlisted = Vec::new();
        for test in &self.tests {
            let Some(field) = test.listed_field() else { continue };
            match listed(field) {
                Some(Some(texts)) => {
                    let some = texts.iter().filter(|(text, _)| test.holds_listed(field, text));
                    pages &= some.fold(0, |all, (_, pages)| all | pages) | test.besides(outlines, annotated);
                }
                _ => unlisted.push((field, test)),
            }
        }
        unlisted.retain(|(field, test)| test.operator == Operator::Equal && test.field == *field);
        if unlisted.is_empty() || pages == 0 {
            return Ok(pages);
        }
        let words = signatures()?;
        for (field, test) in unlisted {
            let with = |text: &str| Signatures::of(&words).pages(field, text.as_bytes());
            let some = match &test.values {
                Values::Texts(texts) => texts.iter().fold(0, |pages, text| pages | with(text)),
                Values::Numbers(numbers) => {
                    numbers.iter().fold(0, |pages, number| pages | with(&number.to_string()))
                }
                _ => PageSet::MAX,
            };
            pages &= some | test.besides(outlines, annotated);
        }
        Ok(pages)
    }

    /// How many records match, if their keys tell: nothing is asked for but what is in the key, and the time.
    pub(crate) fn count_by_keys(&self, vocabulary: &Vocabulary) -> Option<u64> {
        if self.search.is_some()
            || self
                .tests
                .iter()
                .any(|test| test.field != LogField::CreatedAt && !OF_KEY.contains(&test.field))
        {
            return None;
        }
        let keys = vocabulary.keys.as_ref()?.iter();
        Some(keys.filter(|(key, _, _)| self.allows_key(key)).map(|(_, records, _)| records).sum())
    }

    fn pages_by_keys(&self, vocabulary: &Vocabulary) -> PageSet {
        match &vocabulary.keys {
            Some(keys) if self.asks_for_key() => {
                let allowed = keys.iter().filter(|(key, _, _)| self.allows_key(key));
                allowed.fold(0, |all, (_, _, pages)| all | pages)
            }
            _ => PageSet::MAX,
        }
    }

    /// Some condition can be judged by a record's key alone: most records that do not match need not be read further.
    pub(crate) fn asks_for_key(&self) -> bool {
        self.tests.iter().any(|test| OF_KEY.contains(&test.field))
    }

    /// Whether a record with this key can match.
    pub(crate) fn allows_key(&self, key: &[u8]) -> bool {
        let Some(key) = read_key(key) else { return true };
        let head = Head {
            account: key.account,
            gateway: key.gateway,
            provider: key.provider,
            model: key.model,
            token_id: key.token,
            status: key.status,
            outcome: key.outcome,
            cached: key.cached,
            simulated: key.simulated,
            ..EMPTY
        };
        let of_key = self.tests.iter().filter(|test| OF_KEY.contains(&test.field));
        of_key.into_iter().all(|test| test.holds(head.find(test.field, None)))
    }

    fn pages_by_search(&self, vocabulary: &Vocabulary) -> PageSet {
        let Some(wanted) = &self.search else { return PageSet::MAX };
        let mut pages = 0;
        for field in [LogField::Model, LogField::Path, LogField::Error] {
            let texts = TEXTS.iter().position(|other| *other == field).map(|at| &vocabulary.texts[at]);
            let Some(Some(texts)) = texts else { return PageSet::MAX };
            let some = texts.iter().filter(|(text, _)| has_part(text, wanted));
            pages |= some.fold(0, |all, (_, pages)| all | pages);
        }
        pages
    }
}

impl Test {
    /// The field whose list of texts tells about this test, if any does.
    fn listed_field(&self) -> Option<LogField> {
        match self.field {
            // True of records without any entry, which no list shows.
            LogField::MetadataKey | LogField::MetadataValue if self.operator == Operator::NotEqual => None,
            LogField::RequestType => Some(LogField::ModelType),
            LogField::CompatibilityMode => Some(LogField::Path),
            field => TEXTS.contains(&field).then_some(field),
        }
    }

    fn holds_listed(&self, field: LogField, text: &str) -> bool {
        match (self.field, field) {
            (LogField::Status, _) => self.holds(Found::Number(text.parse().ok())),
            (LogField::CompatibilityMode, _) => {
                self.holds(Head { path: text, ..EMPTY }.find(self.field, None))
            }
            (LogField::MetadataKey | LogField::MetadataValue, _) => self.holds_text(text),
            _ => self.holds(Found::Text(text)),
        }
    }

    /// Pages that may match by something no list shows: event ids that are the record's id, and what was noted later.
    fn besides(&self, outlines: &[Outline], annotated: Annotated) -> PageSet {
        let own = match (self.field, self.operator, &self.values) {
            (LogField::EventId, Operator::Equal, Values::Texts(texts)) => {
                let ids: Vec<Uuid> = texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect();
                pages_where(outlines, |outline| {
                    outline.own_events && ids.iter().any(|id| outline.may_have(*id))
                })
            }
            (LogField::EventId, _, _) => pages_where(outlines, |outline| outline.own_events),
            _ => 0,
        };
        own | if self.is_annotated() { annotated.0 } else { 0 }
    }

    /// Whether some number within the bounds may pass.
    fn may_hold(&self, bounds: Bounds) -> bool {
        if bounds.missing && self.holds(Found::Number(None)) {
            return true;
        }
        let (Values::Numbers(values), Some((least, most))) = (&self.values, bounds.range) else {
            return bounds.range.is_some();
        };
        let mut values = values.iter();
        match self.operator {
            Operator::Equal => values.any(|value| (least..=most).contains(value)),
            Operator::NotEqual => least != most || values.all(|value| *value != least),
            Operator::Greater => values.any(|value| most > *value),
            Operator::AtLeast => values.any(|value| most >= *value),
            Operator::Less => values.any(|value| least < *value),
            Operator::AtMost => values.any(|value| least <= *value),
            Operator::Contains => true,
        }
    }
}
