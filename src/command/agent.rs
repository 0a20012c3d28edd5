//! `genesis agent`: one question, one answer.

use std::io::{IsTerminal, Read};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Answered, Asking, Choice, Failure, Question, Receipt, Tried};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::waiting::Waiting;

/// Larger than any model's context; what is more is no question but a mistake.
const INPUT_LIMIT: u64 = 32 * 1024 * 1024;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis agent --message \"What is Cloudflare?\"\n  \
    echo \"Say hello\" | genesis agent --model anthropic/claude-haiku-4-5\n  \
    genesis agent --stdin -m \"Summarise this page:\" < page.txt\n  \
    genesis agent -m hi --json | jq -r .text\n\n\
    Uses the default model (`genesis models set`) and, if that fails before it said a word, its fallbacks in order.\n\
    The answer goes to standard output as it comes; all else goes to standard error.\n\n\
    Exit codes: 0 answered, 1 the provider failed or refused the request, 2 wrong command line, 3 key or token missing \
    or refused,\n4 rate limit or quota, 5 nobody reached in time, 70 a fault of genesis, 78 wrong configuration.")]
pub(crate) struct Agent {
    /// What to ask (default: what standard input holds)
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Put what standard input holds below the message
    #[arg(long, requires = "message")]
    stdin: bool,
    /// Ask this model and no other: `provider/model`, or an alias
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// What the model is told before the question
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Tokens the answer may have at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,
    /// Seconds each model may take for its whole answer
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Say what it took on standard error: tokens, cost, time, log id
    #[arg(long)]
    receipt: bool,
    /// Print one JSON object with answer and receipt, once the answer is complete
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Agent, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    let question =
        Question { system: args.system.clone(), max_tokens: args.max_tokens, ..Question::of(args.text()?) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(args.ask(&question, &settings, &home, printer)) {
        Ok(answered) => args.print(&answered, printer),
        Err(NoAnswer::Unprinted(failed)) => Err(failed),
        Err(NoAnswer::Failed(tried)) => {
            if args.json {
                printer.json(&json!({
                    "error": tried.first().map(|tried| tried.failure.json()),
                    "tried": described(&tried),
                }))?;
            }
            Err(first_failure(tried).into())
        }
    }
}

enum NoAnswer {
    Failed(Vec<Tried>),
    /// Standard output took no more.
    Unprinted(Failed),
}

impl Agent {
    /// The message, from wherever it comes.
    fn text(&self) -> Result<String, Failed> {
        let input = match (&self.message, self.stdin) {
            (Some(_), false) => String::new(),
            _ if std::io::stdin().is_terminal() => {
                return Err(Failed::usage("there is nothing to ask")
                    .hint("write `genesis agent --message \"…\"`, or pipe the question in")
                    .hint("`genesis chat` is for talking back and forth"));
            }
            _ => standard_input()?,
        };
        let parts = self.message.as_deref().into_iter().chain(Some(input.trim_end()));
        let text = parts.filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n\n");
        if text.is_empty() {
            return Err(Failed::usage("the message is empty").hint("write it after --message, or pipe it in"));
        }
        Ok(text)
    }

    async fn ask(
        &self,
        question: &Question,
        settings: &Settings,
        home: &Home,
        printer: &Printer,
    ) -> Result<Answered, NoAnswer> {
        let choice = Choice::of(self.model.as_deref(), settings)
            .map_err(|failure| NoAnswer::Failed(vec![Tried { model: String::new(), failure }]))?;
        let asking = Asking { settings, home, question, within: Duration::from_secs(self.timeout) };
        let mut unprinted = None;
        let waiting = Waiting::to_hear(format!("waiting for {}", choice.preferred()), printer);
        let on_text = |text: &str| {
            if self.json {
                return ControlFlow::Continue(());
            }
            waiting.over();
            match printer.piece(text) {
                Ok(()) => ControlFlow::Continue(()),
                Err(failed) => {
                    unprinted = Some(failed);
                    ControlFlow::Break(())
                }
            }
        };
        let on_fallback = |tried: &Tried, next: &str| {
            waiting.clear();
            fell_back(tried, next, printer);
        };
        let answered = waiting.during(choice.ask(&asking, on_text, on_fallback)).await;
        match unprinted {
            Some(failed) => Err(NoAnswer::Unprinted(failed)),
            None => answered.map_err(NoAnswer::Failed),
        }
    }

    fn print(&self, answered: &Answered, printer: &Printer) -> Result<(), Failed> {
        let Answered { answer, tried } = answered;
        if self.json {
            let mut object = json!({ "text": answer.text, "tried": described(tried) });
            if let (Some(object), Value::Object(receipt)) = (object.as_object_mut(), answer.receipt.json()) {
                object.extend(receipt);
            }
            printer.json(&object)?;
        } else if !answer.text.ends_with('\n') {
            printer.piece("\n")?;
        }
        if let Some(why) = cut_short(&answer.receipt, &answer.text) {
            printer.warn(why);
        }
        if self.receipt {
            printer.note(&answer.receipt);
        }
        Ok(())
    }
}

/// Says that a model failed and which is asked now.
pub(super) fn fell_back(tried: &Tried, next: &str, printer: &Printer) {
    printer.warn(format!("{}; asking {next} instead", tried.failure.message));
}

/// Why an answer is not what one would expect, if it is not.
pub(super) fn cut_short(receipt: &Receipt, text: &str) -> Option<String> {
    match receipt.finish_reason.as_deref() {
        Some("length" | "max_tokens" | "MAX_TOKENS" | "max_output_tokens") => {
            Some("the answer is cut off: it reached the limit of tokens (--max-tokens)".to_owned())
        }
        reason if text.trim().is_empty() => {
            let reason = reason.map(|reason| format!(" ({})", crate::render::plain(reason)));
            Some(format!("the model answered with no text{}", reason.unwrap_or_default()))
        }
        _ => None,
    }
}

/// The preferred model's: what followed was only tried because of it.
pub(super) fn first_failure(tried: Vec<Tried>) -> Failure {
    let asked = tried.len();
    let mut failures = tried.into_iter().map(|tried| tried.failure);
    let first =
        failures.next().unwrap_or_else(|| Failure::new(crate::client::Cause::Internal, "no model was asked"));
    match failures.next_back() {
        Some(last) => first.hint(format!(
            "{} failed too, the last with: {}",
            if asked == 2 { "its fallback".to_owned() } else { format!("its {} fallbacks", asked - 1) },
            last.message
        )),
        None => first,
    }
}

fn described(tried: &[Tried]) -> Vec<Value> {
    let described = |tried: &Tried| json!({ "model": tried.model, "error": tried.failure.json() });
    tried.iter().map(described).collect()
}

fn standard_input() -> Result<String, Failed> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(INPUT_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > INPUT_LIMIT {
        return Err(Failed::usage("standard input is longer than 32 MiB, which no model reads"));
    }
    String::from_utf8(bytes).map_err(|_| Failed::usage("standard input is no UTF-8 text"))
}
