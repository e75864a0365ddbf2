//! Listening on an address.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::StartError;

/// The backlog of the listener; the system caps it at a limit of its own. After an outage thousands of clients reconnect at
/// once, and one that does not fit retries only a second later.
const BACKLOG: u32 = 65_535;

/// Listens on an address, `config.listen` for instance, with room for many clients that connect at once.
///
/// # Errors
/// The address cannot be listened on.
///
/// # Panics
/// Panics outside of a tokio runtime.
pub fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    bind(address).map_err(|source| StartError::Listen { address, source })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Lets the next process listen while connections of this one are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
