//! What is read of a client's WebSocket: its frames, each looked at before socketioxide reads it.
//!
//! The usual frame, a whole one with a packet that passes as it is, stays where it was read and costs no copy. Everything
//! else (fragments, frames in parts, packets that are written again or dropped) is put together here, within the bounds of
//! a message, and goes on as whole frames.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    Assembled, Fault, Incoming, Intake, Protocol, Verdict, Waiting,
    frame::{self, BINARY, CONTINUATION, Head, TEXT},
};
use crate::http::upgrade;

/// The frames of one client.
pub(in crate::transport::socketio) struct Reader {
    stream: upgrade::StreamReader,
    intake: Arc<Intake>,
    /// Read and not looked at.
    input: BytesMut,
    /// Looked at and not given on.
    output: BytesMut,
    /// A message of which more fragments are to come.
    fragments: Option<(u8, Vec<u8>)>,
    waits: Option<Box<Wait>>,
    /// How often the client had been held back when it was last known alive.
    held_back: usize,
    ended: bool,
}

/// Engine.IO's "pong": a client that was held back is alive, and what it said to a ping is still to be read.
const ALIVE: &[u8] = b"3";

/// Nothing more is given to socketioxide for the moment.
struct Wait {
    what: What,
    again: Pin<Box<Sleep>>,
    next: Duration,
    until: Instant,
}

/// What is waited for.
enum What {
    /// A CONNECT has to be taken up.
    Taken(Waiting),
    /// The first packet of the input is to be offered again once its namespace is ready.
    Ready(String),
}

/// How soon a CONNECT is given to socketioxide again, at first.
pub(super) const SOON: Duration = Duration::from_millis(2);
/// And at most.
pub(super) const LATER: Duration = Duration::from_millis(100);
/// How long a CONNECT may go without being taken up, and a packet without its namespace.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client that was closed is read on: ended at once, what it still sends would have it lose the close frame.
const LISTEN_OUT: Duration = Duration::from_secs(5);

impl Reader {
    pub(in crate::transport::socketio) fn new(
        stream: upgrade::StreamReader,
        intake: Arc<Intake>,
    ) -> Self {
        let held_back = intake.held_back();
        Self {
            stream,
            held_back,
            intake,
            input: BytesMut::new(),
            output: BytesMut::new(),
            fragments: None,
            waits: None,
            ended: false,
        }
    }

    /// Whether nothing is under way here, so that what is read may stay where it is.
    fn is_idle(&self) -> bool {
        self.input.is_empty()
            && self.output.is_empty()
            && self.fragments.is_none()
            && self.waits.is_none()
    }

    /// Looks at what was read in place; how many bytes of it may stay there. The rest is taken.
    fn pass_in_place(&mut self, bytes: &mut [u8]) -> usize {
        let mut passed = 0;
        loop {
            let rest = &mut bytes[passed..];
            let head = match Head::read(rest, self.intake.most) {
                Ok(Some(head)) if head.whole() <= rest.len() => head,
                _ => break,
            };
            let whole = head.whole();
            if !head.is_control() {
                if !head.last || head.opcode != TEXT {
                    break;
                }
                let payload = head.unmask(rest);
                let Ok(text) = std::str::from_utf8(payload) else {
                    break;
                };
                match self.intake.take(Incoming::Text(text)) {
                    Verdict::Pass(Cow::Borrowed(passes)) if passes.len() == text.len() => {}
                    verdict => {
                        let again = matches!(verdict, Verdict::Later(_));
                        self.follow(verdict);
                        if !again {
                            self.input.extend_from_slice(&bytes[passed + whole..]);
                            return passed;
                        }
                        break;
                    }
                }
            }
            passed += whole;
        }
        self.input.extend_from_slice(&bytes[passed..]);
        passed
    }

    /// Looks at the next frame of the input; false if it is not complete.
    fn look(&mut self) -> bool {
        let head = match Head::read(&self.input, self.intake.most) {
            Ok(Some(head)) if head.whole() <= self.input.len() => head,
            Ok(_) => return false,
            Err(fault) => {
                self.follow(Verdict::End(fault));
                return true;
            }
        };
        if head.is_control() {
            let frame = self.input.split_to(head.whole());
            self.output.extend_from_slice(&frame);
            return true;
        }
        if head.last && head.opcode != CONTINUATION && self.fragments.is_none() {
            let mut frame = self.input.split_to(head.whole());
            let payload = head.unmask(&mut frame);
            let verdict = judge(&self.intake, head.opcode, payload);
            let again = matches!(verdict, Verdict::Later(_));
            self.follow(verdict);
            if again {
                // Unmasked, and with a mask of nothing now: looked at again, it reads the same.
                frame.unsplit(std::mem::take(&mut self.input));
                self.input = frame;
            }
            return true;
        }
        let fault = self.fragment(head);
        if let Err(fault) = fault {
            self.follow(Verdict::End(fault));
        }
        true
    }

    /// Adds a fragment to its message; a complete message becomes a frame of the input.
    fn fragment(&mut self, head: Head) -> Result<(), Fault> {
        let mut frame = self.input.split_to(head.whole());
        let payload = head.unmask(&mut frame);
        let (opcode, mut message) = match (head.opcode, self.fragments.take()) {
            (CONTINUATION, Some(begun)) => begun,
            (CONTINUATION, None) => return Err(Fault::protocol("a fragment of no message")),
            (opcode, None) => (opcode, Vec::new()),
            (_, Some(_)) => return Err(Fault::protocol("a message within another one")),
        };
        if message.len() + payload.len() > self.intake.most {
            return Err(Fault::TOO_LARGE);
        }
        message.extend_from_slice(payload);
        if !head.last {
            self.fragments = Some((opcode, message));
            return Ok(());
        }
        let mut whole = BytesMut::new();
        frame::put(&mut whole, opcode, &[&message]);
        whole.unsplit(std::mem::take(&mut self.input));
        self.input = whole;
        Ok(())
    }

    /// Does what a verdict says.
    fn follow(&mut self, verdict: Verdict<'_>) {
        match verdict {
            Verdict::Pass(text) => frame::put(&mut self.output, TEXT, &[text.as_bytes()]),
            Verdict::Binary(Assembled { text, attachments }) => {
                frame::put(&mut self.output, TEXT, &[text.as_bytes()]);
                // Of Engine.IO 3 each begins with the type "message".
                let kind: &[u8] = match self.intake.protocol() {
                    Protocol::V3 => &[4],
                    Protocol::V4 => &[],
                };
                for attachment in attachments {
                    frame::put(&mut self.output, BINARY, &[kind, &attachment]);
                }
            }
            Verdict::Connect(waiting) => {
                frame::put(&mut self.output, TEXT, &[waiting.text.as_bytes()]);
                self.waits = Some(Box::new(Wait::new(What::Taken(waiting))));
            }
            Verdict::Later(namespace) => {
                let ready = What::Ready(namespace.to_owned());
                self.waits = Some(Box::new(Wait::new(ready)));
            }
            Verdict::Done => {}
            Verdict::End(fault) => self.end(fault),
        }
    }

    /// Closes the client. socketioxide sees the end of the stream.
    fn end(&mut self, fault: Fault) {
        self.ended = true;
        self.input = BytesMut::new();
        self.fragments = None;
        self.waits = None;
        self.intake.end_websocket(fault);
        let mut stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        tokio::spawn(tokio::time::timeout(LISTEN_OUT, async move {
            let mut nowhere = [0; 4096];
            while stream.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
        }));
    }

    /// Waits, if there is something to wait for; what is to be given to socketioxide again goes into the output.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.waits else {
            return Poll::Ready(());
        };
        let namespaces = self.intake.namespaces();
        let waiting = match &wait.what {
            What::Taken(waiting) if namespaces.is_taken(&waiting.namespace, context) => {
                self.waits = None;
                return Poll::Ready(());
            }
            What::Taken(waiting) => Some(waiting),
            What::Ready(_) => None,
        };
        ready!(wait.again.as_mut().poll(context));
        wait.next = LATER.min(wait.next * 2);
        wait.again.as_mut().reset(Instant::now() + wait.next);
        let Some(waiting) = waiting else {
            if matches!(&wait.what, What::Ready(namespace) if namespaces.is_ready(namespace)) {
                self.waits = None;
            }
            return Poll::Ready(());
        };
        if Instant::now() >= wait.until {
            namespaces.give_up(&waiting.namespace);
            self.end(Fault::NOT_TAKEN);
            return Poll::Ready(());
        }
        frame::put(&mut self.output, TEXT, &[waiting.text.as_bytes()]);
        Poll::Ready(())
    }
}

impl Wait {
    fn new(what: What) -> Self {
        Self {
            what,
            again: Box::pin(tokio::time::sleep(SOON)),
            next: SOON,
            until: Instant::now() + PATIENCE,
        }
    }
}

/// Looks at a whole message.
fn judge<'a>(intake: &Intake, opcode: u8, payload: &'a [u8]) -> Verdict<'a> {
    let incoming = match opcode {
        BINARY => Incoming::Binary(payload),
        _ => match std::str::from_utf8(payload) {
            Ok(text) => Incoming::Text(text),
            Err(_) => return Verdict::End(Fault::NOT_UTF8),
        },
    };
    intake.take(incoming)
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let held_back = self.intake.held_back();
        if self.held_back != held_back && self.output.is_empty() && !self.ended {
            self.held_back = held_back;
            frame::put(&mut self.output, TEXT, &[ALIVE]);
        }
        loop {
            if !self.output.is_empty() {
                let bytes = buffer.remaining().min(self.output.len());
                buffer.put_slice(&self.output.split_to(bytes));
                if self.output.is_empty() {
                    self.output = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.waits.is_some() {
                ready!(self.poll_wait(context));
                continue;
            }
            if !self.input.is_empty() && self.look() {
                continue;
            }
            if self.input.is_empty() {
                self.input = BytesMut::new(); // it would keep the memory of what was read
            }
            let idle = self.is_idle();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = &mut buffer.filled_mut()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let stays = match idle {
                true => self.pass_in_place(read),
                false => {
                    self.input.put_slice(read);
                    0
                }
            };
            buffer.set_filled(before + stays);
            if stays > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
