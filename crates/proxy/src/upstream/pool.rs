//! Idle connections of one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Origin;
use super::connect::TlsSetup;
use super::io::Connection;

/// Kept per origin; more would only be closed by the provider anyway.
const IDLE_PER_ORIGIN: usize = 256;
/// Providers and their load balancers close idle connections after 60 s or more; we are first.
const IDLE_FOR: Duration = Duration::from_secs(50);
/// A connection used so recently is taken without asking the kernel whether it is still open.
const SURELY_ALIVE: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(crate) struct Pool {
    idle: Rc<RefCell<HashMap<Arc<Origin>, Vec<Idle>>>>,
    tls: Arc<TlsSetup>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(tls: Arc<TlsSetup>) -> Self {
        Self { idle: Rc::default(), tls }
    }

    pub(crate) fn tls(&self) -> &TlsSetup {
        &self.tls
    }

    /// The most recently used connection that is still alive. `probe`: ask the kernel, also if it was used just now,
    /// since this request cannot be sent twice.
    pub(crate) fn take(&self, origin: &Origin, probe: bool) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(origin)?;
        while let Some(Idle { mut connection, since }) = kept.pop() {
            let idle = since.elapsed();
            if idle < SURELY_ALIVE && !probe || idle < IDLE_FOR && connection.is_idle_alive() {
                return Some(connection);
            }
        }
        None
    }

    pub(crate) fn put(&self, origin: &Arc<Origin>, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        let since = Instant::now();
        match idle.get_mut(origin) {
            Some(kept) if kept.len() >= IDLE_PER_ORIGIN => {}
            Some(kept) => kept.push(Idle { connection, since }),
            None => {
                idle.insert(Arc::clone(origin), vec![Idle { connection, since }]);
            }
        }
    }

    /// Closes connections that were idle for too long; called from a timer.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, kept| {
            kept.retain(|idle| idle.since.elapsed() < IDLE_FOR);
            !kept.is_empty()
        });
    }
}
