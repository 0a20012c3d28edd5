//! The answers that are missing, asked for one after the other.

use std::fmt;

use super::choice::{Choice, Endpoint, Question};
use super::draft::{Draft, Ground};
use super::held::Held;
use super::shape::{self, CLOUDFLARE};
use super::{plan::Plan, prompt};
use crate::command::models::model_ids;
use crate::printer::{Failed, Printer};

/// Asks until nothing is open and the plan is agreed to. Nothing has been written then.
pub(super) fn ask(mut draft: Draft, ground: &Ground<'_>, printer: &Printer) -> Result<Plan, Failed> {
    let mut earlier: Vec<Draft> = Vec::new();
    loop {
        let before = draft.clone();
        let answered = match draft.open() {
            Some(question) => put(question, &mut draft, ground, printer)?,
            None => {
                let plan = Plan::of(&draft, ground)?;
                match agreed(&plan, printer)? {
                    true => return Ok(plan),
                    false => false,
                }
            }
        };
        if answered {
            earlier.push(before);
        } else {
            // Back from the first question is out.
            draft = earlier.pop().ok_or_else(prompt::cancelled)?;
        }
    }
}

/// Puts one question; `false` is back.
fn put(
    question: Question,
    draft: &mut Draft,
    ground: &Ground<'_>,
    printer: &Printer,
) -> Result<bool, Failed> {
    match question {
        Question::Choice => {
            let options: Vec<Item<Choice>> =
                Choice::OFFERED.iter().map(|choice| Item(*choice, choice.title())).collect();
            let chosen = prompt::choose("Where do your calls to models go?", options, prompt::KEYS)?;
            draft.choice = chosen.map(|chosen| chosen.0);
            Ok(draft.choice.is_some())
        }
        Question::Endpoint => {
            let options = vec![
                Item(Endpoint::Anthropic, "Anthropic's models, through Anthropic's own API"),
                Item(Endpoint::Compat, "every provider's models, in OpenAI's shape (compat)"),
            ];
            let chosen = prompt::choose("What do you want to call there?", options, "Esc goes back")?;
            draft.endpoint = chosen.map(|chosen| chosen.0);
            Ok(draft.endpoint.is_some())
        }
        Question::Key => key(draft, ground, printer),
        Question::Token => token(draft, ground, printer),
        _ => line(question, draft, ground, printer),
    }
}

/// An option of a list, with the words it is shown in.
struct Item<T>(T, &'static str);

impl<T> fmt::Display for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

fn line(
    question: Question,
    draft: &mut Draft,
    ground: &Ground<'_>,
    printer: &Printer,
) -> Result<bool, Failed> {
    let (words, help) = match question {
        Question::Account => (
            "Cloudflare account id",
            "32 hex digits, in the dashboard's address; the gateway's whole address will do",
        ),
        Question::Gateway => ("Gateway id", "the name it has under AI Gateway in the dashboard"),
        Question::Address => (
            "Where does the gateway listen?",
            "an address such as http://10.0.0.5:18789; with /v1/<account>/<gateway> if it is not `default`",
        ),
        Question::BaseUrl => {
            ("Address of the API", "up to and with its version, such as https://llm.example/v1")
        }
        Question::ProviderId => {
            ("What shall it be called here?", "a short name; models are then <name>/<model>")
        }
        _ => ("Default model", "type to search, ↑ ↓ to pick; any other name is taken too"),
    };
    let known = if question == Question::Model { known_models(draft, ground) } else { Vec::new() };
    loop {
        let proposed = draft.proposal(question, ground);
        let Some(text) = prompt::text(words, proposed.as_deref(), known.clone(), help)? else {
            return Ok(false);
        };
        if let Err(why) = draft.put(question, &text, ground) {
            printer.tell(prompt::wrong(&why));
            continue;
        }
        draft.model_named |= question == Question::Model;
        let odd =
            draft.account.as_deref().filter(|_| question == Question::Account).and_then(shape::odd_account);
        let cloudflare = draft.origin.as_deref().is_none_or(|origin| origin == CLOUDFLARE);
        let Some(odd) = odd.filter(|_| cloudflare) else { return Ok(true) };
        printer.tell(prompt::wrong(&odd));
        let options = vec![Item(false, "Correct it"), Item(true, "Take it as it is")];
        if prompt::choose("What now?", options, "Esc goes back")?.is_some_and(|chosen| chosen.0) {
            return Ok(true);
        }
        draft.account = None;
    }
}

/// Names to complete from, as the provider has them.
fn known_models(draft: &Draft, ground: &Ground<'_>) -> Vec<String> {
    let relay = draft.choice.is_some_and(|choice| choice.questions().contains(&Question::Token));
    if relay && draft.endpoint() == Endpoint::Compat {
        let makers = ["anthropic", "openai", "google-ai-studio"];
        let providers = makers.iter().filter_map(|slug| ground.providers.find(slug));
        let of = |provider: &genesis_config::Provider| {
            let ids = model_ids(provider);
            ids.into_iter().rev().map(|id| format!("{}/{id}", provider.slug)).collect::<Vec<_>>()
        };
        return providers.flat_map(of).collect();
    }
    let whose = if relay { "anthropic" } else { draft.slug() };
    // The later a name stands the newer it mostly is.
    let ids = ground.providers.find(whose).map(model_ids).unwrap_or_default();
    ids.into_iter().rev().collect()
}

fn key(draft: &mut Draft, ground: &Ground<'_>, printer: &Printer) -> Result<bool, Failed> {
    let whose = match draft.choice {
        Some(Choice::CloudflareKey) if draft.endpoint() == Endpoint::Anthropic => "Anthropic".to_owned(),
        Some(Choice::CloudflareKey) => "provider".to_owned(),
        Some(Choice::Custom) => draft.slug().to_owned(),
        _ => draft.provider(ground).name,
    };
    if let Some(there) = draft.key_found(ground) {
        match keep(&there)? {
            None => return Ok(false),
            Some(true) => {
                draft.key = Some(there);
                return Ok(true);
            }
            Some(false) => {}
        }
    }
    let optional = draft.choice == Some(Choice::Custom);
    let help = if optional {
        "not shown; empty if it wants none"
    } else {
        "not shown; it goes to .env, which only you can read"
    };
    typed(Question::Key, &format!("{whose} API key"), help, optional, draft, ground, printer)
}

fn token(draft: &mut Draft, ground: &Ground<'_>, printer: &Printer) -> Result<bool, Failed> {
    if let Some(there) = draft.token_found(ground) {
        match keep(&there)? {
            None => return Ok(false),
            Some(true) => {
                draft.token = Some(there);
                return Ok(true);
            }
            Some(false) => {}
        }
    }
    let local = shape::is_local(draft.origin.as_deref().unwrap_or_default());
    if draft.choice == Some(Choice::Genesis) && local {
        let options = vec![Item(true, "Make one for this machine's gateway"), Item(false, "I have one")];
        match prompt::choose("Which token shall it be called with?", options, "Esc goes back")? {
            None => return Ok(false),
            Some(Item(true, _)) => {
                draft.token = Some(Held::Made);
                return Ok(true);
            }
            Some(Item(false, _)) => {}
        }
    }
    let optional = draft.choice == Some(Choice::CloudflareKey);
    let help = if optional {
        "not shown; empty if the gateway asks for none"
    } else {
        "not shown; it goes to .env, which only you can read"
    };
    typed(Question::Token, "Gateway token", help, optional, draft, ground, printer)
}

/// Whether to use what a variable has already; `None` is back.
fn keep(there: &Held) -> Result<Option<bool>, Failed> {
    let Held::Found(name, source) = there else { return Ok(Some(true)) };
    let options = vec![format!("Use {name} ({source})"), "Type another".to_owned()];
    let chosen = prompt::choose("There is one already", options, "Esc goes back")?;
    Ok(chosen.map(|chosen| chosen.starts_with("Use ")))
}

fn typed(
    question: Question,
    words: &str,
    help: &str,
    optional: bool,
    draft: &mut Draft,
    ground: &Ground<'_>,
    printer: &Printer,
) -> Result<bool, Failed> {
    loop {
        let Some(text) = prompt::secret(words, help)? else { return Ok(false) };
        if optional && text.trim().is_empty() {
            match question {
                Question::Key => draft.key = Some(Held::Without),
                _ => draft.token = Some(Held::Without),
            }
            return Ok(true);
        }
        match draft.put_secret(question, &text, ground) {
            Ok(()) => return Ok(true),
            Err(why) => printer.tell(prompt::wrong(&why)),
        }
    }
}

/// Whether a call is to be made now.
pub(super) fn wants_test(printer: &Printer) -> Result<bool, Failed> {
    printer.tell("");
    let options = vec![Item(true, "Yes, one of a few tokens"), Item(false, "No")];
    let chosen = prompt::choose("Make one small call to see that it works?", options, "")?;
    Ok(chosen.is_some_and(|chosen| chosen.0))
}

/// Shows what will be written; `false` is back.
fn agreed(plan: &Plan, printer: &Printer) -> Result<bool, Failed> {
    printer.tell(format!("\n{}\n", plan.summary()));
    for doubt in &plan.doubts {
        printer.warn(format!("{doubt}\n"));
    }
    let options = vec![
        Item(Some(true), "Write it"),
        Item(Some(false), "Go back and change something"),
        Item(None, "Stop, write nothing"),
    ];
    match prompt::choose("Is that right?", options, "Esc goes back")?.map(|chosen| chosen.0) {
        Some(Some(agreed)) => Ok(agreed),
        Some(None) => Err(prompt::cancelled()),
        None => Ok(false),
    }
}
