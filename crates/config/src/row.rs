//! The rows of `data/providers.json5`.

use std::collections::BTreeMap;

use genesis_wire::Dialect;
use serde::Deserialize;

use crate::file::ProviderAuth;
use crate::provider::{Auth, Provider, Version};
use crate::providers::{endpoints, key_slots};
use crate::template::Template;

/// One row as `data/providers.json5` writes it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) slug: String,
    name: String,
    pub(crate) aliases: Vec<String>,
    /// Address for routes that say `{base}`.
    base: Option<String>,
    routes: Vec<Route>,
    #[serde(deserialize_with = "row_auth")]
    auth: Auth,
    env: Vec<String>,
    dialects: Vec<Dialect>,
    strip: Option<String>,
    add: Option<String>,
    headers: BTreeMap<String, String>,
    price_provider: Option<String>,
    /// Besides the header of `auth`.
    key_slots: Vec<String>,
    realtime: Option<String>,
    target_header: Option<String>,
    target_hosts: Vec<String>,
    endpoints: BTreeMap<Dialect, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: String,
    url: String,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            slug: String::new(),
            name: String::new(),
            aliases: Vec::new(),
            base: None,
            routes: Vec::new(),
            auth: Auth::bearer(),
            env: Vec::new(),
            dialects: Vec::new(),
            strip: None,
            add: None,
            headers: BTreeMap::new(),
            price_provider: None,
            key_slots: Vec::new(),
            realtime: None,
            target_header: None,
            target_hosts: Vec::new(),
            endpoints: BTreeMap::new(),
        }
    }
}

impl Row {
    /// A row that says no more than this.
    pub(crate) fn of(slug: &str, auth: Auth, dialects: Vec<Dialect>) -> Self {
        Self { slug: slug.to_owned(), name: slug.to_owned(), auth, dialects, ..Self::default() }
    }

    pub(crate) fn into_provider(self) -> Provider {
        let base = self.base.unwrap_or_default();
        let mut routes: Vec<Template> = self
            .routes
            .iter()
            .map(|route| Template::new(&route.path, &route.url.replace("{base}", &base)))
            .collect::<Result<_, _>>()
            .expect("every built-in route is tried by a test");
        if routes.is_empty() && !base.is_empty() {
            routes.extend(Template::new("*", &format!("{base}/*")).ok());
        }
        let special: Vec<(Dialect, String)> = self.endpoints.into_iter().collect();
        Provider {
            key_slots: key_slots(&self.auth, &self.key_slots),
            price_provider: self.price_provider.unwrap_or_else(|| self.slug.clone()),
            endpoints: endpoints(&self.dialects, &special),
            slug: self.slug,
            name: self.name,
            routes,
            auth: self.auth,
            env: self.env,
            dialects: self.dialects,
            version: match (self.strip, self.add) {
                (Some(version), _) => Version::Strip(version),
                (None, Some(version)) => Version::Add(version),
                (None, None) => Version::AsIs,
            },
            headers: self.headers.into_iter().collect(),
            api_key: None,
            provider_auth: ProviderAuth::default(),
            base_url_set: false,
            parameters: Vec::new(),
            models: Vec::new(),
            realtime: self.realtime,
            target_header: self.target_header,
            target_hosts: self.target_hosts,
            others: Vec::new(),
            key_aliases: Vec::new(),
            custom: false,
            base,
        }
    }
}

/// `"bearer"`, `"aws-sigv4"`, `"google-service-account"`, `"none"`, or a header with its prefix: `"authorization: Key "`.
fn row_auth<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Auth, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(match text.as_str() {
        "bearer" => Auth::bearer(),
        "aws-sigv4" => Auth::AwsSigV4,
        "google-service-account" => Auth::GoogleServiceAccount,
        "none" => Auth::None,
        _ => {
            let (name, prefix) = text.split_once(": ").unwrap_or((&text, ""));
            Auth::Header { name: name.to_owned(), prefix: prefix.to_owned() }
        }
    })
}

pub(crate) fn table() -> Vec<Row> {
    json5::from_str(include_str!("../data/providers.json5"))
        .expect("the built-in table is read by every test")
}
