//! Engine.IO's packets on a stream of WebTransport, presented as the WebSocket frames that everything else here knows.
//!
//! A packet is its length, one byte or three or nine as in a WebSocket frame, with the top bit of the first set for binary, and its
//! bytes. So only heads are exchanged; what is behind them passes as it is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// Opcodes of frames (RFC 6455, 5.2).
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSING: u8 = 8;

/// Set in a packet's first byte: its bytes are binary.
const BINARY_BIT: u8 = 0x80;

/// A frame that is not continued.
const FIN: u8 = 0x80;

/// Set in the second byte of a client's frame: four bytes of mask follow the length. Ours are zero, so that they change nothing.
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0; 4];

/// The longest reason of a close frame, with its code (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;

/// How many bytes of length follow the seven bits that are there in any case.
fn extended_length(seven_bits: u8) -> usize {
    match seven_bits & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// The length that these bytes stand for: the first has seven bits of it, the others are the rest.
fn length(bytes: &[u8]) -> u64 {
    match bytes {
        [seven_bits] => u64::from(seven_bits & 0x7f),
        [_, extended @ ..] => extended
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        [] => 0,
    }
}

/// Reads packets as the frames of a WebSocket's client.
pub(in crate::transport) struct PacketReader<R> {
    stream: Take<R>,
    /// The packet's head, as far as it has been read.
    head: Head<9>,
    /// The frame's head, as far as it is still to be read from here.
    frame: Vec<u8>,
    /// Bytes of the packet that are still to come.
    left: u64,
}

/// The beginning of a packet or a frame, which may come in pieces.
struct Head<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Head<N> {
    const EMPTY: Self = Self {
        bytes: [0; N],
        filled: 0,
    };

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl<R: AsyncRead> PacketReader<R> {
    pub(in crate::transport) fn new(stream: R) -> Self {
        Self {
            stream: stream.take(0),
            head: Head::EMPTY,
            frame: Vec::new(),
            left: 0,
        }
    }

    /// Begins the frame of a packet whose head is complete.
    fn begin_frame(&mut self) -> io::Result<()> {
        let head = self.head.filled();
        self.left = length(head);
        if self.left > i64::MAX as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let opcode = match head[0] & BINARY_BIT {
            0 => TEXT,
            _ => BINARY,
        };
        self.frame.push(FIN | opcode);
        self.frame.push(MASKED | head[0] & !BINARY_BIT);
        self.frame.extend_from_slice(&head[1..]);
        self.frame.extend_from_slice(&MASK);
        self.head.filled = 0;
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for PacketReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.frame.is_empty() {
                let now = this.frame.len().min(buffer.remaining());
                buffer.put_slice(&this.frame[..now]);
                this.frame.drain(..now);
                return Poll::Ready(Ok(()));
            }
            if this.left > 0 {
                let before = buffer.filled().len();
                this.stream.set_limit(this.left);
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                this.left -= (buffer.filled().len() - before) as u64;
                return Poll::Ready(Ok(()));
            }
            let due = match this.head.filled() {
                [] => 1,
                [first, ..] => 1 + extended_length(*first),
            };
            let from = this.head.filled;
            this.stream.set_limit((due - from) as u64);
            let mut rest = ReadBuf::new(&mut this.head.bytes[from..due]);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut rest))?;
            let read = rest.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(())); // the client has ended its stream
            }
            this.head.filled += read;
            let head = this.head.filled();
            if head.len() == 1 + extended_length(head[0]) {
                this.begin_frame()?;
            }
        }
    }
}

/// Where packets are written to: a stream, and the session that it is of.
pub(in crate::transport) trait PacketStream: AsyncWrite + Unpin {
    /// Closes the session after what was written has arrived, and tells the client why.
    fn close(&mut self, code: u16, reason: &[u8]);
}

/// Takes the frames of a WebSocket's server, and writes them as packets.
pub(in crate::transport) struct PacketWriter<W> {
    stream: W,
    /// The frame's head, as far as it has been taken.
    head: Head<10>,
    /// The packet's head, as far as it is still to be written.
    packet: Vec<u8>,
    /// What comes behind the head, and how much of it.
    body: FrameBody,
    left: u64,
}

enum FrameBody {
    Packet,
    /// Why the session is closed, as far as it has been taken.
    Close(Vec<u8>),
    /// A control frame, which WebTransport has none of.
    Dropped,
}

impl<W: PacketStream> PacketWriter<W> {
    pub(in crate::transport) fn new(stream: W) -> Self {
        Self {
            stream,
            head: Head::EMPTY,
            packet: Vec::new(),
            body: FrameBody::Packet,
            left: 0,
        }
    }

    /// Takes bytes of a frame's head; returns how many.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        for (nth, byte) in bytes.iter().enumerate() {
            self.head.bytes[self.head.filled] = *byte;
            self.head.filled += 1;
            let head = self.head.filled();
            if head.len() >= 2 && head.len() == 2 + extended_length(head[1]) {
                self.begin_packet();
                return nth + 1;
            }
        }
        bytes.len()
    }

    fn begin_packet(&mut self) {
        let head = self.head.filled();
        self.left = length(&head[1..]);
        self.body = match head[0] & 0x0f {
            opcode @ (TEXT | BINARY) => {
                let kind = if opcode == BINARY { BINARY_BIT } else { 0 };
                self.packet.push(kind | head[1]);
                self.packet.extend_from_slice(&head[2..]);
                FrameBody::Packet
            }
            CLOSING => {
                if self.left == 0 {
                    self.stream.close(0, b"");
                }
                FrameBody::Close(Vec::new())
            }
            _ => FrameBody::Dropped,
        };
        self.head.filled = 0;
    }

    fn poll_packet_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.packet.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.packet))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packet.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: PacketStream> AsyncWrite for PacketWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_packet_head(context))?;
        if this.left == 0 {
            return Poll::Ready(Ok(this.take_head(bytes)));
        }
        let due = usize::try_from(this.left).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(due)];
        let taken = match &mut this.body {
            FrameBody::Packet => ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?,
            FrameBody::Dropped => bytes.len(),
            FrameBody::Close(why) => {
                let room = MAX_CONTROL.saturating_sub(why.len());
                why.extend_from_slice(&bytes[..bytes.len().min(room)]);
                bytes.len()
            }
        };
        this.left -= taken as u64;
        if this.left == 0
            && let FrameBody::Close(why) = &this.body
            && let [high, low, reason @ ..] = &why[..]
        {
            this.stream.close(u16::from_be_bytes([*high, *low]), reason);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_packet_head(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_packet_head(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
