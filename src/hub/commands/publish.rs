//! `message` and `publish`: sending to a room.

use std::{sync::Arc, time::Instant};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::Handle;

use crate::hub::{Caller, Connection, Hub};
use crate::{
    auth::Permission,
    backend::{Appended, Draft, Receipt},
    error::{Code, Error, Limit, Result},
    limits::exceeds_depth,
    model::{
        ConnectionId, Ephemeral, EventName, MessageId, Namespace, RoomKey, RoomName, Sender,
        Timestamp, UserId,
    },
    telemetry::Metrics,
};

/// Something to send to a room.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The room.
    pub room: RoomName,
    /// The name it is delivered under.
    pub event: EventName,
    /// What to send, byte for byte.
    pub data: Arc<RawValue>,
    /// The sender's id for it.
    pub id: Option<MessageId>,
    /// Not numbered and not kept.
    pub ephemeral: bool,
    /// Delivered to the sending connection too.
    pub echo: bool,
}

impl Publish {
    /// `data` for `room` under an event's name: kept, delivered to everybody, with an id of the server's.
    ///
    /// # Errors
    /// `bad_request` if `event` is no event name, or `data` cannot be JSON.
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
}

impl Publish {
    /// A notification for a user, absent or not: kept in the personal room until the log's retention ends.
    ///
    /// # Errors
    /// `bad_request` if `data` cannot be JSON.
    pub fn notification(user: &UserId, data: &impl Serialize) -> Result<Self> {
        let message = Self::new(RoomName::personal(user), EventName::MESSAGE, data)?;
        Ok(Self {
            event: EventName::notification(),
            ..message
        })
    }
}

/// What became of a [`Publish`].
#[derive(Debug)]
pub enum Publishing {
    /// It has its place in the order; this tells when it is stored.
    Accepted(Storing),
    /// It was passed on and is not kept.
    Sent,
}

/// A message on its way into the log. It is stored and counted whether or not this is waited for.
#[derive(Debug)]
pub struct Storing {
    /// Taken once it has been settled.
    receipt: Option<Receipt>,
    began: Instant,
    metrics: Arc<Metrics>,
}

impl Storing {
    /// Waits until the message is stored and on its way to the members, or could not be.
    ///
    /// # Errors
    /// `unavailable` if the log could not take it.
    pub async fn settled(mut self) -> Result<Appended> {
        let Some(receipt) = &mut self.receipt else {
            return Err(Error::new(Code::Internal, "a message is settled once"));
        };
        let appended = receipt.wait_mut().await;
        self.receipt = None;
        if let Ok(appended) = &appended {
            self.metrics
                .appended(appended.duplicate, self.began.elapsed());
        }
        appended
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        let (Some(mut receipt), Ok(runtime)) = (self.receipt.take(), Handle::try_current()) else {
            return;
        };
        // Nobody waits any more: a request was broken off, or an application does not ask.
        let (began, metrics) = (self.began, self.metrics.clone());
        runtime.spawn(async move {
            if let Ok(appended) = receipt.wait_mut().await {
                metrics.appended(appended.duplicate, began.elapsed());
            }
        });
    }
}

impl Publishing {
    /// Waits until it is stored; what is not kept has no answer to wait for.
    ///
    /// # Errors
    /// `unavailable` if the log could not take it.
    pub async fn settled(self) -> Result<Option<Appended>> {
        match self {
            Publishing::Accepted(storing) => storing.settled().await.map(Some),
            Publishing::Sent => Ok(None),
        }
    }
}

impl Hub {
    /// Sends to a room in the caller's name, within its rate. Its place in the order is taken when this returns.
    pub async fn publish(&self, caller: &impl Caller, request: Publish) -> Result<Publishing> {
        self.take_message_permit(caller, Instant::now())?;
        self.publish_admitted(caller, request).await
    }

    /// As [`publish`](Self::publish), for what has passed its sender's rate before.
    pub(crate) async fn publish_admitted(
        &self,
        caller: &impl Caller,
        request: Publish,
    ) -> Result<Publishing> {
        if !caller.may(Permission::Publish, &request.room) {
            return Err(Error::forbidden(format!(
                "this identity may not send to {}",
                request.room
            )));
        }
        let own = caller.connection().map(Connection::id);
        let except = own.filter(|_| !request.echo);
        let room = caller.key(&request.room);
        self.send(room, request, caller.sender(), except).await
    }

    /// Sends to a room on behalf of the application itself: no grants and no rates apply, and `from` is whoever the
    /// application says.
    pub async fn publish_as(
        &self,
        namespace: &Namespace,
        request: Publish,
        from: Option<Sender>,
    ) -> Result<Publishing> {
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
    ) -> Result<Publishing> {
        self.check_data(&request.data)?;
        self.check_name(request.room.bytes())?;
        if request.event.is_notification() && (request.ephemeral || !request.room.is_personal()) {
            return Err(Error::bad_request(
                "a notification is kept, and goes to a user's personal room, user:<id>",
            ));
        }
        if request.ephemeral {
            self.send_ephemeral(room, request, from, except).await?;
            return Ok(Publishing::Sent);
        }
        let draft = Draft {
            room,
            id: request.id,
            event: request.event,
            from,
            data: request.data,
            except,
        };
        let began = Instant::now();
        Ok(Publishing::Accepted(Storing {
            receipt: Some(self.0.backend.log.append(draft).await?),
            began,
            metrics: self.0.metrics.clone(),
        }))
    }

    /// Refuses data that is larger or deeper than configured.
    pub(in crate::hub) fn check_data(&self, data: &RawValue) -> Result<()> {
        self.check_bytes(data.get().len())?;
        self.check_nesting(data)
    }

    pub(in crate::hub) fn check_bytes(&self, bytes: usize) -> Result<()> {
        let most = self.0.limits.message_bytes.bytes();
        if bytes > most {
            let message =
                format!("the data of a message may have {most} bytes, this one has {bytes}");
            return Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes));
        }
        Ok(())
    }

    pub(in crate::hub) fn check_nesting(&self, data: &RawValue) -> Result<()> {
        let levels = self.0.limits.nesting;
        if exceeds_depth(data.get(), levels) {
            let message = format!("the data of a message may nest {levels} arrays and objects");
            return Err(Error::new(Code::TooLarge, message).for_limit(Limit::Nesting));
        }
        Ok(())
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
        self.0.backend.bus.send(Arc::new(event), except).await?;
        self.0.metrics.ephemeral.inc();
        Ok(())
    }
}
