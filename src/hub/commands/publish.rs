//! `message` and `publish`: sending messages and events to a room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::Handle;
use tracing::Span;

use crate::hub::{Caller, Connection, Hub};
use crate::{
    auth::Permission,
    backend::{Appended, BusEvent, Draft, Receipt},
    error::{Code, Error, Result},
    model::{
        ConnectionId, Ephemeral, EventName, MessageId, Namespace, RoomKey, RoomName, Sender,
        Timestamp, UserId,
    },
    telemetry::Metrics,
    traces,
};

/// A message or an event for a room.
///
/// ```
/// use switchboard::{
///     hub::Publish,
///     model::{MessageId, RoomName, UserId},
/// };
///
/// let message = Publish {
///     id: Some(MessageId::parse("order-7")?),
///     ..Publish::new(RoomName::parse("orders")?, "message", &"on its way")?
/// };
/// let cursor = Publish {
///     ephemeral: true,
///     ..Publish::new(RoomName::parse("board")?, "cursor", &(3, 4))?
/// };
/// let notification = Publish::notification(&UserId::parse("alice")?, &"on its way")?;
/// assert_eq!(notification.room, RoomName::parse("user:alice")?);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Publish {
    /// The room.
    pub room: RoomName,
    /// The name of the event that members get.
    pub event: EventName,
    /// Its data, byte for byte.
    pub data: Arc<RawValue>,
    /// The sender's id for it, by which repeats are dropped.
    pub id: Option<MessageId>,
    /// Neither numbered nor stored.
    pub ephemeral: bool,
    /// Delivered to the sending connection, too.
    pub echo: bool,
}

impl Publish {
    /// A message with `data`: stored, delivered to all members, with an id that the server generates.
    ///
    /// # Errors
    /// Fails with `bad_request` if `event` is not an event name or is reserved, or `data` cannot be JSON.
    pub fn new(room: RoomName, event: &str, data: &impl Serialize) -> Result<Self> {
        let data = to_raw_value(data)
            .map_err(|error| Error::bad_request("the data cannot be JSON").caused_by(error))?;
        Ok(Self {
            room,
            event: EventName::parse(event)?,
            data: data.into(),
            id: None,
            ephemeral: false,
            echo: true,
        })
    }

    /// A notification for a user, connected or not: stored in the personal room until retention trims it.
    ///
    /// # Errors
    /// Fails with `bad_request` if `data` cannot be JSON.
    pub fn notification(user: &UserId, data: &impl Serialize) -> Result<Self> {
        let message = Self::new(RoomName::personal(user), EventName::MESSAGE, data)?;
        Ok(Self {
            event: EventName::notification(),
            ..message
        })
    }
}

/// The result of a [`Publish`].
///
/// ```no_run
/// use switchboard::{
///     Result,
///     hub::{Hub, Publish, PublishOutcome},
///     model::{Namespace, RoomName},
/// };
///
/// # async fn run(hub: Hub) -> Result<()> {
/// let publish = Publish::new(RoomName::parse("news")?, "message", &"hello")?;
/// match hub.publish_as(&Namespace::root(), publish, None).await? {
///     PublishOutcome::Accepted(pending) => {
///         let stored = pending.settled().await?;
///         println!("message {} of epoch {}", stored.seq, stored.epoch);
///     }
///     PublishOutcome::Sent => println!("an ephemeral event has no number"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum PublishOutcome {
    /// It has its place in the log's order, and is being stored.
    Accepted(PendingAppend),
    /// It was sent and is not stored.
    Sent,
}

/// A message on its way to the log. It is stored and counted whether or not this is waited for.
#[derive(Debug)]
pub struct PendingAppend {
    /// `None` once it is settled.
    receipt: Option<Receipt>,
    began: Instant,
    metrics: Arc<Metrics>,
    span: Span,
}

impl PendingAppend {
    /// Waits until the message is stored and on its way to the members.
    ///
    /// # Errors
    /// Fails with `unavailable` if the log could not store it.
    pub async fn settled(mut self) -> Result<Appended> {
        let Some(receipt) = &mut self.receipt else {
            return Err(Error::new(Code::Internal, "the message is settled already"));
        };
        let appended = receipt.wait_mut().await;
        self.receipt = None;
        self.record(&appended);
        appended
    }

    /// Counts it, and records in its span what has become of it.
    fn record(&self, appended: &Result<Appended>) {
        match appended {
            Ok(appended) => {
                self.metrics
                    .appended(appended.duplicate, self.began.elapsed());
                traces::record_appended(&self.span, appended.seq.0, appended.duplicate);
            }
            Err(error) => traces::record_error(&self.span, error.code().as_str()),
        }
    }
}

impl Drop for PendingAppend {
    fn drop(&mut self) {
        let (Some(mut receipt), Ok(runtime)) = (self.receipt.take(), Handle::try_current()) else {
            return;
        };
        // The request was cancelled, or an application does not wait.
        let pending = Self {
            receipt: None,
            began: self.began,
            metrics: self.metrics.clone(),
            span: self.span.clone(),
        };
        runtime.spawn(async move {
            let appended = receipt.wait_mut().await;
            pending.record(&appended);
        });
    }
}

impl PublishOutcome {
    /// Waits until it is stored. Returns `None` for an ephemeral event, which is not.
    ///
    /// # Errors
    /// Fails with `unavailable` if the log could not store it.
    pub async fn settled(self) -> Result<Option<Appended>> {
        match self {
            PublishOutcome::Accepted(storing) => storing.settled().await.map(Some),
            PublishOutcome::Sent => Ok(None),
        }
    }
}

impl Hub {
    /// Publishes to a room in the caller's name, within its rate. The message has its place in the log's order when this
    /// returns.
    ///
    /// # Errors
    /// Fails with `rate_limited` if the caller is over its rate, and `forbidden` if it may not publish in the room. Fails with
    /// `too_large` if the data is larger or deeper than configured. Fails with `bad_request` if the room's name is longer than
    /// configured, for an ephemeral `message`, and for a notification that is ephemeral or not for a personal room. Fails with
    /// `unavailable` if the log cannot accept it.
    pub async fn publish(&self, caller: &impl Caller, request: Publish) -> Result<PublishOutcome> {
        let now = Instant::now();
        self.take_message_permit(caller, now)?;
        self.reserve_in_room(caller, &request.room, now, Duration::ZERO)?;
        self.publish_admitted(caller, request).await
    }

    /// As [`publish`](Self::publish), for a caller that has taken a permit already.
    pub(crate) async fn publish_admitted(
        &self,
        caller: &impl Caller,
        mut request: Publish,
    ) -> Result<PublishOutcome> {
        self.check_publish(caller, &request.room)?;
        self.check_publish_policy(caller, &request.room)?;
        if self.asks_about(&request) {
            self.permit_publish(caller, &mut request).await?;
        }
        self.send_for(caller, request).await
    }

    /// As [`publish`](Self::publish), for what an application does in a caller's name: no hook is asked.
    pub(crate) async fn publish_unasked(
        &self,
        caller: &impl Caller,
        request: Publish,
    ) -> Result<PublishOutcome> {
        self.check_publish(caller, &request.room)?;
        self.check_not_closed(&request.room)?;
        self.send_for(caller, request).await
    }

    /// Sends in a caller's name, who may.
    async fn send_for(&self, caller: &impl Caller, request: Publish) -> Result<PublishOutcome> {
        let own = caller.connection().map(Connection::id);
        let except = own.filter(|_| !request.echo);
        let room = caller.room_key(&request.room);
        self.send(room, request, caller.sender(), except).await
    }

    /// Whether a caller may publish, as far as its grants and the room's policy say.
    pub(super) fn may_publish(&self, caller: &impl Caller, room: &RoomName) -> bool {
        let checked = self.check_publish(caller, room);
        checked
            .and_then(|()| self.check_publish_policy(caller, room))
            .is_ok()
    }

    /// Checks that a caller may publish in the room.
    fn check_publish(&self, caller: &impl Caller, room: &RoomName) -> Result<()> {
        if !caller.may(Permission::Publish, room) {
            return Err(Error::forbidden(format!(
                "this identity may not send to {room}"
            )));
        }
        self.limiter().check_name(room.bytes())
    }

    /// Publishes to a room on behalf of the application itself: no grants and no rates apply, and the application chooses the
    /// sender.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish), except `rate_limited` and `forbidden`.
    pub async fn publish_as(
        &self,
        namespace: &Namespace,
        request: Publish,
        from: Option<Sender>,
    ) -> Result<PublishOutcome> {
        self.check_not_closed(&request.room)?;
        let room = RoomKey {
            namespace: namespace.clone(),
            room: request.room.clone(),
        };
        self.send(room, request, from, None).await
    }

    async fn send(
        &self,
        room: RoomKey,
        request: Publish,
        from: Option<Sender>,
        except: Option<ConnectionId>,
    ) -> Result<PublishOutcome> {
        self.check_content(&request.room, request.event.as_str(), &request.data)?;
        self.limiter().check_name(request.room.bytes())?;
        if request.event.is_notification() && (request.ephemeral || !request.room.is_personal()) {
            return Err(Error::bad_request(
                "a notification is kept, and goes to a user's personal room, user:<id>",
            ));
        }
        if request.ephemeral {
            self.send_ephemeral(room, request, from, except).await?;
            return Ok(PublishOutcome::Sent);
        }
        let entries = self.outbox_entries(&room, &request.event).await;
        let draft = Draft {
            room,
            id: request.id,
            event: request.event,
            from,
            data: request.data,
            except,
            entries,
        };
        let (began, span) = (Instant::now(), traces::append(draft.room.room.as_str()));
        let receipt = self.backend().log.append(draft).await;
        let receipt =
            receipt.inspect_err(|error| traces::record_error(&span, error.code().as_str()))?;
        Ok(PublishOutcome::Accepted(PendingAppend {
            receipt: Some(receipt),
            began,
            metrics: self.metrics().clone(),
            span,
        }))
    }

    async fn send_ephemeral(
        &self,
        room: RoomKey,
        request: Publish,
        from: Option<Sender>,
        except: Option<ConnectionId>,
    ) -> Result<()> {
        if request.event.is_message() {
            return Err(Error::bad_request(
                "the event message is always kept; give an ephemeral event another name",
            ));
        }
        let event = Ephemeral {
            room,
            id: request.id,
            event: request.event,
            from,
            data: request.data,
            ts: Timestamp::now(),
        };
        let event = BusEvent::Ephemeral(Arc::new(event), except);
        self.backend().bus.send(event).await?;
        self.metrics().ephemeral.inc();
        Ok(())
    }
}
