//! Translation between dialects, seen from outside: bytes in, bytes out.

mod errors;
mod goldens;
mod properties;
mod requests;
mod round_trips;
mod streams;
mod support;
