//! How packets travel between a client and the server.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{plan::Transport, shard::Shard, wire::http};

mod connect;
mod event_stream;
mod polling;
mod websocket;

/// An open way to the server.
pub(super) enum Link {
    WebSocket(websocket::WebSocketLink),
    Polling(Box<polling::PollingLink>),
    EventStream(event_stream::EventStreamLink),
}

/// Packets that wait to be written.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    framing: Framing,
}

/// How packets are told apart.
#[derive(Clone, Copy, Default)]
enum Framing {
    /// Each in a frame of a WebSocket.
    #[default]
    Frames,
    /// With a character between them.
    Payload,
}

/// The character between two packets of a payload.
const SEPARATOR: u8 = 0x1e;

/// What the reader of packets is given.
pub(super) enum Packet<'a> {
    /// A packet, or a block of an event stream.
    Text(&'a [u8]),
    /// The server does not let the client in: status and body.
    Refused(u16, &'a [u8]),
    /// The server says why it closes: code and reason.
    Closing(u16, &'a [u8]),
}

/// What reads packets, and answers them.
pub(super) type Receive<'a> = dyn FnMut(Packet<'_>, &mut Outbox) + 'a;

impl Outbox {
    fn new(framing: Framing) -> Self {
        Self {
            bytes: Vec::new(),
            framing,
        }
    }

    /// Queues a packet.
    pub(super) fn push(&mut self, packet: &[u8]) {
        match self.framing {
            Framing::Frames => super::wire::websocket::write_text(&mut self.bytes, packet),
            Framing::Payload => {
                if !self.bytes.is_empty() {
                    self.bytes.push(SEPARATOR);
                }
                self.bytes.extend_from_slice(packet);
            }
        }
    }

    /// Writes what is queued, as much as the system takes.
    fn poll_write(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match stream.try_write(&self.bytes) {
                Ok(written) if written == self.bytes.len() => self.bytes.clear(),
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back of a client that does not send.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

/// Where a client connects to, and as whom.
pub(super) struct Door {
    pub(super) client: usize,
    /// Path and query of the first request.
    pub(super) path: String,
    /// The token of the request, where it travels with that.
    pub(super) token: Option<String>,
    /// The id of the last event, of a stream.
    pub(super) cursor: Option<String>,
}

impl Link {
    /// Connects, and sends the first request.
    pub(super) async fn open(shard: &Shard, transport: Transport, door: &Door) -> io::Result<Self> {
        let stream = connect::connect(&shard.shared, door.client).await?;
        let host = &shard.shared.plan.address_of(door.client).host;
        Ok(match transport {
            Transport::SocketIo | Transport::WebSocket => {
                Self::WebSocket(websocket::WebSocketLink::new(stream, host, door))
            }
            Transport::Polling => Self::Polling(Box::new(polling::PollingLink::new(
                stream,
                shard.shared.clone(),
                door,
            ))),
            Transport::EventStream => {
                Self::EventStream(event_stream::EventStreamLink::new(stream, host, door))
            }
        })
    }

    /// Reads once, and passes on every packet that is complete. False once the server has closed the connection.
    pub(super) fn poll_read(
        &mut self,
        shard: &Shard,
        cx: &mut Context<'_>,
        receive: &mut Receive<'_>,
    ) -> Poll<io::Result<bool>> {
        match self {
            Self::WebSocket(link) => link.poll_read(shard, cx, receive),
            Self::Polling(link) => link.poll_read(shard, cx, receive),
            Self::EventStream(link) => link.poll_read(shard, cx, receive),
        }
    }

    /// Writes what is queued. Pending if the connection is full, which wakes the task once it is not.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(link) => link.poll_flush(cx),
            Self::Polling(link) => link.poll_flush(cx),
            Self::EventStream(link) => link.poll_flush(cx),
        }
    }

    /// Where packets are queued.
    pub(super) fn outbox(&mut self) -> &mut Outbox {
        match self {
            Self::WebSocket(link) => &mut link.outbox,
            Self::Polling(link) => &mut link.outbox,
            Self::EventStream(link) => &mut link.outbox,
        }
    }
}

/// Reads the head of the response after which packets follow; returns its bytes if the server lets the client in with `status`.
fn accept(
    status: u16,
    data: &[u8],
    outbox: &mut Outbox,
    receive: &mut Receive<'_>,
) -> io::Result<usize> {
    let Some(head) = http::head(data)? else {
        return Ok(0);
    };
    if head.status == status {
        return Ok(head.bytes);
    }
    if let Some((_, body, _)) = http::response(data)? {
        receive(Packet::Refused(head.status, &body), outbox);
    }
    Ok(0)
}
