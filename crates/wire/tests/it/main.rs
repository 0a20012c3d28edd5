//! What the crate promises its users, tested from outside. One binary, to link once.

mod bodies;
mod cuts;
mod eventstream;
mod fuzz_bodies;
mod reshape;
mod smoke;
mod sse;
mod streams;
mod timing;
