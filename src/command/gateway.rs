//! `genesis gateway run`: the gateway in the foreground.

use std::net::{Ipv4Addr, SocketAddr};

use crate::cli::Run;
use crate::control::{Running, Start};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};

pub(crate) fn run(args: &Run, printer: &Printer) -> Result<(), Failed> {
    crate::printer::own_log();
    let home = Home::find()?;
    let settings = home.settings()?;
    let port = args.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listen = args.listen.or(port).unwrap_or(settings.file.gateway.listen);
    if !listen.ip().is_loopback() && !args.allow_open {
        refuse_open_gateways(&settings, listen)?;
    }
    let running = Running::start(Start { home, settings, listen, dev: None }, printer)?;
    printer.note(format!("genesis gateway listens on http://{}", running.address()));
    running.until_stopped(printer)
}

/// Beyond loopback, whoever reaches the port reaches the gateway: it must ask for a token.
fn refuse_open_gateways(settings: &Settings, listen: SocketAddr) -> Result<(), Failed> {
    let open: Vec<_> = settings
        .file
        .gateway
        .gateways
        .iter()
        .filter(|(_, gateway)| !gateway.authentication)
        .map(|(id, _)| id.as_str())
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Failed::config(format!(
        "{listen} is reachable from other machines, and these gateways ask for no token: {}",
        open.join(", ")
    ))
    .hint(
        "set `authentication: true` for them in genesis.json, or pass --allow-open if that is what you want",
    ))
}
