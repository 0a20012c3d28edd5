//! All that is wrong with the file, and what is probably not meant.

use clap::Args;
use genesis_config::edit::{self, Path, Step};
use genesis_config::{Environment, File, Problem};
use serde_json::{Value, json};

use super::document::{Document, lines};
use super::masked::without_variables;
use crate::home::Home;
use crate::printer::{Failed, Printer};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis config validate\n  genesis config validate --json | jq .issues\n\n\
    Exit code 0 if the file is good, 78 if it is not, 1 if there is none."
)]
pub(crate) struct Validate {
    /// Print one JSON object: {valid, path, issues: [{path, line, column, message, hint}]}
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Validate, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let document = Document::open(home)?;
    let path = document.path().display().to_string();
    if !document.exists() {
        return Err(Failed::new(format!("there is no {path}"))
            .hint("everything has its default; `genesis config set` makes the file"));
    }
    let (problems, warnings) = problems(&document, home);
    warnings.iter().for_each(|warning| printer.warn(warning));
    if args.json {
        let issues: Vec<Value> = problems.iter().map(issue).collect();
        printer.json(&json!({ "valid": issues.is_empty(), "path": path, "issues": issues }))?;
    }
    match problems.len() {
        0 if args.json => Ok(()),
        0 => {
            printer.note(format!("{path} is good"));
            Ok(())
        }
        count if args.json => Err(Failed::config(format!("{} found in {path}", number(count)))),
        count => Err(Failed::config(format!("{} found in {path}\n{}", number(count), lines(&problems)))),
    }
}

/// In the order of the text, and what else its reader should know.
fn problems(document: &Document, home: &Home) -> (Vec<Problem>, Vec<String>) {
    let text = document.text();
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    match File::parse(text) {
        Err(found) => problems = found,
        Ok(file) => {
            let (environment, said) = Environment::load(&home.path, &file.env);
            problems.extend(file.unresolved(&environment));
            warnings = said;
        }
    }
    if let Some(value) = edit::whole(text) {
        let mut doubts = Vec::new();
        lint(None, &value, &mut doubts);
        // The reader has a word of its own for some of them.
        doubts.retain(|doubt| problems.iter().all(|problem| problem.path != doubt.path));
        problems.extend(doubts);
    }
    Problem::locate(text, &mut problems);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    (problems, warnings)
}

fn lint(path: Option<&Path>, value: &Value, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = path.map_or_else(|| Path::of([name.as_str()]), |path| path.join(name));
                lint(Some(&path), value, problems);
            }
        }
        // Only names are walked: no list of the file holds headers, keys or addresses of a provider.
        Value::String(text) => problems.extend(path.and_then(|path| doubtful(path, text))),
        _ => {}
    }
}

/// A value that reads well and yet cannot be what its author wants.
fn doubtful(path: &Path, text: &str) -> Option<Problem> {
    let names: Vec<&str> = path
        .steps()
        .iter()
        .filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let ["models", "providers", _, field, ..] = names[..] else {
        return (names.first() == Some(&"env")).then(|| placeholder(path, text)).flatten();
    };
    if !["baseUrl", "apiKey", "headers"].contains(&field) {
        return None;
    }
    if field == "headers" && text.trim_start().to_ascii_lowercase().starts_with("bearer:") {
        let problem = Problem::at(path.to_string(), "a colon stands after `Bearer`, so the token is refused");
        return Some(problem.with_hint("write `Bearer <token>`, with a space and no colon"));
    }
    placeholder(path, text)
}

/// `<account_id>` and the like, copied from a page and not filled in.
fn placeholder(path: &Path, text: &str) -> Option<Problem> {
    let text = without_variables(text);
    let open = text.find('<')?;
    let length = text[open..].find('>')?;
    let name = &text[open + 1..open + length];
    let looks_so = !name.is_empty()
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_alphanumeric() || " _-.".contains(c));
    looks_so.then(|| {
        Problem::at(path.to_string(), "a placeholder in angle brackets is not filled in")
            .with_hint("put the real value in its place, or `${NAME}` and NAME into .env")
    })
}

fn issue(problem: &Problem) -> Value {
    json!({
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    })
}

fn number(count: usize) -> String {
    match count {
        1 => "1 problem".to_owned(),
        _ => format!("{count} problems"),
    }
}
