//! Evaluating, beside requests: one thread takes every evaluation that is not processed yet. The store is its queue, so what
//! a restart interrupted is done when somebody asks for it.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use genesis_config::money::Usd;
use genesis_store::{DocumentRow, LogField, LogFilter, LogTally, Store};
use serde_json::{Value, json};

use super::texts;
use crate::call::{moment, now_ms};
use crate::logs::filters;

/// What a client sees of a result before, during and after.
mod status {
    pub(super) const WAITING: u8 = 0;
    pub(super) const DONE: u8 = 1;
    pub(super) const NOTHING: u8 = 2;
    pub(super) const FAILED: u8 = 3;
}

/// The thread, from the first evaluation on.
#[derive(Debug, Default)]
pub(crate) struct Evaluator(OnceLock<SyncSender<Look>>);

/// Word that there is something to do. `by_account`: logs of the evaluation's own account only.
#[derive(Clone, Copy, Debug)]
struct Look {
    by_account: bool,
}

impl Evaluator {
    /// Has everything evaluated that is not processed yet. Does not wait.
    pub(crate) fn wake(&self, store: &Store, by_account: bool) {
        let sender = self.0.get_or_init(|| start(store.clone()));
        // One word too many: it looks again anyway.
        let _ = sender.try_send(Look { by_account });
    }
}

fn start(store: Store) -> SyncSender<Look> {
    let (sender, asked) = sync_channel(1);
    let work = move || {
        while let Ok(look) = asked.recv() {
            if let Err(error) = process(&store, look) {
                tracing::warn!(%error, "evaluations stay unprocessed until somebody asks for one again");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("evaluations".to_owned()).spawn(work) {
        tracing::warn!(%error, "nothing can be evaluated until a restart");
    }
    sender
}

fn process(store: &Store, look: Look) -> genesis_store::Result<()> {
    for row in store.all_documents("evaluation")? {
        if is_processed(&row) {
            continue;
        }
        let evaluated = evaluated(store, row, look)?;
        match store.replace_document(&evaluated) {
            // Deleted meanwhile.
            Err(error) if error.kind() == genesis_store::ErrorKind::NotFound => {}
            replaced => replaced?,
        }
    }
    Ok(())
}

pub(super) fn is_processed(row: &DocumentRow) -> bool {
    row.body.get("results").is_some_and(Value::is_array)
}

/// The results of an evaluation, or that they are waited for.
pub(super) fn results(row: &DocumentRow) -> Vec<Value> {
    if let Some(results) = row.body.get("results").and_then(Value::as_array) {
        return results.clone();
    }
    let waiting = |id| result(row, id, row.created_at_ms, &Outcome::new(status::WAITING, "waiting"));
    texts(&row.body, "evaluation_type_ids").map(waiting).collect()
}

fn evaluated(store: &Store, mut row: DocumentRow, look: Look) -> genesis_store::Result<DocumentRow> {
    let tally = match filters_of(store, &row, look)? {
        Ok(filters) => store.tally_logs(&filters).map_err(|error| error.to_string()),
        Err(why) => Err(why),
    };
    let at_ms = now_ms();
    let results: Vec<_> = texts(&row.body, "evaluation_type_ids")
        .map(|id| {
            let outcome = match &tally {
                Ok(tally) => outcome(id, tally),
                Err(why) => Outcome::new(status::FAILED, why),
            };
            result(&row, id, at_ms, &outcome)
        })
        .collect();
    row.body.insert("results".to_owned(), results.into());
    row.body.insert("total_logs".to_owned(), tally.map_or(0, |tally| tally.count).into());
    row.modified_at_ms = at_ms;
    Ok(row)
}

/// What the evaluation's datasets choose; those that are not enabled choose nothing.
fn filters_of(
    store: &Store,
    row: &DocumentRow,
    look: Look,
) -> genesis_store::Result<Result<Vec<LogFilter>, String>> {
    let ids: Vec<_> = texts(&row.body, "dataset_ids").collect();
    let datasets = store.documents("dataset", &row.gateway)?.into_iter();
    let chosen =
        datasets.filter(|dataset| ids.contains(&dataset.id.as_str()) && dataset.body["enable"] == true);
    Ok(chosen
        .map(|dataset| {
            let mut filter = LogFilter::default().is(LogField::Gateway, row.gateway.as_str());
            if look.by_account {
                filter = filter.is(LogField::Account, row.account.as_str());
            }
            let conditions = filters::conditions(&dataset.body["filters"]).map_err(|problems| {
                let first = problems.into_iter().next().map(|problem| problem.message).unwrap_or_default();
                format!("dataset {}: {first}", dataset.id)
            })?;
            filter.conditions.extend(conditions);
            Ok(filter)
        })
        .collect())
}

/// What one type comes to.
struct Outcome {
    status: u8,
    description: String,
    value: String,
    logs: u64,
}

impl Outcome {
    fn new(status: u8, description: &str) -> Self {
        Self { status, description: description.to_owned(), value: String::new(), logs: 0 }
    }

    /// `value` over so many logs, if there are any.
    fn over(logs: u64, lacking: &str, value: impl FnOnce() -> String) -> Self {
        match logs {
            0 => Self::new(status::NOTHING, lacking),
            _ => Self { logs, value: value(), ..Self::new(status::DONE, "done") },
        }
    }
}

fn outcome(id: &str, tally: &LogTally) -> Outcome {
    match id {
        "cost" => Outcome::over(tally.priced, "no log has a cost", || {
            Usd(average(i128::from(tally.cost_nano_usd), tally.priced)).to_string()
        }),
        "speed" => Outcome::over(tally.count, "no log fits the datasets", || {
            average(i128::from(tally.duration_ms), tally.count).to_string()
        }),
        "human_feedback" => {
            let given = tally.liked + tally.disliked;
            Outcome::over(given, "no log has feedback", || {
                let hundredths = average(i128::from(tally.liked) * 10_000, given);
                // As 66.67 and 100: what money is written with suits percents, too.
                Usd(hundredths * 10_000_000).to_string()
            })
        }
        _ => Outcome::new(status::FAILED, "there is no such evaluation type"),
    }
}

/// Rounded half up.
fn average(sum: i128, count: u64) -> i64 {
    let count = i128::from(count.max(1));
    i64::try_from((sum + count / 2).div_euclid(count)).unwrap_or(i64::MAX)
}

fn result(row: &DocumentRow, id: &str, at_ms: i64, outcome: &Outcome) -> Value {
    json!({
        "id": format!("{}-{id}", row.id),
        "evaluation_id": row.id,
        "evaluation_type_id": id,
        "created_at": moment(row.created_at_ms),
        "modified_at": moment(at_ms),
        "result": outcome.value,
        "status": outcome.status,
        "status_description": outcome.description,
        "total_logs": outcome.logs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_rounded_and_lack_nothing() {
        let tally =
            LogTally { count: 3, priced: 2, cost_nano_usd: 5, duration_ms: 1_000, liked: 2, disliked: 1 };
        let value = |id| {
            let outcome = outcome(id, &tally);
            (outcome.status, outcome.value, outcome.logs)
        };
        assert_eq!(value("cost"), (status::DONE, "0.000000003".to_owned(), 2));
        assert_eq!(value("speed"), (status::DONE, "333".to_owned(), 3));
        assert_eq!(value("human_feedback"), (status::DONE, "66.67".to_owned(), 3));
        assert_eq!(outcome("human_feedback", &LogTally { liked: 4, ..tally }).value, "80");
        for id in ["cost", "speed", "human_feedback"] {
            assert_eq!(outcome(id, &LogTally::default()).status, status::NOTHING, "{id}");
        }
    }
}
