//! A gateway's home folder: its configuration, a client token, the provider keys; and its commands.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::stage::{GATEWAY, free_port};
use crate::mock::DOWN;

const TOKEN_FILE: &str = "bench-token";

/// Two models in a row: one of `first`, then OpenAI's.
fn route(first: &str) -> serde_json::Value {
    let model = |id: &str, provider: &str, outputs: serde_json::Value| {
        let properties = serde_json::json!({ "provider": provider, "model": "gpt-4o-mini" });
        serde_json::json!({ "id": id, "type": "model", "properties": properties, "outputs": outputs })
    };
    serde_json::json!([
        { "id": "start", "type": "start", "outputs": { "next": "first" } },
        model("first", first, serde_json::json!({ "success": "end", "fallback": "second" })),
        model("second", "openai", serde_json::json!({ "success": "end" })),
        { "id": "end", "type": "end" },
    ])
}

/// A prepared home of a gateway.
#[derive(Debug)]
pub struct Home {
    /// For `GENESIS_HOME`.
    pub folder: PathBuf,
    /// Where the gateway listens on 127.0.0.1.
    pub port: u16,
    /// The client token.
    pub token: String,
}

impl Home {
    /// Writes the configuration, creates a client token and stores the provider keys.
    pub fn make(folder: PathBuf, program: &Path, mock: &str, log: bool) -> Result<Home> {
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let port = free_port()?;
        let config = serde_json::json!({
            "models": { "providers": {
                "openai": { "baseUrl": format!("http://{mock}/v1") },
                "anthropic": { "baseUrl": format!("http://{mock}") },
                "down": { "baseUrl": format!("http://{mock}{DOWN}/v1") },
            } },
            "gateway": {
                "listen": format!("127.0.0.1:{port}"),
                "gateways": { GATEWAY: {
                    "authentication": true,
                    "collect_logs": log,
                    "rate_limiting_limit": 100_000_000,
                    "rate_limiting_interval": 60,
                } },
                "routes": {
                    "one-down": { "elements": route("down") },
                    "both-well": { "elements": route("openai") },
                },
            },
        });
        fs::write(folder.join("genesis.json"), serde_json::to_vec_pretty(&config)?)?;
        let created =
            output_of(genesis(program, &folder, &["token", "create", "--name", "bench", "--json"]), "")?;
        let created: serde_json::Value = serde_json::from_str(&created)?;
        let token = created["token"].as_str().context("`genesis token create --json` printed no token")?;
        fs::write(folder.join(TOKEN_FILE), token)?;
        for provider in ["openai", "anthropic"] {
            output_of(genesis(program, &folder, &["key", "set", provider]), &format!("sk-bench-{provider}"))?;
        }
        Home::open(folder)
    }

    /// A home that was made before.
    pub fn open(folder: PathBuf) -> Result<Home> {
        let config: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("genesis.json"))?)?;
        let listen = config["gateway"]["listen"].as_str().unwrap_or_default();
        let port = listen.rsplit(':').next().unwrap_or_default().parse()?;
        let token = fs::read_to_string(folder.join(TOKEN_FILE))?;
        Ok(Home { folder, port, token })
    }
}

/// A command of the gateway, with nothing of our environment: no key or proxy setting of the user takes part.
#[must_use]
pub fn genesis(program: &Path, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GENESIS_HOME", home);
    command
}

/// Runs a command with this input and returns what it printed; its complaint if it failed.
fn output_of(mut command: Command, input: &str) -> Result<String> {
    let words: Vec<String> = command.get_args().map(|word| word.display().to_string()).collect();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads no input may have closed it already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`genesis {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
