//! A WebSocket.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{Door, Framing, Outbox, Packet, Receive, accept};
use crate::load::{
    shard::Shard,
    wire::{
        reader::Reader,
        websocket::{self, Frame},
    },
};

/// A connection that is a WebSocket, or becomes one.
pub(in crate::load) struct WebSocketLink {
    stream: TcpStream,
    reader: Reader,
    pub(super) outbox: Outbox,
    upgraded: bool,
}

impl WebSocketLink {
    pub(super) fn new(stream: TcpStream, host: &str, door: &Door) -> Self {
        let mut outbox = Outbox::new(Framing::Frames);
        outbox.bytes = websocket::upgrade(host, &door.path, door.token.as_deref()).into_bytes();
        Self {
            stream,
            reader: Reader::default(),
            outbox,
            upgraded: false,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        shard: &Shard,
        cx: &mut Context<'_>,
        receive: &mut Receive<'_>,
    ) -> Poll<io::Result<bool>> {
        let (outbox, upgraded) = (&mut self.outbox, &mut self.upgraded);
        self.reader
            .poll(&mut self.stream, &shard.buffer, cx, &mut |data| {
                shard.counters.bytes.add(data.len() as u64);
                let mut at = 0;
                if !*upgraded {
                    at = accept(101, data, outbox, receive)?;
                    *upgraded = at > 0;
                }
                while *upgraded && let Some((frame, bytes)) = websocket::parse(&data[at..])? {
                    at += bytes;
                    match frame {
                        Frame::Text(text) => receive(Packet::Text(text), outbox),
                        Frame::Ping(payload) => {
                            websocket::write_pong(&mut outbox.bytes, payload);
                        }
                        Frame::Close(code, why) => receive(Packet::Closing(code, why), outbox),
                        Frame::Other => {}
                    }
                }
                Ok(at)
            })
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_write(&self.stream, cx)
    }
}
