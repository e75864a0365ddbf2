//! What a client posts is looked at packet by packet, and socketioxide is given what remains.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep, timeout},
};

use super::{
    Assembled, Fault, Framing, Incoming, Verdict, Waiting,
    payload::{Packets, Payload, bodies},
    websocket::{LATER, PATIENCE, SOON},
};
use crate::transport::socketio::Link;

/// Gives a body's packets to socketioxide. Answers what the client is told, or why it is to be closed.
pub(in crate::transport::socketio) async fn post(
    link: &Link,
    framing: Framing,
    body: &[u8],
) -> Result<Response, Fault> {
    let text;
    let packets = match framing {
        Framing::Binary => Packets::of_bytes(body),
        _ => {
            // As Node reads it: what is not UTF-8 is replaced.
            text = String::from_utf8_lossy(body);
            Packets::of_text(&text, framing == Framing::Counted)
        }
    };
    let mut posting = Posting {
        link,
        payload: Payload::new(PIECE.min(link.intake().most())),
    };
    for packet in packets {
        posting.pause().await;
        let done = match packet {
            Ok(packet) => posting.take(packet).await?,
            Err(fault) => posting.end(fault).await?,
        };
        if let Some(refused) = done {
            return Ok(refused);
        }
    }
    let refused = posting.flush().await;
    Ok(refused.unwrap_or_else(|| "ok".into_response()))
}

struct Posting<'a> {
    link: &'a Link,
    /// Looked at and not given on.
    payload: Payload,
}

/// Bytes of packets that socketioxide is given in one go: it reads them without a pause.
const PIECE: usize = 4 << 10;

impl Posting<'_> {
    /// Leaves others their turn, and a client unread for a while that sends too much that carries no event.
    async fn pause(&self) {
        consume_budget().await;
        let pause = self.link.intake().rate().pause();
        if !pause.is_zero() {
            let _ = timeout(pause, self.link.outbox().ended()).await;
        }
    }

    /// Takes one packet; the answer if nothing more is taken.
    async fn take(&mut self, packet: Incoming<'_>) -> Result<Option<Response>, Fault> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.link.intake().take(packet) {
                Verdict::Pass(text) => return Ok(self.push(&text).await),
                Verdict::Binary(packet) => return Ok(self.binary(&packet).await),
                Verdict::Connect(waiting) => return self.connect(&waiting).await,
                Verdict::Done => return Ok(None),
                Verdict::End(fault) => return self.end(fault).await,
                Verdict::Later(namespace) => {
                    if let Some(refused) = self.flush().await {
                        return Ok(Some(refused));
                    }
                    let namespaces = self.link.intake().namespaces();
                    let mut soon = SOON;
                    while !namespaces.is_ready(namespace) {
                        if Instant::now() >= until {
                            return Err(Fault::NOT_TAKEN);
                        }
                        sleep(soon).await;
                        soon = LATER.min(soon * 2);
                    }
                }
            }
        }
    }

    /// Gives a CONNECT to socketioxide until it is taken up.
    async fn connect(&mut self, waiting: &Waiting) -> Result<Option<Response>, Fault> {
        let namespaces = self.link.intake().namespaces();
        let until = Instant::now() + PATIENCE;
        let mut soon = SOON;
        loop {
            let refused = match self.push(&waiting.text).await {
                None => self.flush().await,
                refused => refused,
            };
            if let Some(refused) = refused {
                namespaces.give_up(&waiting.namespace);
                return Ok(Some(refused));
            }
            let taken = namespaces.wait_until_taken(&waiting.namespace);
            if timeout(soon, taken).await.is_ok() {
                return Ok(None);
            }
            if Instant::now() >= until {
                namespaces.give_up(&waiting.namespace);
                return Err(Fault::NOT_TAKEN);
            }
            soon = LATER.min(soon * 2);
        }
    }

    /// What came before a fault is still handled.
    async fn end(&mut self, fault: Fault) -> Result<Option<Response>, Fault> {
        match self.flush().await {
            Some(refused) => Ok(Some(refused)),
            None => Err(fault),
        }
    }

    /// Adds a packet to what is given on; the answer if that was refused.
    async fn push(&mut self, packet: &str) -> Option<Response> {
        let full = self.payload.push(packet)?;
        refused(self.link.post(Body::from(full), Framing::Separated).await)
    }

    /// Gives on a packet with its attachments.
    async fn binary(&mut self, packet: &Assembled) -> Option<Response> {
        if let Some(refused) = self.push(&packet.text).await {
            return Some(refused);
        }
        if let Some(refused) = self.flush().await {
            return Some(refused);
        }
        for body in bodies(&packet.attachments, self.link.intake().most()) {
            let answer = self.link.post(Body::from(body), Framing::Binary).await;
            if let Some(refused) = refused(answer) {
                return Some(refused);
            }
        }
        None
    }

    /// Gives on what there is; the answer if it was refused.
    async fn flush(&mut self) -> Option<Response> {
        let payload = Body::from(self.payload.take()?);
        refused(self.link.post(payload, Framing::Separated).await)
    }
}

fn refused(answer: Response) -> Option<Response> {
    (!answer.status().is_success()).then_some(answer)
}
