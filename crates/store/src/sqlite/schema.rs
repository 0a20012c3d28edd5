//! The tables of all files, as numbered migrations: the n-th step brings a file from version n to n + 1.
//! A released migration is never edited.

use rusqlite::Transaction;

use super::{Failure, upgrade};

/// What one kind of file contains.
pub(super) struct Schema {
    /// Marks the file as ours (`PRAGMA application_id`).
    pub(super) application_id: i64,
    pub(super) page_size: i64,
    pub(super) migrations: &'static [Migration],
}

/// One step: statements, and work on what is already there, between and after which more statements follow.
pub(super) struct Migration {
    pub(super) sql: &'static str,
    pub(super) convert: Option<Convert>,
}

/// Work on what is already there, in the migration's transaction.
type Convert = fn(&Transaction<'_>) -> Result<(), Failure>;

const fn sql(sql: &'static str) -> Migration {
    Migration { sql, convert: None }
}

/// Tokens, keys, gateways and what else is configured at run time: few rows.
pub(super) const SETTINGS: Schema = Schema {
    application_id: 0x4745_4e01,
    page_size: 4096,
    migrations: &[
        sql("
    CREATE TABLE version (number INTEGER NOT NULL);
    INSERT INTO version VALUES (0);

    CREATE TABLE token (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL,
        hash          BLOB NOT NULL UNIQUE,
        preview       TEXT NOT NULL,
        run           INTEGER NOT NULL,
        read          INTEGER NOT NULL,
        edit          INTEGER NOT NULL,
        gateways      TEXT NOT NULL,     -- JSON array of ids; empty: all
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER,
        revoked_at_ms INTEGER
    );
    CREATE UNIQUE INDEX token_live_name ON token (name) WHERE revoked_at_ms IS NULL;

    CREATE TABLE provider_key (
        provider       TEXT NOT NULL,
        alias          TEXT NOT NULL,
        gateway        TEXT NOT NULL,    -- empty: all
        preview        TEXT NOT NULL,
        sealed         BLOB NOT NULL,
        created_at_ms  INTEGER NOT NULL,
        modified_at_ms INTEGER NOT NULL,
        PRIMARY KEY (provider, alias, gateway)
    );

    CREATE TABLE gateway (
        account        TEXT NOT NULL,
        id             TEXT NOT NULL,
        settings       TEXT NOT NULL,    -- JSON object
        created_at_ms  INTEGER NOT NULL,
        modified_at_ms INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    );
    "),
        sql("
    ALTER TABLE provider_key ADD COLUMN default_config INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE provider_key ADD COLUMN rate_limit INTEGER;
    ALTER TABLE provider_key ADD COLUMN rate_limit_period INTEGER;

    CREATE TABLE custom_provider (
        id             TEXT PRIMARY KEY,
        account        TEXT NOT NULL,
        slug           TEXT NOT NULL UNIQUE,
        fields         TEXT NOT NULL,    -- JSON object
        headers        BLOB,             -- sealed JSON object; null: none
        created_at_ms  INTEGER NOT NULL,
        modified_at_ms INTEGER NOT NULL
    );

    CREATE TABLE route (
        id             TEXT PRIMARY KEY,
        account        TEXT NOT NULL,
        gateway        TEXT NOT NULL,
        name           TEXT NOT NULL,
        created_at_ms  INTEGER NOT NULL,
        modified_at_ms INTEGER NOT NULL,
        UNIQUE (gateway, name)
    );
    CREATE TABLE route_version (
        id             TEXT PRIMARY KEY,
        route          TEXT NOT NULL,
        elements       TEXT NOT NULL,    -- JSON array
        created_at_ms  INTEGER NOT NULL
    );
    CREATE INDEX route_version_of ON route_version (route);
    CREATE TABLE route_deployment (
        id             TEXT PRIMARY KEY,
        route          TEXT NOT NULL,
        version        TEXT NOT NULL,
        created_at_ms  INTEGER NOT NULL
    );
    CREATE INDEX route_deployment_of ON route_deployment (route);

    CREATE TABLE document (
        id             TEXT PRIMARY KEY,
        kind           TEXT NOT NULL,
        account        TEXT NOT NULL,
        gateway        TEXT NOT NULL,
        body           TEXT NOT NULL,    -- JSON object
        created_at_ms  INTEGER NOT NULL,
        modified_at_ms INTEGER NOT NULL
    );
    CREATE INDEX document_of ON document (kind, gateway);
    "),
        // JSON object: whom the token was given to.
        sql("ALTER TABLE token ADD COLUMN identity TEXT NOT NULL DEFAULT '{}';"),
    ],
};

/// Records and totals: much, written without pause.
///
/// Records are not rows: a row per record and an index cost more than all else the log does. Some records that came
/// together, or some hundred that were merged later, are a *page* (see `page.rs`): one row of bounds, which searches
/// read, and one of bytes.
///
/// A sequence number is the order of recording and a bound on time: shifted right by [`SEQ_SHIFT`] it is never less than
/// the record's `created_at_ms`. Every record has one of its own; a page is known by its last.
pub(super) const LOG: Schema = Schema {
    application_id: 0x4745_4e02,
    // Small: what a commit of few records writes is whole pages of SQLite.
    page_size: 4096,
    migrations: &[
        sql(upgrade::FIRST_SCHEMA),
        Migration { sql: PAGES, convert: Some(upgrade::rows_to_pages) },
        sql(EXPORTS),
        sql(CHAPTERS),
    ],
};

const PAGES: &str = "
    ALTER TABLE minute_total RENAME TO old_minute_total;

    -- Whose records there are. `key` is account and id as in packed records.
    CREATE TABLE source (
        number  INTEGER PRIMARY KEY,
        key     BLOB NOT NULL UNIQUE,
        records INTEGER NOT NULL
    );
    CREATE TABLE page (
        last_seq    INTEGER PRIMARY KEY,
        source      INTEGER NOT NULL,
        first_seq   INTEGER NOT NULL,
        records     INTEGER NOT NULL,    -- without those skipped
        skip        INTEGER NOT NULL,    -- so many at the beginning are deleted
        first_ms    INTEGER NOT NULL,    -- bounds of created_at_ms
        last_ms     INTEGER NOT NULL,
        first_id    BLOB NOT NULL,       -- bounds of ids
        last_id     BLOB NOT NULL,
        failures    INTEGER NOT NULL,
        first_block INTEGER NOT NULL,    -- bodies; the last below the first: none
        last_block  INTEGER NOT NULL,
        size        INTEGER NOT NULL,    -- uncompressed
        sealed      INTEGER NOT NULL     -- compressed; 2: and in a chapter
    );
    CREATE INDEX page_of_source ON page (source, sealed, last_seq);
    CREATE TABLE page_data (last_seq INTEGER PRIMARY KEY, heads BLOB NOT NULL, details BLOB NOT NULL);
    -- Numbered within their source: source << 40 | n.
    CREATE TABLE bodies (number INTEGER PRIMARY KEY, data BLOB NOT NULL);

    -- What is noted about records later.
    CREATE TABLE annotation (
        id              BLOB PRIMARY KEY,
        feedback        INTEGER,
        score           REAL,
        metadata        TEXT,            -- JSON object that replaces the caller's
        correction      TEXT,            -- JSON: another cost
        corrected_at_ms INTEGER
    ) WITHOUT ROWID;

    -- What totals are kept by: key and metadata entry, packed.
    CREATE TABLE series (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
    CREATE TABLE total (
        level  INTEGER NOT NULL,         -- 0 minutes, 1 hours, 2 days; 3 more: with a metadata entry
        bucket INTEGER NOT NULL,         -- so many since the epoch
        series INTEGER NOT NULL,
        data   BLOB NOT NULL,
        PRIMARY KEY (level, bucket, series)
    ) WITHOUT ROWID;
    -- What commits added and the sums above do not have yet.
    CREATE TABLE fresh_total (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
";

/// Beside the records, since they stand for places among them: a log that is begun anew has none.
const EXPORTS: &str = "
    -- Everything up to here has arrived.
    CREATE TABLE export (
        target TEXT PRIMARY KEY,
        seq    INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- What was deleted before it could be sent.
    CREATE TABLE export_lost (
        target  TEXT NOT NULL,
        source  INTEGER NOT NULL,
        records INTEGER NOT NULL,
        PRIMARY KEY (target, source)
    ) WITHOUT ROWID;
";

/// Pages of older logs are put into chapters by the journal, some with each commit.
const CHAPTERS: &str = "
    -- Sealed pages of one source in succession (see `chapter.rs`), known by its last sequence number. Its pages have
    -- `sealed` 2.
    CREATE TABLE chapter (
        last_seq    INTEGER PRIMARY KEY,
        source      INTEGER NOT NULL,
        first_seq   INTEGER NOT NULL,
        pages       INTEGER NOT NULL,    -- that are left
        first_ms    INTEGER NOT NULL,
        last_ms     INTEGER NOT NULL,
        first_id    BLOB NOT NULL,
        last_id     BLOB NOT NULL,
        thinned     INTEGER NOT NULL     -- records were deleted: there is less than the chapter tells
    );
    CREATE INDEX chapter_of_source ON chapter (source, last_seq);
    CREATE TABLE chapter_data (
        last_seq    INTEGER PRIMARY KEY,
        outlines    BLOB NOT NULL,
        vocabulary  BLOB NOT NULL,       -- compressed
        signatures  BLOB NOT NULL
    );
";

/// What limits have used: few rows, written while requests wait.
pub(super) const LIMITS: Schema = Schema {
    application_id: 0x4745_4e04,
    page_size: 4096,
    migrations: &[sql("
    CREATE TABLE lease (
        gateway    TEXT NOT NULL,
        key        TEXT NOT NULL,
        slot       INTEGER NOT NULL,
        amount     INTEGER NOT NULL,
        ends_at_ms INTEGER NOT NULL,
        PRIMARY KEY (gateway, key, slot)
    ) WITHOUT ROWID;
    CREATE INDEX lease_by_end ON lease (ends_at_ms);
    ")],
};

/// Cached answers: large rows that come and go.
pub(super) const CACHE: Schema = Schema {
    application_id: 0x4745_4e05,
    page_size: 8192,
    migrations: &[sql("
    CREATE TABLE answer (
        seq           INTEGER PRIMARY KEY,   -- the oldest go first
        key           BLOB NOT NULL UNIQUE,
        gateway       TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        length        INTEGER NOT NULL,      -- of the row, about
        data          BLOB NOT NULL
    );
    CREATE INDEX answer_by_end ON answer (expires_at_ms);

    -- Word for a running gateway, which has answers in memory, too.
    CREATE TABLE purge (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        gateway TEXT,                        -- null: all
        at_ms   INTEGER NOT NULL
    );
    ")],
};

/// See [`LOG`]. 2^20 records per millisecond; 43 bits of milliseconds last beyond the year 2200.
pub(super) const SEQ_SHIFT: u32 = 20;
