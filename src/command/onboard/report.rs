//! What is said of it, to people and to scripts.

use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::choice::Choice;
use super::flags::Onboard;
use super::plan::{Place, Plan};
use super::write::{Pages, Written};
use crate::client::{Answer, Failure};
use crate::printer::{Failed, Printer};

/// What would be written.
pub(super) fn show(plan: &Plan, pages: &Pages, args: &Onboard, printer: &Printer) -> Result<(), Failed> {
    if args.json {
        return printer.json(&json!({
            "ok": true, "dryRun": true, "provider": plan.slug, "baseUrl": plan.base_url, "model": plan.model,
            "changed": pages.is_changed(plan), "variables": variables(plan),
            "edits": plan.edits.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    printer.line(plan.summary())?;
    printer.line("\n  genesis.json".dimmed())?;
    plan.edits.iter().try_for_each(|edit| printer.line(format!("  {edit}")))?;
    printer.note("\nNothing is written.");
    Ok(())
}

/// Says what was done.
pub(super) fn tell(
    plan: &Plan,
    written: &Written,
    changed: bool,
    agreed: bool,
    printer: &Printer,
) -> Result<(), Failed> {
    if !changed {
        return printer.line(format!("{} Everything is so already; nothing was written.", "✓".green()));
    }
    let mut text = match plan.choice {
        Choice::Skip => format!("{} The configuration is written.", "✓".green()),
        // Who agreed to it has just seen it.
        _ if agreed => format!("\n{} {} is set up.\n", "✓".green(), plan.name.bold()),
        _ => format!("{} {} is set up.\n\n{}", "✓".green(), plan.name.bold(), plan.summary()),
    };
    let mut files = Vec::new();
    if let Some(path) = &written.config {
        let before = written.backup.as_ref().and_then(|path| path.file_name());
        let before = before.map(|name| format!(" (before: {})", name.to_string_lossy())).unwrap_or_default();
        files.push(format!("{}{before}", path.display()));
    }
    files.extend(written.dot_env.as_ref().map(|path| path.display().to_string()));
    for (at, file) in files.iter().enumerate() {
        let label = if at == 0 { "written" } else { "" };
        text.push_str(&format!("\n  {}  {file}", format!("{label:<13}").dimmed()));
    }
    printer.line(text)
}

pub(super) fn next_steps(plan: &Plan, printer: &Printer) {
    let mut steps: Vec<String> = Vec::new();
    if matches!(plan.choice, Choice::Genesis)
        && plan.secrets.iter().any(|kept| matches!(kept.place, Place::Made))
    {
        steps.push("genesis key set anthropic                 # the key the gateway attaches".to_owned());
        steps.push(
            "genesis gateway run                       # or, as a service: genesis gateway install"
                .to_owned(),
        );
    }
    if plan.choice == Choice::Skip {
        steps.push("genesis onboard".to_owned());
    } else {
        steps.push("genesis agent --message \"hi\"".to_owned());
        steps.push(format!("genesis models list --provider {}", plan.slug));
        let default = plan.default_before.as_deref();
        if let Some(model) =
            plan.model.as_deref().filter(|model| !plan.becomes_default && default != Some(model))
        {
            steps.push(format!("genesis models set {model}    # to make it the default"));
        }
    }
    printer.note(format!("\nNext:\n  {}", steps.join("\n  ")));
}

pub(super) fn described(
    plan: &Plan,
    written: &Written,
    changed: bool,
    tested: Option<&Result<Answer, Failure>>,
) -> Value {
    let files: Vec<_> = [&written.config, &written.dot_env].into_iter().flatten().collect();
    json!({
        "ok": !matches!(tested, Some(Err(_))),
        "provider": plan.slug,
        "baseUrl": plan.base_url,
        "model": plan.model,
        "default": if plan.becomes_default { plan.model.as_ref() } else { plan.default_before.as_ref() },
        "changed": changed,
        "written": files,
        "backup": written.backup,
        "variables": variables(plan),
        "test": tested.map(|tested| match tested {
            Ok(answer) => json!({ "ok": true, "receipt": answer.receipt.json() }),
            Err(failure) => json!({ "ok": false, "error": failure.json() }),
        }),
    })
}

fn variables(plan: &Plan) -> Vec<Value> {
    let source = |place: &Place| match place {
        Place::DotEnv(_) | Place::Made => ".env".to_owned(),
        Place::Found(source) => source.to_string(),
    };
    let kept = plan.secrets.iter();
    kept.map(|kept| json!({ "name": kept.variable, "for": kept.what, "source": source(&kept.place) }))
        .collect()
}
