//! One event for a handler.

use std::{cell::Cell, collections::VecDeque, sync::Arc};

use bytes::Bytes;
use engineioxide::Str;

use super::{AckSender, DisconnectReason, EventContext, SharedStates};
use crate::hub::PendingAnswer;

/// An event for a handler; [extractors](super::FromEvent) take from it what they need.
pub struct EventRequest {
    context: EventContext,
    /// The handler has the context, or a part of it by which it can change what is stored with the session.
    shares_context: Cell<bool>,
    /// `["name", argument…]`.
    pub(super) text: Str,
    pub(super) attachments: Option<VecDeque<Bytes>>,
    pub(super) ack: Option<AckSender>,
    pub(super) states: Arc<SharedStates>,
    /// In place of an event, the end of its connection.
    pub(in crate::transport::socketio) disconnect_reason: Option<DisconnectReason>,
}

impl EventRequest {
    pub(in crate::transport::socketio) fn new(
        context: EventContext,
        (text, attachments): (Str, Option<VecDeque<Bytes>>),
        ack: AckSender,
        states: Arc<SharedStates>,
    ) -> Self {
        Self {
            context,
            shares_context: Cell::new(false),
            text,
            attachments,
            ack: Some(ack),
            states,
            disconnect_reason: None,
        }
    }

    /// Keeps the answer, if the client may send the event again.
    pub(in crate::transport::socketio) fn keep_answer(&mut self, answer: Option<PendingAnswer>) {
        if let Some(ack) = &mut self.ack {
            ack.keep_answer(answer);
        }
    }

    /// The sender of the ack, unless an extractor has taken it.
    pub(in crate::transport::socketio) fn take_ack(&mut self) -> Option<AckSender> {
        self.ack.take()
    }

    /// The context.
    pub fn context(&self) -> &EventContext {
        self.shares_context.set(true);
        &self.context
    }

    /// The context, for what cannot change what is stored with the session.
    pub(super) fn peek_context(&self) -> &EventContext {
        &self.context
    }

    /// Whether the handler may have changed what is stored with the session.
    pub(in crate::transport::socketio) fn shares_context(&self) -> bool {
        self.shares_context.get()
    }
}
