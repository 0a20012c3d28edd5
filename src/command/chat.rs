//! `genesis chat`: a conversation, line by line.
//!
//! * `slash`: what starts with a slash is for the program
//! * `session`: what was said so far and what it cost

mod session;
mod slash;

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::session::Session;
use self::slash::Slash;
use super::agent::{cut_short, fell_back, first_failure};
use crate::client::{Answered, Asking, Choice, Target, Tried};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render;
use crate::waiting::Waiting;

const PROMPT: &str = "> ";

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis chat\n  genesis chat --model anthropic/claude-haiku-4-5\n  \
    genesis chat --system \"Answer in one sentence.\"\n\n\
    Ctrl-C stops the answer and not the program; Ctrl-D or /quit leaves; /help lists what else there is.\n\
    Nothing that is said is written to disk.")]
pub(crate) struct Chat {
    /// Talk with this model and no other: `provider/model`, or an alias
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Tokens each answer may have at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,
    /// Seconds each answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Say after each answer what it took: tokens, cost, time, log id
    #[arg(long)]
    receipt: bool,
}

pub(crate) fn run(args: &Chat, printer: &Printer) -> Result<(), Failed> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failed::usage("a conversation needs a terminal, and this is none")
            .hint("ask one question with `genesis agent --message \"…\"`, or pipe it in"));
    }
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    let choice = Choice::of(args.model.as_deref(), &settings)?;
    // Better told now than after the first question.
    let target = Target::find(choice.preferred(), &settings, &home)?;
    printer.note(format!("talking with {}; /help for help, Ctrl-D to leave", target.reference.bold()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let session = Session::new(choice, args.system.clone(), args.max_tokens);
    Talk { args, home, settings, printer, runtime, session }.until_left()
}

struct Talk<'a> {
    args: &'a Chat,
    home: Home,
    settings: Settings,
    printer: &'a Printer,
    runtime: Runtime,
    session: Session,
}

/// How asking came to its end.
enum Asked {
    Answered(Box<Answered>),
    Failed(Vec<Tried>),
    /// By Ctrl-C.
    Stopped,
    /// Standard output took no more.
    Unprinted(Failed),
}

impl Talk<'_> {
    fn until_left(mut self) -> Result<(), Failed> {
        let mut editor = DefaultEditor::new().map_err(no_lines)?;
        loop {
            let line = match editor.readline(PROMPT) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => {
                    self.printer.note("Ctrl-D or /quit leaves");
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(no_lines(error)),
            };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            // What cannot be kept cannot be called back, no more.
            let _ = editor.add_history_entry(line);
            match Slash::read(line) {
                None => {
                    self.say(line.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(line))?
                }
                Some(Ok(Slash::Quit)) => return Ok(()),
                Some(Ok(slash)) => self.obey(slash)?,
                Some(Err(failed)) => self.printer.explain(&failed),
            }
        }
    }

    fn obey(&mut self, slash: Slash) -> Result<(), Failed> {
        match slash {
            Slash::Help => self.printer.line(slash::HELP),
            Slash::Clear => {
                self.session.forget();
                self.printer.line("what was said so far is forgotten")
            }
            Slash::Cost => self.printer.line(self.session.total()),
            Slash::Model(None) => self
                .printer
                .line(self.session.choice().models().map(render::plain).collect::<Vec<_>>().join(", then ")),
            Slash::Model(Some(model)) => match self.switch(&model) {
                Ok(reference) => self.printer.line(format!("talking with {reference}")),
                Err(failed) => {
                    self.printer.explain(&failed);
                    Ok(())
                }
            },
            Slash::Quit => Ok(()),
        }
    }

    fn switch(&mut self, model: &str) -> Result<String, Failed> {
        let reference = Target::find(model, &self.settings, &self.home)?.reference.to_string();
        self.session.switch(Choice::of(Some(model), &self.settings)?);
        Ok(reference)
    }

    fn say(&mut self, text: &str) -> Result<(), Failed> {
        // A changed key or setting holds from the next question on.
        match self.home.settings() {
            Ok(settings) => self.settings = settings,
            Err(failed) => self.printer.explain(&failed),
        }
        self.session.say(text);
        let mut said = String::new();
        let asked = self.runtime.block_on(self.ask(&mut said));
        if !said.is_empty() && !said.ends_with('\n') {
            self.printer.piece("\n")?;
        }
        match asked {
            Asked::Answered(answered) => {
                let receipt = &answered.answer.receipt;
                if let Some(why) = cut_short(receipt, &answered.answer.text) {
                    self.printer.warn(why);
                }
                if self.args.receipt {
                    self.printer.note(receipt.dimmed());
                }
                self.session.answered(&answered.answer);
            }
            Asked::Stopped => {
                self.printer.note("stopped");
                self.session.stopped(&said);
            }
            Asked::Failed(tried) => {
                self.printer.explain(&first_failure(tried).into());
                self.session.stopped(&said);
            }
            Asked::Unprinted(failed) => return Err(failed),
        }
        Ok(())
    }

    /// Prints the answer as it comes, and keeps in `said` what was printed.
    async fn ask(&self, said: &mut String) -> Asked {
        let mut interrupt = match signal(SignalKind::interrupt()) {
            Ok(interrupt) => interrupt,
            Err(error) => return Asked::Unprinted(error.into()),
        };
        let question = self.session.question();
        let within = Duration::from_secs(self.args.timeout);
        let asking = Asking { settings: &self.settings, home: &self.home, question, within };
        let mut unprinted = None;
        let waiting = Waiting::to_hear("waiting for the answer", self.printer);
        let on_text = |text: &str| {
            waiting.over();
            said.push_str(text);
            match self.printer.piece(text) {
                Ok(()) => ControlFlow::Continue(()),
                Err(failed) => {
                    unprinted = Some(failed);
                    ControlFlow::Break(())
                }
            }
        };
        let on_fallback = |tried: &Tried, next: &str| {
            waiting.clear();
            fell_back(tried, next, self.printer);
        };
        let asked = self.session.choice().ask(&asking, on_text, on_fallback);
        let answered = tokio::select! {
            answered = waiting.during(asked) => answered,
            _ = interrupt.recv() => {
                waiting.over();
                return Asked::Stopped;
            }
        };
        match (unprinted, answered) {
            (Some(failed), _) => Asked::Unprinted(failed),
            (None, Ok(answered)) => Asked::Answered(Box::new(answered)),
            (None, Err(tried)) => Asked::Failed(tried),
        }
    }
}

fn no_lines(error: ReadlineError) -> Failed {
    Failed::new(format!("the terminal gives no lines: {error}"))
}
