//! Tokens, sealed keys and gateways.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, count, explain, open_readable, open_writable, schema::SETTINGS};
use crate::{Error, ErrorKind, GatewayRow, KeyOptions, KeyRow, Permissions, Result, TokenRow};

/// Waiting this long for another process's write is no hardship for a command; a commit takes milliseconds.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Settings {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Settings {
    pub(crate) fn open(path: &Path, read_only: bool) -> Result<Self> {
        let connection = if read_only {
            if !path.exists() {
                let message =
                    format!("there is no store at {}; start the server once to create it", path.display());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            open_readable(path, &SETTINGS, BUSY)?
        } else {
            open_writable(path, &SETTINGS, BUSY)?
        };
        let settings = Self { path: path.to_owned(), connection: Mutex::new(connection) };
        settings.check(read_only)?;
        Ok(settings)
    }

    pub(crate) fn version(&self) -> Result<u64> {
        self.read(|connection| {
            connection.prepare_cached("SELECT number FROM version")?.query_row([], |row| count(row, 0))
        })
    }

    // Tokens

    pub(crate) fn insert_token(&self, row: &TokenRow) -> Result<()> {
        self.change(|transaction| {
            let taken: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM token WHERE name = ? AND revoked_at_ms IS NULL)",
                [&row.name],
                |row| row.get(0),
            )?;
            if taken {
                let name = &row.name;
                return Err(Failure::Ours(Error::new(
                    ErrorKind::Exists,
                    format!(
                        "there is already a token named `{name}`; choose another name, or revoke it first"
                    ),
                )));
            }
            transaction.execute(
                "INSERT INTO token VALUES (:id, :name, :hash, :preview, :run, :read, :edit, :gateways,
                    :created_at_ms, :expires_at_ms, :revoked_at_ms, :identity)",
                named_params! {
                    ":id": row.id, ":name": row.name, ":hash": row.hash, ":preview": row.preview,
                    ":run": row.permissions.run, ":read": row.permissions.read, ":edit": row.permissions.edit,
                    ":gateways": Value::from(row.gateways.as_slice()).to_string(),
                    ":created_at_ms": row.created_at_ms, ":expires_at_ms": row.expires_at_ms,
                    ":revoked_at_ms": row.revoked_at_ms,
                    ":identity": serde_json::to_string(&row.identity).unwrap_or_default(),
                },
            )?;
            Ok(())
        })
    }

    pub(crate) fn tokens(&self) -> Result<Vec<TokenRow>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM token ORDER BY created_at_ms, rowid")?;
            statement.query_map([], token)?.collect()
        })
    }

    pub(crate) fn revoke_token(&self, id_or_name: &str, now_ms: i64) -> Result<TokenRow> {
        self.change(|transaction| {
            // An id wins over a name; a name means the live token.
            let found = transaction
                .query_row(
                    "SELECT * FROM token WHERE id = ?1 OR (name = ?1 AND revoked_at_ms IS NULL)
                     ORDER BY id = ?1 DESC LIMIT 1",
                    [id_or_name],
                    token,
                )
                .optional()?;
            let Some(mut row) = found else {
                return Err(Failure::Ours(Error::new(
                    ErrorKind::NotFound,
                    "no live token has this id or name; `genesis token list` shows them",
                )));
            };
            if row.revoked_at_ms.is_none() {
                transaction
                    .execute("UPDATE token SET revoked_at_ms = ? WHERE id = ?", params![now_ms, row.id])?;
                row.revoked_at_ms = Some(now_ms);
            }
            Ok(row)
        })
    }

    // Keys

    /// Stores the key; one that is replaced keeps its date of creation.
    pub(crate) fn put_key(&self, row: KeyRow, sealed: &[u8]) -> Result<KeyRow> {
        self.change(|transaction| {
            Ok(transaction.query_row(
                "INSERT INTO provider_key (provider, alias, gateway, preview, sealed, created_at_ms, modified_at_ms)
                 VALUES (:provider, :alias, :gateway, :preview, :sealed, :now, :now)
                 ON CONFLICT DO UPDATE SET preview = :preview, sealed = :sealed, modified_at_ms = :now
                 RETURNING *",
                named_params! {
                    ":provider": row.provider, ":alias": row.alias,
                    ":gateway": row.gateway.as_deref().unwrap_or_default(),
                    ":preview": row.preview, ":sealed": sealed, ":now": row.modified_at_ms,
                },
                key,
            )?)
        })
    }

    pub(crate) fn set_key_options(
        &self,
        (provider, alias, gateway): (&str, &str, Option<&str>),
        options: KeyOptions,
        now_ms: i64,
    ) -> Result<Option<KeyRow>> {
        self.change(|transaction| {
            let row = transaction.query_row(
                "UPDATE provider_key SET default_config = :default_config, rate_limit = :rate_limit,
                     rate_limit_period = :period, modified_at_ms = :now
                 WHERE provider = :provider AND alias = :alias AND gateway = :gateway RETURNING *",
                named_params! {
                    ":default_config": options.default_config, ":rate_limit": options.rate_limit,
                    ":period": options.rate_limit_period, ":now": now_ms, ":provider": provider,
                    ":alias": alias, ":gateway": gateway.unwrap_or_default(),
                },
                key,
            );
            Ok(row.optional()?)
        })
    }

    pub(crate) fn sealed_keys(&self) -> Result<Vec<(KeyRow, Vec<u8>)>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM provider_key ORDER BY provider, alias, gateway")?;
            statement.query_map([], |row| Ok((key(row)?, row.get("sealed")?)))?.collect()
        })
    }

    pub(crate) fn remove_key(&self, provider: &str, alias: &str, gateway: Option<&str>) -> Result<bool> {
        self.change(|transaction| {
            let removed = transaction.execute(
                "DELETE FROM provider_key WHERE provider = ? AND alias = ? AND gateway = ?",
                [provider, alias, gateway.unwrap_or_default()],
            )?;
            Ok(removed > 0)
        })
    }

    // Gateways

    /// All, or the one.
    pub(crate) fn gateways(&self, only: Option<(&str, &str)>) -> Result<Vec<GatewayRow>> {
        let (account, id) = only.unzip();
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM gateway WHERE (?1 IS NULL OR account = ?1) AND (?2 IS NULL OR id = ?2)
                 ORDER BY account, id",
            )?;
            statement.query_map([account, id], gateway)?.collect()
        })
    }

    pub(crate) fn ensure_gateway(
        &self,
        account: &str,
        id: &str,
        settings: &Value,
        now_ms: i64,
    ) -> Result<bool> {
        self.change(|transaction| {
            let created = transaction.execute(
                "INSERT INTO gateway VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING",
                params![account, id, settings.to_string(), now_ms],
            )?;
            Ok(created > 0)
        })
    }

    pub(crate) fn put_gateway(
        &self,
        account: &str,
        id: &str,
        settings: &Value,
        now_ms: i64,
    ) -> Result<GatewayRow> {
        self.change(|transaction| {
            Ok(transaction.query_row(
                "INSERT INTO gateway VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT DO UPDATE SET settings = ?3, modified_at_ms = ?4 RETURNING *",
                params![account, id, settings.to_string(), now_ms],
                gateway,
            )?)
        })
    }

    pub(crate) fn delete_gateway(&self, account: &str, id: &str) -> Result<bool> {
        self.change(|transaction| {
            let deleted =
                transaction.execute("DELETE FROM gateway WHERE account = ? AND id = ?", [account, id])?;
            if deleted > 0 {
                for statement in BELOW_A_GATEWAY {
                    transaction.execute(statement, [id])?;
                }
            }
            Ok(deleted > 0)
        })
    }

    // Below the tables

    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        read(&connection).map_err(|error| explain(error, &self.path))
    }

    /// Runs `change` in a transaction and advances the version if it changed anything.
    pub(super) fn change<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || -> Result<T, Failure> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = transaction.total_changes();
            let value = change(&transaction)?;
            if transaction.total_changes() != before {
                transaction.execute("UPDATE version SET number = number + 1", [])?;
            }
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|failure| failure.explain(&self.path))
    }

    /// The settings are small and precious: damage is worth a millisecond of looking at every page.
    fn check(&self, read_only: bool) -> Result<()> {
        let verdict: String = self.read(|connection| {
            if !read_only {
                connection.pragma_update(None, "synchronous", "full")?;
            }
            connection.pragma_query_value(None, "quick_check", |row| row.get(0))
        })?;
        if verdict == "ok" {
            return Ok(());
        }
        Err(Error::caused(
            ErrorKind::Corrupt,
            format!(
                "{} is damaged; restore it from a backup, or move it away to start afresh",
                self.path.display()
            ),
            verdict,
        ))
    }
}

/// What goes with a gateway, so that one created later under the same id inherits nothing.
const BELOW_A_GATEWAY: [&str; 5] = [
    "DELETE FROM provider_key WHERE gateway = ?",
    "DELETE FROM route_deployment WHERE route IN (SELECT id FROM route WHERE gateway = ?)",
    "DELETE FROM route_version WHERE route IN (SELECT id FROM route WHERE gateway = ?)",
    "DELETE FROM route WHERE gateway = ?",
    "DELETE FROM document WHERE gateway = ?",
];

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get("id")?,
        name: row.get("name")?,
        hash: row.get("hash")?,
        preview: row.get("preview")?,
        permissions: Permissions { run: row.get("run")?, read: row.get("read")?, edit: row.get("edit")? },
        gateways: json(row, "gateways")?,
        created_at_ms: row.get("created_at_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
        revoked_at_ms: row.get("revoked_at_ms")?,
        identity: json(row, "identity")?,
    })
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let gateway: String = row.get("gateway")?;
    Ok(KeyRow {
        provider: row.get("provider")?,
        alias: row.get("alias")?,
        gateway: Some(gateway).filter(|gateway| !gateway.is_empty()),
        preview: row.get("preview")?,
        options: KeyOptions {
            default_config: row.get("default_config")?,
            rate_limit: row.get("rate_limit")?,
            rate_limit_period: row.get("rate_limit_period")?,
        },
        created_at_ms: row.get("created_at_ms")?,
        modified_at_ms: row.get("modified_at_ms")?,
    })
}

fn gateway(row: &Row<'_>) -> rusqlite::Result<GatewayRow> {
    Ok(GatewayRow {
        account: row.get("account")?,
        id: row.get("id")?,
        settings: json(row, "settings")?,
        created_at_ms: row.get("created_at_ms")?,
        modified_at_ms: row.get("modified_at_ms")?,
    })
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}
