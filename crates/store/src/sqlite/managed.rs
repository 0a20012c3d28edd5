//! Custom providers, dynamic routes and documents.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use serde_json::Value;

use super::{
    Failure,
    settings::{Settings, json},
};
use crate::{
    CustomProviderRow, DocumentRow, Error, ErrorKind, Result, RouteDeployment, RouteRow, RouteVersion,
};

impl Settings {
    // Custom providers

    /// With their headers, still sealed.
    pub(crate) fn custom_providers(&self) -> Result<Vec<(CustomProviderRow, Option<Vec<u8>>)>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM custom_provider ORDER BY slug")?;
            statement.query_map([], |row| Ok((custom_provider(row)?, row.get("headers")?)))?.collect()
        })
    }

    pub(crate) fn sealed_headers(&self) -> Result<Vec<(String, Vec<u8>)>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT slug, headers FROM custom_provider WHERE headers IS NOT NULL")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    pub(crate) fn put_custom_provider(&self, row: &CustomProviderRow, headers: Option<&[u8]>) -> Result<()> {
        self.change(|transaction| {
            let taken = "SELECT EXISTS (SELECT 1 FROM custom_provider WHERE slug = ? AND id <> ?)";
            if transaction.query_row(taken, [&row.slug, &row.id], |row| row.get(0))? {
                let message = format!("there is already a custom provider with slug `{}`", row.slug);
                return Err(Error::new(ErrorKind::Exists, message).into());
            }
            transaction.execute(
                "INSERT INTO custom_provider VALUES (:id, :account, :slug, :fields, :headers, :created, :modified)
                 ON CONFLICT (id) DO UPDATE SET slug = :slug, fields = :fields, headers = :headers,
                     modified_at_ms = :modified",
                named_params! {
                    ":id": row.id, ":account": row.account, ":slug": row.slug,
                    ":fields": Value::Object(row.fields.clone()).to_string(), ":headers": headers,
                    ":created": row.created_at_ms, ":modified": row.modified_at_ms,
                },
            )?;
            Ok(())
        })
    }

    pub(crate) fn delete_custom_provider(&self, id: &str) -> Result<bool> {
        self.change(|transaction| {
            Ok(transaction.execute("DELETE FROM custom_provider WHERE id = ?", [id])? > 0)
        })
    }

    // Routes

    pub(crate) fn routes(&self, gateway: Option<&str>) -> Result<Vec<RouteRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM route WHERE ?1 IS NULL OR gateway = ?1 ORDER BY gateway, name",
            )?;
            let mut rows: Vec<RouteRow> = statement.query_map([gateway], route)?.collect::<Result<_, _>>()?;
            let (mut versions, mut deployments) =
                (route_versions(connection, gateway)?, route_deployments(connection, gateway)?);
            for row in &mut rows {
                row.versions = versions.remove(&row.id).unwrap_or_default();
                row.deployments = deployments.remove(&row.id).unwrap_or_default();
            }
            Ok(rows)
        })
    }

    pub(crate) fn insert_route(&self, row: &RouteRow) -> Result<()> {
        self.change(|transaction| {
            refuse_taken_route(transaction, &row.gateway, &row.name, &row.id)?;
            transaction.execute(
                "INSERT INTO route VALUES (?, ?, ?, ?, ?, ?)",
                params![row.id, row.account, row.gateway, row.name, row.created_at_ms, row.modified_at_ms],
            )?;
            for version in &row.versions {
                insert_version(transaction, &row.id, version)?;
            }
            for deployment in &row.deployments {
                insert_deployment(transaction, &row.id, deployment)?;
            }
            Ok(())
        })
    }

    pub(crate) fn rename_route(&self, id: &str, name: &str, now_ms: i64) -> Result<bool> {
        self.change(|transaction| {
            let gateway: Option<String> = transaction
                .query_row("SELECT gateway FROM route WHERE id = ?", [id], |row| row.get(0))
                .optional()?;
            let Some(gateway) = gateway else { return Ok(false) };
            refuse_taken_route(transaction, &gateway, name, id)?;
            transaction.execute(
                "UPDATE route SET name = ?, modified_at_ms = ? WHERE id = ?",
                params![name, now_ms, id],
            )?;
            Ok(true)
        })
    }

    pub(crate) fn delete_route(&self, id: &str) -> Result<bool> {
        self.change(|transaction| {
            transaction.execute("DELETE FROM route_deployment WHERE route = ?", [id])?;
            transaction.execute("DELETE FROM route_version WHERE route = ?", [id])?;
            Ok(transaction.execute("DELETE FROM route WHERE id = ?", [id])? > 0)
        })
    }

    pub(crate) fn insert_route_version(&self, route: &str, version: &RouteVersion) -> Result<()> {
        self.change(|transaction| {
            touch(transaction, route, version.created_at_ms)?;
            insert_version(transaction, route, version)
        })
    }

    pub(crate) fn insert_route_deployment(&self, route: &str, deployment: &RouteDeployment) -> Result<()> {
        self.change(|transaction| {
            let known = "SELECT EXISTS (SELECT 1 FROM route_version WHERE id = ? AND route = ?)";
            if !transaction.query_row(known, [&deployment.version, route], |row| row.get(0))? {
                return Err(Error::new(ErrorKind::NotFound, "the route has no such version").into());
            }
            touch(transaction, route, deployment.created_at_ms)?;
            insert_deployment(transaction, route, deployment)
        })
    }

    // Documents

    pub(crate) fn documents(&self, kind: &str, gateway: &str) -> Result<Vec<DocumentRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM document WHERE kind = ? AND gateway = ? ORDER BY created_at_ms, id",
            )?;
            statement.query_map([kind, gateway], document)?.collect()
        })
    }

    pub(crate) fn all_documents(&self, kind: &str) -> Result<Vec<DocumentRow>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM document WHERE kind = ? ORDER BY created_at_ms, id")?;
            statement.query_map([kind], document)?.collect()
        })
    }

    pub(crate) fn insert_document(&self, row: &DocumentRow) -> Result<()> {
        self.change(|transaction| {
            let inserted = transaction.execute(
                "INSERT INTO document VALUES (:id, :kind, :account, :gateway, :body, :created, :modified)
                 ON CONFLICT DO NOTHING",
                named_params! {
                    ":id": row.id, ":kind": row.kind, ":account": row.account, ":gateway": row.gateway,
                    ":body": Value::Object(row.body.clone()).to_string(), ":created": row.created_at_ms,
                    ":modified": row.modified_at_ms,
                },
            )?;
            match inserted {
                0 => Err(Error::new(
                    ErrorKind::Exists,
                    format!("there is already a {} `{}`", row.kind, row.id),
                )
                .into()),
                _ => Ok(()),
            }
        })
    }

    pub(crate) fn replace_documents(&self, rows: &[DocumentRow]) -> Result<()> {
        self.change(|transaction| {
            for row in rows {
                let body = Value::Object(row.body.clone()).to_string();
                let replaced = transaction.execute(
                    "UPDATE document SET body = ?, modified_at_ms = ? WHERE id = ?",
                    params![body, row.modified_at_ms, row.id],
                )?;
                if replaced == 0 {
                    let message = format!("there is no {} {}", row.kind, row.id);
                    return Err(Error::new(ErrorKind::NotFound, message).into());
                }
            }
            Ok(())
        })
    }

    pub(crate) fn delete_document(&self, id: &str) -> Result<bool> {
        self.change(|transaction| Ok(transaction.execute("DELETE FROM document WHERE id = ?", [id])? > 0))
    }
}

fn refuse_taken_route(
    transaction: &Transaction<'_>,
    gateway: &str,
    name: &str,
    id: &str,
) -> Result<(), Failure> {
    let taken = "SELECT EXISTS (SELECT 1 FROM route WHERE gateway = ? AND name = ? AND id <> ?)";
    if transaction.query_row(taken, [gateway, name, id], |row| row.get(0))? {
        let message = format!("gateway `{gateway}` already has a route named `{name}`");
        return Err(Error::new(ErrorKind::Exists, message).into());
    }
    Ok(())
}

fn touch(transaction: &Transaction<'_>, route: &str, now_ms: i64) -> Result<(), Failure> {
    let changed =
        transaction.execute("UPDATE route SET modified_at_ms = ? WHERE id = ?", params![now_ms, route])?;
    match changed {
        0 => Err(Error::new(ErrorKind::NotFound, "there is no such route").into()),
        _ => Ok(()),
    }
}

fn insert_version(transaction: &Transaction<'_>, route: &str, version: &RouteVersion) -> Result<(), Failure> {
    transaction.execute(
        "INSERT INTO route_version VALUES (?, ?, ?, ?)",
        params![version.id, route, version.elements.to_string(), version.created_at_ms],
    )?;
    Ok(())
}

fn insert_deployment(
    transaction: &Transaction<'_>,
    route: &str,
    deployment: &RouteDeployment,
) -> Result<(), Failure> {
    transaction.execute(
        "INSERT INTO route_deployment VALUES (?, ?, ?, ?)",
        params![deployment.id, route, deployment.version, deployment.created_at_ms],
    )?;
    Ok(())
}

fn route_versions(
    connection: &Connection,
    gateway: Option<&str>,
) -> rusqlite::Result<HashMap<String, Vec<RouteVersion>>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM route_version WHERE ?1 IS NULL OR route IN (SELECT id FROM route WHERE gateway = ?1)
         ORDER BY rowid",
    )?;
    let rows = statement.query_map([gateway], |row| {
        let version = RouteVersion {
            id: row.get("id")?,
            elements: json(row, "elements")?,
            created_at_ms: row.get("created_at_ms")?,
        };
        Ok((row.get("route")?, version))
    })?;
    by_route(rows)
}

fn route_deployments(
    connection: &Connection,
    gateway: Option<&str>,
) -> rusqlite::Result<HashMap<String, Vec<RouteDeployment>>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM route_deployment WHERE ?1 IS NULL OR route IN (SELECT id FROM route WHERE gateway = ?1)
         ORDER BY rowid",
    )?;
    let rows = statement.query_map([gateway], |row| {
        let deployment = RouteDeployment {
            id: row.get("id")?,
            version: row.get("version")?,
            created_at_ms: row.get("created_at_ms")?,
        };
        Ok((row.get("route")?, deployment))
    })?;
    by_route(rows)
}

fn by_route<T>(
    rows: impl Iterator<Item = rusqlite::Result<(String, T)>>,
) -> rusqlite::Result<HashMap<String, Vec<T>>> {
    let mut found: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        let (route, value) = row?;
        found.entry(route).or_default().push(value);
    }
    Ok(found)
}

fn custom_provider(row: &Row<'_>) -> rusqlite::Result<CustomProviderRow> {
    Ok(CustomProviderRow {
        id: row.get("id")?,
        account: row.get("account")?,
        slug: row.get("slug")?,
        fields: json(row, "fields")?,
        headers: None,
        created_at_ms: row.get("created_at_ms")?,
        modified_at_ms: row.get("modified_at_ms")?,
    })
}

fn route(row: &Row<'_>) -> rusqlite::Result<RouteRow> {
    Ok(RouteRow {
        id: row.get("id")?,
        account: row.get("account")?,
        gateway: row.get("gateway")?,
        name: row.get("name")?,
        versions: Vec::new(),
        deployments: Vec::new(),
        created_at_ms: row.get("created_at_ms")?,
        modified_at_ms: row.get("modified_at_ms")?,
    })
}

fn document(row: &Row<'_>) -> rusqlite::Result<DocumentRow> {
    Ok(DocumentRow {
        id: row.get("id")?,
        kind: row.get("kind")?,
        account: row.get("account")?,
        gateway: row.get("gateway")?,
        body: json(row, "body")?,
        created_at_ms: row.get("created_at_ms")?,
        modified_at_ms: row.get("modified_at_ms")?,
    })
}
