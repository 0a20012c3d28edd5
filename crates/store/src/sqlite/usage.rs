//! Sums of the per-minute totals.

use rusqlite::{Connection, types::Value};

use super::count;
use crate::{GroupBy, UsageQuery, UsageRow};

pub(super) fn usage(connection: &Connection, query: &UsageQuery) -> rusqlite::Result<Vec<UsageRow>> {
    let (key, order) = match query.group_by {
        GroupBy::Total => ("''", "1"),
        GroupBy::Gateway => ("gateway", "2 DESC, 1"),
        GroupBy::Provider => ("provider", "2 DESC, 1"),
        GroupBy::Model => ("provider || '/' || model", "2 DESC, 1"),
        GroupBy::Outcome => (
            "CASE outcome WHEN 0 THEN 'success' WHEN 1 THEN 'provider_error' WHEN 2 THEN 'refused'
             WHEN 3 THEN 'upstream_broken' ELSE 'client_left' END",
            "2 DESC, 1",
        ),
        GroupBy::Day => ("strftime('%Y-%m-%d', minute * 60, 'unixepoch')", "1"),
        GroupBy::Hour => ("strftime('%Y-%m-%dT%H:00Z', minute * 60, 'unixepoch')", "1"),
        GroupBy::Minute => ("strftime('%Y-%m-%dT%H:%MZ', minute * 60, 'unixepoch')", "1"),
    };
    let mut conditions = String::from("TRUE");
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
            values.push(value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    add("minute >= ?", query.since_ms.map(|since| since.div_euclid(60_000).into()));
    add("minute < ?", query.until_ms.map(|until| (until.saturating_add(59_999)).div_euclid(60_000).into()));
    add("gateway = ?", text(&query.gateway));
    add("provider = ?", text(&query.provider));
    add("model = ?", text(&query.model));
    add("cached = ?", query.cached.map(|cached| i64::from(cached).into()));
    add("simulated = ?", query.simulated.map(|simulated| i64::from(simulated).into()));

    let sql = format!(
        "SELECT {key}, sum(requests), sum(CASE WHEN outcome <> 0 THEN requests ELSE 0 END),
            sum(CASE WHEN cached THEN requests ELSE 0 END), sum(tokens_in), sum(tokens_out), sum(tokens_cached),
            sum(cost_nano_usd), sum(unpriced), sum(duration_ms)
         FROM minute_total WHERE {conditions} GROUP BY 1 ORDER BY {order}"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        Ok(UsageRow {
            key: row.get(0)?,
            requests: count(row, 1)?,
            errors: count(row, 2)?,
            cached: count(row, 3)?,
            tokens_in: count(row, 4)?,
            tokens_out: count(row, 5)?,
            tokens_cached: count(row, 6)?,
            cost_nano_usd: row.get(7)?,
            unpriced: count(row, 8)?,
            duration_ms: count(row, 9)?,
        })
    })?;
    rows.collect()
}
