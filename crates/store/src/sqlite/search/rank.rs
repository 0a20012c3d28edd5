//! Ranks: where in the order of a search a record stands, or stands at best.

use std::{cmp::Ordering, collections::BTreeMap};

use uuid::Uuid;

use super::super::{chapters::ChapterRow, log_reader::Spot, pages::PageRow};
use crate::{
    Direction, LogField, LogOrder,
    annotation::Annotation,
    chapter::{Bounds, NUMBERS, Outline, PageSet, TEXTS, Vocabulary},
    filter::{Found, Head},
    packed::read_key,
    page::Span,
};

/// What records are sorted by before their order of recording; one kind in one search.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SortKey {
    Nothing,
    /// Those that are missing come before all.
    Number(Option<i64>),
    Text(Box<str>),
}

/// Less comes first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Rank {
    /// Before anything.
    First,
    At(SortKey, i64, Direction),
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::First, Self::First) => Ordering::Equal,
            (Self::First, _) => Ordering::Less,
            (_, Self::First) => Ordering::Greater,
            (Self::At(key, seq, direction), Self::At(other_key, other_seq, _)) => {
                let order = key.cmp(other_key).then(seq.cmp(other_seq));
                if *direction == Direction::Ascending { order } else { order.reverse() }
            }
        }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Rank {
    /// The best rank between these bounds, which tell nothing but of time.
    pub(super) fn of_span(order: LogOrder, direction: Direction, span: &Span) -> Self {
        let (ms, seq) = edge(direction, span);
        match order {
            LogOrder::Recorded => Self::At(SortKey::Nothing, seq, direction),
            LogOrder::CreatedAt => Self::At(SortKey::Number(Some(ms)), seq, direction),
            _ => Self::First,
        }
    }
}

fn edge(direction: Direction, span: &Span) -> (i64, i64) {
    match direction {
        Direction::Descending => (span.last_ms, span.last_seq),
        Direction::Ascending => (span.first_ms, span.first_seq),
    }
}

/// Where a record stands.
pub(super) fn sort_key(order: LogOrder, head: &Head<'_>, annotation: Option<&Annotation>) -> SortKey {
    if order == LogOrder::Recorded {
        return SortKey::Nothing;
    }
    match head.find(field_of(order), annotation) {
        Found::Text(text) => SortKey::Text(text.into()),
        Found::Number(number) => SortKey::Number(number),
        Found::Flag(flag) => SortKey::Number(Some(flag.into())),
        Found::Id(_) | Found::IdText(_) | Found::Keys(_) | Found::Values(_) => SortKey::Nothing,
    }
}

fn field_of(order: LogOrder) -> LogField {
    match order {
        LogOrder::Recorded | LogOrder::CreatedAt => LogField::CreatedAt,
        LogOrder::Provider => LogField::Provider,
        LogOrder::Model => LogField::Model,
        LogOrder::ModelType => LogField::ModelType,
        LogOrder::Success => LogField::Success,
        LogOrder::Cached => LogField::Cached,
        LogOrder::Cost => LogField::Cost,
        LogOrder::TokensIn => LogField::TokensIn,
        LogOrder::TokensOut => LogField::TokensOut,
        LogOrder::Duration => LogField::Duration,
        LogOrder::Feedback => LogField::Feedback,
    }
}

/// Whether [`outline_ranks`] wants a chapter's vocabulary in this order.
pub(super) fn needs_vocabulary(order: LogOrder) -> bool {
    matches!(order, LogOrder::Provider | LogOrder::Model | LogOrder::ModelType | LogOrder::Cached)
}

/// The best rank in each page of a chapter.
pub(super) fn outline_ranks(
    order: LogOrder,
    direction: Direction,
    outlines: &[Outline],
    vocabulary: Option<&Vocabulary>,
    annotations: &BTreeMap<Uuid, Annotation>,
) -> Vec<Rank> {
    let keys: Vec<Option<SortKey>> = match order {
        LogOrder::Recorded | LogOrder::CreatedAt => {
            return outlines
                .iter()
                .map(|outline| Rank::of_span(order, direction, &outline.zone.span()))
                .collect();
        }
        LogOrder::Provider | LogOrder::Model | LogOrder::ModelType => {
            let at = TEXTS.iter().position(|field| *field == field_of(order));
            let texts = at.and_then(|at| vocabulary?.texts[at].as_ref());
            let keyed = |(text, pages): &(String, PageSet)| (SortKey::Text(text.as_str().into()), *pages);
            texts.map_or(vec![None; outlines.len()], |texts| {
                best_keys(direction, outlines.len(), texts.iter().map(keyed))
            })
        }
        LogOrder::Cached => {
            let keys = vocabulary.and_then(|vocabulary| vocabulary.keys.as_ref());
            let cached = |key: &[u8]| read_key(key).is_some_and(|key| key.cached);
            let keyed = |(key, _, pages): &(Vec<u8>, u64, PageSet)| {
                (SortKey::Number(Some(cached(key).into())), *pages)
            };
            keys.map_or(vec![None; outlines.len()], |keys| {
                best_keys(direction, outlines.len(), keys.iter().map(keyed))
            })
        }
        LogOrder::Success => {
            let key = |Outline { zone, .. }: &Outline| {
                let success = match direction {
                    Direction::Descending => zone.records > zone.failures,
                    Direction::Ascending => zone.failures == 0,
                };
                Some(SortKey::Number(Some(success.into())))
            };
            outlines.iter().map(key).collect()
        }
        LogOrder::Cost
        | LogOrder::TokensIn
        | LogOrder::TokensOut
        | LogOrder::Duration
        | LogOrder::Feedback => {
            let bounds = outlines.iter().map(|outline| bounds(order, outline, annotations));
            bounds.map(|bounds| Some(SortKey::Number(best_number(direction, bounds)))).collect()
        }
    };
    let ranked = keys.into_iter().zip(outlines).map(|(key, outline)| match key {
        Some(key) => Rank::At(key, edge(direction, &outline.zone.span()).1, direction),
        None => Rank::First,
    });
    ranked.collect()
}

/// The bounds of a number in a page, with what was noted later.
fn bounds(order: LogOrder, outline: &Outline, annotations: &BTreeMap<Uuid, Annotation>) -> Bounds {
    let at = NUMBERS.iter().position(|field| *field == field_of(order));
    let mut bounds = at.map_or(Bounds { missing: true, range: None }, |at| outline.numbers[at]);
    if annotations.is_empty() {
        return bounds;
    }
    for (_, annotation) in annotations.range(outline.zone.first_id..=outline.zone.last_id) {
        match (order, &annotation.repriced) {
            (LogOrder::Feedback, _) => bounds.add(annotation.feedback.map(i64::from)),
            (LogOrder::Cost, Some(repriced)) => bounds.add(repriced.cost_nano_usd),
            _ => {}
        }
    }
    bounds
}

fn best_number(direction: Direction, Bounds { missing, range }: Bounds) -> Option<i64> {
    match direction {
        Direction::Descending => range.map(|(_, most)| most),
        Direction::Ascending if missing => None,
        Direction::Ascending => range.map(|(least, _)| least),
    }
}

fn best_keys(
    direction: Direction,
    pages: usize,
    keys: impl Iterator<Item = (SortKey, PageSet)>,
) -> Vec<Option<SortKey>> {
    let mut best: Vec<Option<SortKey>> = vec![None; pages];
    for (key, in_pages) in keys {
        for (_, best) in best.iter_mut().enumerate().filter(|(page, _)| in_pages & 1 << page != 0) {
            let is_better = best.as_ref().is_none_or(|best| match direction {
                Direction::Descending => key > *best,
                Direction::Ascending => key < *best,
            });
            if is_better {
                *best = Some(key.clone());
            }
        }
    }
    best
}

/// What may hold something wanted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    Chapter(ChapterRow),
    /// In no chapter.
    Loose(PageRow),
    /// In a chapter, by its last sequence number.
    Page(i64),
}

/// The first is the greatest, as heaps have it.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Candidate {}

/// The records that come first of all that were found so far.
pub(super) struct Best {
    keep: usize,
    found: Vec<(Rank, Spot)>,
    /// The last that is kept, once so many were found.
    last: Option<Rank>,
    grew: bool,
}

impl Best {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, found: Vec::new(), last: None, grew: false }
    }

    /// Nothing of this rank or after it can still be among the first.
    pub(super) fn is_settled_before(&self, rank: &Rank) -> bool {
        self.keep == 0 || self.last.as_ref().is_some_and(|last| rank >= last)
    }

    pub(super) fn offer(&mut self, rank: Rank, spot: Spot) {
        if self.last.as_ref().is_none_or(|last| rank < *last) {
            self.found.push((rank, spot));
            self.grew = true;
        }
    }

    /// Lets go of what is not among the first.
    pub(super) fn settle(&mut self) {
        if self.grew && self.found.len() >= self.keep && self.keep > 0 {
            let (_, last, _) = self.found.select_nth_unstable_by(self.keep - 1, |one, two| one.0.cmp(&two.0));
            self.last = Some(last.0.clone());
            self.found.truncate(self.keep);
        }
        self.grew = false;
    }

    pub(super) fn finish(mut self) -> impl Iterator<Item = Spot> {
        self.found.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        self.found.truncate(self.keep);
        self.found.into_iter().map(|(_, spot)| spot)
    }
}
