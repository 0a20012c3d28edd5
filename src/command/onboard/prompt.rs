//! One question at a terminal. Esc goes back, Ctrl-C ends it all.

use std::fmt::Display;
use std::io::IsTerminal;

use inquire::ui::{Attributes, Color, ErrorMessageRenderConfig, RenderConfig, StyleSheet, Styled};
use inquire::{InquireError, Password, PasswordDisplayMode, Select, Text};
use owo_colors::OwoColorize;

use crate::printer::Failed;

/// Whether there is somebody who can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// How to move about, said once.
pub(super) const KEYS: &str = "↑ ↓ move · Enter takes · Esc goes back · Ctrl-C stops, nothing is written";

/// One of several, the first unless another is picked; `None` is back.
pub(super) fn choose<T: Display>(question: &str, options: Vec<T>, help: &str) -> Result<Option<T>, Failed> {
    let mut prompt = Select::new(question, options)
        .without_filtering()
        .with_page_size(9)
        .with_render_config(style())
        .without_help_message();
    if !help.is_empty() {
        prompt = prompt.with_help_message(help);
    }
    answered(prompt.prompt())
}

/// A line of text; `None` is back. An empty one means what is proposed.
pub(super) fn text(
    question: &str,
    proposed: Option<&str>,
    known: Vec<String>,
    help: &str,
) -> Result<Option<String>, Failed> {
    let suggest = move |typed: &str| -> Result<Vec<String>, inquire::CustomUserError> {
        let typed = typed.to_ascii_lowercase();
        let fits =
            known.iter().filter(|name| !typed.is_empty() && name.to_ascii_lowercase().contains(&typed));
        Ok(fits.take(8).cloned().collect())
    };
    let mut prompt = Text::new(question).with_render_config(style()).with_autocomplete(suggest);
    if let Some(proposed) = proposed {
        prompt = prompt.with_default(proposed);
    }
    if !help.is_empty() {
        prompt = prompt.with_help_message(help);
    }
    answered(prompt.prompt())
}

/// A line that is not shown; `None` is back.
pub(super) fn secret(question: &str, help: &str) -> Result<Option<String>, Failed> {
    let prompt = Password::new(question)
        .without_confirmation()
        .with_display_mode(PasswordDisplayMode::Masked)
        // As many marks as letters would say how long it is.
        .with_formatter(&|secret| {
            if secret.is_empty() { "none".to_owned() } else { "••••••••".to_owned() }
        })
        .with_render_config(style())
        .with_help_message(help);
    answered(prompt.prompt())
}

/// Why an answer was not taken.
pub(super) fn wrong(why: &str) -> String {
    format!("{} {why}", "✗".red())
}

fn answered<T>(answer: Result<T, InquireError>) -> Result<Option<T>, Failed> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(InquireError::OperationCanceled) => Ok(None),
        Err(InquireError::OperationInterrupted) => Err(cancelled()),
        Err(error) => Err(Failed::new(format!("the terminal cannot be used: {error}"))
            .hint("give everything on the command line, with --non-interactive")),
    }
}

pub(super) fn cancelled() -> Failed {
    Failed::new("cancelled; nothing was written")
}

fn style() -> RenderConfig<'static> {
    let plain = RenderConfig::empty()
        .with_prompt_prefix(Styled::new("?"))
        .with_answered_prompt_prefix(Styled::new("✓"))
        .with_highlighted_option_prefix(Styled::new("❯"))
        .with_canceled_prompt_indicator(Styled::new("↩"));
    let mut error = ErrorMessageRenderConfig::empty();
    error.prefix = Styled::new("✗");
    if std::env::var_os("NO_COLOR").is_some() {
        return plain.with_error_message(error);
    }
    let faint = StyleSheet::new().with_fg(Color::DarkGrey);
    let bright = StyleSheet::new().with_fg(Color::DarkCyan);
    let mut style = plain
        .with_prompt_prefix(Styled::new("?").with_fg(Color::DarkCyan))
        .with_answered_prompt_prefix(Styled::new("✓").with_fg(Color::DarkGreen))
        .with_highlighted_option_prefix(Styled::new("❯").with_fg(Color::DarkCyan))
        .with_canceled_prompt_indicator(Styled::new("↩").with_fg(Color::DarkGrey))
        .with_selected_option(Some(bright))
        .with_help_message(faint)
        .with_default_value(faint)
        .with_answer(bright)
        .with_error_message(error);
    style.prompt = StyleSheet::new().with_attr(Attributes::BOLD);
    style
}
