//! Commands as somebody types them: standard output, standard error, exit code, files.
//!
//! * `provider`: answers of a scripted provider, in each dialect
//! * `terminal`: a command in a terminal of its own
//! * `sandbox`: a home folder of its own and a clean environment for every test

mod agent;
mod backup;
mod cache;
mod chat;
mod config;
mod cost;
mod doctor;
mod env;
mod explain;
mod key;
mod logs;
mod models;
mod onboard;
mod onboard_terminal;
mod provider;
mod sandbox;
mod service;
mod status;
mod terminal;
mod tls;
mod token;
mod usage;
