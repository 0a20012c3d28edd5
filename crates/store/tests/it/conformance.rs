//! What every backend must do. Each check gets an empty store; a second backend is added by another list of tests.

use std::slice;

use genesis_store::{
    Attempt, Direction, ErrorKind, Fault, GroupBy, Journal, JournalOptions, LogField, LogFilter, NewToken,
    Operator, Outcome, Permissions, Secret, Store, UsageQuery, looks_like_token, token_hash,
};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{NOON, PATIENCE, Place, id, log_all, numbers, payload, record};

macro_rules! sqlite {
    ($($check:ident),* $(,)?) => {$(
        #[test]
        fn $check() {
            let place = Place::new();
            checks::$check(&place.open());
        }
    )*};
}

sqlite!(
    tokens_are_created_listed_and_revoked,
    token_names_are_unique_among_the_live,
    keys_come_back_as_they_went_in,
    keys_are_told_apart_by_provider_alias_and_gateway,
    gateways_are_created_once_and_replaced_on_request,
    version_changes_with_every_change_and_only_then,
    a_record_comes_back_as_it_went_in,
    bodies_come_back_as_they_went_in,
    a_record_is_found_by_the_start_of_its_id,
    logs_page_and_follow_in_order_of_recording,
    search_looks_at_model_path_and_error,
    metadata_key_and_value_match_independently,
    usage_adds_up_by_group,
    an_empty_log_has_no_records_and_no_usage,
);

mod checks {
    use super::*;

    fn token(name: &str) -> NewToken {
        NewToken {
            name: name.into(),
            permissions: Permissions { run: true, ..Default::default() },
            ..Default::default()
        }
    }

    pub(super) fn tokens_are_created_listed_and_revoked(store: &Store) {
        let new =
            NewToken { gateways: vec!["main".into()], expires_at_ms: Some(NOON + 10), ..token("laptop") };
        let identity =
            json!({ "user": "u1", "email": "ann@example.com", "groups": ["dev"], "claims": { "level": 3 } });
        let new = NewToken { identity: serde_json::from_value(identity).unwrap(), ..new };
        let (row, text) = store.create_token(new, NOON).unwrap();
        assert!(looks_like_token(text.expose_secret()));
        assert_eq!(row.hash, token_hash(text.expose_secret().as_bytes()));
        assert!(text.expose_secret().starts_with(row.preview.trim_end_matches('…')));
        assert!(row.is_live(NOON + 9) && !row.is_live(NOON + 10));
        assert_eq!(store.tokens().unwrap(), slice::from_ref(&row));

        let revoked = store.revoke_token("laptop", NOON + 1).unwrap();
        assert_eq!((revoked.id.as_str(), revoked.revoked_at_ms), (row.id.as_str(), Some(NOON + 1)));
        assert!(!revoked.is_live(NOON + 2));
        assert_eq!(store.tokens().unwrap(), slice::from_ref(&revoked));
        assert_eq!(store.revoke_token("laptop", NOON + 2).unwrap_err().kind(), ErrorKind::NotFound);
        // By id it can be repeated; the first date stays.
        assert_eq!(store.revoke_token(&row.id, NOON + 2).unwrap(), revoked);
    }

    pub(super) fn token_names_are_unique_among_the_live(store: &Store) {
        store.create_token(token("ci"), NOON).unwrap();
        assert_eq!(store.create_token(token("ci"), NOON).unwrap_err().kind(), ErrorKind::Exists);
        store.revoke_token("ci", NOON).unwrap();
        store.create_token(token("ci"), NOON).unwrap();
        for bad in [token(" "), NewToken { expires_at_ms: Some(NOON), ..token("late") }] {
            assert_eq!(store.create_token(bad, NOON).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    pub(super) fn keys_come_back_as_they_went_in(store: &Store) {
        let secret = Secret::from("sk-proj-0123456789abcdefghijWXYZ");
        let row = store.set_key("openai", "default", None, &secret, NOON).unwrap();
        assert_eq!((row.preview.as_str(), row.created_at_ms, row.modified_at_ms), ("sk-…WXYZ", NOON, NOON));
        let replaced = store.set_key("openai", "default", None, &Secret::from("sk-short"), NOON + 5).unwrap();
        assert_eq!(
            (replaced.preview.as_str(), replaced.created_at_ms, replaced.modified_at_ms),
            ("…", NOON, NOON + 5)
        );
        assert_eq!(store.keys().unwrap(), slice::from_ref(&replaced));
        let opened = store.open_keys().unwrap();
        assert_eq!(opened.len(), 1);
        assert_eq!((&opened[0].0, opened[0].1.expose_secret()), (&replaced, "sk-short"));
        assert!(!format!("{opened:?}").contains("sk-short"));
    }

    pub(super) fn keys_are_told_apart_by_provider_alias_and_gateway(store: &Store) {
        let rows = [
            ("anthropic", "default", None),
            ("openai", "default", None),
            ("openai", "default", Some("main")),
            ("openai", "work", None),
        ];
        for (provider, alias, gateway) in rows {
            let text = Secret::from(format!("{provider}-{alias}-{gateway:?}"));
            store.set_key(provider, alias, gateway, &text, NOON).unwrap();
        }
        for (row, text) in store.open_keys().unwrap() {
            assert_eq!(
                *text.expose_secret(),
                format!("{}-{}-{:?}", row.provider, row.alias, row.gateway.as_deref())
            );
        }
        assert!(store.remove_key("openai", "default", Some("main")).unwrap());
        assert!(!store.remove_key("openai", "default", Some("main")).unwrap());
        let left: Vec<_> =
            store.keys().unwrap().into_iter().map(|row| (row.provider, row.alias, row.gateway)).collect();
        let expected = [("anthropic", "default"), ("openai", "default"), ("openai", "work")];
        assert_eq!(left, expected.map(|(provider, alias)| (provider.to_owned(), alias.to_owned(), None)));
        for (provider, alias, gateway, text) in
            [("", "a", None, "k"), ("p", "", None, "k"), ("p", "a", None, " "), ("p", "a", Some(""), "k")]
        {
            let refused = store.set_key(provider, alias, gateway, &Secret::from(text), NOON).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid);
        }
    }

    pub(super) fn gateways_are_created_once_and_replaced_on_request(store: &Store) {
        let (first, second) = (json!({"cache_ttl": 60}), json!({"cache_ttl": 0, "retry_delay": null}));
        assert!(store.ensure_gateway("acc", "default", &first, NOON).unwrap());
        assert!(!store.ensure_gateway("acc", "default", &second, NOON + 1).unwrap());
        assert!(store.ensure_gateway("other", "default", &second, NOON).unwrap());
        let all = || store.gateways().unwrap();
        let row = |account: &str, settings: &serde_json::Value| {
            (account.to_owned(), "default".to_owned(), settings.clone())
        };
        assert_eq!(all(), [row("acc", &first), row("other", &second)]);
        let put = store.put_gateway("acc", "default", &second, NOON + 2).unwrap();
        assert_eq!((put.created_at_ms, put.modified_at_ms), (NOON, NOON + 2));
        assert_eq!(store.gateway("acc", "default").unwrap(), Some(put));
        assert!(store.delete_gateway("acc", "default").unwrap());
        assert!(!store.delete_gateway("acc", "default").unwrap());
        assert_eq!(all(), [row("other", &second)]);
        assert_eq!(store.gateway("acc", "default").unwrap(), None);
    }

    pub(super) fn version_changes_with_every_change_and_only_then(store: &Store) {
        let mut version = store.version().unwrap();
        let mut changed = || {
            let before = std::mem::replace(&mut version, store.version().unwrap());
            before != version
        };
        let key = Secret::from("sk-1");
        store.create_token(token("a"), NOON).unwrap();
        assert!(changed());
        store.revoke_token("a", NOON).unwrap();
        assert!(changed());
        store.set_key("openai", "default", None, &key, NOON).unwrap();
        assert!(changed());
        store.ensure_gateway("acc", "g", &json!({}), NOON).unwrap();
        assert!(changed());
        store.put_gateway("acc", "g", &json!({}), NOON).unwrap();
        assert!(changed());

        store.ensure_gateway("acc", "g", &json!({}), NOON).unwrap();
        store.remove_key("nobody", "default", None).unwrap();
        store.revoke_token("nobody", NOON).unwrap_err();
        store.open_keys().unwrap();
        log_all(store, [record(1)]);
        assert!(!changed());

        store.remove_key("openai", "default", None).unwrap();
        assert!(changed());
        store.delete_gateway("acc", "g").unwrap();
        assert!(changed());
    }

    pub(super) fn a_record_comes_back_as_it_went_in(store: &Store) {
        let mut full = record(1);
        full.metadata = json!({"user": "ünïcode", "n": 1.5, "yes": true}).as_object().unwrap().clone();
        full.error = "the provider said no".into();
        full.outcome = Outcome::UpstreamBroken;
        full.request_size = u64::from(u32::MAX) * 3;
        (full.step, full.custom_cost, full.cached, full.simulated) = (3, true, true, true);
        full.attempts = vec![
            Attempt { provider: "openai".into(), fault: Some(Fault::Timeout), ..Attempt::default() },
            Attempt {
                provider: "groq".into(),
                status: Some(200),
                cost_nano_usd: Some(5),
                began_ms: 40,
                ..Attempt::default()
            },
        ];
        full.parent_span_id = Some("00f067aa0ba902b7".into());
        full.dropped = vec!["seed".into(), "tools[].odd, \"ünïcode\"".into()];
        let mut bare = record(2);
        (bare.dialect, bare.usage, bare.cost_nano_usd, bare.first_byte_ms) = (None, None, None, None);
        (bare.raw_usage, bare.price_id, bare.price_formula, bare.trace_id) = (None, None, None, None);
        (bare.provider, bare.model, bare.stream) = (String::new(), String::new(), false);
        log_all(store, [full.clone(), bare.clone()]);
        assert_eq!(store.logs(&LogFilter::default()).unwrap(), [bare, full]);
    }

    pub(super) fn bodies_come_back_as_they_went_in(store: &Store) {
        let journal = Journal::start(store, JournalOptions::default());
        // Around and far beyond the size of a block, compressible and not.
        let sizes = [0usize, 1, 1_500, 100_000, 262_143, 262_144, 3_000_000];
        let body = |size: usize, salt: u32| -> Vec<u8> {
            (0..size as u32)
                .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(salt) >> (at % 24)) as u8)
                .collect()
        };
        for (number, size) in sizes.into_iter().enumerate() {
            let mut record = record(number as u64);
            record.gateway = format!("gateway-{}", number % 2);
            let payload = payload(&record, &body(size, 1), &vec![b'x'; size]);
            journal.push(record, Some(payload));
        }
        journal.push(record(100), None);
        assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
        for (number, size) in sizes.into_iter().enumerate() {
            let (record, payload) = store.log(&id(number as u64).to_string()).unwrap().unwrap();
            let payload = payload.unwrap();
            assert_eq!((payload.id, &payload.gateway), (record.id, &record.gateway));
            assert!(payload.request == body(size, 1), "request of {size}");
            assert!(payload.response == vec![b'x'; size], "response of {size}");
            assert!(payload.request_complete && !payload.response_complete);
        }
        assert!(store.log(&id(100).to_string()).unwrap().unwrap().1.is_none());
        assert_eq!(journal.stats().dropped_payloads, 0);
    }

    pub(super) fn a_record_is_found_by_the_start_of_its_id(store: &Store) {
        log_all(store, [record(1), record(2), record(3)]);
        let simple = id(2).simple().to_string();
        for text in [simple.as_str(), &simple.to_uppercase(), &id(2).to_string(), &id(2).to_string()[..13]] {
            assert_eq!(store.log(text).unwrap().map(|(record, _)| record.id), Some(id(2)), "{text}");
        }
        assert!(store.log(&id(4).to_string()).unwrap().is_none());
        // 8 digits are the time down to a minute: all three.
        for text in [&simple[..8], &simple[..7], "", "no-such-thing", "gggggggg", &format!("{simple}0")] {
            assert_eq!(store.log(text).unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }

    pub(super) fn logs_page_and_follow_in_order_of_recording(store: &Store) {
        // 2 began before 3 and 4 and ended after them.
        log_all(store, [1, 3, 4, 2, 5].map(record));
        let logs = |filter: LogFilter| numbers(&store.logs(&filter).unwrap());
        let page = LogFilter { limit: 2, ..Default::default() };
        assert_eq!(logs(page.clone()), [5, 2]);
        assert_eq!(logs(LogFilter { before: Some(id(2)), ..page.clone() }), [4, 3]);
        assert_eq!(logs(LogFilter { before: Some(id(3)), ..page.clone() }), [1]);
        assert_eq!(logs(LogFilter { direction: Direction::Ascending, ..page.clone() }), [1, 3]);
        let follow = LogFilter { after: Some(id(4)), direction: Direction::Ascending, ..Default::default() };
        assert_eq!(logs(follow.clone()), [2, 5]);
        log_all(store, [0, 6].map(record));
        assert_eq!(logs(follow), [2, 5, 0, 6]);
        assert_eq!(
            logs(LogFilter::default().with(LogField::CreatedAt, Operator::AtLeast, NOON + 3_000).with(
                LogField::CreatedAt,
                Operator::Less,
                NOON + 6_000
            )),
            [5, 4, 3]
        );
        assert_eq!(store.count(&page.with(LogField::CreatedAt, Operator::AtLeast, NOON + 3_000)).unwrap(), 4);
    }

    pub(super) fn search_looks_at_model_path_and_error(store: &Store) {
        let mut records = [1, 2, 3].map(record);
        records[0].model = "claude-Sonnet-4-6".into();
        records[1].path = "v1/100%_sonnet".into();
        records[2].error = "Sonne".into();
        log_all(store, records);
        let found = |search: &str| {
            let filter = LogFilter {
                search: Some(search.into()),
                direction: Direction::Ascending,
                ..Default::default()
            };
            numbers(&store.logs(&filter).unwrap())
        };
        assert_eq!(found("sONNET"), [1, 2]);
        assert_eq!(found("sonne"), [1, 2, 3]);
        // Not a pattern language.
        assert_eq!(found("100%_s"), [2]);
        assert!(found("100__s").is_empty());
    }

    pub(super) fn metadata_key_and_value_match_independently(store: &Store) {
        let mut records = [1, 2, 3].map(record);
        for (record, metadata) in records.iter_mut().zip([
            json!({"user": "7", "team": "a"}),
            json!({"user": 7}),
            json!({"flag": true}),
        ]) {
            record.metadata = metadata.as_object().unwrap().clone();
        }
        log_all(store, records);
        let found = |key: Option<&str>, value: Option<&str>| {
            let mut filter = LogFilter { direction: Direction::Ascending, ..Default::default() };
            for (field, text) in [(LogField::MetadataKey, key), (LogField::MetadataValue, value)] {
                filter = text.into_iter().fold(filter, |filter, text| filter.is(field, text));
            }
            assert_eq!(store.count(&filter).unwrap(), store.logs(&filter).unwrap().len() as u64);
            numbers(&store.logs(&filter).unwrap())
        };
        assert_eq!(found(Some("user"), None), [1, 2]);
        assert_eq!(found(None, Some("7")), [1, 2]);
        assert_eq!(found(Some("team"), Some("7")), [1]);
        assert_eq!(found(None, Some("true")), [3]);
        assert!(found(Some("team"), Some("b")).is_empty());
    }

    pub(super) fn usage_adds_up_by_group(store: &Store) {
        let mut records: Vec<_> = [0, 1, 2, 3, 86_400].map(record).into();
        records[1].cached = true;
        records[1].cost_nano_usd = Some(0);
        (records[2].outcome, records[2].usage, records[2].cost_nano_usd) =
            (Outcome::ProviderError, None, None);
        (records[3].model, records[3].cost_nano_usd) = ("gpt-99".into(), None);
        records[4].gateway = "side".into();
        log_all(store, records);
        let usage = |group_by| store.usage(&UsageQuery { group_by, ..Default::default() }).unwrap();
        let total = &usage(GroupBy::Total)[0];
        assert_eq!((total.requests, total.errors, total.cached, total.unpriced), (5, 1, 1, 1));
        assert_eq!((total.tokens_in, total.tokens_out, total.tokens_cached), (480, 120, 80));
        assert_eq!((total.cost_nano_usd, total.duration_ms), (84_000, 4_250));
        let groups =
            |group_by| -> Vec<_> { usage(group_by).into_iter().map(|row| (row.key, row.requests)).collect() };
        let expected = |rows: &[(&str, u64)]| -> Vec<_> {
            rows.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
        };
        assert_eq!(groups(GroupBy::Model), expected(&[("openai/gpt-5-mini", 4), ("openai/gpt-99", 1)]));
        assert_eq!(groups(GroupBy::Provider), expected(&[("openai", 5)]));
        assert_eq!(groups(GroupBy::Gateway), expected(&[("main", 4), ("side", 1)]));
        assert_eq!(groups(GroupBy::Outcome), expected(&[("success", 4), ("provider_error", 1)]));
        assert_eq!(groups(GroupBy::Day), expected(&[("2026-11-22", 4), ("2026-11-23", 1)]));
        assert_eq!(groups(GroupBy::Hour), expected(&[("2026-11-22T12:00Z", 4), ("2026-11-23T12:00Z", 1)]));
        assert_eq!(groups(GroupBy::Minute), expected(&[("2026-11-22T12:00Z", 4), ("2026-11-23T12:00Z", 1)]));
        let later = UsageQuery { since_ms: Some(NOON + 60_000), ..Default::default() };
        assert_eq!(store.usage(&later).unwrap()[0].requests, 1);
        let earlier =
            UsageQuery { until_ms: Some(NOON + 60_000), model: Some("gpt-99".into()), ..Default::default() };
        assert_eq!(store.usage(&earlier).unwrap()[0].requests, 1);
    }

    pub(super) fn an_empty_log_has_no_records_and_no_usage(store: &Store) {
        for group_by in [GroupBy::Total, GroupBy::Model] {
            assert!(store.usage(&UsageQuery { group_by, ..Default::default() }).unwrap().is_empty());
        }
        assert!(store.logs(&LogFilter::default()).unwrap().is_empty());
        assert_eq!(store.count(&LogFilter::default()).unwrap(), 0);
        assert!(store.log(&id(1).to_string()).unwrap().is_none());
        // Also once the file exists.
        log_all(store, []);
        assert!(store.usage(&UsageQuery::default()).unwrap().is_empty());
    }
}
