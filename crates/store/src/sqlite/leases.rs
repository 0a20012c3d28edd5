//! The record of leases.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::schema::LIMITS;
use super::{FileId, count, explain, file_id, open_writable};
use crate::{Error, ErrorKind, Lease, Result};

/// Requests wait for this; whoever else holds the file is another gateway and will not let go soon.
const BUSY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct LeaseTable {
    path: PathBuf,
    connection: Connection,
    file: Option<FileId>,
}

impl LeaseTable {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = open_writable(path, &LIMITS, BUSY).map_err(|error| held(error, path))?;
        let hold = || -> rusqlite::Result<()> {
            // What is written must have reached the disk before it is used, whatever happens to the machine.
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "locking_mode", "exclusive")?;
            connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")
        };
        hold().map_err(|error| held(explain(error, path), path))?;
        Ok(Self { path: path.to_owned(), file: file_id(path), connection })
    }

    pub(crate) fn read(&self, now_ms: i64) -> Result<Vec<Lease>> {
        let read = || -> rusqlite::Result<Vec<Lease>> {
            let mut statement = self
                .connection
                .prepare("SELECT gateway, key, slot, amount, ends_at_ms FROM lease WHERE ends_at_ms > ?")?;
            let leases = statement.query_map([now_ms], |row| {
                Ok(Lease {
                    gateway: row.get(0)?,
                    key: row.get(1)?,
                    slot: row.get(2)?,
                    amount: count(row, 3)?,
                    ends_at_ms: row.get(4)?,
                })
            })?;
            leases.collect()
        };
        read().map_err(|error| explain(error, &self.path))
    }

    pub(crate) fn write(&mut self, leases: &[Lease], now_ms: i64) -> Result<()> {
        if file_id(&self.path) != self.file {
            let message = format!("{} was moved or deleted while it was in use", self.path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let connection = &mut self.connection;
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            {
                let mut upsert = transaction.prepare_cached(
                    "INSERT INTO lease VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET amount = excluded.amount, ends_at_ms = excluded.ends_at_ms",
                )?;
                for Lease { gateway, key, slot, amount, ends_at_ms } in leases {
                    let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
                    upsert.execute(params![gateway, key, slot, amount, ends_at_ms])?;
                }
                transaction.prepare_cached("DELETE FROM lease WHERE ends_at_ms <= ?")?.execute([now_ms])?;
            }
            transaction.commit()
        };
        write().map_err(|error| explain(error, &self.path))
    }
}

/// Locked means something particular here.
fn held(error: Error, path: &Path) -> Error {
    if error.kind() != ErrorKind::Locked {
        return error;
    }
    let path = path.display();
    let message = format!(
        "{path} is held by another gateway, and two that count on their own would both spend the whole budget; stop it \
         (`fuser {path}` finds it), or give this one a home of its own with GENESIS_HOME"
    );
    Error::caused(ErrorKind::Locked, message, error)
}
