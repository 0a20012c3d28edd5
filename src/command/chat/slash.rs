//! What starts with a slash is for the program; two slashes say one to the model.

use genesis_config::problem::nearest;

use crate::printer::Failed;
use crate::render::plain;

pub(super) const HELP: &str = "\
/model          which model is asked, and what is asked if it fails
/model <model>  talk on with another: provider/model, or an alias
/cost           what the conversation took so far
/clear          forget what was said so far
/quit           leave (also Ctrl-D)
Ctrl-C stops an answer. To begin a message with a slash, write two.";

const NAMES: [&str; 6] = ["/help", "/model", "/cost", "/clear", "/quit", "/exit"];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Slash {
    Help,
    Model(Option<String>),
    Cost,
    Clear,
    Quit,
}

impl Slash {
    /// `None` if the line is for the model.
    pub(super) fn read(line: &str) -> Option<Result<Self, Failed>> {
        if !line.starts_with('/') || line.starts_with("//") {
            return None;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        Some(match (name, rest) {
            ("/help" | "/?", "") => Ok(Self::Help),
            ("/model", "") => Ok(Self::Model(None)),
            ("/model", model) => Ok(Self::Model(Some(model.to_owned()))),
            ("/cost", "") => Ok(Self::Cost),
            ("/clear", "") => Ok(Self::Clear),
            ("/quit" | "/exit" | "/q", "") => Ok(Self::Quit),
            _ => Err(unknown(name)),
        })
    }
}

fn unknown(name: &str) -> Failed {
    let failed = match NAMES.contains(&name) {
        true => Failed::usage(format!("{name} takes nothing after it")),
        false => Failed::usage(format!("there is no {}", plain(name))),
    };
    match nearest(name, NAMES).filter(|near| *near != name) {
        Some(near) => failed.hint(format!("did you mean {near}?")),
        None => failed.hint("/help lists what there is; to begin a message with a slash, write two"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_is_for_the_program_and_two_for_the_model() {
        for (line, expected) in [
            ("/help", Slash::Help),
            ("/model", Slash::Model(None)),
            ("/model  a/b ", Slash::Model(Some("a/b".into()))),
            ("/cost", Slash::Cost),
            ("/exit", Slash::Quit),
        ] {
            assert_eq!(Slash::read(line).and_then(Result::ok), Some(expected), "{line}");
        }
        for line in ["hello", "//etc/hosts is what?", "a /help"] {
            assert!(Slash::read(line).is_none(), "{line}");
        }
        for line in ["/hepl", "/etc/hosts", "/", "/clear all"] {
            assert!(Slash::read(line).is_some_and(|read| read.is_err()), "{line}");
        }
    }
}
