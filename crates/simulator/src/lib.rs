//! A model provider that needs no network: it answers in every dialect, deterministically, and fails on demand.
//!
//! The same request gets the same answer, byte for byte. Nothing is checked that would need an account: any
//! credential will do, or none. What an answer says follows from the request: the last question is repeated,
//! a tool is called if one is forced, named, or the text speaks of a `tool` or the `weather` (two if it says
//! `both`), arguments and structured answers are made up from their schema.
//!
//! # Scripts
//! Faults are ordered by the caller: comma-separated directives in the header `x-simulator`, in a model named
//! `sim-<directives>` (such as `sim-429,retry-after=2`), or in both.
//!
//! | directive | effect |
//! |---|---|
//! | `429` (any 200–599) | that status, with the dialect's own error body unless it is 2xx |
//! | `retry-after=2` | the header of that name |
//! | `delay=200ms` | wait before the head |
//! | `gap=50ms` | wait between the events of a stream |
//! | `stall` | head and first event, then nothing, forever |
//! | `stall-head` | nothing at all, forever |
//! | `cut=N` | after N events the connection is cut in the middle of the next one |
//! | `cut-json` | `content-length` promises more than is sent, then the connection is cut |
//! | `reset` | the connection is reset without an answer |
//! | `error-event` | half of the stream, then the dialect's own error event |
//! | `malformed` | comments, unknown events and invalid UTF-8 between the events of a stream |
//! | `gzip` | `content-encoding: gzip`, flushed per event |
//! | `wrong-type` | 200 with an HTML page |
//! | `garbage` | 200 with the right type and a body that is not JSON |
//! | `events=N` | the text comes in exactly N pieces |
//! | `size=N` | the text is N bytes long |
//! | `tokens=in:out[:cached[:written[:reasoning]]]` | these counts; input classes disjoint, `out` includes reasoning |
//! | `close` | `connection: close` |
//! | `first=N` | all of the above only for the first N requests to a path with this script |
//!
//! Times are `200ms`, `2s`, or a bare number of milliseconds.
//!
//! # Rooms
//! One request, top to bottom:
//! * `simulator`: [`Simulator`], a server on its own thread for tests
//! * `server`: [`serve`], accepting connections and answering requests
//! * `line`: the socket, which can be cut in the middle of a write
//! * `capture`: what was received, and how each exchange ended
//! * `incoming`: the request as it came; `request`: what its body asks for, read the same way in every
//!   dialect, with the help of `turns` (who said what) and `weight` (how long it is)
//! * `script`: the faults it asks for
//! * `route`: which answer belongs to which path
//! * `answer`: what to say, before it has a wire format; `schema` invents JSON, `digest` numbers and ids
//! * `dialect`: the answer in each provider's shape; `catalogue` and `media`: everything else they serve
//! * `reply`: status, headers and frames; `fault` spoils them; `body` sends them, one flush per frame

mod answer;
mod body;
mod capture;
mod catalogue;
mod dialect;
mod digest;
mod fault;
mod incoming;
mod line;
mod media;
mod reply;
mod request;
mod route;
mod schema;
mod script;
mod server;
mod simulator;
mod turns;
mod weight;

pub use capture::{Captured, Outcome};
pub use server::{Options, serve};
pub use simulator::Simulator;
