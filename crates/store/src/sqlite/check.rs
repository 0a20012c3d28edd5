//! SQLite's own check of a file.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::explain;
use crate::Result;

/// The first line of `quick_check`, which is `ok` for a sound file; `None` if it took longer than `within`.
pub(crate) fn quick_check(path: &Path, within: Duration) -> Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(within)?;
        Ok(connection)
    };
    let connection = open().map_err(|error| explain(error, path))?;
    let interrupt = connection.get_interrupt_handle();
    let (done, waiting) = channel::<()>();
    let checked = thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let checked = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        drop(done);
        checked
    });
    match checked {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        checked => checked.map(Some).map_err(|error| explain(error, path)),
    }
}
