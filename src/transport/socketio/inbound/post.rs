//! Filters the packets of a POST and forwards the rest to socketioxide.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep, timeout},
};

use super::{
    BinaryPacket, Incoming, PacketVerdict, PendingConnect, PostEncoding, ProtocolError,
    namespaces::{MAX_RETRY_DELAY, MIN_RETRY_DELAY, NAMESPACE_TIMEOUT},
    payload::{PayloadBuilder, PostedPackets, binary_bodies},
};
use crate::transport::socketio::engine_session::EngineSession;

/// Maximum bytes of packets that are forwarded at once: socketioxide reads them without yielding.
const MAX_FORWARDED: usize = 4 << 10;

/// Forwards the packets of a body to socketioxide. Returns the response to the client.
///
/// # Errors
/// The client is to be closed.
pub(in crate::transport::socketio) async fn forward_post(
    session: &EngineSession,
    encoding: PostEncoding,
    body: &[u8],
) -> Result<Response, ProtocolError> {
    let text;
    let packets = match encoding {
        PostEncoding::Binary => PostedPackets::binary(body),
        _ => {
            // As Node reads it: what is not UTF-8 is replaced.
            text = String::from_utf8_lossy(body);
            PostedPackets::text(&text, encoding == PostEncoding::LengthPrefixed)
        }
    };
    let mut forwarder = PostForwarder {
        session,
        payload: PayloadBuilder::new(MAX_FORWARDED.min(session.inbound().max_packet())),
    };
    for packet in packets {
        forwarder.throttle().await;
        let refused = match packet {
            Ok(packet) => forwarder.take(packet).await?,
            Err(error) => forwarder.close(error).await?,
        };
        if let Some(refused) = refused {
            return Ok(refused);
        }
    }
    let refused = forwarder.flush().await;
    Ok(refused.unwrap_or_else(|| "ok".into_response()))
}

/// Forwards the packets of one POST. Its methods return socketioxide's response if that refuses something.
struct PostForwarder<'a> {
    session: &'a EngineSession,
    /// Packets that passed the filter and were not forwarded yet.
    payload: PayloadBuilder,
}

impl PostForwarder<'_> {
    /// Yields to other tasks, and delays a client that sends too many packets without an event.
    async fn throttle(&self) {
        consume_budget().await;
        let pause = self.session.inbound().rate().pause();
        if !pause.is_zero() {
            let _ = timeout(pause, self.session.outbox().ended()).await;
        }
    }

    /// Takes one packet.
    async fn take(&mut self, packet: Incoming<'_>) -> Result<Option<Response>, ProtocolError> {
        let deadline = Instant::now() + NAMESPACE_TIMEOUT;
        loop {
            match self.session.inbound().filter(packet) {
                PacketVerdict::Pass(text) => return Ok(self.push(&text).await),
                PacketVerdict::PassBinary(packet) => return Ok(self.forward_binary(&packet).await),
                PacketVerdict::PassConnect(connect) => return self.forward_connect(&connect).await,
                PacketVerdict::Drop => return Ok(None),
                PacketVerdict::Close(error) => return self.close(error).await,
                PacketVerdict::Retry(namespace) => {
                    if let Some(refused) = self.flush().await {
                        return Ok(Some(refused));
                    }
                    let namespaces = self.session.inbound().namespaces();
                    let mut delay = MIN_RETRY_DELAY;
                    while !namespaces.is_ready(namespace) {
                        if Instant::now() >= deadline {
                            return Err(ProtocolError::CONNECT_IGNORED);
                        }
                        sleep(delay).await;
                        delay = MAX_RETRY_DELAY.min(delay * 2);
                    }
                }
            }
        }
    }

    /// Forwards a CONNECT again and again until socketioxide takes it up.
    async fn forward_connect(
        &mut self,
        connect: &PendingConnect,
    ) -> Result<Option<Response>, ProtocolError> {
        let namespaces = self.session.inbound().namespaces();
        let deadline = Instant::now() + NAMESPACE_TIMEOUT;
        let mut delay = MIN_RETRY_DELAY;
        loop {
            let refused = match self.push(&connect.text).await {
                None => self.flush().await,
                refused => refused,
            };
            if let Some(refused) = refused {
                namespaces.cancel_request(&connect.namespace);
                return Ok(Some(refused));
            }
            let taken = namespaces.wait_until_taken(&connect.namespace);
            if timeout(delay, taken).await.is_ok() {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                namespaces.cancel_request(&connect.namespace);
                return Err(ProtocolError::CONNECT_IGNORED);
            }
            delay = MAX_RETRY_DELAY.min(delay * 2);
        }
    }

    /// Forwards what came before an error, then fails with it.
    async fn close(&mut self, error: ProtocolError) -> Result<Option<Response>, ProtocolError> {
        match self.flush().await {
            Some(refused) => Ok(Some(refused)),
            None => Err(error),
        }
    }

    /// Adds a packet to the payload.
    async fn push(&mut self, packet: &str) -> Option<Response> {
        let full = self.payload.push(packet)?;
        let body = Body::from(full);
        into_refusal(self.session.post(body, PostEncoding::Separated).await)
    }

    /// Forwards a packet with its attachments.
    async fn forward_binary(&mut self, packet: &BinaryPacket) -> Option<Response> {
        if let Some(refused) = self.push(&packet.text).await {
            return Some(refused);
        }
        if let Some(refused) = self.flush().await {
            return Some(refused);
        }
        for body in binary_bodies(&packet.attachments, self.session.inbound().max_packet()) {
            let response = self.session.post(Body::from(body), PostEncoding::Binary);
            if let Some(refused) = into_refusal(response.await) {
                return Some(refused);
            }
        }
        None
    }

    /// Forwards the payload.
    async fn flush(&mut self) -> Option<Response> {
        let payload = Body::from(self.payload.take()?);
        into_refusal(self.session.post(payload, PostEncoding::Separated).await)
    }
}

fn into_refusal(response: Response) -> Option<Response> {
    (!response.status().is_success()).then_some(response)
}
