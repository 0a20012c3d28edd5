//! What goes over the wire: pure functions over bytes. No runtime, no I/O, no clock.
//!
//! * [`dialect`]: which wire format a path speaks
//! * [`usage`]: token counts in one shape for all dialects

pub mod dialect;
pub mod usage;

pub use dialect::{Dialect, model_in_path};
pub use usage::Usage;
