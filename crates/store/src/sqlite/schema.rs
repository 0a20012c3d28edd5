//! The tables of both files, as numbered migrations: the n-th statement list brings a file from version n to n + 1.
//! A released migration is never edited.

/// What one kind of file contains.
pub(super) struct Schema {
    /// Marks the file as ours (`PRAGMA application_id`).
    pub(super) application_id: i64,
    pub(super) page_size: i64,
    pub(super) migrations: &'static [&'static str],
}

/// Tokens, keys, gateways: few rows.
pub(super) const SETTINGS: Schema = Schema {
    application_id: 0x4745_4e01,
    page_size: 4096,
    migrations: &["
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
    "],
};

/// Records and totals: many rows, written without pause.
///
/// `record.seq` is the order of recording and a bound on time: shifted right by [`SEQ_SHIFT`] it is never less than
/// the record's `created_at_ms`. So `since` is a range of the primary key and needs no index.
/// What filters do not ask for is packed into blocks (see `block.rs`) together with the bodies.
pub(super) const LOG: Schema = Schema {
    application_id: 0x4745_4e02,
    page_size: 16384,
    migrations: &["
    CREATE TABLE record (
        seq           INTEGER PRIMARY KEY,
        id            BLOB NOT NULL,
        created_at_ms INTEGER NOT NULL,
        gateway       TEXT NOT NULL,
        provider      TEXT NOT NULL,
        model         TEXT NOT NULL,
        path          TEXT NOT NULL,
        status        INTEGER NOT NULL,
        outcome       INTEGER NOT NULL,
        error         TEXT NOT NULL,
        cached        INTEGER NOT NULL,
        simulated     INTEGER NOT NULL,
        duration_ms   INTEGER NOT NULL,
        tokens_in     INTEGER,
        tokens_out    INTEGER,
        cost_nano_usd INTEGER,
        event_id      TEXT NOT NULL,
        token_id      TEXT NOT NULL,
        metadata      TEXT,              -- JSON object; null: empty
        block         INTEGER NOT NULL,
        at            INTEGER NOT NULL   -- offset of the record's entry in the uncompressed block
    );
    CREATE INDEX record_by_id ON record (id);
    -- Failures are rare and what people look for; successes do not pay for this index.
    CREATE INDEX record_failed ON record (seq) WHERE outcome <> 0;

    CREATE TABLE block (
        id     INTEGER PRIMARY KEY,
        length INTEGER NOT NULL,         -- uncompressed
        data   BLOB NOT NULL             -- lz4
    );
    -- Which records a block serves; how retention finds a gateway's oldest without an index on records.
    CREATE TABLE span (
        gateway   TEXT NOT NULL,
        block     INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq  INTEGER NOT NULL,
        records   INTEGER NOT NULL,
        PRIMARY KEY (gateway, block)
    ) WITHOUT ROWID;
    CREATE TABLE gateway_size (gateway TEXT PRIMARY KEY, records INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE minute_total (
        minute        INTEGER NOT NULL,  -- since the epoch
        gateway       TEXT NOT NULL,
        provider      TEXT NOT NULL,
        model         TEXT NOT NULL,
        outcome       INTEGER NOT NULL,
        cached        INTEGER NOT NULL,
        simulated     INTEGER NOT NULL,
        requests      INTEGER NOT NULL,
        tokens_in     INTEGER NOT NULL,
        tokens_out    INTEGER NOT NULL,
        tokens_cached INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        unpriced      INTEGER NOT NULL,
        duration_ms   INTEGER NOT NULL,
        PRIMARY KEY (minute, gateway, provider, model, outcome, cached, simulated)
    ) WITHOUT ROWID;
    ", "
    CREATE TABLE annotation (
        id BLOB PRIMARY KEY, feedback INTEGER, score REAL, metadata TEXT, correction TEXT, corrected_at_ms INTEGER
    ) WITHOUT ROWID;
    "],
};

/// See [`LOG`]. 2^20 records per millisecond; 43 bits of milliseconds last beyond the year 2200.
pub(super) const SEQ_SHIFT: u32 = 20;
