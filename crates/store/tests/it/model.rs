//! Filters, orders, pages and analytics give what a plain loop over the records gives.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use genesis_store::{
    AnalyticsQuery, Bucket, Correction, Dimension, Direction, GroupBy, Journal, JournalOptions, LogCondition,
    LogField, LogFilter, LogNote, LogOrder, LogRecord, LogValue, Operator, Outcome, Repriced, Store,
    UsageQuery,
};
use genesis_wire::Usage;
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::{NOON, PATIENCE, Place, id, record};

fn records() -> impl Strategy<Value = Vec<LogRecord>> {
    let one = (
        (
            select(vec!["main", "side"]),
            select(vec!["openai", "anthropic", ""]),
            select(vec!["gpt-5", "claude", "Gpt"]),
        ),
        (select(vec![200u16, 404, 499]), any::<bool>(), any::<bool>(), option::of(0i64..4), 0u32..4),
        (option::of((0u64..4, 0u64..4)), -90_000i64..90_000, select(vec!["", "Timeout", "gpt broke"])),
        (
            option::of(select(vec!["a", "b"])),
            select(vec!["tok_1", "tok_2", ""]),
            option::weighted(0.2, -1i32..=1),
        ),
        (
            select(vec!["chat/completions", "compat/chat/completions", "v1/images"]),
            option::weighted(0.2, option::of(0i64..6)),
        ),
    );
    vec(one, 0..60)
        .prop_map(|rows| rows.into_iter().enumerate().map(|(number, row)| made(number as u64, row)).collect())
}

type Row<'a> = (
    (&'a str, &'a str, &'a str),
    (u16, bool, bool, Option<i64>, u32),
    (Option<(u64, u64)>, i64, &'a str),
    (Option<&'a str>, &'a str, Option<i32>),
    (&'a str, Option<Option<i64>>),
);

/// A record as it is read in the end: what is noted later and costs that are corrected later are in it.
fn made(number: u64, (names, numbers, more, notes, last): Row<'_>) -> LogRecord {
    let mut record = record(number);
    record.gateway = names.0.into();
    record.account = if number.is_multiple_of(3) { "acc" } else { "other" }.into();
    record.provider = names.1.into();
    record.model = names.2.into();
    record.status = numbers.0;
    record.outcome = match numbers.0 {
        200 => Outcome::Success,
        404 => Outcome::ProviderError,
        _ => Outcome::ClientLeft,
    };
    (record.cached, record.simulated, record.cost_nano_usd, record.duration_ms) =
        (numbers.1, numbers.2, numbers.3, numbers.4);
    record.usage = more.0.map(|(input, output)| Usage { input, cache_read: 1, output, ..Usage::default() });
    // Clocks jump and exchanges last: creation is in no order.
    record.created_at_ms += more.1;
    record.error = more.2.into();
    record.metadata.extend(notes.0.map(|team| ("team".to_owned(), team.into())));
    record.token_id = notes.1.into();
    record.feedback = notes.2;
    record.path = last.0.into();
    if last.0 != "chat/completions" {
        record.dialect = None;
    }
    if number.is_multiple_of(4) {
        record.event_id = record.id.to_string();
    }
    if let Some(cost) = last.1 {
        record.repriced = Some(Repriced {
            at_ms: NOON,
            original_cost_nano_usd: record.cost_nano_usd,
            original_price_id: record.price_id.take(),
            original_price_formula: record.price_formula.take(),
        });
        record.cost_nano_usd = cost;
    }
    // Large enough that some pages are merged and sealed and put into chapters, and others not yet.
    record.request_head = "x".repeat(number as usize % 5 * 16_000);
    record
}

/// Logs the records in several commits, and what came later: notes and other costs.
fn log(store: &Store, records: &[LogRecord]) {
    let journal = Journal::start(
        store,
        JournalOptions { commit_records: 7, pages_in_chapter: 2, ..Default::default() },
    );
    for record in records {
        let mut pushed = record.clone();
        if let Some(before) = pushed.repriced.take() {
            pushed.cost_nano_usd = before.original_cost_nano_usd;
            pushed.price_id = before.original_price_id;
            pushed.price_formula = before.original_price_formula;
        }
        journal.push(pushed, None);
    }
    assert!(journal.flush(PATIENCE));
    for record in records.iter().filter(|record| record.feedback.is_some()) {
        let note = LogNote { feedback: record.feedback, ..LogNote::default() };
        assert!(store.annotate_log(record.id, &note).unwrap());
    }
    let corrections = records.iter().filter(|record| record.repriced.is_some()).map(|record| Correction {
        id: record.id,
        cost_nano_usd: record.cost_nano_usd,
        price_id: None,
        price_formula: None,
    });
    store.correct_costs(&Vec::from_iter(corrections), NOON).unwrap();
    // Whatever is left to be put into chapters.
    assert!(journal.flush(PATIENCE));
}

fn conditions() -> impl Strategy<Value = Vec<LogCondition>> {
    use LogField as F;
    let text = |field, values: &[&str]| {
        let values: Vec<String> = values.iter().map(|text| (*text).to_owned()).collect();
        vec(select(values), 0..3)
            .prop_map(move |values| (field, values.into_iter().map(LogValue::Text).collect::<Vec<_>>()))
    };
    let number = |field, range: std::ops::Range<i64>| {
        vec(range, 1..3)
            .prop_map(move |values| (field, values.into_iter().map(LogValue::Integer).collect::<Vec<_>>()))
    };
    let flag = |field| any::<bool>().prop_map(move |value| (field, vec![LogValue::Flag(value)]));
    let subject = prop_oneof![
        text(F::Gateway, &["main", "side", "none"]),
        text(F::Account, &["acc", "other"]),
        text(F::Provider, &["openai", ""]),
        text(F::Model, &["gpt-5", "gpt"]),
        text(F::Token, &["tok_2"]),
        text(F::EventId, &["event-3", "event-11", "1", &id(8).to_string(), &id(9).to_string()]),
        text(F::MetadataKey, &["team", "user"]),
        text(F::MetadataValue, &["a", "c"]),
        text(F::Outcome, &["success", "client_left"]),
        text(F::Path, &["v1/images", "chat"]),
        text(F::Error, &["", "Timeout", "time"]),
        text(F::RequestType, &["chat", "image", ""]),
        text(F::UserAgent, &["OpenAI/Python 2.8.0", "curl"]),
        flag(F::CompatibilityMode),
        number(F::Status, 200..202),
        number(F::Cost, 0..4),
        number(F::Duration, 0..4),
        number(F::Tokens, 0..8),
        number(F::TokensIn, 0..5),
        number(F::TokensOut, 0..5),
        number(F::Feedback, -1..2),
        number(F::CreatedAt, NOON - 60_000..NOON + 120_000),
        flag(F::Success),
        flag(F::Cached),
        flag(F::Simulated),
        flag(F::Authentication),
        (0u64..70).prop_map(|number| (F::Id, vec![LogValue::Text(id(number).to_string())])),
    ];
    let operator = select(vec![
        Operator::Equal,
        Operator::Equal,
        Operator::NotEqual,
        Operator::Greater,
        Operator::AtLeast,
        Operator::Less,
        Operator::AtMost,
        Operator::Contains,
    ]);
    let one =
        (subject, operator).prop_map(|((field, values), operator)| LogCondition { field, operator, values });
    vec(one, 0..4)
}

fn filters() -> impl Strategy<Value = LogFilter> {
    let order = select(vec![
        LogOrder::Recorded,
        LogOrder::Recorded,
        LogOrder::CreatedAt,
        LogOrder::Provider,
        LogOrder::Model,
        LogOrder::ModelType,
        LogOrder::Success,
        LogOrder::Cached,
        LogOrder::Cost,
        LogOrder::TokensIn,
        LogOrder::TokensOut,
        LogOrder::Duration,
        LogOrder::Feedback,
    ]);
    (
        conditions(),
        option::weighted(0.2, select(vec!["GPT", "time", "chat/"])),
        (option::weighted(0.2, 0u64..70), option::weighted(0.2, 0u64..70)),
        (order, select(vec![Direction::Ascending, Direction::Descending])),
        (0usize..10, 1usize..80),
    )
        .prop_map(|(conditions, search, edges, order, page)| LogFilter {
            conditions,
            search: search.map(Into::into),
            before: edges.0.map(id),
            after: edges.1.map(id),
            order: order.0,
            direction: order.1,
            offset: page.0,
            limit: page.1,
        })
}

/// What the documentation of [`LogFilter`] says, as a loop.
fn expected(records: &[LogRecord], filter: &LogFilter) -> Vec<LogRecord> {
    let position = |id| records.iter().position(|record| record.id == id);
    let mut found: Vec<_> = records
        .iter()
        .enumerate()
        .filter(|(at, record)| {
            let earlier = |id| position(id).map_or(record.id < id, |edge| *at < edge);
            let later = |id| position(id).map_or(record.id > id, |edge| *at > edge);
            filter.before.is_none_or(earlier) && filter.after.is_none_or(later) && matches(record, filter)
        })
        .map(|(_, record)| record.clone())
        .collect();
    found.sort_by(|one, two| by(filter.order, one, two));
    if filter.direction == Direction::Descending {
        found.reverse();
    }
    found.into_iter().skip(filter.offset).take(filter.limit).collect()
}

fn by(order: LogOrder, one: &LogRecord, two: &LogRecord) -> Ordering {
    let tokens = |record: &LogRecord| record.usage.map(|usage| (usage.tokens_in(), usage.tokens_out()));
    match order {
        LogOrder::Recorded => Ordering::Equal,
        LogOrder::ModelType => one.kind().cmp(two.kind()),
        LogOrder::CreatedAt => one.created_at_ms.cmp(&two.created_at_ms),
        LogOrder::Provider => one.provider.cmp(&two.provider),
        LogOrder::Model => one.model.cmp(&two.model),
        LogOrder::Success => {
            Reverse(one.outcome != Outcome::Success).cmp(&Reverse(two.outcome != Outcome::Success))
        }
        LogOrder::Cached => one.cached.cmp(&two.cached),
        LogOrder::Cost => one.cost_nano_usd.cmp(&two.cost_nano_usd),
        LogOrder::TokensIn => tokens(one).map(|of| of.0).cmp(&tokens(two).map(|of| of.0)),
        LogOrder::TokensOut => tokens(one).map(|of| of.1).cmp(&tokens(two).map(|of| of.1)),
        LogOrder::Duration => one.duration_ms.cmp(&two.duration_ms),
        LogOrder::Feedback => one.feedback.cmp(&two.feedback),
    }
}

fn matches(record: &LogRecord, filter: &LogFilter) -> bool {
    let text = format!("{}\n{}\n{}", record.model, record.path, record.error).to_ascii_lowercase();
    filter.search.as_ref().is_none_or(|search| text.contains(&search.to_ascii_lowercase()))
        && filter.conditions.iter().all(|condition| holds(record, condition))
}

/// One value of a record, as text and where it is one as a number. Flags are 0 and 1.
fn holds(record: &LogRecord, condition: &LogCondition) -> bool {
    use LogField as F;
    let usage = record.usage;
    let number = |number: Option<i64>| vec![(number.map(|number| number.to_string()), number)];
    let flag = |flag: bool| vec![(Some(flag.to_string()), Some(flag.into()))];
    let text = |text: &str| vec![(Some(text.to_owned()), None)];
    let entries = |part: fn((&String, &serde_json::Value)) -> String| -> Vec<(Option<String>, Option<i64>)> {
        record.metadata.iter().map(|entry| (Some(part(entry)), None)).collect()
    };
    let found: Vec<(Option<String>, Option<i64>)> = match condition.field {
        F::Gateway => text(&record.gateway),
        F::Account => text(&record.account),
        F::Provider => text(&record.provider),
        F::Model => text(&record.model),
        F::Token => text(&record.token_id),
        F::EventId => text(&record.event_id),
        F::MetadataKey => entries(|(key, _)| key.clone()),
        F::MetadataValue => entries(|(_, value)| value.as_str().unwrap().to_owned()),
        F::Outcome => text(record.outcome.name()),
        F::Path => text(&record.path),
        F::Error => text(&record.error),
        F::RequestType => text(record.kind()),
        F::UserAgent => text(&record.user_agent),
        F::CompatibilityMode => flag(record.path.starts_with("compat/")),
        F::Status => number(Some(record.status.into())),
        F::Cost => number(record.cost_nano_usd),
        F::Duration => number(Some(record.duration_ms.into())),
        F::Tokens => number(usage.map(|usage| (usage.tokens_in() + usage.tokens_out()) as i64)),
        F::TokensIn => number(usage.map(|usage| usage.tokens_in() as i64)),
        F::TokensOut => number(usage.map(|usage| usage.tokens_out() as i64)),
        F::Feedback => number(record.feedback.map(i64::from)),
        F::CreatedAt => number(Some(record.created_at_ms)),
        F::Success => flag(record.outcome == Outcome::Success),
        F::Cached => flag(record.cached),
        F::Simulated => flag(record.simulated),
        F::Authentication => flag(!record.token_id.is_empty()),
        F::Id => text(&record.id.to_string()),
        other => panic!("{other:?} is not generated"),
    };
    let one = |(text, number): &(Option<String>, Option<i64>), value: &LogValue| -> Option<Ordering> {
        Some(match value {
            LogValue::Text(wanted) => text.as_ref()?.cmp(wanted),
            LogValue::Integer(wanted) => number.as_ref()?.cmp(wanted),
            LogValue::Flag(wanted) => number.as_ref()?.cmp(&i64::from(*wanted)),
        })
    };
    let some = |test: fn(Ordering) -> bool| {
        found.iter().any(|found| condition.values.iter().any(|value| one(found, value).is_some_and(test)))
    };
    match condition.operator {
        Operator::Equal => some(Ordering::is_eq),
        Operator::NotEqual => !some(Ordering::is_eq),
        Operator::Greater => some(Ordering::is_gt),
        Operator::AtLeast => some(Ordering::is_ge),
        Operator::Less => some(Ordering::is_lt),
        Operator::AtMost => some(Ordering::is_le),
        Operator::Contains => condition.values.iter().any(|value| {
            let part = match value {
                LogValue::Text(text) => text.to_ascii_lowercase(),
                LogValue::Integer(number) => number.to_string(),
                LogValue::Flag(flag) => flag.to_string(),
            };
            found
                .iter()
                .any(|(text, _)| text.as_ref().is_some_and(|text| text.to_ascii_lowercase().contains(&part)))
        }),
    }
}

fn found_as_expected(store: &Store, records: &[LogRecord], filter: &LogFilter) -> Result<(), TestCaseError> {
    prop_assert_eq!(store.logs(filter).unwrap(), expected(records, filter), "{:?}", filter);
    let all = LogFilter { limit: usize::MAX, offset: 0, ..filter.clone() };
    let matching = expected(records, &all);
    prop_assert_eq!(store.count(filter).unwrap() as usize, matching.len(), "{:?}", filter);
    let ranges = store.log_ranges(filter).unwrap();
    let costs = matching.iter().filter_map(|record| record.cost_nano_usd);
    let tokens = matching.iter().filter_map(|record| Some(record.usage?.tokens_in() as i64));
    prop_assert_eq!(ranges.count as usize, matching.len());
    prop_assert_eq!(ranges.cost_nano_usd, costs.clone().min().zip(costs.max()));
    prop_assert_eq!(ranges.tokens_in, tokens.clone().min().zip(tokens.max()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn filters_and_totals_equal_the_model(records in records(), filters in vec(filters(), 16)) {
        let place = Place::new();
        let store = place.open();
        log(&store, &records);
        for filter in filters.iter().chain([&LogFilter { limit: 1, ..LogFilter::default() }]) {
            found_as_expected(&store, &records, filter)?;
        }
        let usage = store.usage(&UsageQuery { group_by: GroupBy::Model, ..Default::default() }).unwrap();
        let mut wanted: BTreeMap<String, (u64, u64, i64)> = BTreeMap::new();
        for record in &records {
            let sums = wanted.entry(format!("{}/{}", record.provider, record.model)).or_default();
            sums.0 += 1;
            sums.1 += record.usage.map_or(0, |usage| usage.tokens_in());
            sums.2 += record.cost_nano_usd.unwrap_or(0);
        }
        let found: BTreeMap<_, _> =
            usage.into_iter().map(|row| (row.key, (row.requests, row.tokens_in, row.cost_nano_usd))).collect();
        prop_assert_eq!(found, wanted);
        // Deleting takes what matches, and nothing else.
        let mut left = records;
        for filter in filters.iter().take(3) {
            let filter = LogFilter { offset: 0, ..filter.clone() };
            let doomed = expected(&left, &filter);
            prop_assert_eq!(store.delete_logs(&filter).unwrap() as usize, doomed.len(), "{:?}", &filter);
            left.retain(|record| doomed.iter().all(|other| other.id != record.id));
            let all = LogFilter { direction: Direction::Ascending, limit: usize::MAX, ..LogFilter::default() };
            prop_assert_eq!(&store.logs(&all).unwrap(), &left, "{:?}", &filter);
            for filter in &filters[..2] {
                found_as_expected(&store, &left, filter)?;
            }
        }
    }

    #[test]
    fn analytics_equal_the_model(records in records(), bucket in select(vec![Bucket::Minute, Bucket::Hour, Bucket::Day])) {
        let place = Place::new();
        let store = place.open();
        log(&store, &records);
        let query = AnalyticsQuery {
            bucket: Some(bucket),
            group_by: vec![Dimension::Account, Dimension::Model, Dimension::Token, Dimension::Status],
            ..AnalyticsQuery::default()
        };
        type Key = (i64, Vec<String>);
        let mut wanted: BTreeMap<Key, Vec<&LogRecord>> = BTreeMap::new();
        for record in &records {
            let begin = record.created_at_ms.div_euclid(bucket.length_ms()) * bucket.length_ms();
            let status = record.status.to_string();
            let group = [&record.account, &record.model, &record.token_id, &status].map(Clone::clone);
            wanted.entry((begin, group.to_vec())).or_default().push(record);
        }
        let found = store.analytics(&query).unwrap();
        let keys: Vec<Key> = found.iter().map(|row| (row.bucket_ms.unwrap(), row.group.clone())).collect();
        let mut sorted: Vec<Key> = wanted.keys().cloned().collect();
        sorted.sort();
        let mut ascending = keys.clone();
        ascending.sort();
        prop_assert_eq!(ascending, sorted);
        for (row, key) in found.iter().zip(&keys) {
            let of = &wanted[key];
            prop_assert_eq!(row.sums.requests as usize, of.len());
            prop_assert_eq!(row.sums.errors as usize, of.iter().filter(|record| record.outcome != Outcome::Success).count());
            prop_assert_eq!(row.sums.cost_nano_usd, of.iter().filter_map(|record| record.cost_nano_usd).sum::<i64>());
            let mut durations: Vec<u32> = of.iter().map(|record| record.duration_ms).collect();
            durations.sort_unstable();
            // Below 64 ms percentiles are exact.
            prop_assert_eq!(row.duration.p50, Some(durations[durations.len().div_ceil(2) - 1]));
            prop_assert_eq!(row.duration.p99, durations.last().copied());
        }
        // By metadata, and narrowed.
        let by_team = AnalyticsQuery {
            group_by: vec![Dimension::Metadata("team".into())],
            conditions: vec![genesis_store::AnalyticsCondition {
                dimension: Dimension::Gateway,
                negated: true,
                values: vec!["side".into()],
            }],
            ..AnalyticsQuery::default()
        };
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        for record in records.iter().filter(|record| record.gateway == "main") {
            for team in record.metadata.get("team").iter().filter_map(|team| team.as_str()) {
                *wanted.entry(team.to_owned()).or_default() += 1;
            }
        }
        let found: BTreeMap<_, _> = store
            .analytics(&by_team)
            .unwrap()
            .into_iter()
            .map(|row| (row.group[0].clone(), row.sums.requests))
            .collect();
        prop_assert_eq!(found, wanted);
    }
}
