//! What goes over the wire: pure functions over bytes. No runtime, no I/O, no clock.
//!
//! * [`demand`]: the most a request can use
//! * [`dialect`]: which wire format a path speaks
//! * [`peek`]: what a gateway must know of a request body, and changing its model in place
//! * [`sse`]: server-sent events, framed byte-exactly
//! * [`eventstream`]: the AWS event-stream framing of Bedrock
//! * [`report`]: what an answer says about itself: usage, model, finish, error
//! * [`reshape`]: an answer as a stream or whole, in its own dialect
//! * `json`: tolerant reading of JSON, shared by the above
//! * [`translate`]: a request, answer or stream of one dialect in the words of another
//! * [`usage`]: token counts in one shape for all dialects

pub mod demand;
pub mod dialect;
pub mod eventstream;
mod json;
pub mod peek;
pub mod report;
pub mod reshape;
pub mod sse;
pub mod translate;
pub mod usage;

pub use demand::{Bound, Demand};
pub use dialect::{Dialect, model_in_path};
pub use peek::{Peek, PeekError, peek, replace_model, splice_model};
pub use report::{Report, StreamReader, error_message, read_json, usage_of_raw};
pub use usage::Usage;
