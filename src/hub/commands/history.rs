//! `history`: reading a part of a room's log.

use std::{sync::Arc, time::Instant};

use serde::Serialize;

use crate::hub::{Caller, Hub};
use crate::{
    auth::Permission,
    backend::{PageSize, Range},
    error::{Error, Result},
    model::{Epoch, Message, RoomName, Seq},
};

/// Which messages to read.
#[derive(Clone, Debug)]
pub struct History {
    /// The room.
    pub room: RoomName,
    /// Which of its messages.
    pub range: Range,
    /// At most so many; the configured page is the most.
    pub limit: Option<usize>,
}

/// A part of a room's log, as clients see it.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryPage {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last number.
    pub seq: Seq,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// There are more in the direction that was asked for.
    pub more: bool,
}

impl Hub {
    /// Reads a part of a room's log.
    pub async fn history(&self, caller: &impl Caller, request: History) -> Result<HistoryPage> {
        if !caller.may(Permission::History, &request.room) {
            return Err(Error::forbidden(format!(
                "this identity may not read the history of {}",
                request.room
            )));
        }
        self.check_name(request.room.bytes())?;
        let size = self.page(request.limit);
        let page = self
            .0
            .backend
            .log
            .read(&caller.key(&request.room), request.range, size)
            .await?;
        self.charge_messages(caller, &page.messages, Instant::now());
        Ok(HistoryPage {
            room: request.room,
            epoch: page.epoch,
            seq: page.head,
            messages: page.messages,
            more: page.more,
        })
    }

    /// A page of `wanted` messages, cut to what one answer may hold.
    pub(in crate::hub) fn page(&self, wanted: Option<usize>) -> PageSize {
        let pages = self.0.pages;
        PageSize {
            messages: wanted.unwrap_or(pages.messages).min(pages.messages),
            bytes: pages.bytes,
        }
    }
}
