//! A killed process: what it was told is written is there, and the files open.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use genesis_store::{Direction, Journal, JournalOptions, LogFilter, Store, UsageQuery};

use crate::support::{PATIENCE, Place, numbers, payload, record};

const FOLDER: &str = "GENESIS_STORE_CRASH_TEST";

/// Not a test of its own: the process that is killed. Logs without end and reports how far it is surely written.
#[test]
fn victim() {
    let Ok(path) = env::var(FOLDER) else { return };
    let store = Store::open(path.as_ref()).unwrap();
    let journal = Journal::start(&store, JournalOptions::default());
    for number in 0.. {
        let record = record(number);
        let payload = payload(&record, &[b'x'; 2_000], number.to_string().as_bytes());
        journal.push(record, Some(payload));
        if number % 200 == 199 {
            assert!(journal.flush(PATIENCE));
            let mut out = std::io::stdout();
            writeln!(out, "written {number}").unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn kill_loses_nothing_that_was_reported_written() {
    for lines in [1, 7] {
        let place = Place::new();
        drop(place.open());
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["crash::victim", "--exact", "--nocapture"])
            .env(FOLDER, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reported = BufReader::new(victim.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("written ")?.parse::<u64>().ok())
            .nth(lines)
            .unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();

        let store = place.open();
        let filter = LogFilter { direction: Direction::Ascending, limit: usize::MAX, ..Default::default() };
        let found = numbers(&store.logs(&filter).unwrap());
        assert!(found.len() as u64 > reported, "{} of {reported}", found.len());
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
        assert_eq!(store.usage(&UsageQuery::default()).unwrap()[0].requests, found.len() as u64);
        let (_, payload) = store.log(&crate::support::id(reported).to_string()).unwrap().unwrap();
        assert_eq!(payload.unwrap().response, reported.to_string().as_bytes());
        let journal = Journal::start(&store, JournalOptions::default());
        journal.push(record(1_000_000), None);
        assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    }
}
