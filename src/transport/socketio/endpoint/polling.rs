//! Polls and POSTs of sessions that poll.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Request, header};

use super::{EngineEndpoint, close_for, read_body};
use crate::{
    error::{Error, Result},
    transport::{
        buffered_body::{BodyError, BufferedBody, UNCHARGED_BYTES},
        socketio::{
            engine_session::EngineSession,
            inbound::{self, PostEncoding, ProtocolError},
            query::EngineRequestError,
        },
        wire::{PollingResponse, noop_response, rewrite_poll_response},
    },
};

/// Interval of the heartbeats sent for a session that polls while its packets are left unread.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum bytes of one poll response: a slow client that takes one within the stall timeout is not closed.
const MAX_POLL_RESPONSE: usize = 128 << 10;

impl EngineEndpoint {
    /// Responds to a poll: with what engineioxide has, or with a no-op where an upgrade needs one.
    pub(super) async fn poll(&self, session: &EngineSession) -> Result<Response> {
        let Some(encoding) = session.poll_encoding() else {
            return Ok(EngineRequestError::BadRequest.into_response()); // it never polled
        };
        // engineioxide closes a session with two polls at once.
        let poll_guard = session
            .upgrade()
            .and_then(|upgrade| Some((upgrade, upgrade.start_poll()?)));
        let (parts, body) = loop {
            let Some(request) = session.poll_request() else {
                return Ok(EngineRequestError::BadRequest.into_response());
            };
            let response = match &poll_guard {
                None => self.forward(request).await,
                Some((upgrade, _)) => tokio::select! {
                    biased;
                    response = self.forward(request) => response,
                    // engineioxide's response, dropped while it is pending, has not taken any packet.
                    () = upgrade.noop_due() => return Ok(poll_response(noop_response(encoding))),
                },
            };
            let (parts, body) = response.into_parts();
            let body = read_body(body).await?;
            match session.strip_first_ping(&body).await {
                // There was nothing else, and the client's poll goes on.
                Some(rest) if rest.is_empty() => {}
                Some(rest) => break (parts, Bytes::from(rest)),
                None => break (parts, body),
            }
        };
        if let Some(error) = session.rejection() {
            return Err(error.clone());
        }
        if !parts.status.is_success() {
            return Ok(Response::from_parts(parts, Body::from(body)));
        }
        let budget = self.max_payload.min(MAX_POLL_RESPONSE);
        let rewritten = rewrite_poll_response(&body, encoding, session.outbox(), budget);
        let response = rewritten.unwrap_or_else(|| PollingResponse {
            bytes: body.into(),
            binary: false,
        });
        let metrics = self.admission.hub().metrics();
        metrics.sent_bytes.inc_by(response.bytes.len() as u64);
        Ok(poll_response(response))
    }

    /// Leaves a client's packets unread while one of its inboxes is full. It sends no heartbeat meanwhile, so they are sent in
    /// its name.
    pub(super) async fn wait_while_paused(&self, session: &EngineSession) {
        while tokio::time::timeout(HEARTBEAT_INTERVAL, session.outbox().reads_resumed())
            .await
            .is_err()
        {
            drop(session.send_heartbeat());
        }
    }

    /// Handles a POST of packets.
    pub(super) async fn post(
        &self,
        request: Request<Body>,
        session: &EngineSession,
        protocol: u8,
    ) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let charge = session.account().charge(UNCHARGED_BYTES);
        let body = tokio::select! {
            body = BufferedBody::read(body, self.max_payload, self.body_timeout, charge) => body,
            () = session.outbox().ended() => {
                return Ok(EngineRequestError::BadRequest.into_response());
            }
        };
        let body = match body {
            Ok(body) => body,
            Err(BodyError::TooLarge) => {
                return Err(close_for(session, ProtocolError::TOO_LARGE).await);
            }
            Err(BodyError::Exhausted(limit)) => return Err(limit.into_memory_error()),
            Err(BodyError::Broken) => {
                return Err(Error::bad_request("the request's body ended early"));
            }
            Err(BodyError::TooSlow) => {
                let message = "the request's body took too long to arrive";
                return Err(Error::bad_request(message));
            }
        };
        let metrics = self.admission.hub().metrics();
        metrics.received_bytes.inc_by(body.len() as u64);
        let binary = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|content_type| content_type == "application/octet-stream");
        let encoding = match protocol {
            3 if binary => PostEncoding::Binary,
            3 => PostEncoding::LengthPrefixed,
            _ => PostEncoding::Separated,
        };
        match inbound::forward_post(session, encoding, &body).await {
            Ok(response) => Ok(response),
            Err(error) => Err(close_for(session, error).await),
        }
    }
}

fn poll_response(response: PollingResponse) -> Response {
    let content_type = match response.binary {
        true => "application/octet-stream",
        false => "text/plain; charset=UTF-8",
    };
    ([(header::CONTENT_TYPE, content_type)], response.bytes).into_response()
}
