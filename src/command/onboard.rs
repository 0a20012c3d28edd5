//! `genesis onboard`: from nothing to a first answer.
//!
//! * `flags`: the arguments, as typed
//! * `choice`: where calls can go, and what each way needs
//! * `draft`: what is known so far, and what is still open
//! * `given`, `held`: the answers on the command line; keys and tokens, and where they are
//! * `shape`: ids, addresses and keys as pasted: what is meant, what cannot be
//! * `questions`, `prompt`: what is open, asked for at a terminal
//! * `plan`: from answers to what will be written
//! * `write`: all of it written, or nothing
//! * `report`: what is said of it

mod choice;
mod draft;
mod flags;
mod given;
mod held;
mod plan;
mod prompt;
mod questions;
mod report;
mod shape;
mod write;

use std::time::Duration;

use genesis_config::{EnvBlock, Environment, File};
use owo_colors::OwoColorize;

use self::choice::{Choice, Question};
use self::draft::{Draft, Ground};
pub(crate) use self::flags::Onboard;
use self::flags::ResetScope;
use self::plan::Plan;
use self::write::Pages;
use super::service;
use crate::assemble;
use crate::client::{self, Answer, Failure, Target};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render;

/// How long the test call may take.
const CALL: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Onboard, printer: &Printer) -> Result<(), Failed> {
    if !args.surplus.is_empty() {
        return Err(Failed::usage(
            "`genesis onboard` takes flags only; a word without a flag cannot be placed",
        )
        .hint("if it was a key, replace it at the provider: the shell keeps command lines in its history"));
    }
    let reset = args.reset.then_some(args.reset_scope);
    let home = Home::find()?;
    let settings = settings(&home, reset)?;
    let providers = assemble::providers(&settings)?;
    let ground = Ground { settings: &settings, providers: &providers, mode: args.secret_input_mode };
    let draft = Draft::given(args, &ground)?;
    let asks = !(args.non_interactive || args.json || args.dry_run);
    let mut plan = if asks {
        if !prompt::can_ask() {
            return Err(no_terminal());
        }
        printer.note(format!("{}\n", "Genesis needs to know where your calls go.".bold()));
        questions::ask(draft, &ground, printer)?
    } else {
        unasked(draft, &ground)?
    };
    plan.listen(&args.server, &ground);
    let pages = Pages::of(&plan, &home, reset)?;
    if !asks {
        plan.doubts.iter().for_each(|doubt| printer.warn(doubt));
    }
    if args.dry_run {
        return report::show(&plan, &pages, args, printer);
    }
    let changed = pages.is_changed(&plan);
    let written = pages.write(&plan, &home, &settings)?;
    write::overruled(&plan, &home, &settings).iter().for_each(|warning| printer.warn(warning));
    if !args.json {
        report::tell(&plan, &written, changed, asks, printer)?;
    }
    if args.server.install_daemon && !args.server.skip_daemon {
        service::install(&service::Install::usual(), printer)?;
    }
    let tested = test(args, asks, &plan, &home, printer)?;
    if args.json {
        printer.json(&report::described(&plan, &written, changed, tested.as_ref()))?;
    } else if changed {
        report::next_steps(&plan, printer);
    }
    match tested {
        Some(Err(failure)) if args.verify => Err(failure.into()),
        _ => Ok(()),
    }
}

/// The file and the environment; what is going to be taken away is not looked at.
fn settings(home: &Home, reset: Option<ResetScope>) -> Result<Settings, Failed> {
    let Some(scope) = reset else {
        return home.settings();
    };
    let folder = match scope {
        ResetScope::Config => home.path.clone(),
        ResetScope::Credentials => home.path.join("nothing"),
    };
    let (environment, warnings) = Environment::load(&folder, &EnvBlock::default());
    Ok(Settings { file: File::default(), environment, warnings })
}

fn no_terminal() -> Failed {
    Failed::usage("there is no terminal to ask at")
        .hint("say everything on the command line: genesis onboard --non-interactive --auth-choice <choice> …")
        .hint(
            "for Cloudflare: --auth-choice cloudflare-ai-gateway-api-key --cloudflare-ai-gateway-account-id <id> \
             --cloudflare-ai-gateway-gateway-id <id> --cloudflare-ai-gateway-api-key <key>",
        )
        .hint("`genesis onboard --help` lists all choices and flags")
}

/// The plan without a question: what the command line does not say comes from the environment and what is usual.
fn unasked(mut draft: Draft, ground: &Ground<'_>) -> Result<Plan, Failed> {
    let left = draft.fill(ground);
    if left.is_empty() {
        return Plan::of(&draft, ground);
    }
    let choice = draft.choice.unwrap_or(Choice::Skip);
    let (names, hints): (Vec<_>, Vec<_>) =
        left.into_iter().map(|question| missing(question, choice, &draft, ground)).unzip();
    let failed = Failed::usage(format!("missing: {}; nothing was written", names.join(", ")));
    Err(hints.into_iter().fold(failed, Failed::hint))
}

/// What is missing, and how to give it.
fn missing(question: Question, choice: Choice, draft: &Draft, ground: &Ground<'_>) -> (&'static str, String) {
    match question {
        Question::Choice => (
            "where calls go",
            "give --auth-choice, such as cloudflare-ai-gateway-api-key; `genesis onboard --help` lists them"
                .to_owned(),
        ),
        Question::Account => (
            "the account id",
            "give --cloudflare-ai-gateway-account-id, or set CLOUDFLARE_ACCOUNT_ID".to_owned(),
        ),
        Question::Gateway => (
            "the gateway id",
            "give --cloudflare-ai-gateway-gateway-id, or set CF_AI_GATEWAY_GATEWAY_ID".to_owned(),
        ),
        Question::Key => {
            ("the provider key", format!("give {}, or set {}", choice.key_flag(), draft.key_variable(ground)))
        }
        Question::Token => (
            "the gateway token",
            format!("give {}, or set {}", choice.token_flag(), draft.token_variable(ground)),
        ),
        Question::BaseUrl => ("the address", "give --custom-base-url".to_owned()),
        Question::Model => ("the model", "give --model (or --custom-model-id)".to_owned()),
        Question::Address => ("the gateway's address", "give --remote-url".to_owned()),
        Question::Endpoint | Question::ProviderId => ("an answer", "`genesis onboard --help`".to_owned()),
    }
}

/// One small call, if it is wanted: asked for, or agreed to.
fn test(
    args: &Onboard,
    asks: bool,
    plan: &Plan,
    home: &Home,
    printer: &Printer,
) -> Result<Option<Result<Answer, Failure>>, Failed> {
    let Some(model) = &plan.model else { return Ok(None) };
    let offered = asks && !args.no_verify;
    // What was written stays written, however this is answered.
    let wanted = args.verify || (offered && questions::wants_test(printer).unwrap_or(false));
    if !wanted {
        return Ok(None);
    }
    printer.note(format!("\nCalling {model} …"));
    // What was written is read again: the call is made as every later one.
    let settings = home.settings()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let target = Target::find(model, &settings, home)?;
        client::probe(&target, CALL).await
    });
    match &answer {
        Ok(answer) => {
            printer.note(format!("{} It answers: {}", "✓".green(), render::plain(answer.text.trim())))
        }
        Err(failure) if !args.verify => {
            printer.warn(format!("it does not answer yet: {}", failure.message));
            failure.hints.iter().for_each(|hint| printer.note(format!("{} {hint}", "hint:".cyan().bold())));
        }
        Err(_) => {}
    }
    Ok(Some(answer))
}
