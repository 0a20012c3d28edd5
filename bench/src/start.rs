//! Time from spawning a server to its first answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::Running;

/// Flags of `start`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Asked with GET until it answers 200
    #[arg(long)]
    pub url: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<String>,
}

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_micros(500);

/// Starts the command, waits for its first 200, ends it; returns the time from spawn to answer.
pub fn run(options: &Options) -> Result<Duration> {
    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]);
    first_answer(command, &options.url, Path::new("/dev/null"))
}

/// Same, with the child's output in `log`.
pub fn first_answer(command: Command, url: &str, log: &Path) -> Result<Duration> {
    ensure!(!answers(url), "something else already answers at {url}");
    let begin = Instant::now();
    let mut server = Running::spawn(command, log)?;
    await_answer(&mut server, url)?;
    Ok(begin.elapsed())
}

/// Waits until `url` answers 200; fails if the server ends first or takes 30 s.
pub fn await_answer(server: &mut Running, url: &str) -> Result<()> {
    let begin = Instant::now();
    while !answers(url) {
        if server.ended() {
            bail!("the server for {url} ended before it answered");
        }
        ensure!(begin.elapsed() < PATIENCE, "no answer from {url} within {} s", PATIENCE.as_secs());
        sleep(PAUSE);
    }
    Ok(())
}

fn answers(url: &str) -> bool {
    ask(url).is_ok_and(|status| status == "HTTP/1.1 200")
}

fn ask(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").context("the URL must begin with http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}
