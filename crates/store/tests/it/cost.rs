//! What logging costs: `cargo test --release -p genesis-store --test it cost -- --ignored --nocapture`

use std::{
    fs,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use genesis_store::{GroupBy, Journal, LogField, LogFilter, LogRecord, Payload, Strategy, UsageQuery};

use crate::support::{PATIENCE, Place, keep, payload, record};

/// CPU time of the journal's thread so far, from the kernel's accounting.
fn writer_cpu() -> Duration {
    let task = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "journal"))
        .unwrap();
    let nanoseconds = fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(nanoseconds.split_whitespace().next().unwrap().parse().unwrap())
}

/// An exchange of 1.5 KB: an envelope that repeats, text that does not.
fn exchange(number: u64) -> (LogRecord, Payload) {
    let record = record(number);
    let mut state = number;
    let mut words = |count: usize| -> String {
        const WORDS: [&str; 16] = [
            "the ", "gateway ", "keeps ", "a ", "record ", "of ", "every ", "call ", "and ", "token ",
            "price ", "stream ", "model ", "answer ", "cost ", "log ",
        ];
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                WORDS[(state >> 60) as usize]
            })
            .collect()
    };
    let request = format!(
        r#"{{"model":"gpt-5-mini","stream":false,"max_tokens":512,"messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{}"}}]}}"#,
        words(80)
    );
    let response = format!(
        r#"{{"id":"chatcmpl-{number:024x}","object":"chat.completion","created":{number},"model":"gpt-5-mini-2025-08-07","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":120,"completion_tokens":30,"total_tokens":150}}}}"#,
        words(90)
    );
    let payload = payload(&record, request.as_bytes(), response.as_bytes());
    (record, payload)
}

#[test]
#[ignore = "a measurement; run it by hand in release mode"]
fn cost_per_record() {
    const TICKS: u64 = 100;
    const PER_TICK: u64 = 1_000;
    for (name, with_payload, max_rows) in [
        ("record and bodies", true, 10_000_000),
        ("record only", false, 10_000_000),
        ("at the limit", true, 30_000),
    ] {
        let place = Place::new();
        let store = place.open();
        let journal = Journal::start(&store, keep(max_rows, Strategy::DeleteOldest));
        journal.push(record(0), None);
        assert!(journal.flush(PATIENCE));
        let (before, mut pushing, mut bytes) = (writer_cpu(), Duration::ZERO, 0);
        for tick in 0..TICKS {
            let exchanges: Vec<_> = (1..=PER_TICK).map(|number| exchange(tick * PER_TICK + number)).collect();
            let start = Instant::now();
            for (record, payload) in exchanges {
                bytes += payload.request.len() + payload.response.len();
                journal.push(record, with_payload.then_some(payload));
            }
            pushing += start.elapsed();
            thread::sleep(Duration::from_millis(40));
        }
        assert!(journal.flush(PATIENCE));
        let count = TICKS * PER_TICK;
        let stats = journal.stats();
        assert_eq!(stats.written, count + 1, "{stats:?}");
        let size: u64 = fs::read_dir(place.path().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        println!(
            "{name}: writer {:.2} µs, push {:.2} µs per record; {} bytes of bodies in, {} on disk per record; {} bodies shed",
            (writer_cpu() - before).as_secs_f64() * 1e6 / count as f64,
            pushing.as_secs_f64() * 1e6 / count as f64,
            bytes as u64 / count,
            size / count,
            stats.dropped_payloads,
        );
        if !with_payload {
            continue;
        }
        let timed = |name: &str, read: &dyn Fn()| {
            let start = Instant::now();
            read();
            println!("  {name}: {:?}", start.elapsed());
        };
        timed("newest 50", &|| drop(black_box(store.logs(&LogFilter::default()).unwrap())));
        timed("no match in all", &|| {
            drop(black_box(store.logs(&LogFilter::default().is(LogField::EventId, "none")).unwrap()));
        });
        timed("failures, none", &|| {
            drop(black_box(store.logs(&LogFilter::default().is(LogField::Success, false)).unwrap()));
        });
        timed("usage by hour", &|| {
            drop(black_box(
                store.usage(&UsageQuery { group_by: GroupBy::Hour, ..Default::default() }).unwrap(),
            ));
        });
    }
}

/// For callgrind: `valgrind --tool=callgrind --separate-threads=yes <test binary> cost::instructions --ignored`, then the
/// count of the thread whose functions are the journal's.
#[test]
#[ignore = "a measurement; run it under callgrind"]
fn instructions() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, keep(10_000_000, Strategy::DeleteOldest));
    for tick in 0..50 {
        for number in 0..200 {
            let (record, payload) = exchange(tick * 200 + number);
            journal.push(record, Some(payload));
        }
        assert!(journal.flush(PATIENCE));
    }
}
