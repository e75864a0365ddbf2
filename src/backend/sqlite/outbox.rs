//! The outbox of the embedded log: written by the writer in the transaction of what it tells of, read by the readers.

use async_trait::async_trait;

use super::{
    commands::WriteCommand, log::SqliteLog, member_changes::MemberChange,
    outbox_page::OutboxRequest,
};
use crate::{
    backend::{EndpointRecord, Outbox, OutboxPage},
    error::Result,
    model::{RoomKey, UserId},
};

#[async_trait]
impl Outbox for SqliteLog {
    fn streams(&self) -> usize {
        1
    }

    fn set_member(&self, room: &RoomKey, user: &UserId, is_member: bool) {
        if self.check_open().is_err() {
            return;
        }
        let change = MemberChange {
            key: (room.clone(), user.clone()),
            is_member,
            ts: (self.clock)().now,
        };
        if self.members.push(change) {
            // If the queue is full, the writer is busy, and looks for changes with each batch.
            let _ = self.queue.try_send(WriteCommand::Wake);
        }
    }

    async fn remove_stale_members(&self) -> Result<()> {
        self.check_open()?;
        while self
            .request(|reply| WriteCommand::RemoveStaleMembers { reply })
            .await?
        {}
        Ok(())
    }

    async fn read_events(
        &self,
        _: usize,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<OutboxPage> {
        self.check_open()?;
        let request = OutboxRequest {
            after,
            limit,
            bytes,
            retention: self.retention.clone(),
            now: (self.clock)(),
        };
        self.readers.outbox(request).await
    }

    async fn events_added(&self) {
        self.outbox_added.notified().await;
    }

    async fn claim_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.find_endpoint(endpoint).await
    }

    async fn find_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.check_open()?;
        Ok(EndpointRecord {
            state: self.readers.endpoint(endpoint.to_owned()).await?,
            is_mine: true,
            owner: None,
        })
    }

    async fn save_endpoint(&self, endpoint: &str, state: String) -> Result<bool> {
        self.check_open()?;
        self.request(|reply| WriteCommand::SaveEndpoint {
            endpoint: endpoint.to_owned(),
            state,
            reply,
        })
        .await?;
        Ok(true)
    }

    async fn release_endpoint(&self, _: &str) {}
}

#[cfg(test)]
mod tests;
