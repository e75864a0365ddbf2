//! Events that a hook answers: the call, and what its reply says.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{AckTarget, Worker};
use crate::{
    error::{Code, Error, Result},
    hooks::{Action, Answer, CallTopic, EmitTarget, EventReply, push_binary},
    hub::{
        Event, OutgoingEvent, PendingAppend, Publish, PublishOutcome, RequestCost, call_subject,
    },
    limits::Exhausted,
    model::EventPayload,
    retry::log_in_bursts,
    transport::socketio::{
        event_packet::{EventArguments, EventPacket},
        handlers::EventContext,
        inbox::UNCHARGED_BYTES,
        placeholders::{Holds, check_placeholders, find_placeholders},
    },
};

impl Worker {
    /// Asks the endpoint that an event belongs to, while the connection's other work goes on, and does what it replies.
    pub(super) async fn call_hook(
        &mut self,
        index: usize,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
        target: &AckTarget,
    ) {
        let result = match self.ask_hook(index, arguments, packet).await {
            Ok(reply) => return self.carry_out_reply(reply, target).await,
            Err(error) => Err(error),
        };
        self.executor.note(result.as_ref().err());
        self.executor.sink().send(target, result.as_ref());
    }

    async fn ask_hook(
        &mut self,
        index: usize,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
    ) -> Result<EventReply> {
        self.executor.wait_turn(RequestCost::Message).await?;
        if let Some(attachments) = &packet.attachments {
            check_placeholders(arguments.values(), attachments)?;
        }
        // The packet, its arguments encoded anew, and what is written of them, for as long as the call takes.
        let sink = &self.executor.sink().event_sink;
        let mut charge = sink.account().charge(UNCHARGED_BYTES);
        charge
            .resize(packet.bytes().saturating_mul(3))
            .map_err(Exhausted::into_memory_error)?;
        let (hub, connection) = (
            self.transport.hub.clone(),
            self.executor.connection().clone(),
        );
        // Once the client has gone, all calls together have the time of one.
        let deadline = self.end.instant();
        let deadline = deadline.map(|ended| ended + hub.hooks().timeout(index));
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::unavailable("the client has gone"));
        }
        let (principal, state) = (connection.principal(), connection.state());
        let subject = call_subject(&*connection, &principal, state.as_deref());
        let args = || encode_arguments(arguments.values(), packet.attachments.as_ref());
        let topic = CallTopic::Event {
            event: &arguments.event,
            args: &args,
        };
        let asked = async {
            let _turn = connection.hook_turn().await;
            let hooks = hub.hooks();
            hooks.answer_event(index, &subject, &topic, deadline).await
        };
        match self.executor.drive_while(Box::pin(asked)).await {
            Ok(Answer::Reply(reply)) => Ok(reply),
            Ok(Answer::Denied(error)) => Err(error),
            Err(failure) => Err(failure.to_error()),
        }
    }

    /// Does what a reply says, in its order. An action that fails ends the list, and the client is told.
    async fn carry_out_reply(&mut self, reply: EventReply, target: &AckTarget) {
        let EventReply {
            ack,
            ack_first,
            state,
            actions,
        } = reply;
        let hub = self.transport.hub.clone();
        // While the endpoint was asked, the client may have resumed its session.
        let connection = hub.successor_of(self.executor.connection());
        let mut result = match state {
            Some(state) => connection.set_state(Some(state)),
            None => Ok(()),
        };
        let ack = ack.unwrap_or_else(EventPayload::empty);
        if ack_first && result.is_ok() {
            // What the ack confirms is stored before.
            hub.save_application(&connection).await;
            self.executor.sink().send(target, Ok(&ack));
        }
        if result.is_ok() && !actions.is_empty() {
            let context = EventContext {
                connection: connection.clone(),
                ..self.context()
            };
            let done = Box::pin(carry_out(&context, &target.event, actions));
            result = self.executor.drive_while(done).await;
        }
        hub.save_application(&connection).await;
        self.executor.note(result.as_ref().err());
        let sink = self.executor.sink();
        match (&result, ack_first) {
            (Ok(()), true) => {}
            (Ok(()), false) => sink.send(target, Ok(&ack)),
            (Err(error), false) => sink.send(target, Err(error)),
            (Err(error), true) => sink.send_error(target, error),
        }
        if let Err(error) = result {
            let event = &target.event;
            log_in_bursts!(warn, event, %error, "what a hook replied cannot be done");
        }
    }
}

/// The arguments of an event as an endpoint gets them: a JSON array in which attachments are Base64.
fn encode_arguments(values: &[&RawValue], attachments: Option<&VecDeque<Bytes>>) -> String {
    let bytes: usize = values.iter().map(|value| value.get().len() + 1).sum();
    let attached: usize = attachments.into_iter().flatten().map(Bytes::len).sum();
    let mut text = String::with_capacity(bytes + attached / 3 * 4 + 64);
    text.push('[');
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        let value = value.get();
        let mut copied = 0;
        for holder in attachments.map_or_else(Vec::new, |_| find_placeholders(value)) {
            let Holds::Placeholder(number) = holder.holds else {
                continue;
            };
            let bytes = number.and_then(|number| attachments?.get(number));
            text += &value[copied..holder.range.start];
            push_binary(&mut text, bytes.map(|bytes| &**bytes).unwrap_or_default());
            copied = holder.range.end;
        }
        text += &value[copied..];
    }
    text.push(']');
    text
}

/// Does actions in order. Messages take their place in the log's order at once, and are stored when this returns.
async fn carry_out(context: &EventContext, event: &str, actions: Vec<Action>) -> Result<()> {
    let mut storing: Vec<PendingAppend> = Vec::new();
    let mut done = Ok(());
    for action in actions {
        if !matches!(action, Action::Publish { .. }) {
            done = settle(&mut storing).await;
        }
        if done.is_ok() {
            done = context.act(event, action, &mut storing).await;
        }
        if done.is_err() {
            break;
        }
    }
    done.and(settle(&mut storing).await)
}

async fn settle(storing: &mut Vec<PendingAppend>) -> Result<()> {
    let mut settled = Ok(());
    for pending in storing.drain(..) {
        settled = settled.and(pending.settled().await.map(drop));
    }
    settled
}

impl EventContext {
    async fn act(
        &self,
        event: &str,
        action: Action,
        storing: &mut Vec<PendingAppend>,
    ) -> Result<()> {
        match action {
            Action::Join(room) => self.join(&room).await,
            Action::Leave(room) => self.leave(&room).await,
            Action::Emit {
                event,
                to,
                except_caller,
            } => self.emit_payload(event, to, except_caller).await,
            Action::Publish {
                room,
                event,
                data,
                id,
            } => {
                let publish = Publish {
                    room,
                    event,
                    data,
                    id,
                    ephemeral: false,
                    echo: true,
                };
                let namespace = self.connection.namespace();
                let from = Some(self.principal().sender());
                let published = self.hub.publish_as(namespace, publish, from).await?;
                if let PublishOutcome::Accepted(pending) = published {
                    storing.push(pending);
                }
                Ok(())
            }
            Action::Disconnect(reason) => {
                if !reason.is_empty() {
                    let error = Error::new(Code::Forbidden, reason);
                    let notice = super::super::event_sink::ErrorEvent {
                        event,
                        room: None,
                        error: &error,
                    };
                    self.connection
                        .push(&OutgoingEvent::notice("error", &notice));
                }
                self.disconnect();
                Ok(())
            }
        }
    }

    async fn emit_payload(
        &self,
        event: EventPayload,
        to: EmitTarget,
        except_caller: bool,
    ) -> Result<()> {
        let all = match except_caller {
            true => self.to_others(),
            false => self.to_all(),
        };
        let emitter = match to {
            EmitTarget::Caller => {
                // Before what is sent to it later, its ack above all.
                let broadcast = self.to_self().into_broadcast(event);
                let event = Event::Broadcast(Arc::new(broadcast));
                self.connection.push(&OutgoingEvent::new(event));
                return Ok(());
            }
            EmitTarget::Room(room) => all.to(room),
            EmitTarget::User(user) => all.to_user(&user),
            EmitTarget::All => all,
        };
        self.hub.emit(emitter.into_broadcast(event)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sent_as_they_are_with_attachments_as_base64() {
        let text = r#"[1.0,{"a":[{"num":1,"_placeholder":true}]},{"_placeholder":true,"num":0}]"#;
        let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let attachments = [Bytes::from_static(b"zero"), Bytes::from_static(b"one")].into();
        assert_eq!(
            encode_arguments(&values, Some(&attachments)),
            r#"[1.0,{"a":[{"$binary":"b25l"}]},{"$binary":"emVybw=="}]"#
        );
        assert_eq!(encode_arguments(&values, None), text);
        assert_eq!(encode_arguments(&[], None), "[]");
    }
}
