//! Filters and totals give what a plain loop over the records gives.

use std::collections::BTreeMap;

use genesis_store::{GroupBy, Journal, JournalOptions, LogFilter, LogRecord, Order, Outcome, UsageQuery};
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
        (option::of(select(vec!["a", "b"])), select(vec!["tok_1", "tok_2"])),
    );
    vec(one, 0..60).prop_map(|rows| {
        let rows = rows.into_iter().enumerate();
        rows.map(
            |(
                number,
                (
                    (gateway, provider, model),
                    (status, cached, simulated, cost, duration),
                    (tokens, shift, error),
                    (team, token),
                ),
            )| {
                let mut record = record(number as u64);
                record.gateway = gateway.into();
                record.provider = provider.into();
                record.model = model.into();
                record.status = status;
                record.outcome = match status {
                    200 => Outcome::Success,
                    404 => Outcome::ProviderError,
                    _ => Outcome::ClientLeft,
                };
                (record.cached, record.simulated, record.cost_nano_usd, record.duration_ms) =
                    (cached, simulated, cost, duration);
                record.usage =
                    tokens.map(|(input, output)| Usage { input, cache_read: 1, output, ..Usage::default() });
                // Clocks jump and exchanges last: creation is in no order.
                record.created_at_ms += shift;
                record.error = error.into();
                record.metadata.extend(team.map(|team| ("team".to_owned(), team.into())));
                record.token_id = token.into();
                record
            },
        )
        .collect()
    })
}

fn filters() -> impl Strategy<Value = LogFilter> {
    let text = |values: &[&str]| {
        option::weighted(0.2, select(values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()))
    };
    (
        (
            text(&["main", "side", "none"]),
            text(&["openai", ""]),
            text(&["gpt-5"]),
            option::weighted(0.2, select(vec![200u16, 404])),
        ),
        (
            option::weighted(0.3, any::<bool>()),
            option::weighted(0.2, any::<bool>()),
            option::weighted(0.2, any::<bool>()),
        ),
        (
            option::weighted(0.2, 0i64..4),
            option::weighted(0.2, 0i64..4),
            option::weighted(0.2, 0u32..4),
            option::weighted(0.2, 0u64..5),
            option::weighted(0.2, 0u64..5),
        ),
        (
            text(&["a"]),
            text(&["GPT", "time", "chat/"]),
            text(&["tok_2"]),
            option::weighted(0.3, -60_000i64..120_000),
            option::weighted(0.3, -60_000i64..120_000),
        ),
        (option::weighted(0.2, 0u64..70), option::weighted(0.2, 0u64..70), any::<bool>(), 1usize..80),
    )
        .prop_map(|(texts, flags, numbers, more, paging)| LogFilter {
            gateway: texts.0,
            provider: texts.1,
            model: texts.2,
            status: texts.3,
            success: flags.0,
            cached: flags.1,
            simulated: flags.2,
            min_cost_nano_usd: numbers.0,
            max_cost_nano_usd: numbers.1,
            max_duration_ms: numbers.2,
            min_tokens_in: numbers.3,
            max_tokens_out: numbers.4,
            metadata_value: more.0,
            search: more.1,
            token: more.2,
            since_ms: more.3.map(|ms| NOON + ms),
            until_ms: more.4.map(|ms| NOON + ms),
            before: paging.0.map(id),
            after: paging.1.map(id),
            order: if paging.2 { Order::Newest } else { Order::Oldest },
            limit: paging.3,
            ..LogFilter::default()
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
    if filter.order == Order::Newest {
        found.reverse();
    }
    found.truncate(filter.limit);
    found
}

fn matches(record: &LogRecord, filter: &LogFilter) -> bool {
    fn equal<T: PartialEq>(wanted: &Option<T>, found: &T) -> bool {
        wanted.as_ref().is_none_or(|wanted| wanted == found)
    }
    let tokens = record.usage.map(|usage| (usage.tokens_in(), usage.tokens_out()));
    let text = format!("{}\n{}\n{}", record.model, record.path, record.error).to_ascii_lowercase();
    equal(&filter.gateway, &record.gateway)
        && equal(&filter.provider, &record.provider)
        && equal(&filter.model, &record.model)
        && equal(&filter.status, &record.status)
        && equal(&filter.success, &(record.outcome == Outcome::Success))
        && equal(&filter.cached, &record.cached)
        && equal(&filter.simulated, &record.simulated)
        && equal(&filter.token, &record.token_id)
        && filter.min_cost_nano_usd.is_none_or(|least| record.cost_nano_usd.is_some_and(|cost| cost >= least))
        && filter.max_cost_nano_usd.is_none_or(|most| record.cost_nano_usd.is_some_and(|cost| cost <= most))
        && filter.max_duration_ms.is_none_or(|most| record.duration_ms <= most)
        && filter.min_tokens_in.is_none_or(|least| tokens.is_some_and(|(input, _)| input >= least))
        && filter.max_tokens_out.is_none_or(|most| tokens.is_some_and(|(_, output)| output <= most))
        && filter.since_ms.is_none_or(|since| record.created_at_ms >= since)
        && filter.until_ms.is_none_or(|until| record.created_at_ms < until)
        && filter.search.as_ref().is_none_or(|search| text.contains(&search.to_ascii_lowercase()))
        && filter
            .metadata_value
            .as_ref()
            .is_none_or(|value| record.metadata.values().any(|found| found == value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn filters_and_totals_equal_the_model(records in records(), filters in vec(filters(), 12)) {
        let place = Place::new();
        let store = place.open();
        // Several commits, so that blocks and sequence numbers have edges.
        let journal = Journal::start(&store, JournalOptions { commit_records: 7, ..Default::default() });
        records.iter().for_each(|record| journal.push(record.clone(), None));
        prop_assert!(journal.flush(PATIENCE));
        for filter in filters {
            let wanted = expected(&records, &filter);
            prop_assert_eq!(store.logs(&filter).unwrap(), wanted, "{:?}", &filter);
            let all = LogFilter { limit: usize::MAX, ..filter };
            prop_assert_eq!(store.count(&all).unwrap() as usize, expected(&records, &all).len());
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
    }
}
