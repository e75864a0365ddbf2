//! Opens connections to Redis and executes pipelines on them.

use std::{collections::BTreeMap, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisError, Value,
    aio::{AsyncPushSender, MultiplexedConnection},
};

use super::reply;
use crate::{backend::redis::scripts, retry::Backoff};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest wait between two attempts to connect.
pub(crate) const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// How tasks of this node back off after a failure.
pub(crate) const RETRY_BACKOFF: Backoff = Backoff::new(RECONNECT_DELAY, Duration::from_secs(1));

/// Opens a connection and loads every script. Pushes from Redis go to `pushes`.
pub(crate) async fn open_with_scripts(
    client: &Client,
    pushes: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = open(client, pushes).await?;
    for reply in send(&mut connection, &scripts::load()).await? {
        reply.extract_error()?;
    }
    Ok(connection)
}

/// Opens a connection without loading scripts.
pub(crate) async fn open(
    client: &Client,
    pushes: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_push_sender(pushes);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// Executes a pipeline. Commands whose script Redis no longer has (`NOSCRIPT`) are sent again, in order, after the scripts
/// have been loaded.
pub(crate) async fn execute(
    connection: &mut MultiplexedConnection,
    commands: &[Cmd],
) -> Result<Vec<Value>, RedisError> {
    let mut replies = send(connection, commands).await?;
    let rejected = rejected_with("NOSCRIPT", commands, &replies);
    if !rejected.is_empty() {
        let again: Vec<_> = rejected.values().cloned().collect();
        send(connection, &scripts::load()).await?;
        replace_replies(&mut replies, rejected, send(connection, &again).await?);
    }
    Ok(replies)
}

/// The commands that were rejected with this error code, by their position in the pipeline.
pub(super) fn rejected_with(
    code: &str,
    commands: &[Cmd],
    replies: &[Value],
) -> BTreeMap<usize, Cmd> {
    let rejected = replies.iter().zip(commands).enumerate();
    rejected
        .filter(|(_, (reply, _))| reply::is_error(reply, &[code]))
        .map(|(at, (_, command))| (at, command.clone()))
        .collect()
}

/// Puts the replies to a second attempt in the places of the first.
pub(super) fn replace_replies(
    replies: &mut [Value],
    rejected: BTreeMap<usize, Cmd>,
    again: Vec<Value>,
) {
    for (at, reply) in rejected.into_keys().zip(again) {
        replies[at] = reply;
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    commands: &[Cmd],
) -> Result<Vec<Value>, RedisError> {
    let mut pipeline = redis::pipe();
    for command in commands {
        pipeline.add_command(command.clone());
    }
    connection
        .send_packed_commands(&pipeline, 0, commands.len())
        .await
}
