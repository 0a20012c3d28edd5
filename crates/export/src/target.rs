//! What takes batches.

use std::time::Duration;

use genesis_store::LogEntry;

use crate::post::{Answer, Post};

/// Takes batches of records, one after another. The same batch, or its beginning, may come again.
pub trait Target: Send {
    /// Delivers records, in the order of recording. Success means that the receiver has them all: they will not come again.
    fn deliver(&mut self, entries: &[LogEntry], post: &mut dyn Post) -> Result<(), Undelivered>;
}

/// Why a batch did not arrive. The message tells a person whose fault it is and holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undelivered {
    /// It is tried again for as long as it takes, not before the receiver says so.
    #[error("{why}")]
    Later { why: String, after: Option<Duration> },
    /// The receiver takes no batch of this size: it is sent in halves. A single record is [`Undelivered::Refused`].
    #[error("{why}")]
    TooLarge { why: String },
    /// The receiver will never take these records: they are counted, and the next come.
    #[error("{why}")]
    Refused { why: String },
}

impl Undelivered {
    /// To be tried again with the usual pause.
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }

    /// What an answer means that is not a success: too large, or to be tried again, since whatever else is wrong can be
    /// set right by somebody while the log keeps the records.
    pub fn by_status(answer: &Answer) -> Self {
        let status = answer.status.as_u16();
        let said = String::from_utf8_lossy(&answer.body);
        let said: String = said.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        let why = if said.is_empty() {
            format!("the receiver answered {status}")
        } else {
            format!("the receiver answered {status}: {said}")
        };
        match status {
            413 => Self::TooLarge { why },
            _ => Self::Later { why, after: answer.retry_after },
        }
    }
}
