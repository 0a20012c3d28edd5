//! One listener (`SO_REUSEPORT`) and one single-threaded runtime per core, so that a connection never changes threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Accepts on `address` from `threads` threads and hands every connection to `serve`, on the thread it arrived at.
///
/// Port 0 picks a free one. Returns the bound address; the threads run until the process ends.
pub fn accept<F, S>(address: SocketAddr, threads: usize, serve: F) -> io::Result<SocketAddr>
where
    F: Fn(TcpStream) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let first = listener(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads.max(1) {
        listeners.push(listener(address)?);
    }
    for listener in listeners {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = serve.clone();
        thread::Builder::new()
            .name("percore".into())
            .spawn(move || runtime.block_on(accept_here(listener, serve)))?;
    }
    Ok(address)
}

async fn accept_here<F, S>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        // A connection reset before we accepted it, or no free descriptor: neither ends the listener.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        };
        if stream.set_nodelay(true).is_ok() {
            tokio::spawn(serve(stream));
        }
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
