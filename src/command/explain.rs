//! `genesis explain`: what the gateway would do with a call, and why. The settings are compiled as `genesis gateway run`
//! does and the call is planned by the gateway's own code; nothing is sent, counted or written.
//!
//! * `curl`: a curl line → request
//! * `words`: a line of shell → its words
//! * `text`: a request as HTTP has it, and one of the log
//! * `typical`: what calls of the same model cost on average
//! * `report`: what is found, for people

mod curl;
mod report;
mod text;
mod typical;
mod words;

use std::io::{IsTerminal, Read};
use std::path::Path;

use bytes::Bytes;
use clap::Args;
use genesis_config::ExposeSecret;
use genesis_proxy::{ExplainedCall, Sender, explain};
use genesis_store::Store;
use http::Request;
use serde_json::{Value, json};

use self::report::Usual;
use self::typical::Typical;
use super::logs::store_to_read;
use crate::assemble::{self, Stored};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    genesis explain -- curl http://127.0.0.1:18789/v1/acct/default/openai/responses \\\n      \
    -H \"cf-aig-authorization: Bearer $CF_AIG_TOKEN\" --json '{\"model\":\"gpt-5-mini\",\"input\":\"Hello\"}'\n  \
    genesis explain 'curl …'               # a line as it was copied\n  \
    genesis explain < request.http         # POST /v1/… HTTP/1.1, headers, an empty line, the body\n  \
    genesis explain 019a7c52-81f0          # a call of the log, under the settings of now\n  \
    genesis explain --json -- curl … | jq '.calls[0].credential'\n\n\
    Nothing is sent. It ends with 0 if a provider would be called, 1 if not.")]
pub(crate) struct Explain {
    /// Print one JSON object; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
    /// A curl line, a file with a request, or a log id; standard input if left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CALL")]
    call: Vec<String>,
}

/// A request to explain, and whose it is.
struct Asked {
    request: Request<Bytes>,
    /// Id of the gateway token it came with, where the log masked its text.
    token_id: Option<String>,
}

impl Asked {
    fn itself(request: Request<Bytes>) -> Self {
        Self { request, token_id: None }
    }
}

pub(crate) fn run(args: &Explain, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    let store = store_to_read(&home, &settings)?;
    let asked = asked(&args.call, &settings, store.as_ref())?;
    let mut stored = Stored::default();
    let unread = store.as_ref().map(|store| stored.refresh(store)).unwrap_or_default();
    let (snapshot, warnings) = assemble::snapshot(&settings, &stored, None)?;
    unread.iter().chain(&warnings).for_each(|warning| printer.warn(warning));
    let sender = asked.token_id.as_deref().map_or(Sender::Itself, Sender::Token);
    let told = explain(&snapshot, asked.request, sender);
    let usual = |call: &ExplainedCall| store.as_ref().map_or(Ok(None), |store| Typical::of(store, call));
    let source = told.gateway.as_deref().map(|gateway| stored.source_of(gateway, &settings));
    if args.json {
        let mut value = serde_json::to_value(&told).map_err(|error| Failed::internal(error.to_string()))?;
        value["gateway_source"] = json!(source);
        add_usual(&told.calls, &mut value["calls"], &usual)?;
        for (at, step) in told.steps.iter().enumerate() {
            add_usual(&step.calls, &mut value["steps"][at]["calls"], &usual)?;
        }
        printer.json(&value)?;
    } else {
        report::print(&told, &usual, source, printer)?;
    }
    if told.calls_somebody() { Ok(()) } else { Err(Failed::told(1)) }
}

/// Puts what calls cost on average beside the most they can cost.
fn add_usual(calls: &[ExplainedCall], told: &mut Value, usual: Usual<'_>) -> Result<(), Failed> {
    for (at, call) in calls.iter().enumerate() {
        let typical = usual(call)?;
        if let Some(cost) = told[at]["cost"].as_object_mut() {
            cost.insert("typical_nano_usd".to_owned(), json!(typical.map(|of| of.nano_usd)));
            cost.insert("typical_of_calls".to_owned(), json!(typical.map(|of| of.calls)));
        }
    }
    Ok(())
}

fn asked(call: &[String], settings: &Settings, store: Option<&Store>) -> Result<Asked, Failed> {
    let value = |name: &str| {
        let found = settings.environment.lookup(name);
        found.map(|(value, _)| value.expose_secret().to_owned()).or_else(|| std::env::var(name).ok())
    };
    let line = |text: &str| curl::request(&words::split(text, &value)?).map(Asked::itself);
    match call {
        [] => {
            let mut text = String::new();
            let mut stdin = std::io::stdin().lock();
            if stdin.is_terminal() {
                return Err(nothing_to_explain());
            }
            stdin.read_to_string(&mut text)?;
            read(&text, line)
        }
        [one] if one.trim_start().starts_with("curl ") => line(one),
        [one] if Path::new(one).is_file() => read(&std::fs::read_to_string(one)?, line),
        [one] if is_id(one) => text::of_log(one, store),
        [first, ..] if first == "curl" => curl::request(call).map(Asked::itself),
        [one, ..] => Err(Failed::usage(format!(
            "`{}` is no curl line, no file, and no log id",
            render::shortened(&render::plain(one), 40)
        ))
        .hint("`genesis explain -- curl …` takes a line; `genesis logs` shows log ids")),
    }
}

fn read(text: &str, line: impl Fn(&str) -> Result<Asked, Failed>) -> Result<Asked, Failed> {
    match text.trim_start() {
        "" => Err(nothing_to_explain()),
        curl if curl.starts_with("curl ") => line(curl),
        request => text::request(request).map(Asked::itself),
    }
}

fn nothing_to_explain() -> Failed {
    Failed::usage("there is nothing to explain").hint("give it a curl line: `genesis explain -- curl …`")
}

/// The first 8 digits of an id, or more.
fn is_id(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
