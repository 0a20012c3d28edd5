//! A log in a folder of its own, and receivers that do as they are told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use genesis_export::driver::Behaviour;
use genesis_export::source::Bounds;
use genesis_export::{
    Answer, Call, Export, ExportStatus, Exports, Post, PostMaker, Selection, Target, Undelivered, Unreachable,
};
use genesis_store::{Journal, JournalOptions, LogEntry, LogRecord, Store};
use tempfile::TempDir;
use uuid::Uuid;

/// Long enough for any machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Log {
    folder: TempDir,
    pub(crate) store: Store,
    pub(crate) journal: Arc<Journal>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), JournalOptions::default())
    }

    pub(crate) fn with(options: JournalOptions) -> Self {
        Self::over(tempfile::tempdir().unwrap(), options)
    }

    fn over(folder: TempDir, options: JournalOptions) -> Self {
        let store = Store::open(&folder.path().join("genesis.db")).unwrap();
        let journal = Arc::new(Journal::start(&store, options));
        Self { folder, store, journal }
    }

    /// The process ends in order and another begins.
    pub(crate) fn restarted(self) -> Self {
        self.journal.close();
        Self::over(self.folder, JournalOptions::default())
    }

    pub(crate) fn exports(&self) -> Exports {
        self.exports_over(nobody())
    }

    pub(crate) fn exports_over(&self, post: PostMaker) -> Exports {
        Exports::new(self.store.clone(), Arc::clone(&self.journal), post)
    }

    pub(crate) fn push(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.journal.push(record(number), None);
        }
        assert!(self.journal.flush(PATIENCE));
    }
}

/// HTTP that keeps every call and answers what it is told to, in this order; at the end 200.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) calls: Arc<Mutex<Vec<Call>>>,
    pub(crate) answers: Arc<Mutex<VecDeque<Result<Answer, Unreachable>>>>,
}

impl Scripted {
    pub(crate) fn will(&self, status: u16, body: &'static str) {
        let status = http::StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, body: body.into(), retry_after: None };
        self.answers.lock().unwrap().push_back(Ok(answer));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn maker(&self) -> PostMaker {
        let post = self.clone();
        Arc::new(move || Ok(Box::new(post.clone())))
    }
}

impl Post for Scripted {
    fn call(&mut self, call: &Call) -> Result<Answer, Unreachable> {
        self.calls.lock().unwrap().push(call.clone());
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or_else(|| {
            Ok(Answer { status: http::StatusCode::OK, body: "".into(), retry_after: None })
        })
    }
}

/// Records of gateway `main`, or of `quiet` where the number says so.
pub(crate) fn record(number: u64) -> LogRecord {
    let created_at_ms = 1_795_348_800_000 + number as i64 * 1_000;
    LogRecord {
        id: Uuid::from_u128((created_at_ms as u128) << 80 | 0x7 << 76 | 0x2 << 62 | u128::from(number)),
        created_at_ms,
        account: "acc".into(),
        gateway: if number >= 1_000_000 { "quiet" } else { "main" }.into(),
        provider: "openai".into(),
        model: "gpt-5-mini".into(),
        status: 200,
        ..LogRecord::default()
    }
}

pub(crate) fn number(entry: &LogEntry) -> u64 {
    entry.record.id.as_u128() as u64 & 0xFFFF_FFFF
}

/// What a receiver does with the next batch.
pub(crate) enum Reaction {
    Fail,
    Refuse,
    /// Takes at most so many records at once.
    AtMost(usize),
    Panic,
}

/// Takes everything, except where it was told otherwise.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) got: Arc<Mutex<Vec<u64>>>,
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
    pub(crate) reactions: Arc<Mutex<VecDeque<Reaction>>>,
    /// Fails everything as long as it is set.
    pub(crate) gone: Arc<Mutex<bool>>,
}

impl Receiver {
    pub(crate) fn will(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.reactions.lock().unwrap().extend(reactions);
    }

    pub(crate) fn got(&self) -> Vec<u64> {
        self.got.lock().unwrap().clone()
    }

    pub(crate) fn wait_for(&self, numbers: impl IntoIterator<Item = u64>) {
        let numbers = Vec::from_iter(numbers);
        wait_until(|| self.got().len() >= numbers.len());
        assert_eq!(self.got(), numbers);
    }

    /// As an export of gateway `main`.
    pub(crate) fn export(&self, name: &str) -> Export {
        Export {
            name: name.into(),
            identity: String::new(),
            wanted: Selection { gateways: BTreeSet::from(["main".to_owned()]), ..Selection::default() },
            behaviour: quick(10),
            target: Box::new(self.clone()),
        }
    }
}

impl Target for Receiver {
    fn deliver(&mut self, entries: &[LogEntry], _: &mut dyn Post) -> Result<(), Undelivered> {
        if *self.gone.lock().unwrap() {
            return Err(Undelivered::later("nobody is there"));
        }
        let reaction = self.reactions.lock().unwrap().pop_front();
        match reaction {
            Some(Reaction::Fail) => return Err(Undelivered::later("told to fail")),
            Some(Reaction::Refuse) => return Err(Undelivered::Refused { why: "told to refuse".into() }),
            Some(Reaction::AtMost(most)) if entries.len() > most => {
                self.reactions.lock().unwrap().push_front(Reaction::AtMost(most));
                return Err(Undelivered::TooLarge { why: "told to be small".into() });
            }
            Some(Reaction::Panic) => panic!("told to panic"),
            Some(Reaction::AtMost(_)) | None => {}
        }
        self.got.lock().unwrap().extend(entries.iter().map(number));
        self.batches.lock().unwrap().push(entries.len());
        Ok(())
    }
}

/// No pauses worth the name.
pub(crate) fn quick(records: usize) -> Behaviour {
    Behaviour {
        bounds: Bounds { records, bytes: 1 << 20 },
        gather: Duration::ZERO,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(20),
    }
}

/// HTTP for targets that need none.
pub(crate) fn nobody() -> PostMaker {
    struct Nobody;
    impl Post for Nobody {
        fn call(&mut self, _: &Call) -> Result<Answer, Unreachable> {
            Err(Unreachable("nobody is called here".into()))
        }
    }
    Arc::new(|| Ok(Box::new(Nobody)))
}

pub(crate) fn status(exports: &Exports, name: &str) -> ExportStatus {
    exports.status().into_iter().find(|status| status.target == name).unwrap()
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(2));
    }
}
