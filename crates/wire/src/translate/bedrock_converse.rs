//! Bedrock Converse, as a provider speaks it.

mod answer;
mod options;
mod write;

pub(super) use answer::{StreamReader, read_answer};
pub(super) use write::write_request;
