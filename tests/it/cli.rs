//! Commands as somebody types them: standard output, standard error, exit code, files.
//!
//! * `sandbox`: a home folder of its own and a clean environment for every test

mod config;
mod key;
mod logs;
mod models;
mod sandbox;
mod service;
mod status;
mod token;
mod usage;
