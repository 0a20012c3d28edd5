//! What becomes of an answer whose client left: dropped, which closes the provider's connection, or, if the client or
//! the gateway asked for it, read to its end, so that the log has the whole of it and its cost.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::relay::Relay;

/// Answers that one thread reads on for clients that left; more are dropped.
const MOST: usize = 256;
/// However much is still to come.
const WITHIN: Duration = Duration::from_secs(600);

/// Where answers go that nobody listens to any more. Belongs to one thread.
#[derive(Clone)]
pub(crate) struct Drains {
    queue: Sender<Box<Relay>>,
    open: Rc<Cell<usize>>,
    ended: Rc<Notify>,
}

impl Drains {
    /// The future does the reading and has to be spawned.
    pub(crate) fn new() -> (Self, impl Future<Output = ()> + 'static) {
        let (queue, queued) = channel(MOST);
        let drains = Self { queue, open: Rc::default(), ended: Rc::default() };
        let reading = read_on(queued, Rc::clone(&drains.open), Rc::clone(&drains.ended));
        (drains, reading)
    }

    /// How many are being read.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// One of them is through.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    fn take(&self, relay: Box<Relay>) {
        if self.open.get() < MOST && self.queue.try_send(relay).is_ok() {
            self.open.set(self.open.get() + 1);
        }
    }
}

async fn read_on(mut queued: Receiver<Box<Relay>>, open: Rc<Cell<usize>>, ended: Rc<Notify>) {
    while let Some(relay) = queued.recv().await {
        let (open, ended) = (Rc::clone(&open), Rc::clone(&ended));
        tokio::task::spawn_local(async move {
            let _ = tokio::time::timeout(WITHIN, relay.read_on()).await;
            open.set(open.get() - 1);
            ended.notify_one();
        });
    }
}

/// An answer on its way to a client, and who takes it over if the client leaves.
pub(crate) struct Kept {
    relay: Option<Box<Relay>>,
    drains: Option<Drains>,
}

impl Kept {
    pub(crate) fn new(relay: Relay, drains: Option<Drains>) -> Self {
        Self { relay: Some(Box::new(relay)), drains }
    }

    pub(crate) fn relay(&mut self) -> Option<&mut Relay> {
        self.relay.as_deref_mut()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.relay.as_ref().is_none_or(|relay| relay.is_finished())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(relay) = self.relay.take().filter(|relay| relay.is_under_way()) else { return };
        match &self.drains {
            Some(drains) => drains.take(relay),
            // Others may share the call that this client pays for; then it goes on for them.
            None if relay.is_shared_by_payer() => relay.client_left(),
            None => {}
        }
    }
}
