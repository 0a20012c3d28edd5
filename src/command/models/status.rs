//! What would be called with which credential, and whether it answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use genesis_config::{Environment, ExposeSecret, Provider, Providers};
use genesis_store::KeyRow;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::catalogue::Catalogue;
use super::reference::{self, Reference};
use crate::assemble;
use crate::client::{self, Answer, Cause, Credential, Failure, Target, credential};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis models status\n  genesis models status --check --quiet   # exit code 1 if a credential is missing\n  \
    genesis models status --probe           # one call of a few tokens to the default model and each fallback\n  \
    genesis models status --probe --probe-model openai/gpt-5-mini\n\n\
    Exit codes with --probe: 0 all answer; else that of the first that does not: 1 provider error, 2 no such model,\n\
    3 refused credential, 4 rate limit, 5 unreachable, 78 configuration."
)]
pub(crate) struct Status {
    /// Exit with 1 if the default model or a fallback has no credential
    #[arg(long)]
    check: bool,
    /// Make one small call to the default model and each fallback
    #[arg(long)]
    probe: bool,
    /// Call this model instead; may be repeated
    #[arg(long, value_name = "MODEL", requires = "probe")]
    probe_model: Vec<String>,
    /// Call only models of this provider
    #[arg(long, value_name = "SLUG", requires = "probe")]
    probe_provider: Option<String>,
    /// Seconds a call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "probe", value_parser = clap::value_parser!(u64).range(1..=600))]
    probe_timeout: u64,
    /// Print one JSON object
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Print the reference of the default model only
    #[arg(long)]
    plain: bool,
}

/// How a provider would be called.
struct Row {
    slug: String,
    /// The one that wins.
    credential: Credential,
    /// Those that are there too and are not used.
    unused: Vec<Credential>,
    models: Vec<String>,
}

struct Probe {
    model: String,
    took: Duration,
    result: Result<Answer, Failure>,
}

pub(super) fn run(args: &Status, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let providers = assemble::providers(settings)?;
    let store = home.store_to_read(settings)?;
    let stored = store.map(|store| store.keys()).transpose()?.unwrap_or_default();
    let environment = &settings.environment;
    let agents = &settings.file.agents;
    let catalogue = Catalogue { providers: &providers, agents, stored: &stored, environment };
    let rows = rows(&catalogue);
    let probes = if args.probe { probes(args, home, settings, &providers, printer)? } else { Vec::new() };
    if args.json {
        printer.json(&described(&rows, &probes, home, settings, &catalogue))?;
    } else if args.plain {
        agents.defaults.model.primary.iter().try_for_each(|model| printer.line(render::plain(model)))?;
    } else {
        print(&rows, &probes, home, settings, printer)?;
    }
    verdict(args, &catalogue, probes)
}

/// The models that are called unless another is named: the default and its fallbacks.
fn called(catalogue: &Catalogue<'_>) -> Vec<Reference> {
    let model = &catalogue.agents.defaults.model;
    model.primary.iter().chain(&model.fallbacks).filter_map(|text| catalogue.read(text)).collect()
}

/// Every provider that is used, or could be.
fn rows(catalogue: &Catalogue<'_>) -> Vec<Row> {
    let mut models: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for reference in catalogue.named() {
        let names = models.entry(reference.provider.clone()).or_default();
        if !names.contains(&reference.model) {
            names.push(reference.model);
        }
    }
    let providers = catalogue.providers.iter();
    let rows = providers.map(|provider| Row {
        slug: provider.slug.clone(),
        credential: catalogue.credential(provider),
        unused: unused(provider, catalogue.stored, catalogue.environment),
        models: models.remove(&provider.slug).unwrap_or_default(),
    });
    rows.filter(|row| row.credential.is_found() || !row.models.is_empty()).collect()
}

/// Credentials that another one comes before.
fn unused(provider: &Provider, stored: &[KeyRow], environment: &Environment) -> Vec<Credential> {
    let variables = provider.env.iter().flat_map(|name| {
        environment.all(name).iter().map(|(_, source)| Credential::Variable(name.clone(), *source))
    });
    let mut all: Vec<Credential> = variables.collect();
    let is_its =
        |row: &KeyRow| row.provider == provider.slug && row.alias == "default" && row.gateway.is_none();
    all.extend(stored.iter().any(is_its).then_some(Credential::Stored));
    let written = provider.api_key.as_ref();
    let resolves = |text: &genesis_config::Secret| environment.substitute(text.expose_secret()).is_ok();
    all.extend(written.is_some_and(resolves).then_some(Credential::Config));
    let winner = credential(provider, stored, environment);
    all.retain(|credential| *credential != winner);
    all
}

fn probes(
    args: &Status,
    home: &Home,
    settings: &Settings,
    providers: &Providers,
    printer: &Printer,
) -> Result<Vec<Probe>, Failed> {
    let default = &settings.file.agents.defaults.model;
    let mut models: Vec<String> = match args.probe_model.as_slice() {
        [] => default.primary.iter().chain(&default.fallbacks).cloned().collect(),
        named => named.to_vec(),
    };
    if let Some(slug) = &args.probe_provider {
        let slug = providers.find(slug).map_or(slug.as_str(), |provider| &provider.slug);
        let agents = &settings.file.agents;
        models.retain(|text| {
            let text = reference::aliased(agents, text).unwrap_or(text);
            let found = Reference::split(text).and_then(|reference| providers.find(&reference.provider));
            found.is_some_and(|provider| provider.slug == slug)
        });
    }
    if models.is_empty() {
        return Err(Failed::usage("there is no model to call").hint(
            "set a default with `genesis models set <provider/model>`, or name one with --probe-model",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let within = Duration::from_secs(args.probe_timeout);
    let probe = |model: String| {
        printer.note(format!("calling {} …", render::plain(&model)).dimmed());
        let begun = Instant::now();
        let result = runtime.block_on(async {
            let target = Target::find(&model, settings, home)?;
            client::probe(&target, within).await
        });
        Probe { model, took: begun.elapsed(), result }
    };
    Ok(models.into_iter().map(probe).collect())
}

fn print(
    rows: &[Row],
    probes: &[Probe],
    home: &Home,
    settings: &Settings,
    printer: &Printer,
) -> Result<(), Failed> {
    let defaults = &settings.file.agents.defaults;
    let default = defaults.model.primary.as_deref().unwrap_or(render::NONE);
    let mut head =
        vec![("config", home.config_path().display().to_string()), ("default", default.to_owned())];
    if !defaults.model.fallbacks.is_empty() {
        head.push(("fallbacks", defaults.model.fallbacks.join(", ")));
    }
    let aliases = defaults.models.iter().filter_map(|(model, note)| Some((note.alias.as_deref()?, model)));
    let aliases: Vec<String> = aliases.map(|(alias, model)| format!("{alias} = {model}")).collect();
    if !aliases.is_empty() {
        head.push(("aliases", aliases.join(", ")));
    }
    for (label, text) in head {
        printer.line(format!("{} {}", format!("{label:<10}").dimmed(), render::plain(&text)))?;
    }
    if !rows.is_empty() {
        let mut table = Table::new(&["PROVIDER", "CREDENTIAL", "STANDS BEFORE", "MODELS NAMED"]);
        for row in rows {
            let found = row.credential.to_string();
            let unused: Vec<String> = row.unused.iter().map(ToString::to_string).collect();
            table.row([
                Cell::strong(&row.slug),
                if row.credential.is_found() { Cell::good(found) } else { Cell::bad(found) },
                Cell::faint(render::or_none(&unused.join(", "))),
                render::or_none(&row.models.join(", ")).into(),
            ]);
        }
        printer.line(format!("\n{table}"))?;
    }
    if !probes.is_empty() {
        let mut table = Table::new(&["MODEL", "STATUS", ">TIME", "WHAT IT SAID"]);
        for probe in probes {
            let took = render::milliseconds(u32::try_from(probe.took.as_millis()).unwrap_or(u32::MAX));
            let (status, said) = match &probe.result {
                Ok(answer) => (Cell::good("ok"), answer.text.trim().to_owned()),
                Err(failure) => (Cell::bad(status(failure.cause)), failure.message.clone()),
            };
            table.row([Cell::strong(&probe.model), status, took.into(), said.into()]);
        }
        printer.line(format!("\n{table}"))?;
    }
    if defaults.model.primary.is_none() {
        printer.note(
            "\nno default model is set; `genesis onboard` or `genesis models set <provider/model>` sets one",
        );
    }
    Ok(())
}

/// A cause in the few words scripts compare.
fn status(cause: Cause) -> &'static str {
    match cause {
        Cause::Reference | Cause::NotFound => "no_model",
        Cause::Setup => "config",
        Cause::NoCredential => "no_key",
        Cause::GatewayRefused => "gateway_auth",
        Cause::ProviderRefused => "auth",
        Cause::BadRequest => "format",
        Cause::RateLimited => "rate_limit",
        Cause::ProviderFailed => "provider",
        Cause::Broken => "broken",
        Cause::Unreachable => "unreachable",
        Cause::Internal => "internal",
    }
}

fn described(
    rows: &[Row],
    probes: &[Probe],
    home: &Home,
    settings: &Settings,
    catalogue: &Catalogue<'_>,
) -> Value {
    let defaults = &settings.file.agents.defaults;
    let aliases = defaults.models.iter().filter_map(|(model, note)| Some((note.alias.as_deref()?, model)));
    let providers: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "provider": row.slug,
                "credential": row.credential.to_string(),
                "found": row.credential.is_found(),
                "standsBefore": row.unused.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "models": row.models,
            })
        })
        .collect();
    let probes: Vec<Value> = probes
        .iter()
        .map(|probe| match &probe.result {
            Ok(answer) => json!({
                "model": probe.model, "status": "ok", "latencyMs": probe.took.as_millis(), "text": answer.text,
                "receipt": answer.receipt.json(),
            }),
            Err(failure) => json!({
                "model": probe.model, "status": status(failure.cause), "latencyMs": probe.took.as_millis(),
                "error": failure.json(),
            }),
        })
        .collect();
    json!({
        "configPath": home.config_path(),
        "default": defaults.model.primary,
        "fallbacks": defaults.model.fallbacks,
        "aliases": aliases.collect::<BTreeMap<_, _>>(),
        "providers": providers,
        "missing": without_credential(catalogue),
        "probes": probes,
    })
}

/// Models that would be called and have no credential.
fn without_credential(catalogue: &Catalogue<'_>) -> Vec<String> {
    let lacks = |reference: &Reference| match catalogue.providers.find(&reference.provider) {
        Some(provider) => {
            let needs_none = matches!(provider.auth, genesis_config::Auth::None) || provider.custom;
            !needs_none && !catalogue.credential(provider).is_found()
        }
        None => true,
    };
    called(catalogue).iter().filter(|reference| lacks(reference)).map(ToString::to_string).collect()
}

fn verdict(args: &Status, catalogue: &Catalogue<'_>, probes: Vec<Probe>) -> Result<(), Failed> {
    if let Some(failure) = probes.into_iter().find_map(|probe| probe.result.err()) {
        return Err(failure.into());
    }
    if !args.check {
        return Ok(());
    }
    if catalogue.agents.defaults.model.primary.is_none() {
        return Err(Failed::new("no default model is set").hint("`genesis onboard` sets one"));
    }
    match without_credential(catalogue).as_slice() {
        [] => Ok(()),
        missing => Err(Failed::new(format!("no credential was found for {}", missing.join(", "))).hint(
            "`genesis onboard` or `genesis key set <provider>` sets one; `genesis env` shows what is there",
        )),
    }
}
