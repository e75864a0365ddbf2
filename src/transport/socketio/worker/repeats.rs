//! Events of applications that a client may send again: who answers them, and what tells them apart.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::time::Instant;

use super::Worker;
use crate::{
    error::Result,
    events::Owner,
    hub::{AnswerKey, AnswerTurn, RequestCost},
    transport::socketio::event_packet::EventPacket,
};

/// How long a repeated event waits for the answer to the first one, besides what a hook or a handler may take.
const MARGIN: Duration = Duration::from_secs(5);

impl Worker {
    /// Whether an event may be a retry. Clients retry only events that ask for an ack.
    pub(super) fn may_repeat(&self, owner: Option<Owner>, event: &str, ack: Option<i64>) -> bool {
        let is_answered = matches!(owner, Some(Owner::Application | Owner::Hook(_)));
        let idempotent = &self.transport.idempotent;
        is_answered && ack.is_some() && idempotent.iter().any(|it| it.matches(event))
    }

    /// Waits for the turn to answer an event, or for the answer to the same event before.
    pub(super) async fn take_answer_turn(&mut self, packet: &EventPacket) -> Result<AnswerTurn> {
        let (hub, connection) = (
            self.transport.hub.clone(),
            self.executor.connection().clone(),
        );
        let mut context = Context::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        add(connection.namespace().as_str().as_bytes());
        add(connection.principal().user.as_str().as_bytes());
        add(packet.text.as_bytes());
        for attachment in packet.attachments.iter().flatten() {
            add(attachment);
        }
        let digest = context.finish();
        let key = AnswerKey(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        // With `retries` a client sends the next event when it has the ack of the last. So one that another node was sent, whose ack is
        // missing, comes before all others.
        let elsewhere = !std::mem::replace(&mut self.asked_elsewhere, true);
        let longest = self
            .transport
            .handler_timeout
            .max(hub.hooks().longest_timeout());
        let turn = hub.answer_turn(key, elsewhere, Instant::now() + longest + MARGIN);
        let turn = self.executor.drive_while(turn).await?;
        if let AnswerTurn::Repeated(_) = turn {
            self.executor.wait_turn(RequestCost::Message).await?;
        }
        Ok(turn)
    }
}
