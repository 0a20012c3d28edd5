//! `genesis token`: who may call the gateway.

use clap::{Args, Subcommand, ValueEnum};
use genesis_config::{ExposeSecret, GatewayId};
use genesis_store::{Identity, NewToken, Permissions, Store, TokenRow};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::logs::store_to_read;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Create a token and print it, for the only time
    Create(Create),
    /// List all tokens, without their text
    List(List),
    /// Make a token invalid, at once and for good
    Revoke(Revoke),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  TOKEN=$(genesis token create --name ci --expires 30d --quiet)\n  \
    genesis token create --name dashboard --permissions read --gateway prod\n  \
    genesis token create --name ann-laptop --email ann@example.com --group research\n\n\
    Callers send it as `cf-aig-authorization: Bearer <token>`.")]
pub(crate) struct Create {
    /// Name to recognise it by
    #[arg(long)]
    name: String,
    /// What it may be used for, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "run", value_name = "LIST")]
    permissions: Vec<Permission>,
    /// Gateway it is good for; may be repeated (default: all)
    #[arg(long, value_name = "ID", value_parser = gateway_id)]
    gateway: Vec<String>,
    /// When it ends: a length of time such as 30d or 12h, or a date (default: never)
    #[arg(long, value_name = "WHEN", value_parser = render::future)]
    expires: Option<i64>,
    /// User it is given to: `cf.user.id` in policies, and `cf.user_id` in the metadata of its calls
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Their address: `cf.user.email` in policies
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A group they are in: `cf.user.groups` in policies; may be repeated
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Anything else policies ask of them, as `cf.custom.<name>`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// Print the token with its id and rights as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Permission {
    /// Send requests through a gateway
    Run,
    /// Read logs, usage and settings
    Read,
    /// Change settings, keys and tokens
    Edit,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Revoke {
    /// Id (`tok_…`) or name
    #[arg(value_name = "ID OR NAME")]
    token: String,
}

pub(crate) fn run(command: Token, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    match command {
        Token::Create(args) => create(args, &home, &settings, printer),
        Token::List(args) => list(&args, &home, &settings, printer),
        Token::Revoke(args) => revoke(&args, &home, &settings, printer),
    }
}

/// For clap: the id if it can be a gateway's.
pub(super) fn gateway_id(text: &str) -> Result<String, String> {
    GatewayId::parse(text).map(|id| id.as_str().to_owned()).map_err(|error| error.to_string())
}

fn create(args: Create, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let store = home.store(settings)?;
    let wanted = |permission| args.permissions.contains(&permission);
    let new = NewToken {
        name: args.name,
        permissions: Permissions {
            run: wanted(Permission::Run),
            read: wanted(Permission::Read),
            edit: wanted(Permission::Edit),
        },
        gateways: args.gateway,
        expires_at_ms: args.expires,
        identity: Identity {
            user: args.user,
            email: args.email,
            groups: args.group,
            claims: args.claim.into_iter().collect(),
        },
    };
    let (row, secret) = store.create_token(new, now_ms())?;
    warn_of_unknown_gateways(&row, &store, settings, printer);
    if args.json {
        let mut created = json!({
            "id": row.id,
            "name": row.name,
            "token": secret.expose_secret(),
            "permissions": names(row.permissions),
            "gateways": row.gateways,
            "expires_at": row.expires_at_ms.map(render::iso),
        });
        add_identity(&mut created, &row);
        return printer.json(&created);
    }
    printer.note(format!(
        "Token `{}` ({}) may {} on {}{}.\nIt is shown now and never again; callers send it as \
         `cf-aig-authorization: Bearer <token>`:",
        render::plain(&row.name),
        row.id,
        names(row.permissions).join(", "),
        if row.gateways.is_empty() { "every gateway".to_owned() } else { row.gateways.join(", ") },
        row.expires_at_ms.map(|end| format!(", until {}", date(end))).unwrap_or_default(),
    ));
    printer.line(secret.expose_secret())
}

/// A gateway may be created after its tokens, so this is no error; more often it is a slip of the keyboard.
fn warn_of_unknown_gateways(row: &TokenRow, store: &Store, settings: &Settings, printer: &Printer) {
    let mut known: Vec<String> = settings.file.gateway.gateways.keys().cloned().collect();
    known.extend(store.gateways().unwrap_or_default().into_iter().map(|(_, id, _)| id));
    known.push("default".to_owned());
    for id in row.gateways.iter().filter(|id| !known.contains(id)) {
        let nearest = genesis_config::problem::nearest(id, known.iter().map(String::as_str));
        let meant = nearest.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        printer.warn(format!("there is no gateway `{id}` yet{meant}"));
    }
}

fn list(args: &List, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let store = store_to_read(home, settings)?;
    let tokens = store.map(|store| store.tokens()).transpose()?.unwrap_or_default();
    let now = now_ms();
    if args.json {
        return printer.json(&tokens.iter().map(|row| described(row, now)).collect::<Vec<_>>());
    }
    if tokens.is_empty() {
        printer.note("no tokens yet; create one with `genesis token create --name <name>`");
        return Ok(());
    }
    let mut table = Table::new(&["ID", "NAME", "TOKEN", "MAY", "GATEWAYS", "CREATED", "EXPIRES", "STATE"]);
    for row in &tokens {
        let gateways = if row.gateways.is_empty() { "all".to_owned() } else { row.gateways.join(", ") };
        table.row([
            Cell::new(&row.id),
            Cell::strong(&row.name),
            Cell::faint(&row.preview),
            names(row.permissions).join(", ").into(),
            gateways.into(),
            date(row.created_at_ms).into(),
            row.expires_at_ms.map_or_else(|| "never".to_owned(), date).into(),
            match state(row, now) {
                "live" => Cell::good("live"),
                other => Cell::bad(other),
            },
        ]);
    }
    printer.line(table)
}

fn revoke(args: &Revoke, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let unknown =
        || Failed::new("no live token has this id or name").hint("`genesis token list` shows them all");
    if store_to_read(home, settings)?.is_none() {
        return Err(unknown());
    }
    let store = home.store(settings)?;
    let earlier = store.tokens()?.into_iter().find(|row| row.id == args.token && row.revoked_at_ms.is_some());
    if let Some(row) = earlier {
        printer.note(format!("token `{}` ({}) was revoked already", render::plain(&row.name), row.id));
        return Ok(());
    }
    let row = store.revoke_token(&args.token, now_ms()).map_err(|error| match error.kind() {
        genesis_store::ErrorKind::NotFound => unknown(),
        _ => error.into(),
    })?;
    printer.note(format!(
        "token `{}` ({}) is revoked; a running gateway refuses it within a second",
        render::plain(&row.name),
        row.id
    ));
    Ok(())
}

fn described(row: &TokenRow, now_ms: i64) -> Value {
    let mut described = json!({
        "id": row.id,
        "name": row.name,
        "preview": row.preview,
        "permissions": names(row.permissions),
        "gateways": row.gateways,
        "created_at": render::iso(row.created_at_ms),
        "expires_at": row.expires_at_ms.map(render::iso),
        "revoked_at": row.revoked_at_ms.map(render::iso),
        "state": state(row, now_ms),
    });
    add_identity(&mut described, row);
    described
}

fn add_identity(described: &mut Value, row: &TokenRow) {
    if !row.identity.is_empty() {
        described["identity"] = json!(row.identity);
    }
}

/// For clap: `level=3` or `team=red`. Numbers and flags are told from text, as policies tell them apart.
fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected name=value")?;
    let scalar =
        serde_json::from_str(value).ok().filter(|read: &Value| read.is_number() || read.is_boolean());
    Ok((name.to_owned(), scalar.unwrap_or_else(|| value.into())))
}

fn state(row: &TokenRow, now_ms: i64) -> &'static str {
    match row.revoked_at_ms {
        Some(_) => "revoked",
        None if row.is_live(now_ms) => "live",
        None => "expired",
    }
}

fn names(permissions: Permissions) -> Vec<&'static str> {
    let Permissions { run, read, edit } = permissions;
    [("run", run), ("read", read), ("edit", edit)]
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| name)
        .collect()
}

fn date(ms: i64) -> String {
    render::local(ms, "%Y-%m-%d %H:%M")
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
