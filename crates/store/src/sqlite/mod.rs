//! The SQLite backend: every line of SQL is below this module.
//!
//! * `settings`: tokens, sealed keys, gateways
//! * `log_writer`: one commit of the journal
//! * `log_reader`: records by filter; `usage`: sums of the per-minute totals
//! * `check`: SQLite's own check of a file
//! * `schema`: numbered migrations of both files

mod check;
mod log_reader;
mod log_writer;
mod schema;
mod settings;
mod usage;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior};

use self::schema::Schema;
pub(crate) use self::{check::quick_check, log_reader::Log, log_writer::LogWriter, settings::Settings};
use crate::{Error, ErrorKind, Outcome, Result};

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
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have just done it.
    let done = schema_version(&transaction, path, schema)?;
    for migration in &schema.migrations[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", schema.application_id)?;
    transaction.pragma_update(None, "user_version", schema.migrations.len() as i64)?;
    transaction.commit()?;
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

/// How an outcome is stored. 0 is success: the schema's index of failures says so.
fn outcome_number(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Success => 0,
        Outcome::ProviderError => 1,
        Outcome::Refused => 2,
        Outcome::UpstreamBroken => 3,
        Outcome::ClientLeft => 4,
    }
}

fn outcome_of(number: i64) -> Outcome {
    match number {
        0 => Outcome::Success,
        1 => Outcome::ProviderError,
        2 => Outcome::Refused,
        3 => Outcome::UpstreamBroken,
        _ => Outcome::ClientLeft,
    }
}
