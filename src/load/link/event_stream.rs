//! A response that never ends: the client only reads.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{Door, Framing, Outbox, Packet, Receive, accept};
use crate::load::{
    shard::Shard,
    wire::{http, reader::Reader},
};

/// A stream of events.
pub(in crate::load) struct EventStreamLink {
    stream: TcpStream,
    reader: Reader,
    /// The request, and then nothing.
    pub(super) outbox: Outbox,
    has_head: bool,
    /// The begin of a block whose end is in the next chunk.
    block: Vec<u8>,
}

/// What ends a block.
const END: &[u8] = b"\n\n";

impl EventStreamLink {
    pub(super) fn new(stream: TcpStream, host: &str, door: &Door) -> Self {
        let mut outbox = Outbox::new(Framing::Frames);
        let mut headers = http::authorization(door.token.as_deref());
        headers.push_str("Accept: text/event-stream\r\n");
        if let Some(cursor) = &door.cursor {
            headers.push_str(&format!("Last-Event-ID: {cursor}\r\n"));
        }
        outbox.bytes = http::get(host, &door.path, &headers).into_bytes();
        Self {
            stream,
            reader: Reader::default(),
            outbox,
            has_head: false,
            block: Vec::new(),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        shard: &Shard,
        cx: &mut Context<'_>,
        receive: &mut Receive<'_>,
    ) -> Poll<io::Result<bool>> {
        let (outbox, block, has_head) = (&mut self.outbox, &mut self.block, &mut self.has_head);
        let mut ended = false;
        let read = self
            .reader
            .poll(&mut self.stream, &shard.buffer, cx, &mut |data| {
                shard.counters.bytes.add(data.len() as u64);
                let mut at = 0;
                if !*has_head {
                    at = accept(200, data, outbox, receive)?;
                    *has_head = at > 0;
                }
                while *has_head && let Some((part, next)) = http::chunk(&data[at..])? {
                    ended |= part.is_empty();
                    pass_blocks(&data[at..][part], block, &mut |text| {
                        receive(Packet::Text(text), outbox);
                    });
                    at += next;
                }
                Ok(at)
            });
        read.map_ok(|more| more && !ended)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.outbox.poll_write(&self.stream, cx);
        self.outbox.shrink();
        written
    }
}

/// Passes on the blocks that end in `text`; `block` is the begin of the first one, and then of the last one.
fn pass_blocks(mut text: &[u8], block: &mut Vec<u8>, pass: &mut dyn FnMut(&[u8])) {
    if !block.is_empty() {
        // The end may itself be cut in two.
        let from = block.len().saturating_sub(1);
        let before = block.len();
        block.extend_from_slice(text);
        let Some(end) = find_end(&block[from..]) else {
            return;
        };
        pass(&block[..from + end]);
        text = &text[from + end + END.len() - before..];
        *block = Vec::new();
    }
    while let Some(end) = find_end(text) {
        pass(&text[..end]);
        text = &text[end + END.len()..];
    }
    block.extend_from_slice(text);
}

fn find_end(text: &[u8]) -> Option<usize> {
    text.windows(END.len()).position(|two| two == END)
}

#[cfg(test)]
mod tests;
