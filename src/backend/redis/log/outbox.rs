//! The outbox ([`Outbox`]): a stream of each shard, which the scripts that store messages and members add to, and a hash for each
//! endpoint.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::Value;

use super::RedisLog;
use crate::{
    backend::{
        EndpointRecord, Outbox, OutboxEvent, OutboxPage,
        redis::{
            client::reply,
            keys::Partition,
            membership::MemberChange,
            scripts::{self, MAX_INTEGER, millis, number},
        },
    },
    error::Result,
    model::{RoomKey, UserId},
    sync::lock,
};

mod events;

use events::{Fields, StoredEvent};

/// How soon events are looked for again. Redis could tell of new ones only if every script that adds one also published that, or by a
/// blocked connection for each stream.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[async_trait]
impl Outbox for RedisLog {
    fn streams(&self) -> usize {
        self.context.topology.shard_count()
    }

    fn set_member(&self, room: &RoomKey, user: &UserId, is_member: bool) {
        if self.check_open().is_ok() {
            self.context.members.set(MemberChange {
                room: room.clone(),
                user: user.clone(),
                is_member,
                ts: (self.context.clock)().now,
            });
        }
    }

    async fn remove_stale_members(&self) -> Result<()> {
        Ok(())
    }

    async fn read_events(
        &self,
        stream: usize,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<OutboxPage> {
        self.check_open()?;
        let shards = self.context.topology.shards();
        let shard = shards.take(stream + 1).last().unwrap_or(Partition::FIRST);
        let mut after = after;
        loop {
            let StreamPart {
                last,
                began,
                entries,
            } = self.read_stream(shard, after, limit).await?;
            let Some((highest, _)) = entries.last() else {
                return Ok(OutboxPage {
                    events: Vec::new(),
                    last,
                    began,
                });
            };
            after = *highest;
            let events = events::parse(entries);
            if !events.is_empty() {
                let events = self.resolve(shard, events, bytes).await?;
                return Ok(OutboxPage {
                    events,
                    last,
                    began,
                });
            }
        }
    }

    async fn events_added(&self) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let shards = self.context.topology.shards();
            let last = join_all(shards.map(|shard| self.last_number(shard))).await;
            let mut seen = lock(&self.outbox_polled);
            if *seen != last {
                *seen = last;
                return;
            }
        }
    }

    async fn claim_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.check_open()?;
        self.call_endpoint(endpoint, "claim", None).await
    }

    async fn find_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.check_open()?;
        self.call_endpoint(endpoint, "find", None).await
    }

    async fn save_endpoint(&self, endpoint: &str, state: String) -> Result<bool> {
        self.check_open()?;
        let saved = self.call_endpoint(endpoint, "save", Some(state)).await?;
        Ok(saved.is_mine)
    }

    async fn release_endpoint(&self, endpoint: &str) {
        if let Err(error) = self.call_endpoint(endpoint, "release", None).await {
            tracing::debug!(endpoint, %error, "cannot release an endpoint; another node can take it when the lease expires");
        }
    }
}

/// Part of a stream as it is stored.
struct StreamPart {
    last: u64,
    began: u64,
    entries: Vec<(u64, Fields)>,
}

impl RedisLog {
    /// Reads the events of a shard behind a number as they are stored.
    async fn read_stream(&self, shard: Partition, after: u64, limit: usize) -> Result<StreamPart> {
        let keys = &self.context.keys;
        let mut read = scripts::read_outbox([&keys.outbox(shard), &keys.shard_incarnation(shard)]);
        // Whoever has been told of an event has seen it, on whatever node that was.
        let seen = if after < MAX_INTEGER { after } else { 0 };
        read.arg(self.context.outbox.last_seen(shard).max(seen))
            .arg(number(after))
            .arg(number(limit as u64));
        let reply = self.connections.of(shard).query(read).await?;
        let (last, began, entries) = reply::parse::<(u64, u64, Vec<(String, _)>)>(reply)?;
        self.context.outbox.observe(shard, last);
        let numbered = entries.into_iter().map(|(id, fields)| {
            let number = id.split('-').next().and_then(|number| number.parse().ok());
            (number.unwrap_or(u64::MAX), fields)
        });
        Ok(StreamPart {
            last,
            began,
            entries: numbered.collect(),
        })
    }

    /// The number of a shard's last event as it is stored; `None` if that cannot be read, or there is none.
    async fn last_number(&self, shard: Partition) -> Option<u64> {
        let mut get = redis::cmd("HGET");
        get.arg(self.context.keys.shard_incarnation(shard));
        get.arg("outbox");
        let reply = self.connections.of(shard).query(get).await.ok()?;
        reply::parse::<Option<u64>>(reply).ok()?
    }

    /// Reads the messages of events, and returns as many events as fit.
    async fn resolve(
        &self,
        shard: Partition,
        events: Vec<StoredEvent>,
        bytes: usize,
    ) -> Result<Vec<OutboxEvent>> {
        let of_messages = events
            .iter()
            .filter_map(|event| Some((&event.room, event.offset?)));
        let (rooms, offsets): (Vec<_>, Vec<_>) = of_messages.unzip();
        let mut messages: Vec<Option<Vec<u8>>> = Vec::new();
        if !rooms.is_empty() {
            let keys: Vec<_> = rooms
                .iter()
                .map(|room| self.context.keys.messages(room))
                .collect();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            let mut read = scripts::read_outbox_messages(&keys);
            read.arg(number(bytes as u64));
            for offset in offsets {
                read.arg(number(offset.0));
            }
            let reply: Value = self.connections.of(shard).query(read).await?;
            messages = reply::parse(reply)?;
        }
        let now = (self.context.clock)();
        let retention = &self.context.retention;
        let cutoff = |room: &RoomKey| retention.policy(&room.room).cutoff(now);
        Ok(events::resolve(events, messages, bytes, cutoff))
    }

    async fn call_endpoint(
        &self,
        endpoint: &str,
        verb: &str,
        state: Option<String>,
    ) -> Result<EndpointRecord> {
        let mut call = scripts::endpoint(&self.context.keys.endpoint(endpoint));
        call.arg(verb)
            .arg(self.context.node.to_string())
            .arg(millis(self.membership.lease))
            .arg(state);
        let connection = self.connections.of(Partition::FIRST);
        let (state, owner, is_mine): (Option<String>, String, u8) =
            reply::parse(connection.query(call).await?)?;
        Ok(EndpointRecord {
            state,
            is_mine: is_mine == 1,
            owner: Some(owner).filter(|owner| !owner.is_empty()),
        })
    }
}
