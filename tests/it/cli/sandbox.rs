//! A home folder of its own and a clean environment, so that no test sees another or the machine it runs on.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use genesis_store::{Journal, JournalOptions, LogRecord, Outcome, Payload, Store};
use genesis_wire::{Dialect, Usage};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

pub(super) struct Sandbox {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Sandbox {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A place beside the home folder; `HOME` of what runs.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the home folder that only its owner can read.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.home()).unwrap();
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.home().join(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genesis"));
        command
            .args(args)
            .env_clear()
            .env("GENESIS_HOME", self.home())
            .env("HOME", self.folder.path())
            .env("TZ", "UTC")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn genesis(&self, args: &[&str]) -> Ran {
        self.genesis_in(args, &[], "")
    }

    pub(super) fn piped(&self, args: &[&str], stdin: &str) -> Ran {
        self.genesis_in(args, &[], stdin)
    }

    pub(super) fn genesis_in(&self, args: &[&str], variables: &[(&str, &str)], stdin: &str) -> Ran {
        let mut child =
            self.command(args).envs(variables.iter().copied()).stdin(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(super) fn store(&self) -> Store {
        Store::open(&self.home().join("genesis.db")).unwrap()
    }

    /// Logs as a gateway does.
    pub(super) fn log(&self, exchanges: impl IntoIterator<Item = (LogRecord, Option<Payload>)>) {
        let journal = Journal::start(&self.store(), JournalOptions::default());
        for (record, payload) in exchanges {
            journal.push(record, payload);
        }
        assert!(journal.flush(Duration::from_secs(20)), "{:?}", journal.stats());
        journal.close();
    }

    /// Fails if `secret` stands in anything that was printed or in any file of the home folder.
    pub(super) fn assert_nowhere(&self, secret: &str, ran: &[&Ran]) {
        for ran in ran {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "printed: {ran:?}");
        }
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let bytes = fs::read(entry.path()).unwrap();
                    let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                    assert!(!found, "written to {}", entry.path().display());
                }
            }
        }
    }
}

impl Ran {
    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Ended with this code, printed no result, and said every one of `parts`.
    #[track_caller]
    pub(super) fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        self.says(parts)
    }

    /// Standard error holds all of `parts`.
    #[track_caller]
    pub(super) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing: {self:?}");
        }
        self
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The words of the line of a table that starts with `start`.
    #[track_caller]
    pub(super) fn line(&self, start: &str) -> String {
        let mut lines = self.stdout.lines().filter(|line| line.starts_with(start));
        let line = lines.next().unwrap_or_else(|| panic!("no line starts with `{start}`: {self:?}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// 2024-03-01T12:00:00Z
pub(super) const NOON: i64 = 1_709_294_400_000;

/// A successful call of an Anthropic model, `number` seconds after [`NOON`].
pub(super) fn record(number: u32) -> LogRecord {
    let created_at_ms = NOON + i64::from(number) * 1000;
    let time = u64::try_from(created_at_ms).unwrap();
    let usage = Usage { input: 12, cache_read: 100, output: 34, ..Usage::default() };
    LogRecord {
        id: Uuid::new_v7(uuid::Timestamp::from_unix_time(time / 1000, 0, 0, 0)),
        event_id: format!("event-{number}"),
        created_at_ms,
        account: "acme".into(),
        gateway: "prod".into(),
        provider: "anthropic".into(),
        model: "claude-sonnet-4-6".into(),
        dialect: Some(Dialect::AnthropicMessages),
        method: "POST".into(),
        path: "v1/messages".into(),
        status: 200,
        outcome: Outcome::Success,
        error: String::new(),
        cached: false,
        step: 0,
        duration_ms: 845,
        first_byte_ms: Some(120),
        stream: true,
        usage: Some(usage),
        raw_usage: Some(r#"{"input_tokens":12,"output_tokens":34}"#.into()),
        cost_nano_usd: Some(123_000),
        price_id: Some("anthropic/claude-sonnet-4-6@2026-02-01".into()),
        price_formula: Some("12 input × $3/M + 34 output × $15/M".into()),
        custom_cost: false,
        metadata: serde_json::Map::new(),
        user_agent: "curl/8".into(),
        token_id: "tok_1".into(),
        credential: "stored:default".into(),
        request_content_type: "application/json".into(),
        response_content_type: "application/json".into(),
        request_size: 20,
        response_size: 1234,
        request_head: "POST /v1/messages HTTP/1.1\nx-api-key: ***\n".into(),
        response_head: "HTTP/1.1 200 OK\n".into(),
        trace_id: None,
        simulated: false,
        attempts: Vec::new(),
        dropped: Vec::new(),
    }
}

pub(super) fn with_bodies(record: LogRecord, request: &str, response: &str) -> (LogRecord, Option<Payload>) {
    let payload = Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: Bytes::from(request.to_owned()),
        response: Bytes::from(response.to_owned()),
        request_complete: true,
        response_complete: true,
    };
    (record, Some(payload))
}
