//! Default model, variables, credentials, and where they were found. Never shows one.

use std::collections::BTreeSet;

use genesis_config::{ExposeSecret, Provider, Providers};
use genesis_store::KeyRow;

use super::finding::{Area, Finding, Level};
use crate::assemble;
use crate::client::connection::Origin;
use crate::client::{Choice, Credential, Target, credential};
use crate::home::{Home, Settings};
use crate::render::plain;

pub(super) fn findings(home: &Home, settings: &Settings) -> Vec<Finding> {
    let mut findings = models(home, settings);
    let Ok(providers) = assemble::providers(settings) else { return findings };
    let stored = match stored(home, settings) {
        Ok(stored) => stored,
        Err(finding) => {
            findings.push(finding);
            Vec::new()
        }
    };
    for provider in in_use(settings, &providers, &stored) {
        findings.push(key(provider, settings, &stored));
        findings.extend(odd_text(provider, settings));
        findings.extend(odd_ids(provider));
    }
    let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
    if let Some(name) = proxies.into_iter().find(|name| settings.environment.lookup(name).is_some()) {
        let what = format!("{name} is set; genesis calls providers directly and does not use it");
        findings.push(Finding::note(Area::Network, what));
    }
    findings
}

/// The providers somebody uses here: those of the default models, those in the file, those with a key.
pub(super) fn in_use<'p>(
    settings: &Settings,
    providers: &'p Providers,
    stored: &[KeyRow],
) -> Vec<&'p Provider> {
    let mut slugs = BTreeSet::new();
    let model = &settings.file.agents.defaults.model;
    let referred = model.primary.iter().chain(&model.fallbacks).filter_map(|text| text.split_once('/'));
    slugs.extend(referred.filter_map(|(slug, _)| Some(&providers.find(slug)?.slug)));
    slugs.extend(settings.file.models.providers.keys().filter_map(|slug| Some(&providers.find(slug)?.slug)));
    let found = |provider: &&Provider| credential(provider, stored, &settings.environment).is_found();
    slugs.extend(providers.iter().filter(found).map(|provider| &provider.slug));
    slugs.into_iter().filter_map(|slug| providers.find(slug)).collect()
}

pub(super) fn stored(home: &Home, settings: &Settings) -> Result<Vec<KeyRow>, Finding> {
    let rows = home.store_to_read(settings).and_then(|store| {
        let Some(store) = store else { return Ok(Vec::new()) };
        // Each is opened once: a key that cannot be unsealed is found here and not by a caller.
        store.open_keys()?;
        Ok(store.keys()?)
    });
    rows.map_err(|failed| Finding::failed(Area::Store, Level::Problem, failed))
}

/// Whether the models that would be asked can be.
fn models(home: &Home, settings: &Settings) -> Vec<Finding> {
    let choice = match Choice::of(None, settings) {
        Ok(choice) => choice,
        Err(failure) => {
            let finding = Finding::note(Area::Models, failure.message);
            return vec![finding.remedy("`genesis models set anthropic/claude-sonnet-4-6` sets one")];
        }
    };
    let described = |(at, model): (usize, &str)| {
        let role = if at == 0 { "the default model".to_owned() } else { format!("fallback {at}") };
        match Target::find(model, settings, home) {
            Ok(target) => Finding::good(
                Area::Models,
                format!("{role} is {}, at {}", target.reference, target.origin.authority()),
            ),
            Err(failure) => {
                let mut finding = Finding::failed(Area::Models, Level::Problem, failure.into());
                finding.what = format!("{role}, {}, cannot be asked: {}", plain(model), finding.what);
                finding
            }
        }
    };
    choice.models().enumerate().map(described).collect()
}

fn key(provider: &Provider, settings: &Settings, stored: &[KeyRow]) -> Finding {
    let found = credential(provider, stored, &settings.environment);
    let name = &provider.slug;
    let is_stored = stored.iter().any(|row| row.provider == *name && row.alias == "default");
    match found {
        Credential::None => {
            let local = provider
                .routes
                .iter()
                .any(|route| Origin::of(route.url()).is_some_and(|origin| origin.is_local()));
            if local {
                return Finding::note(
                    Area::Models,
                    format!("{name}: no key was found; it is on this machine and may need none"),
                );
            }
            let what = format!("{name}: no key was found");
            Finding::note(Area::Models, what).remedy(format!("`genesis key set {name}` stores one"))
        }
        Credential::Gateway => {
            Finding::good(Area::Models, format!("{name}: the gateway behind it keeps the key"))
        }
        Credential::Variable(..) if is_stored => {
            Finding::note(Area::Models, format!("{name}: key {found}; it hides the one that is stored"))
                .remedy(format!(
                    "remove the one that is not meant: the variable, or `genesis key remove {name}`"
                ))
        }
        found => Finding::good(Area::Models, format!("{name}: key {found}")),
    }
}

/// What Cloudflare's host takes for an account is well known.
fn odd_ids(provider: &Provider) -> Option<Finding> {
    let url = provider.routes.last()?.url();
    let path = url.strip_prefix("https://gateway.ai.cloudflare.com/")?.strip_prefix("v1/")?;
    let account = path.split('/').next()?;
    let is_id = account.len() == 32 && account.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!is_id && !account.contains("${")).then(|| {
        let what =
            format!("{}: an account id of Cloudflare has 32 hex digits, and baseUrl has none", provider.slug);
        Finding::warning(Area::Models, what)
            .remedy("copy it from the dashboard's address, https://dash.cloudflare.com/<account id>")
    })
}

/// Keys are copied by hand; what is copied with them makes them wrong.
fn odd_text(provider: &Provider, settings: &Settings) -> Option<Finding> {
    let (variable, text, source) = settings.environment.first(&provider.env)?;
    let text = text.expose_secret();
    let quoted = text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']);
    let odd = if text.trim() != text {
        "begins or ends with blanks"
    } else if quoted {
        "stands in quotes"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "has blanks inside"
    } else if text.contains("export ") || text.contains('=') && text.starts_with(variable) {
        "is a shell command, not a key"
    } else {
        return None;
    };
    let what = format!("{variable} ({source}) {odd}");
    Some(Finding::warning(Area::Models, what).remedy("set it again, to the key alone"))
}
