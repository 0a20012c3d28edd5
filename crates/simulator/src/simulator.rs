//! A simulator on its own thread, for tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::capture::{Captured, Ledger};
use crate::server::{Options, Server};

/// A running simulator on a loopback port of its own. Dropping it closes every connection and frees the port.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    ledger: Arc<Ledger>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts one that keeps what it receives.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Options { capture: true, ..Options::default() })
    }

    /// Starts one with other options. It accepts connections from the moment this returns.
    pub fn start_with(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let ledger = Arc::new(Ledger::default());
        let server = Server::new(options, Arc::clone(&ledger));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("simulator".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    never = server.run(listener) => match never {},
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { addr, ledger, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything received so far, oldest first.
    pub fn captured(&self) -> Vec<Captured> {
        self.ledger.all()
    }

    /// Everything received so far, which is then forgotten. The outcome of an answer still under way is lost.
    pub fn take_captured(&self) -> Vec<Captured> {
        self.ledger.take()
    }

    /// Blocks until at least `count` requests have been received; `None` if that takes longer than `timeout`.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Option<Vec<Captured>> {
        self.wait_until(|captured| captured.len() >= count, timeout)
    }

    /// Blocks until `done` says so of everything received; `None` if that takes longer than `timeout`. Asked
    /// again whenever a request arrives or an answer ends.
    pub fn wait_until(&self, done: impl Fn(&[Captured]) -> bool, timeout: Duration) -> Option<Vec<Captured>> {
        self.ledger.wait_until(done, timeout)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It can only have panicked in a connection task, which that task's client has noticed.
            let _ = thread.join();
        }
    }
}
