//! The data plane: one request in, one answer out, one receipt written.
//!
//! In the order a request meets them:
//!
//! * [`server`]: accept, HTTP/1.1 and h2, size caps, drain
//! * `exchange`: the table of contents of one request
//! * `resolve`: URL → surface, account, gateway, provider
//! * `head`: headers out of bytes, of clients and of providers
//! * `inbound`: a client's head within bounds, its body read
//! * `options`: the `cf-aig-*` request headers
//! * `trace`: the trace a call belongs to, and what a provider is told of it
//! * `admit`: token → caller and rights
//! * `plan`: body facts and settings → target, without I/O
//! * `planning`: both together: a call ready to be made, and who is told of it
//! * `credential`: which key the provider sees (`credential/stored`: keys in memory; `aws`, `google`: signed ones)
//! * `unified`: the same for `/compat` and its kin, where the body names the provider; `models` lists what it takes
//! * `run`: Cloudflare's `/ai/run`, a unified call in other clothes
//! * `place` and `facts`: where a provider serves a model, and what translation has to know of it
//! * `universal`: a list of steps, tried in order; over HTTP, or many at a time over a WebSocket
//! * `route`: a dynamic route's graph, walked from model to model
//! * `limit`: policies, rate limits, budgets: what a call may use is taken before it is made
//! * [`cache`]: an answer given again, or a call under way joined (`cache/…`: its parts)
//! * `retry`: the call made again if it fails in a way that may pass
//! * `attempt`: one upstream call
//! * `health`: how each target has fared of late
//! * `upstream`: connections, TLS, HTTP/1.1 to providers
//! * `deliver`: the answer passed on as it comes, or translated
//! * `drain`: what becomes of an answer whose client left
//! * `relay`: bytes to the client, watched from a tee
//! * `resume`: a stream kept for some minutes, and given again from any event on
//! * `realtime`: WebSockets to a provider, once both sides agreed
//! * `translating` and `coding`: streamed events from dialect to dialect; content codings undone
//! * `dropped`: how often each field was lost in translation
//! * `receipt`: the record of the exchange, finished when the body is dropped
//! * `marks`: the `cf-aig-*` response headers
//! * `failure` and `reply`: what can go wrong, and the one place that turns it into HTTP
//! * [`outward`]: calls on the gateway's own account, such as exports
//! * `explain`: what would be done with a request, and why; nothing is sent
//! * [`snapshot`]: the immutable compiled settings a request runs with

mod admit;
mod attempt;
mod body;
pub mod cache;
mod coding;
mod credential;
mod deliver;
mod drain;
mod dropped;
mod exchange;
mod explain;
mod facts;
mod failure;
mod head;
mod health;
mod inbound;
mod limit;
mod marks;
mod models;
mod options;
pub mod outward;
mod place;
mod plan;
mod planning;
mod realtime;
mod receipt;
mod relay;
mod reply;
mod resolve;
mod resume;
mod retry;
mod route;
mod run;
pub mod server;
pub mod snapshot;
mod trace;
mod translating;
mod unified;
mod universal;
mod upstream;
mod watch;

pub use cache::{Cache, CacheSize};
pub use explain::{
    Attempts, ExplainedCache, ExplainedCall, ExplainedCost, ExplainedCredential, ExplainedStep,
    ExplainedToken, Explanation, Refusal, Sender, explain,
};
pub use facts::facts as model_facts;
pub use health::{Down, TargetHealth};
pub use limit::Limiter;
pub use outward::{Outward, OutwardAnswer, OutwardCall, OutwardError};
pub use route::GatewayRoute;
pub use server::{Aside, AsideBody, Event, Server, ServerError, ServerOptions, Shared};
pub use snapshot::{Domain, Key, KeyRate, Snapshot, SnapshotParts, Token};
pub use upstream::trusted_roots;
