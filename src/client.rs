//! Talking to a model: one question to what a reference `provider/model` of the configuration stands for.
//!
//! In the order a call meets them:
//!
//! * `target`: reference and settings → address, dialect, headers; nothing is sent if a part is missing
//! * `place`: where the file speaks of a provider, for messages
//! * `headers`: what is sent beside the body, keys included
//! * `credential`: which key goes along, and where it was found
//! * `question`: what is asked, written in the provider's dialect
//! * `connection`: name, TCP, TLS, HTTP; each step alone, so that `genesis doctor` can time it
//! * `call`: one question sent, its answer read as it comes
//! * `answer`: the pieces of an answer, streamed or whole, in any dialect
//! * `receipt`: what it took: tokens, cost, log id
//! * `choice`: the models to ask, in order
//! * `failure`: whose fault it is when there is no answer, and what to do

mod answer;
mod call;
mod choice;
pub(crate) mod connection;
mod credential;
mod failure;
mod headers;
mod place;
mod question;
mod receipt;
mod target;

pub(crate) use self::call::{Answer, probe};
pub(crate) use self::choice::{Answered, Asking, Choice, Tried};
pub(crate) use self::credential::{Credential, credential};
pub(crate) use self::failure::{Cause, Failure};
pub(crate) use self::question::{Question, Role, Turn};
pub(crate) use self::receipt::Receipt;
pub(crate) use self::target::Target;
