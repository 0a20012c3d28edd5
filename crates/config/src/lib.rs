//! The product's nouns as plain data: what the configuration file says, checked, and the embedded tables of
//! providers and prices. No runtime, no network.
//!
//! * [`file`]: `genesis.json` as written, every field
//! * [`edit`]: one value of the file's text read, set or removed; everything else stays as it was written
//! * [`schema`]: the file described for editors, as JSON Schema
//! * [`problem`]: what is wrong with it: path, line, column, hint
//! * [`gateway`]: the settings of one gateway, in Cloudflare's field names
//! * [`logpush`]: where records of the log are carried
//! * [`route`]: dynamic routes, as checked graphs
//! * [`dot_env`]: one variable of a `.env` file's text set
//! * [`condition`]: whether a policy applies: a subset of CEL, parsed and evaluated
//! * [`environment`]: where `${VAR}` gets its value, and which source wins
//! * [`provider`]: upstream APIs as rows of data; which URL a path stands for
//! * [`policy`]: who may call what, and for how much; what that means for one call
//! * [`price`]: what a model costs, dated; exact integer arithmetic
//! * [`money`]: decimal text to integers, never through a float
//! * [`place`]: whether a host or origin is this machine
//! * [`secret`]: the type for whatever must not be printed
//!
//! Behind these: `read` (JSON5 into types, every mistake at its place), `shapes` (fields written in more than one way),
//! `check` (rules that types cannot say), `limits` and `controls` (the parts of a gateway's settings with parts of their own),
//! `row`, `providers` and `template` (the provider table, merging, path to URL), `price_table`,
//! `model_table`, `model_name` and `known` (what is known of a model, and the many ways its name is written).

mod check;
pub mod condition;
mod controls;
pub mod dot_env;
pub mod edit;
pub mod environment;
pub mod file;
pub mod gateway;
mod host_name;
mod known;
mod limits;
pub mod logpush;
mod model_name;
mod model_table;
pub mod money;
pub mod place;
pub mod policy;
pub mod price;
mod price_table;
pub mod problem;
pub mod provider;
mod providers;
mod read;
pub mod route;
mod row;
pub mod schema;
pub mod secret;
mod shapes;
mod template;

pub use condition::Condition;
pub use environment::{Environment, Source, Surroundings, Unresolved, home_dir};
pub use file::{
    CacheBlock, DomainBlock, EnvBlock, File, GatewayBlock, LoadError, ProviderAuth, ProviderPatch, RouteBlock,
};
pub use gateway::{GatewayId, GatewaySettings, SemanticCache};
pub use host_name::{HostName, HostNameError};
pub use known::KnownModel;
pub use logpush::{Destination, LogpushBlock};
pub use model_name::dashed_claude;
pub use model_table::{Abilities, Ability, ModelTable};
pub use place::is_local_place;
pub use price::{Cost, Price};
pub use price_table::PriceTable;
pub use problem::Problem;
pub use provider::{Auth, Provider, UrlError, Version};
pub use providers::Providers;
pub use route::Route;
pub use secret::{ExposeSecret, Secret};
pub use template::Template;
