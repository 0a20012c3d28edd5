//! The simulator as its clients see it: answers, and faults down to the socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod answers;
mod client;
mod event_stream;
mod faults;
mod lifecycle;
mod streams;
mod tools;
