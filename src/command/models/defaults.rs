//! The default model, its fallbacks, and aliases, kept in the configuration file.

use genesis_config::edit::{NewValue, Path};
use serde_json::json;

use super::reference::{aliased, find};
use super::{Add, Aliases, Fallbacks, Name, Set};
use crate::assemble;
use crate::command::config::Document;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

const MODEL: [&str; 3] = ["agents", "defaults", "model"];

pub(super) fn set(args: &Set, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let providers = assemble::providers(settings)?;
    let reference = find(&args.model, &settings.file.agents, &providers, args.force)?.to_string();
    let mut document = Document::open(home)?;
    put_default(&mut document, &reference)?;
    let changed = document.save()?;
    let already = if changed { "" } else { " already" };
    printer.note(format!("the default model is {reference}{already}"));
    Ok(())
}

/// Makes a model the default one in the file's text.
pub(crate) fn put_default(document: &mut Document, reference: &str) -> Result<(), Failed> {
    let path = Path::of(MODEL);
    // Written as one text, it stays one.
    let is_text = document.value(&path).is_some_and(|value| value.is_string());
    let path = if is_text { path } else { path.join("primary") };
    document.set(&path, &NewValue::text(reference))
}

pub(super) fn fallbacks(
    command: Fallbacks,
    home: &Home,
    settings: &Settings,
    printer: &Printer,
) -> Result<(), Failed> {
    let fallbacks = &settings.file.agents.defaults.model.fallbacks;
    match command {
        Fallbacks::List(args) if args.json => printer.json(fallbacks),
        Fallbacks::List(_) => {
            if fallbacks.is_empty() {
                printer.note("no fallbacks; add one with `genesis models fallbacks add <provider/model>`");
            }
            fallbacks.iter().try_for_each(|reference| printer.line(render::plain(reference)))
        }
        Fallbacks::Add(args) => {
            let providers = assemble::providers(settings)?;
            let reference = find(&args.model, &settings.file.agents, &providers, args.force)?.to_string();
            if fallbacks.contains(&reference) {
                printer.note(format!("{reference} is a fallback already"));
                return Ok(());
            }
            let mut document = Document::open(home)?;
            let path = fallbacks_path(&mut document)?;
            let element = if document.value(&path).is_some() {
                format!("{path}[{}]", fallbacks.len())
            } else {
                format!("{path}[0]")
            };
            let element = element
                .parse()
                .map_err(|error: genesis_config::edit::PathError| Failed::new(error.to_string()))?;
            document.set(&element, &NewValue::text(&reference))?;
            document.save()?;
            printer.note(format!("{reference} is fallback {}", fallbacks.len() + 1));
            Ok(())
        }
        Fallbacks::Remove(args) => remove_fallback(&args, home, settings, printer),
        Fallbacks::Clear => {
            let mut document = Document::open(home)?;
            if document.unset(&Path::of(MODEL).join("fallbacks"))? {
                document.save()?;
            }
            printer.note("there are no fallbacks");
            Ok(())
        }
    }
}

fn remove_fallback(args: &Name, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let agents = &settings.file.agents;
    let fallbacks = &agents.defaults.model.fallbacks;
    let meant = aliased(agents, &args.name).unwrap_or(&args.name);
    let Some(at) = fallbacks.iter().position(|name| name.eq_ignore_ascii_case(meant) || *name == args.name)
    else {
        let failed = Failed::new(format!("`{}` is no fallback", render::plain(&args.name)));
        let near = genesis_config::problem::nearest(meant, fallbacks.iter().map(String::as_str));
        return Err(match near {
            Some(near) => failed.hint(format!("did you mean `{near}`?")),
            None => failed.hint("`genesis models fallbacks list` lists them"),
        });
    };
    let mut document = Document::open(home)?;
    let path = format!("{}[{at}]", Path::of(MODEL).join("fallbacks"));
    let path =
        path.parse().map_err(|error: genesis_config::edit::PathError| Failed::new(error.to_string()))?;
    document.unset(&path)?;
    document.save()?;
    printer.note(format!("{} is no fallback any more", render::plain(&fallbacks[at])));
    Ok(())
}

/// Where fallbacks are kept; a default model written as one text becomes an object with room for them.
fn fallbacks_path(document: &mut Document) -> Result<Path, Failed> {
    let model = Path::of(MODEL);
    if let Some(primary) = document.value(&model).filter(serde_json::Value::is_string) {
        let text = json!({ "primary": primary }).to_string();
        let object = NewValue::parse(&text).ok_or_else(|| Failed::new("the default model cannot be read"))?;
        document.set(&model, &object)?;
    }
    Ok(model.join("fallbacks"))
}

pub(super) fn aliases(
    command: Aliases,
    home: &Home,
    settings: &Settings,
    printer: &Printer,
) -> Result<(), Failed> {
    let notes = &settings.file.agents.defaults.models;
    let mut known: Vec<(&str, &str)> = notes
        .iter()
        .filter_map(|(reference, note)| Some((note.alias.as_deref()?, reference.as_str())))
        .collect();
    known.sort_unstable();
    match command {
        Aliases::List(args) if args.json => {
            printer.json(&known.iter().copied().collect::<std::collections::BTreeMap<_, _>>())
        }
        Aliases::List(_) if known.is_empty() => {
            printer.note("no aliases; add one with `genesis models aliases add <alias> <provider/model>`");
            Ok(())
        }
        Aliases::List(_) => {
            let mut table = Table::new(&["ALIAS", "MODEL"]);
            for (alias, reference) in known {
                table.row([Cell::strong(alias), reference.into()]);
            }
            printer.line(table)
        }
        Aliases::Add(args) => add_alias(&args, home, settings, printer),
        Aliases::Remove(args) => {
            let Some((alias, reference)) =
                known.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&args.name))
            else {
                let failed = Failed::new(format!("there is no alias `{}`", render::plain(&args.name)));
                let near =
                    genesis_config::problem::nearest(&args.name, known.iter().map(|(alias, _)| *alias));
                return Err(match near {
                    Some(near) => failed.hint(format!("did you mean `{near}`?")),
                    None => failed.hint("`genesis models aliases list` lists them"),
                });
            };
            let mut document = Document::open(home)?;
            let note = note(reference);
            document.unset(&note.join("alias"))?;
            if document.value(&note) == Some(json!({})) {
                document.unset(&note)?;
            }
            document.save()?;
            printer.note(format!("{alias} is no alias any more"));
            Ok(())
        }
    }
}

fn add_alias(args: &Add, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let alias = &args.alias;
    if alias.is_empty() || !alias.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c)) {
        return Err(Failed::usage(format!("`{}` cannot be an alias", render::plain(alias)))
            .hint("letters, digits, `_`, `.`, `:` and `-` can be in one"));
    }
    let agents = &settings.file.agents;
    let providers = assemble::providers(settings)?;
    let reference = find(&args.model.model, agents, &providers, args.model.force)?.to_string();
    if let Some(taken) = aliased(agents, alias).filter(|taken| *taken != reference) {
        return Err(Failed::new(format!("{alias} is an alias of {} already", render::plain(taken)))
            .hint(format!("remove it first with `genesis models aliases remove {alias}`")));
    }
    let mut document = Document::open(home)?;
    document.set(&note(&reference).join("alias"), &NewValue::text(alias))?;
    document.save()?;
    printer.note(format!("{alias} is {reference}"));
    Ok(())
}

/// Where the file notes something about a model.
fn note(reference: &str) -> Path {
    Path::of(["agents", "defaults", "models", reference])
}
