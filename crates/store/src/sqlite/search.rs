//! Searching records by filter: the best candidate first.
//!
//! A candidate is a chapter or a page; its *rank* is the best any of its records can have in the order asked for. The
//! best candidate is opened until none that is left can beat the records found: the first page of the log opens a few
//! pages, whatever the order, and what occurs nowhere opens none.

mod rank;

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use rusqlite::Connection;
use uuid::Uuid;

use self::rank::{Best, Candidate, Place, Rank, outline_ranks, sort_key};
use super::{
    Failure,
    chapters::{self, ChapterRow},
    damaged,
    log_reader::{Spot, annotations, find_one},
    pages::{self, PageRow},
    schema::SEQ_SHIFT,
};
use crate::{
    LogField, LogFilter, LogOrder, LogRanges, LogTally,
    annotation::Annotation,
    chapter::{Outline, PageSet, Vocabulary, pages_where},
    filter::{Annotated, Compiled, Head},
    packed::{gateway_names, key_of, read_head},
    page::Span,
};

/// A filter, ready to be applied to one consistent state of the log.
pub(super) struct Search<'a> {
    connection: &'a Connection,
    filter: &'a LogFilter,
    compiled: Compiled,
    /// Account and id by number.
    sources: HashMap<i64, (String, String)>,
    /// Of all records, if the filter or the order asks for them; else empty.
    annotations: BTreeMap<Uuid, Annotation>,
    /// Sequence numbers between these, exclusive.
    after: i64,
    before: i64,
    /// Ids between these, exclusive: where the record that was named is gone.
    after_id: Option<Uuid>,
    before_id: Option<Uuid>,
}

/// What is known of a chapter whose pages may hold something wanted.
struct Opened {
    outlines: Vec<Outline>,
    /// Left out where nobody asks for it.
    vocabulary: Option<Vocabulary>,
    annotated: Annotated,
    pages: PageSet,
}

/// A part of the log in which something may match.
enum Part<'p> {
    /// So many match; in this page if only its numbers are of interest.
    Known(u64, Option<&'p Outline>),
    /// Only reading it tells.
    Page(PageRow),
}

impl<'a> Search<'a> {
    pub(super) fn new(connection: &'a Connection, filter: &'a LogFilter) -> Result<Self, Failure> {
        let compiled = Compiled::new(filter)?;
        let noted =
            compiled.needs_annotations() || matches!(filter.order, LogOrder::Feedback | LogOrder::Cost);
        let mut search = Self {
            connection,
            filter,
            compiled,
            sources: sources(connection)?,
            annotations: if noted { annotations(connection)? } else { BTreeMap::new() },
            after: i64::MIN,
            before: i64::MAX,
            after_id: None,
            before_id: None,
        };
        for (id, seq, gone) in [
            (filter.after, &mut search.after, &mut search.after_id),
            (filter.before, &mut search.before, &mut search.before_id),
        ] {
            let Some(id) = id else { continue };
            match find_one(connection, id)? {
                Some(spot) => *seq = spot.seq,
                None => *gone = Some(id),
            }
        }
        // What was created at a time has no smaller sequence number.
        let since = search.compiled.range(LogField::CreatedAt).0.clamp(0, i64::MAX >> SEQ_SHIFT);
        search.after = search.after.max((since << SEQ_SHIFT) - 1);
        Ok(search)
    }

    /// Where the wanted records are, in the filter's order.
    pub(super) fn spots(&self, limit: usize) -> Result<Vec<Spot>, Failure> {
        let (order, direction) = (self.filter.order, self.filter.direction);
        let mut best = Best::new(self.filter.offset.saturating_add(limit));
        let mut candidates = BinaryHeap::new();
        for row in pages::loose(self.connection)?.into_iter().filter(|row| self.allows(row)) {
            let rank = Rank::of_span(order, direction, &row.zone.span());
            candidates.push(Candidate { rank, place: Place::Loose(row) });
        }
        for chapter in chapters::all(self.connection)?.into_iter().filter(|row| self.allows_chapter(row)) {
            let rank = Rank::of_span(order, direction, &chapter.span);
            candidates.push(Candidate { rank, place: Place::Chapter(chapter) });
        }
        while let Some(Candidate { rank, place }) = candidates.pop() {
            if best.is_settled_before(&rank) {
                break;
            }
            let row = match place {
                Place::Loose(row) => Some(row),
                Place::Page(last_seq) => pages::row(self.connection, last_seq)?,
                Place::Chapter(chapter) => {
                    let by_text = rank::needs_vocabulary(order);
                    let opened = self.open(&chapter, by_text)?;
                    let ranks = outline_ranks(
                        order,
                        direction,
                        &opened.outlines,
                        opened.vocabulary.as_ref(),
                        &self.annotations,
                    );
                    for (at, rank) in ranks.into_iter().enumerate() {
                        if opened.pages & 1 << at != 0 {
                            let last_seq = opened.outlines[at].zone.last_seq;
                            candidates.push(Candidate { rank, place: Place::Page(last_seq) });
                        }
                    }
                    None
                }
            };
            // None: a chapter, or a page that was deleted since its chapter was made.
            let Some(row) = row else { continue };
            let (source, page) = (row.source, row.zone.last_seq);
            self.each_record(row, &mut |seq, head, annotation| {
                let rank = Rank::At(sort_key(order, head, annotation), seq, direction);
                best.offer(rank, Spot { source, page, seq });
            })?;
            best.settle();
        }
        Ok(best.finish().skip(self.filter.offset).take(limit).collect())
    }

    /// How many match. What chapters and bounds tell is not read.
    pub(super) fn count(&self) -> Result<u64, Failure> {
        let mut matching = 0;
        self.each_part(false, &mut |part| {
            match part {
                Part::Known(records, _) => matching += records,
                Part::Page(row) => self.each_record(row, &mut |_, _, _| matching += 1)?,
            }
            Ok(())
        })?;
        Ok(matching)
    }

    /// Counts, and the least and most of numbers. As [`Search::count`], but fewer chapters tell enough.
    pub(super) fn ranges(&mut self) -> Result<LogRanges, Failure> {
        self.annotations = annotations(self.connection)?;
        let mut ranges = LogRanges::default();
        self.each_part(true, &mut |part| {
            match part {
                Part::Known(records, Some(outline)) => ranges.add_bounds(records, &outline.numbers),
                Part::Known(_, None) => return Err(damaged("a chapter")),
                Part::Page(row) => {
                    self.each_record(row, &mut |_, head, annotation| ranges.add(head, annotation))?;
                }
            }
            Ok(())
        })?;
        Ok(ranges)
    }

    /// Everything that may match, in no order. With `numbers`, what is known comes page by page with its outline.
    fn each_part(
        &self,
        numbers: bool,
        visit: &mut dyn FnMut(Part<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        const OF_PAGES: [LogField; 3] = [LogField::Account, LogField::Gateway, LogField::CreatedAt];
        let (since, until) = self.compiled.range(LogField::CreatedAt);
        let by_time = self.compiled.is_range(LogField::CreatedAt)
            && [self.filter.after, self.filter.before].iter().all(Option::is_none);
        let by_page = by_time && !self.compiled.asks_beyond(&OF_PAGES);
        let is_inside = |span: &Span| by_time && since <= span.first_ms && span.last_ms <= until;
        for row in pages::loose(self.connection)?.into_iter().filter(|row| self.allows(row)) {
            visit(match by_page && !numbers && is_inside(&row.zone.span()) {
                true => Part::Known(row.zone.records, None),
                false => Part::Page(row),
            })?;
        }
        for chapter in chapters::all(self.connection)?.into_iter().filter(|row| self.allows_chapter(row)) {
            let opened = self.open(&chapter, false)?;
            if !numbers
                && !chapter.thinned
                && is_inside(&chapter.span)
                && let Some(records) =
                    opened.vocabulary.as_ref().and_then(|of| self.compiled.count_by_keys(of))
            {
                visit(Part::Known(records, None))?;
                continue;
            }
            for (at, outline) in opened.outlines.iter().enumerate() {
                let is_known = by_page && is_inside(&outline.zone.span()) && !chapter.thinned;
                let is_annotated = opened.annotated.0 & 1 << at != 0;
                if opened.pages & 1 << at == 0 {
                } else if is_known && !(numbers && is_annotated) {
                    visit(Part::Known(outline.zone.records, numbers.then_some(outline)))?;
                } else if let Some(row) = pages::row(self.connection, outline.zone.last_seq)? {
                    visit(match by_page && !numbers && is_inside(&row.zone.span()) {
                        true => Part::Known(row.zone.records, None),
                        false => Part::Page(row),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Every record of a page that is wanted.
    fn each_record(
        &self,
        row: PageRow,
        visit: &mut dyn FnMut(i64, &Head<'_>, Option<&Annotation>),
    ) -> Result<(), Failure> {
        let page = pages::load(self.connection, row)?;
        for frame in &page.frames {
            if let Some((head, annotation)) = self.accepts(frame.seq, &page.heads[frame.head.clone()])? {
                visit(frame.seq, &head, annotation);
            }
        }
        Ok(())
    }

    /// Which pages of a chapter may hold something wanted.
    fn open(&self, chapter: &ChapterRow, with_vocabulary: bool) -> Result<Opened, Failure> {
        let outlines = chapters::outlines(self.connection, chapter)?;
        let noted = |span: &Span| self.annotations.range(span.first_id..=span.last_id).next().is_some();
        let annotated = Annotated(match self.annotations.is_empty() || !noted(&chapter.span) {
            true => 0,
            false => pages_where(&outlines, |outline| noted(&outline.zone.span())),
        });
        let mut opened = Opened { pages: 0, vocabulary: None, annotated, outlines };
        opened.pages = self.compiled.pages_by_bounds(&opened.outlines, annotated)
            & pages_where(&opened.outlines, |outline| self.reaches(&outline.zone.span()));
        if opened.pages != 0 && (with_vocabulary || self.compiled.asks_for_words()) {
            let vocabulary = chapters::vocabulary(self.connection, chapter)?;
            opened.pages &= self.compiled.pages_by_words(&opened.outlines, &vocabulary, annotated, || {
                chapters::signatures(self.connection, chapter)
            })?;
            opened.vocabulary = Some(vocabulary);
        }
        Ok(opened)
    }

    fn allows_chapter(&self, chapter: &ChapterRow) -> bool {
        self.allows_source(chapter.source) && self.reaches(&chapter.span)
    }

    /// Whether the page may hold something wanted, by its bounds.
    fn allows(&self, row: &PageRow) -> bool {
        (row.zone.failures > 0 || !self.compiled.wants_failures())
            && self.allows_source(row.source)
            && self.reaches(&row.zone.span())
    }

    fn allows_source(&self, source: i64) -> bool {
        self.sources.get(&source).is_none_or(|(account, gateway)| {
            self.compiled.allows_text(LogField::Account, account)
                && self.compiled.allows_text(LogField::Gateway, gateway)
        })
    }

    /// Whether something between these bounds may be wanted.
    fn reaches(&self, span: &Span) -> bool {
        let (since, until) = self.compiled.range(LogField::CreatedAt);
        span.last_seq > self.after
            && span.first_seq < self.before
            && span.last_ms >= since
            && span.first_ms <= until
            && self.after_id.is_none_or(|edge| span.last_id > edge)
            && self.before_id.is_none_or(|edge| span.first_id < edge)
            && self
                .compiled
                .ids()
                .is_none_or(|ids| ids.iter().any(|id| (span.first_id..=span.last_id).contains(id)))
    }

    /// The record's head if it is wanted, and what was noted about it.
    fn accepts<'h>(
        &'h self,
        seq: i64,
        raw: &'h [u8],
    ) -> Result<Option<(Head<'h>, Option<&'h Annotation>)>, Failure> {
        if seq <= self.after || seq >= self.before {
            return Ok(None);
        }
        if self.compiled.asks_for_key() && key_of(raw).is_some_and(|key| !self.compiled.allows_key(key)) {
            return Ok(None);
        }
        let head = read_head(raw).ok_or_else(|| damaged("a record"))?;
        if self.after_id.is_some_and(|edge| head.id <= edge)
            || self.before_id.is_some_and(|edge| head.id >= edge)
        {
            return Ok(None);
        }
        let annotation = match self.annotations.is_empty() {
            true => None,
            false => self.annotations.get(&head.id),
        };
        Ok(self.compiled.matches(&head, annotation).then_some((head, annotation)))
    }
}

/// Adds up what any of the filters wants; what an earlier one has counted is left out by those that follow.
pub(super) fn tally(connection: &Connection, filters: &[LogFilter]) -> Result<LogTally, Failure> {
    let mut tally = LogTally::default();
    let mut earlier: Vec<Compiled> = Vec::new();
    for filter in filters {
        let mut search = Search::new(connection, filter)?;
        search.annotations = annotations(connection)?;
        search.each_part(true, &mut |part| {
            let row = match part {
                Part::Page(row) => Some(row),
                Part::Known(_, Some(outline)) => pages::row(connection, outline.zone.last_seq)?,
                Part::Known(_, None) => return Err(damaged("a chapter")),
            };
            let Some(row) = row else { return Ok(()) };
            search.each_record(row, &mut |_, head, annotation| {
                if !earlier.iter().any(|filter| filter.matches(head, annotation)) {
                    tally.add(head, annotation);
                }
            })
        })?;
        earlier.push(search.compiled);
    }
    Ok(tally)
}

/// Account and id of every source.
pub(super) fn sources(connection: &Connection) -> rusqlite::Result<HashMap<i64, (String, String)>> {
    let mut statement = connection.prepare_cached("SELECT number, key FROM source")?;
    let rows = statement.query_map([], |row| {
        let key: Vec<u8> = row.get(1)?;
        let (account, id) = gateway_names(&key);
        Ok((row.get(0)?, (account.to_owned(), id.to_owned())))
    })?;
    rows.collect()
}
