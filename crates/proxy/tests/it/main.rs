//! The data plane against the simulator and against upstreams that misbehave, judged from outside: bytes on both
//! sides, and what the log says afterwards.

mod admission;
mod breakage;
mod cache;
mod cache_sharing;
mod client;
mod connections;
mod credentials;
mod domains;
mod drain;
mod explain;
mod faults;
mod gateway;
mod identity;
mod limits;
mod log;
mod outward;
mod passthrough;
mod pools;
mod realtime;
mod resume;
mod resume_bounds;
mod retries;
mod routes;
mod run;
mod sockets;
mod trace;
mod unified;
mod universal;
mod upstream;
