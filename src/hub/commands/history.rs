//! `history`: reading a part of a room's log.

use std::{sync::Arc, time::Instant};

use serde::Serialize;

use crate::hub::{Caller, Hub};
use crate::{
    auth::Permission,
    backend::Range,
    error::{Error, Result},
    model::{Epoch, Message, RoomName, Seq},
};

/// Which messages to read.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// The room.
    pub room: RoomName,
    /// Which of its messages.
    pub range: Range,
    /// At most so many; no more than the configured page size.
    pub limit: Option<usize>,
}

/// A page of a room's log, as clients see it.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryPage {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The number of its last message.
    pub seq: Seq,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// There are more in the direction that was asked for.
    pub more: bool,
}

impl Hub {
    /// Reads a page of a room's log.
    ///
    /// # Errors
    /// Fails with `forbidden` if the caller may not read it, `bad_request` if the room's name is longer than configured, and
    /// `unavailable` if the log cannot be read. A hook may refuse it with any error.
    pub async fn history(
        &self,
        caller: &impl Caller,
        request: HistoryRequest,
    ) -> Result<HistoryPage> {
        if !caller.may(Permission::History, &request.room) {
            return Err(Error::forbidden(format!(
                "this identity may not read the history of {}",
                request.room
            )));
        }
        self.limiter().check_name(request.room.bytes())?;
        self.permit_reading(caller, &request.room).await?;
        let size = self.limiter().page_size(request.limit);
        let (log, key) = (&self.backend().log, caller.room_key(&request.room));
        let page = log.read(&key, request.range, size).await?;
        let rates = self.rates();
        rates.charge_messages(caller, &page.messages, Instant::now());
        Ok(HistoryPage {
            room: request.room,
            epoch: page.epoch,
            seq: page.head,
            messages: page.messages,
            more: page.more,
        })
    }
}
