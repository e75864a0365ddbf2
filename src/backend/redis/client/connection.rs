//! A connection to the node that owns a partition. It reconnects by itself, and loads all scripts each time.
//!
//! While Redis is unreachable callers fail fast: one attempt to connect serves all of them, and after a failed attempt
//! nobody tries again for a moment. Commands that were in flight when a connection was lost may or may not have been
//! executed.
//!
//! In a Cluster a command that was sent to a node that no longer owns the slot was not executed; it is sent again to the
//! owner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use redis::{Cmd, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::{
    connect::{self, rejected_with, replace_replies},
    reply,
    topology::Topology,
};
use crate::{backend::redis::keys::Partition, error::Result, retry::Backoff};

pub(crate) struct RedisConnection {
    topology: Arc<Topology>,
    partition: Partition,
    state: Mutex<ConnectionState>,
}

struct ConnectionState {
    /// The current connection, and whether it is broken.
    current: Option<(MultiplexedConnection, Arc<AtomicBool>)>,
    /// Why the last attempt to connect failed.
    failed: Option<RedisError>,
    /// No attempt to connect is made before this.
    retry_at: Instant,
    backoff: Backoff,
}

/// What to do when the connection is lost before the replies have arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDisconnect {
    /// Send the commands again, once: they are idempotent.
    Retry,
    /// Fail: a second execution would have an effect of its own.
    Fail,
}

impl RedisConnection {
    /// A connection to the owner of `partition`, opened on first use.
    pub(crate) fn new(topology: Arc<Topology>, partition: Partition) -> Self {
        Self {
            topology,
            partition,
            state: Mutex::new(ConnectionState {
                current: None,
                failed: None,
                retry_at: Instant::now(),
                backoff: connect::RETRY_BACKOFF,
            }),
        }
    }

    /// Executes a pipeline and returns all replies, some of which may be [`Value::ServerError`].
    ///
    /// # Errors
    /// `unavailable` if Redis cannot be reached or the connection is lost.
    pub(crate) async fn execute(
        &self,
        commands: &[Cmd],
        on_disconnect: OnDisconnect,
    ) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut replies = match self.try_execute(commands).await {
            Err(_) if on_disconnect == OnDisconnect::Retry => self.try_execute(commands).await,
            replies => replies,
        }
        .map_err(reply::unavailable)?;
        let moved = rejected_with("MOVED", commands, &replies);
        if !moved.is_empty() {
            let again: Vec<_> = moved.values().cloned().collect();
            let again = self.try_execute(&again).await.map_err(reply::unavailable)?;
            replace_replies(&mut replies, moved, again);
        }
        Ok(replies)
    }

    /// Executes one idempotent command and returns its reply.
    ///
    /// # Errors
    /// `unavailable` if Redis cannot be reached or replies with an error.
    pub(crate) async fn query(&self, command: Cmd) -> Result<Value> {
        let mut replies = self.execute(&[command], OnDisconnect::Retry).await?;
        reply::check(replies.pop().unwrap_or_default())
    }

    /// Executes a pipeline once. The connection is dropped if it fails, or if another node owns the partition.
    async fn try_execute(&self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        let (mut connection, broken) = self.connection().await?;
        let replies = connect::execute(&mut connection, commands).await;
        let reconnect = match &replies {
            Err(_) => true,
            Ok(replies) if replies.iter().any(reply::has_moved) => true,
            // A replica may have been promoted. Until one is, each new connection ends up here again: hence the backoff.
            Ok(replies) if replies.iter().any(reply::cannot_write) => self.may_reconnect().await,
            Ok(_) => {
                self.reset_backoff().await;
                false
            }
        };
        if reconnect {
            broken.store(true, Ordering::Release);
            self.topology.invalidate(self.partition).await;
        }
        replies
    }

    /// Whether the backoff allows looking for another owner now.
    async fn may_reconnect(&self) -> bool {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let may = state.retry_at <= now;
        if may {
            state.retry_at = now + state.backoff.next_delay();
        }
        may
    }

    async fn reset_backoff(&self) {
        let mut state = self.state.lock().await;
        state.backoff.reset();
        state.retry_at = Instant::now();
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, Arc<AtomicBool>), RedisError> {
        let mut state = self.state.lock().await;
        match (&state.current, &state.failed) {
            (Some((connection, broken)), _) if !broken.load(Ordering::Acquire) => {
                return Ok((connection.clone(), broken.clone()));
            }
            (_, Some(error)) if Instant::now() < state.retry_at => return Err(error.clone()),
            _ => {}
        }
        let broken = Arc::new(AtomicBool::new(false));
        let notice = broken.clone();
        let connected = self
            .topology
            .connect(self.partition, move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    notice.store(true, Ordering::Release);
                }
                Ok::<_, RedisError>(())
            });
        match connected.await {
            Ok(connection) => {
                state.current = Some((connection.clone(), broken.clone()));
                state.failed = None;
                Ok((connection, broken))
            }
            Err(error) => {
                state.current = None;
                state.failed = Some(error.clone());
                state.retry_at = Instant::now() + state.backoff.next_delay();
                Err(error)
            }
        }
    }
}
