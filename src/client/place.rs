//! Where the configuration file speaks of a provider.

use genesis_config::edit::Path;
use genesis_config::{Provider, Providers};

use crate::home::Settings;

/// A provider's block, by the name the file gives it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
}

impl Place {
    /// The name the file uses, which may be an alias; the slug if it says nothing of this provider.
    pub(super) fn of(provider: &Provider, providers: &Providers, settings: &Settings) -> Self {
        let mut written = settings.file.models.providers.keys();
        let is_it = |name: &&String| providers.find(name).is_some_and(|found| found.slug == provider.slug);
        Self { name: written.find(is_it).unwrap_or(&provider.slug).clone() }
    }

    /// `models.providers.anthropic`
    pub(super) fn block(&self) -> String {
        Path::of(["models", "providers", &self.name]).to_string()
    }

    /// `models.providers.anthropic.baseUrl`
    pub(super) fn field(&self, field: &str) -> String {
        Path::of(["models", "providers", &self.name, field]).to_string()
    }

    /// `models.providers.anthropic.headers.x-team`
    pub(super) fn header(&self, name: &str) -> String {
        Path::of(["models", "providers", &self.name, "headers", name]).to_string()
    }
}
