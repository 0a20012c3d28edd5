//! The client's connection. A request's body is read from it by whoever handles the request, at the latest while the
//! answer is on its way; all on one thread.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::upstream::Connection;

/// What is read ahead of requests that a client sends without waiting for answers.
const READ_AHEAD: usize = 64 * 1024;
/// A body nobody wanted is read and thrown away up to this size, so that the connection can be used again and a client
/// that is still sending sees its answer.
const UNWANTED: u64 = 256 * 1024;
const UNWANTED_WITHIN: Duration = Duration::from_secs(2);
/// The first room that is made for a body; more as it comes, since a length is only a claim.
const BODY_ROOM: usize = 64 * 1024;

pub(super) struct Line {
    connection: RefCell<Connection>,
    /// Of the request's body, not read yet.
    left: Cell<u64>,
    /// Who waits for the client to leave, and cannot tell before the body is read.
    watcher: Cell<Option<Waker>>,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            connection: RefCell::new(Connection::tcp(stream)),
            left: Cell::new(0),
            watcher: Cell::default(),
        }
    }

    /// Never held across an await.
    pub(super) fn connection(&self) -> RefMut<'_, Connection> {
        self.connection.borrow_mut()
    }

    /// Nothing has been read that was not asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.connection().read.is_empty()
    }

    /// The stream and what was read from it.
    pub(super) fn give_up(line: Rc<Self>) -> Option<(TcpStream, Bytes)> {
        Rc::into_inner(line)?.connection.into_inner().into_tcp()
    }

    /// Ready when the client has gone. Cannot be told while its body is still to be read.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left.get() > 0 {
            self.watcher.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let mut connection = self.connection();
        while connection.read.len() < READ_AHEAD {
            match connection.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Poll::Pending
    }

    /// Whether what is left of the body is worth reading for the sake of the connection.
    pub(super) fn may_be_emptied(&self) -> bool {
        self.left.get() <= UNWANTED
    }

    /// Reads what nobody wanted of the body; false if that takes too long.
    pub(super) async fn emptied(&self) -> bool {
        if self.left.get() == 0 {
            return true;
        }
        let emptying = poll_fn(|cx| {
            while self.left.get() > 0 {
                match ready!(self.poll_piece(cx)) {
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        });
        // Also where the connection ends: closing it with bytes unread would take the answer from the client.
        self.left.set(self.left.get().min(UNWANTED));
        tokio::time::timeout(UNWANTED_WITHIN, emptying).await.unwrap_or(false)
    }

    /// The next bytes of the body.
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut connection = self.connection();
        if connection.read.is_empty() {
            ready!(fill(&mut connection, cx))?;
        }
        let here = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(connection.read.len());
        self.was_read(self.left.get() - here as u64);
        Poll::Ready(Ok(connection.read.split_to(here).freeze()))
    }

    /// All that is left of the body, in one piece.
    fn poll_whole(&self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut connection = self.connection();
        let left = usize::try_from(self.left.get()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        while connection.read.len() < left {
            let (here, missing) = (connection.read.len(), left - connection.read.len());
            // Grown by what has come, never by what is only announced.
            connection.read.reserve(missing.min(here.max(BODY_ROOM)));
            ready!(fill(&mut connection, cx))?;
        }
        self.was_read(0);
        Poll::Ready(Ok(connection.read.split_to(left).freeze()))
    }

    fn was_read(&self, left: u64) {
        self.left.set(left);
        if left == 0
            && let Some(watcher) = self.watcher.take()
        {
            watcher.wake();
        }
    }
}

fn fill(connection: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match ready!(connection.poll_fill(cx))? {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        _ => Poll::Ready(Ok(())),
    }
}

/// A request's body, read when somebody asks for it.
pub(crate) struct BodyOfLine {
    /// `None`: there is nothing left to be read.
    line: Option<Rc<Line>>,
}

impl BodyOfLine {
    pub(super) fn new(line: &Rc<Line>, length: u64) -> Self {
        line.left.set(length);
        Self { line: (length > 0).then(|| Rc::clone(line)) }
    }

    pub(crate) fn left(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.left.get())
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(line) = &self.line else { return Poll::Ready(None) };
        let piece = ready!(line.poll_piece(cx));
        if line.left.get() == 0 || piece.is_err() {
            self.line = None;
        }
        Poll::Ready(Some(piece))
    }

    /// All of it, in one piece.
    pub(crate) async fn whole(mut self) -> io::Result<Bytes> {
        match self.line.take() {
            Some(line) => poll_fn(|cx| line.poll_whole(cx)).await,
            None => Ok(Bytes::new()),
        }
    }
}
