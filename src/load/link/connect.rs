//! Connects, from the source addresses in turns.

use std::{io, net::SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use crate::load::shared::Shared;

/// A new connection of a client.
pub(super) async fn connect(shared: &Shared, client: usize) -> io::Result<TcpStream> {
    let server = shared.plan.address_of(client).socket;
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = shared.sources.get(client % shared.sources.len().max(1)) {
        socket.bind(SocketAddr::new(*source, 0))?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
