//! A backup as a database: see [`crate::backup`].

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{
    Failure, create_private, open_readable, open_writable,
    schema::{LOG, SETTINGS},
};
use crate::{Error, ErrorKind, Restored, Result};

/// Marks a file as a backup (`PRAGMA application_id`).
const BACKUP: i64 = 0x4745_4e03;
const BUSY: Duration = Duration::from_secs(5);

const MADE_AT: &str = "made_at_ms";
const SETTINGS_ROW: &str = "settings";
const MASTER_KEY_ROW: &str = "master.key";

/// Writes a backup of both databases to a new file.
pub(crate) fn write(
    file: &Path,
    settings: &Path,
    log: &Path,
    master_key: Option<&Path>,
    now_ms: i64,
) -> Result<()> {
    if file.exists() {
        let message = format!("{} exists already; choose another file, or remove it first", file.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    let (part, settings_part) = (beside(file, ".part"), beside(file, ".settings.part"));
    let make = || -> Result<()> {
        // An empty log if nothing was logged yet.
        drop(open_writable(log, &LOG, BUSY)?);
        copy(settings, &settings_part, open_readable(settings, &SETTINGS, BUSY)?)?;
        copy(log, &part, open_readable(log, &LOG, BUSY)?)?;
        let master_key = master_key.map(|path| fs::read(path).map_err(|error| unreadable(path, error)));
        let bytes = fs::read(&settings_part).map_err(|error| unreadable(&settings_part, error))?;
        let complete = || -> Result<(), Failure> {
            let connection = Connection::open_with_flags(&part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute_batch("CREATE TABLE backup (name TEXT PRIMARY KEY, data BLOB NOT NULL)")?;
            let mut insert = connection.prepare("INSERT INTO backup VALUES (?, ?)")?;
            insert.execute(params![MADE_AT, now_ms])?;
            insert.execute(params![SETTINGS_ROW, bytes])?;
            if let Some(key) = master_key.transpose()? {
                insert.execute(params![MASTER_KEY_ROW, key])?;
            }
            connection.pragma_update(None, "application_id", BACKUP)?;
            Ok(())
        };
        complete().map_err(|failure| failure.explain(&part))?;
        fs::rename(&part, file).map_err(|error| unwritable(file, error))
    };
    let made = make();
    for left in [&part, &settings_part] {
        // Gone already if all went well.
        let _ = fs::remove_file(left);
    }
    made
}

/// Puts what a backup holds at these paths: settings, log, master key.
pub(crate) fn read(file: &Path, targets: [&Path; 3], replace: bool, now_ms: i64) -> Result<Restored> {
    let [settings, log, master_key] = targets;
    let (made_at_ms, settings_bytes, key_bytes) = check(file)?;
    let databases =
        [settings, log].into_iter().flat_map(|path| ["", "-wal", "-shm"].map(|end| beside(path, end)));
    let key = key_bytes.is_some().then(|| master_key.to_path_buf());
    let in_the_way: Vec<PathBuf> = databases.chain(key).filter(|path| path.exists()).collect();
    if let Some(first) = in_the_way.first().filter(|_| !replace) {
        let message =
            format!("{} exists already; restore with --force moves what is there aside", first.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    // Everything is written beside its place before anything that is there is touched.
    let log_part = beside(log, ".restore");
    let _ = fs::remove_file(&log_part);
    create_private(&log_part).map_err(|error| unwritable(&log_part, error))?;
    fs::copy(file, &log_part).map_err(|error| unwritable(&log_part, error))?;
    private(&log_part)?;
    let undress = || -> Result<(), Failure> {
        let connection = Connection::open_with_flags(&log_part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.execute_batch("DROP TABLE backup")?;
        connection.pragma_update(None, "application_id", LOG.application_id)?;
        Ok(())
    };
    undress().map_err(|failure| failure.explain(&log_part))?;
    let settings_part = write_part(settings, &settings_bytes)?;
    let key_part = key_bytes.map(|bytes| write_part(master_key, &bytes)).transpose()?;

    let mut moved_aside = Vec::new();
    for path in in_the_way {
        let aside = beside(&path, &format!(".before-restore-{now_ms}"));
        fs::rename(&path, &aside).map_err(|error| unwritable(&aside, error))?;
        moved_aside.push(aside);
    }
    let key = key_part.as_deref().map(|part| (part, master_key));
    for (part, path) in
        [(settings_part.as_path(), settings), (log_part.as_path(), log)].into_iter().chain(key)
    {
        fs::rename(part, path).map_err(|error| unwritable(path, error))?;
    }
    Ok(Restored { made_at_ms, master_key: key_part.is_some(), moved_aside })
}

/// Date, settings and master key of a backup that is one, whole, and not from the future.
fn check(file: &Path) -> Result<(i64, Vec<u8>, Option<Vec<u8>>)> {
    let ours = || Error::new(ErrorKind::Invalid, format!("{} is no backup of Genesis", file.display()));
    if !file.is_file() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no file {}", file.display())));
    }
    let read = || -> Result<_, Failure> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if number("application_id")? != BACKUP {
            return Err(ours().into());
        }
        if number("user_version")? > LOG.migrations.len() as i64 {
            let message =
                format!("{} was made by a newer version of Genesis; update Genesis", file.display());
            return Err(Error::new(ErrorKind::Newer, message).into());
        }
        let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if verdict != "ok" {
            let message = format!("the backup {} is damaged; use another one", file.display());
            return Err(Error::caused(ErrorKind::Corrupt, message, verdict).into());
        }
        let row = |name: &str| {
            let sql = "SELECT data FROM backup WHERE name = ?";
            connection.query_row(sql, [name], |row| row.get::<_, Vec<u8>>(0)).optional()
        };
        let made_at = "SELECT data FROM backup WHERE name = ?";
        let made_at_ms = connection.query_row(made_at, [MADE_AT], |row| row.get(0))?;
        Ok((made_at_ms, row(SETTINGS_ROW)?.ok_or_else(ours)?, row(MASTER_KEY_ROW)?))
    };
    read().map_err(|failure| match failure {
        Failure::Sqlite(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            ours()
        }
        other => other.explain(file),
    })
}

/// The database as of now, in a new file.
fn copy(path: &Path, to: &Path, connection: Connection) -> Result<()> {
    let _ = fs::remove_file(to);
    // SQLite fills the empty file, whose mode stays.
    create_private(to).map_err(|error| unwritable(to, error))?;
    let text = to.to_str().ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("{} is no name in UTF-8; choose another one", to.display()))
    })?;
    let copied = connection.execute("VACUUM INTO ?", [text]);
    copied.map(drop).map_err(|error| Failure::from(error).explain(path))
}

fn write_part(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let part = beside(path, ".restore");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&part);
        create_private(&part)?;
        let mut file = File::options().write(true).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| unwritable(&part, error))?;
    Ok(part)
}

fn private(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|error| unwritable(path, error))?;
    }
    Ok(())
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::Full,
        _ => ErrorKind::ReadOnly,
    };
    let message = format!("cannot write {} ({error}); make room, or choose another place", path.display());
    Error::caused(kind, message, error)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::caused(ErrorKind::Io, format!("cannot read {} ({error})", path.display()), error)
}
