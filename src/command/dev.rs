//! `genesis dev`: a complete gateway on loopback, with nothing to set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use genesis_simulator::Options;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::assemble::DevMode;
use crate::cli::Dev;
use crate::control::{Running, Start};
use crate::home::Home;
use crate::printer::{Failed, Printer};

pub(crate) fn run(args: &Dev, printer: &Printer) -> Result<(), Failed> {
    let begun = Instant::now();
    crate::printer::own_log();
    let home = Home::find()?;
    let settings = home.settings()?;
    let simulator = start_simulator()?;
    let dev = DevMode { simulator, simulate_all: args.simulate_all, gateways: args.gateway.clone() };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let running = Running::start(Start { home, settings, listen, dev: Some(dev) }, printer)?;
    let gateway = args.gateway.first().map_or("default", String::as_str);
    let base = format!("http://{}/v1/dev/{gateway}", running.address());
    let snapshot = running.shared.snapshot();
    let (simulated, real) = snapshot.simulated_providers();
    if args.json {
        printer.json(&json!({ "address": running.address().to_string(), "baseUrl": base, "simulated": simulated, "real": real }))?;
    } else {
        welcome(printer, &base, &simulated, &real, begun);
    }
    running.until_stopped(printer)
}

/// The simulator is a provider like any other: it listens on a loopback port of its own.
fn start_simulator() -> Result<SocketAddr, Failed> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("simulator".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    let options = Options { simulated_header: true, ..Options::default() };
                    genesis_simulator::serve(listener, options).await;
                }
                Err(error) => tracing::error!(%error, "the simulator could not listen"),
            }
        });
    })?;
    Ok(address)
}

fn welcome(printer: &Printer, base: &str, simulated: &[&str], real: &[&str], begun: Instant) {
    printer.note(format!("{} ready after {} ms\n", "genesis dev".bold(), begun.elapsed().as_millis()));
    printer.note(format!("  {:<10} {base}", "gateway".dimmed()));
    printer.note(format!("  {:<10} {}", "callers".dimmed(), "anyone on this machine, no token needed"));
    let known = ["anthropic", "openai", "google-ai-studio"];
    let named: Vec<_> = known.iter().filter(|slug| simulated.contains(slug)).copied().collect();
    let others = simulated.len() - named.len();
    printer.note(format!(
        "  {:<10} {}{}; no key is set for them, so answers are {}",
        "simulated".dimmed(),
        named.join(", "),
        if others > 0 { format!(" and {others} more") } else { String::new() },
        "made up".bold()
    ));
    if !real.is_empty() {
        printer.note(format!(
            "  {:<10} {}: calls are sent and billed (--simulate-all keeps them here)",
            "real".dimmed(),
            real.join(", ")
        ));
    }
    printer.note(format!(
        "\nTry it:\n  curl {base}/anthropic/v1/messages -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"claude-sonnet-4-6\",\"max_tokens\":64,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\
         Then look:\n  genesis logs\n\nCtrl-C stops it."
    ));
}
