//! The catalogue as a table, as JSON, as references.

use clap::Args;
use genesis_config::money::Usd;
use genesis_config::{PriceTable, Provider};
use serde_json::{Value, json};

use super::catalogue::{Catalogue, Row, model_ids};
use super::reference::Reference;
use crate::assemble;
use crate::command::logs::store_to_read;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

/// The provider that is another gateway: it has models only where one is set up.
pub(super) const RELAY: &str = "cloudflare-ai-gateway";

/// Models of one provider that are listed unasked.
const UNASKED: usize = 30;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis models list\n  genesis models list --provider cloudflare-ai-gateway\n  \
    genesis models list --all --plain\n  genesis models list --json | jq '.models[] | select(.available) | .key'\n\n\
    Without options: the models your file names, and those of providers a credential was found for.\n\
    CONTEXT and MAX are tokens: altogether, and in one answer at most. CAN: tools, reasoning, schema (answers that follow\n\
    a JSON Schema). Prices are US dollars per million tokens."
)]
pub(crate) struct List {
    /// Only this provider's, all of them
    #[arg(long, value_name = "SLUG")]
    provider: Option<String>,
    /// Every model that is known
    #[arg(long)]
    all: bool,
    /// Print one JSON object: {count, models: [...]}
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Print references only, one a line
    #[arg(long)]
    plain: bool,
}

pub(super) fn run(args: &List, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let providers = assemble::providers(settings)?;
    let stored = match store_to_read(home, settings)
        .and_then(|store| Ok(store.map(|store| store.keys()).transpose()?))
    {
        Ok(keys) => keys.unwrap_or_default(),
        Err(failed) => {
            printer.warn(format!("stored keys are not looked at: {failed}"));
            Vec::new()
        }
    };
    let catalogue = Catalogue {
        providers: &providers,
        agents: &settings.file.agents,
        stored: &stored,
        environment: &settings.environment,
    };
    let only = args.provider.as_deref().map(|slug| one(&catalogue, slug)).transpose()?;
    let (references, cut) = chosen(args, only, &catalogue, settings);
    let rows: Vec<Row> = references.into_iter().map(|reference| catalogue.row(reference)).collect();
    if args.json {
        let models: Vec<Value> = rows.iter().map(|row| described(row, &catalogue)).collect();
        return printer.json(&json!({ "count": models.len(), "models": models }));
    }
    if args.plain {
        rows.iter().try_for_each(|row| printer.line(render::plain(&row.reference.to_string())))?;
    } else if !rows.is_empty() {
        printer.line(table(&rows))?;
        printer.note(format!(
            "prices in US dollars per million tokens, as of {}",
            PriceTable::in_force().as_of()
        ));
    }
    if rows.is_empty() {
        printer.note(
            "no model is set up and no credential was found; `genesis models list --all` lists every model",
        );
    }
    for (slug, left) in cut {
        printer.note(format!("{left} more of {slug}: `genesis models list --provider {slug}`"));
    }
    Ok(())
}

fn one<'a>(catalogue: &'a Catalogue<'_>, slug: &str) -> Result<&'a Provider, Failed> {
    let slug = slug.trim().to_ascii_lowercase();
    catalogue.providers.find(&slug).ok_or_else(|| {
        let failed = Failed::new(format!("no provider is called `{}`", render::plain(&slug)));
        match catalogue.providers.nearest(&slug) {
            Some(near) => failed.hint(format!("did you mean `{near}`?")),
            None => failed.hint("`genesis models list --all` lists every provider's models"),
        }
    })
}

/// What is listed, in order, and how many of which provider are left out.
fn chosen(
    args: &List,
    only: Option<&Provider>,
    catalogue: &Catalogue<'_>,
    settings: &Settings,
) -> (Vec<Reference>, Vec<(String, usize)>) {
    let mut references = catalogue.named();
    references.retain(|reference| only.is_none_or(|only| only.slug == reference.provider));
    let mut cut = Vec::new();
    for provider in
        catalogue.providers.iter().filter(|provider| only.is_none_or(|only| only.slug == provider.slug))
    {
        let set_up = settings.file.models.providers.contains_key(&provider.slug);
        let found = catalogue.credential(provider).is_found();
        let wanted = match provider.slug.as_str() {
            _ if only.is_some() => true,
            RELAY => set_up || found,
            _ => args.all || found,
        };
        if !wanted {
            continue;
        }
        let mut ids = model_ids(provider);
        if only.is_none() && !args.all && ids.len() > UNASKED {
            cut.push((provider.slug.clone(), ids.len() - UNASKED));
            ids = largest(provider, &ids);
        }
        references.extend(ids.into_iter().map(|model| Reference { provider: provider.slug.clone(), model }));
    }
    let mut seen = std::collections::HashSet::new();
    references.retain(|reference| seen.insert(reference.to_string()));
    (references, cut)
}

/// The models with the largest context windows, in the order given: windows have grown with every generation, so what is
/// left out are mostly old models.
fn largest(provider: &Provider, ids: &[String]) -> Vec<String> {
    let window = |id: &str| provider.known_model(id).context_window();
    let mut by_window: Vec<usize> = (0..ids.len()).collect();
    by_window.sort_by_key(|at| std::cmp::Reverse(window(&ids[*at])));
    by_window.truncate(UNASKED);
    by_window.sort_unstable();
    by_window.into_iter().map(|at| ids[at].clone()).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table =
        Table::new(&["MODEL", "INPUT", ">CONTEXT", ">MAX", "CAN", ">IN", ">OUT", "CREDENTIAL", "TAGS"]);
    for row in rows {
        let (input, output) = match row.price {
            Some((input, output)) => (render::money(input), render::money(output)),
            None => (render::NONE.to_owned(), render::NONE.to_owned()),
        };
        table.row([
            Cell::strong(row.reference.to_string()),
            render::or_none(&row.input.join("+")).into(),
            context(row).into(),
            row.max_tokens.map_or_else(|| render::NONE.to_owned(), thousands).into(),
            render::or_none(&short(&row.capabilities).join(",")).into(),
            input.into(),
            output.into(),
            if row.credential.is_found() {
                Cell::good(row.credential.to_string())
            } else {
                Cell::bad(row.credential.to_string())
            },
            if row.missing {
                Cell::doubtful(row.tags.join(","))
            } else {
                render::or_none(&row.tags.join(",")).into()
            },
        ]);
    }
    table
}

/// Tokens as people say them, with what the file wants used at most before it.
fn context(row: &Row) -> String {
    let Some(window) = row.context_window else { return render::NONE.to_owned() };
    match row.context_tokens {
        Some(most) if most != window => format!("{}/{}", thousands(most), thousands(window)),
        _ => thousands(window),
    }
}

/// Of what a model can do, what a person chooses by; that it sees is told by its input.
fn short(capabilities: &[&'static str]) -> Vec<&'static str> {
    let kept = capabilities.iter().filter_map(|name| match *name {
        "tools" => Some("tools"),
        "reasoning" => Some("reasoning"),
        "structured_output" => Some("schema"),
        _ => None,
    });
    kept.collect()
}

/// 200000 is `200k`, 1048576 is `1.05M`.
fn thousands(tokens: u64) -> String {
    match tokens {
        0..1_000 => tokens.to_string(),
        1_000..1_000_000 => format!("{}k", (tokens + 500) / 1_000),
        _ => {
            let hundredths = (tokens + 5_000) / 10_000;
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            format!("{}M", text.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

fn described(row: &Row, catalogue: &Catalogue<'_>) -> Value {
    let provider = catalogue.providers.find(&row.reference.provider);
    let local = provider.is_some_and(|provider| provider.routes.iter().any(|route| is_local(route.url())));
    json!({
        "key": row.reference.to_string(),
        "provider": row.reference.provider,
        "model": row.reference.model,
        "name": row.name,
        "input": (!row.input.is_empty()).then_some(&row.input),
        "output": (!row.output.is_empty()).then_some(&row.output),
        "capabilities": (!row.capabilities.is_empty()).then_some(&row.capabilities),
        "contextWindow": row.context_window,
        "contextTokens": row.context_tokens,
        "maxTokens": row.max_tokens,
        "cost": row.price.map(|(input, output)| json!({ "input": Usd(input), "output": Usd(output) })),
        "local": local,
        "available": row.credential.is_found(),
        "credential": row.credential.to_string(),
        "tags": row.tags,
        "missing": row.missing,
    })
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let local = ["localhost", "127.", "[::1]"];
    local.iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_thousands_and_not_1024s() {
        for (tokens, text) in [
            (512, "512"),
            (8_192, "8k"),
            (200_000, "200k"),
            (999_999, "1000k"),
            (1_000_000, "1M"),
            (1_048_576, "1.05M"),
            (10_000_000, "10M"),
        ] {
            assert_eq!(thousands(tokens), text);
        }
    }
}
