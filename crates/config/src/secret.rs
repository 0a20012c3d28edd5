//! Text that must never be printed: `Debug` shows a placeholder, memory is wiped on drop.

pub use secrecy::{ExposeSecret, SecretString as Secret};
