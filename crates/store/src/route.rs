//! Dynamic routes: named graphs of a gateway, with every version ever saved and every deployment.

use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Store};

/// A dynamic route with its history.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRow {
    pub id: String,
    pub account: String,
    pub gateway: String,
    /// Called as `dynamic/<name>`; unique in its gateway.
    pub name: String,
    /// Oldest first; never empty.
    pub versions: Vec<RouteVersion>,
    /// Oldest first; never empty. The last one serves.
    pub deployments: Vec<RouteDeployment>,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

/// One saved state of a route's graph.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteVersion {
    pub id: String,
    /// JSON array of elements, in Cloudflare's shape.
    pub elements: Value,
    pub created_at_ms: i64,
}

/// When a version began to serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteDeployment {
    pub id: String,
    pub version: String,
    pub created_at_ms: i64,
}

impl RouteRow {
    /// The version that serves calls.
    pub fn deployed(&self) -> Option<&RouteVersion> {
        let deployment = self.deployments.last()?;
        self.versions.iter().find(|version| version.id == deployment.version)
    }
}

impl Store {
    /// Every route, or those of one gateway, by gateway and name.
    pub fn routes(&self, gateway: Option<&str>) -> Result<Vec<RouteRow>> {
        self.settings().routes(gateway)
    }

    /// Creates a route whose first version is deployed at once.
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) if its gateway has one of this name.
    pub fn create_route(
        &self,
        account: &str,
        gateway: &str,
        name: &str,
        elements: &Value,
        now_ms: i64,
    ) -> Result<RouteRow> {
        let version = RouteVersion { id: fresh_id(), elements: elements.clone(), created_at_ms: now_ms };
        let deployment =
            RouteDeployment { id: fresh_id(), version: version.id.clone(), created_at_ms: now_ms };
        let row = RouteRow {
            id: fresh_id(),
            account: account.to_owned(),
            gateway: gateway.to_owned(),
            name: name.to_owned(),
            versions: vec![version],
            deployments: vec![deployment],
            created_at_ms: now_ms,
            modified_at_ms: now_ms,
        };
        self.settings().insert_route(&row)?;
        Ok(row)
    }

    /// Renames a route; false if there is none.
    pub fn rename_route(&self, id: &str, name: &str, now_ms: i64) -> Result<bool> {
        self.settings().rename_route(id, name, now_ms)
    }

    /// Deletes a route with its history; false if there was none.
    pub fn delete_route(&self, id: &str) -> Result<bool> {
        self.settings().delete_route(id)
    }

    /// Saves a version that serves nothing until it is deployed.
    pub fn add_route_version(&self, route: &str, elements: &Value, now_ms: i64) -> Result<RouteVersion> {
        let version = RouteVersion { id: fresh_id(), elements: elements.clone(), created_at_ms: now_ms };
        self.settings().insert_route_version(route, &version)?;
        Ok(version)
    }

    /// Makes a version of a route serve. Deploying an older one rolls back.
    pub fn deploy_route(&self, route: &str, version: &str, now_ms: i64) -> Result<RouteDeployment> {
        let deployment =
            RouteDeployment { id: fresh_id(), version: version.to_owned(), created_at_ms: now_ms };
        self.settings().insert_route_deployment(route, &deployment)?;
        Ok(deployment)
    }
}

pub(crate) fn fresh_id() -> String {
    Uuid::now_v7().as_hyphenated().to_string()
}
