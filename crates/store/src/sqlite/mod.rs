//! The SQLite backend: every line of SQL is below this module.
//!
//! * `settings`: tokens, sealed keys, gateways; `managed`: custom providers, routes, documents
//! * `log`: the log's file and its connections; behind it
//!   * `pages`: pages as rows; `chapters`: what sums them up
//!   * `log_writer`: one commit of the journal; `total_writer` adds its totals, `retention` deletes
//!   * `search`: where records are, by filter; `log_reader`: those in full; `total_reader`: sums and percentiles
//!   * `log_editor`: notes, corrections, deleting by filter
//!   * `exports`: reading on from a place, and the places exports have come to
//! * `leases`: what limits have used
//! * `cache`: cached answers
//! * `backup`: both files in one; `check`: SQLite's own check of a file
//! * `schema`: numbered migrations of all files; `upgrade`: those that are more than SQL

pub(crate) mod backup;
mod cache;
mod chapters;
mod check;
mod exports;
mod leases;
mod log;
mod log_editor;
mod log_reader;
mod log_writer;
mod managed;
mod pages;
mod retention;
mod schema;
mod search;
mod settings;
mod total_reader;
mod total_writer;
mod upgrade;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior};

use self::schema::Schema;
pub(crate) use self::{
    cache::{Cache, CacheReader, CacheWriter},
    check::quick_check,
    leases::LeaseTable,
    log::Log,
    log_writer::{LogWriter, Stored},
    settings::Settings,
};
use crate::{Error, ErrorKind, Result};

/// An error inside the backend: SQLite's, to be explained at the border, or one of ours.
enum Failure {
    Sqlite(rusqlite::Error),
    Ours(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    fn explain(self, path: &Path) -> Error {
        match self {
            Self::Sqlite(error) => explain(error, path),
            Self::Ours(error) => error,
        }
    }
}

/// Opens the database for writing; creates it if missing and brings its schema up to date.
fn open_writable(path: &Path, schema: &Schema, busy: Duration) -> Result<Connection> {
    create_private(path).map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull => ErrorKind::Full,
            _ => ErrorKind::ReadOnly,
        };
        let message =
            format!("cannot create {}; make its folder writable, or choose another path", path.display());
        Error::caused(kind, message, error)
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, Failure> {
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        migrate(&mut connection, path, schema)?;
        Ok(connection)
    };
    open().map_err(|failure| failure.explain(path))
}

/// Opens an existing database for reading.
fn open_readable(path: &Path, schema: &Schema, busy: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, Failure> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        let version = schema_version(&connection, path, schema)?;
        if version < schema.migrations.len() {
            return Err(Failure::Ours(Error::new(
                ErrorKind::NotFound,
                format!(
                    "{} is not set up yet, or by an older version; start the server once",
                    path.display()
                ),
            )));
        }
        Ok(connection)
    };
    open().map_err(|failure| failure.explain(path))
}

/// Runs the migrations that are missing, all or none.
fn migrate(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), Failure> {
    if schema_version(connection, path, schema)? == schema.migrations.len() {
        return Ok(());
    }
    connection.pragma_update(None, "page_size", schema.page_size)?;
    // So that space can be given back in small steps; for new files only.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have just done it.
    let done = schema_version(&transaction, path, schema)?;
    for migration in &schema.migrations[done..] {
        transaction.execute_batch(migration.sql)?;
        if let Some(convert) = migration.convert {
            convert(&transaction)?;
        }
    }
    transaction.pragma_update(None, "application_id", schema.application_id)?;
    transaction.pragma_update(None, "user_version", schema.migrations.len() as i64)?;
    transaction.commit()?;
    if done > 0 && connection.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0))? == 0 {
        // What was converted left half of the file empty. Not worth a failure if somebody reads right now.
        if let Err(error) = connection.execute_batch("VACUUM") {
            tracing::info!(%error, "the database was brought up to date, but not made smaller");
        }
    }
    Ok(())
}

/// How many of the migrations the file has seen; an error if it is not ours or from the future.
fn schema_version(connection: &Connection, path: &Path, schema: &Schema) -> Result<usize, Failure> {
    let version = connection.pragma_query_value(None, "user_version", |row| count(row, 0))? as usize;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let path = path.display();
    if application != schema.application_id {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || version != 0 || tables != 0 {
            let message =
                format!("{path} is a database of another program; choose another path for the store");
            return Err(Error::new(ErrorKind::Corrupt, message).into());
        }
    }
    if version > schema.migrations.len() {
        let message = format!(
            "{path} was written by a newer version of Genesis (schema {version}, this one knows {}); update \
             Genesis, or restore the backup from before the update",
            schema.migrations.len()
        );
        return Err(Error::new(ErrorKind::Newer, message).into());
    }
    Ok(version)
}

/// Creates the folder (mode 0700) and the file (0600) where missing. SQLite gives the files it keeps beside a
/// database the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    let mut file = OpenOptions::new();
    folder.recursive(true);
    file.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        folder.create(parent)?;
    }
    match file.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// SQLite's error as a kind and a sentence with the next step.
fn explain(error: rusqlite::Error, path: &Path) -> Error {
    let path = path.display();
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Locked,
            format!("{path} is locked by another process; wait for it, or find it with `fuser {path}`"),
        ),
        Some(
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied,
        ) => (
            ErrorKind::ReadOnly,
            format!("{path} cannot be written; check the owner and mode of it and its folder"),
        ),
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::Io,
            format!("cannot open {path}; check that it exists and that you may read it and its folder"),
        ),
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Full, format!("no space left for {path}; make room, or lower `log_management`"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            ErrorKind::Corrupt,
            format!(
                "{path} is damaged or no database; restore it from a backup, or move it away to start afresh"
            ),
        ),
        Some(ErrorCode::SystemIoFailure) => {
            (ErrorKind::Io, format!("reading or writing {path} failed ({error}); check the disk"))
        }
        _ => (ErrorKind::Io, format!("the database {path} reports: {error}")),
    };
    Error::caused(kind, message, error)
}

/// Device and inode: tells a file from another one at the same path.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

/// A count; SQLite's integers have a sign, ours of this kind never do.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn damaged(what: &str) -> Failure {
    let message =
        format!("the log is damaged at {what}; restore it from a backup, or move it away to start afresh");
    Failure::Ours(Error::new(ErrorKind::Corrupt, message))
}
