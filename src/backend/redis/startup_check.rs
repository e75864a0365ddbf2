//! Whether the log has lost data while no node was running: checked by a node that starts and knows nothing itself.
//!
//! A running node notices by itself if Redis has lost data. A backup may be restored while none is running. So nodes record
//! which process of Redis they found with all that they knew of, and each shard's last offset at an orderly shutdown. A node
//! that starts and finds another process waits for the running nodes to confirm it, if there are any. If nobody can, the
//! shard begins its next incarnation: it cannot be shown that nothing was lost.

use std::time::Duration;

use redis::Cmd;
use tokio::time::Instant;

use super::{
    client::{OnDisconnect, ShardConnections, reply},
    incarnation,
    keys::{Keys, Partition},
    scripts,
};
use crate::{error::Result, model::Incarnation};

/// How long to wait before asking again whether another node has confirmed the process.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A process of Redis, as `INFO server` reports it.
#[derive(Default)]
struct ServerProcess {
    /// Empty if the server does not tell.
    run_id: String,
    /// It has run for at least so long.
    uptime: Duration,
}

/// The shards, and whether each has a log already.
pub(super) async fn existing_shards(
    keys: &Keys,
    connections: &ShardConnections,
    shards: impl Iterator<Item = Partition>,
) -> Result<Vec<(Partition, bool)>> {
    let mut existing = Vec::new();
    for shard in shards {
        let mut exists = redis::cmd("HEXISTS");
        exists.arg(keys.shard_incarnation(shard)).arg("secret");
        let exists = reply::parse(connections.of(shard).query(exists).await?)?;
        existing.push((shard, exists));
    }
    Ok(existing)
}

/// Checks each shard, and begins its next incarnation if it may have lost data, or if the operator has marked it as restored
/// (the flag). Waits for running nodes, but not longer than `timeout`.
pub(super) async fn run(
    keys: &Keys,
    connections: &ShardConnections,
    shards: Vec<(Partition, bool)>,
    timeout: Duration,
) -> Result<()> {
    let (mut lost, started) = (false, Instant::now());
    for (shard, is_restored) in shards {
        loop {
            let mut replies = connections
                .of(shard)
                .execute(&[server_info()], OnDisconnect::Retry)
                .await?;
            let info = replies.pop().unwrap_or_default();
            let info: String = reply::parse(info).unwrap_or_default();
            let process = parse_process(&info);
            let alone = started.elapsed() > timeout || is_alone(keys, connections).await?;
            let counter = keys.offset(shard);
            let mut check = scripts::check_at_startup([&counter, &keys.shard_incarnation(shard)]);
            check
                .arg(process.run_id)
                .arg(process.uptime.as_millis().to_string())
                .arg(Incarnation::generate().as_str())
                .arg(u8::from(alone))
                .arg(u8::from(is_restored));
            let verdict: String = reply::parse(connections.of(shard).query(check).await?)?;
            lost |= verdict == "lost";
            if verdict != "wait" {
                break;
            }
            tokio::time::sleep(RECHECK_INTERVAL).await;
        }
    }
    if lost {
        tracing::warn!(
            "Redis was restarted or restored while no node was running: the log begins a new incarnation, and clients start anew"
        );
        incarnation::begin_next(keys, connections.of(Partition::FIRST)).await?;
    }
    Ok(())
}

/// Records that the process behind `info` has lost nothing of a shard that this node knew of. `None` if the process is
/// unknown.
pub(super) fn confirm_server(keys: &Keys, shard: Partition, info: &str, now: u64) -> Option<Cmd> {
    let process = parse_process(info);
    let mut record = redis::cmd("HSET");
    record
        .arg(keys.shard_incarnation(shard))
        .arg("server")
        .arg(&process.run_id)
        .arg("at")
        .arg(now);
    (!process.run_id.is_empty()).then_some(record)
}

/// Records a shard's last offset at an orderly shutdown.
pub(super) async fn record_shutdown(
    keys: &Keys,
    connections: &ShardConnections,
    shard: Partition,
) -> Result<()> {
    let connection = connections.of(shard);
    let mut read = redis::cmd("GET");
    read.arg(keys.offset(shard));
    let offset: Option<u64> = reply::parse(connection.query(read).await?)?;
    let mut record = redis::cmd("HSET");
    record
        .arg(keys.shard_incarnation(shard))
        .arg("closed")
        .arg(offset.unwrap_or(0));
    connection.query(record).await.map(|_| ())
}

/// Asks for the process and its uptime. Some hosted services do not tell.
pub(super) fn server_info() -> Cmd {
    let mut info = redis::cmd("INFO");
    info.arg("server");
    info
}

fn parse_process(info: &str) -> ServerProcess {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let seconds = field("uptime_in_seconds:").and_then(|text| text.parse::<u64>().ok());
    match (field("run_id:"), seconds) {
        (Some(run_id), Some(seconds)) => ServerProcess {
            run_id,
            // The difference of two whole seconds: it may have run for almost a second less.
            uptime: Duration::from_secs(seconds.saturating_sub(1)),
        },
        _ => ServerProcess::default(),
    }
}

/// Whether no node holds a lease, by Redis's clock.
async fn is_alone(keys: &Keys, connections: &ShardConnections) -> Result<bool> {
    let mut last = redis::cmd("ZRANGE");
    last.arg(keys.leases()).arg(-1).arg(-1).arg("WITHSCORES");
    let replies = connections
        .of(Partition::FIRST)
        .execute(&[redis::cmd("TIME"), last], OnDisconnect::Retry)
        .await?;
    let [time, last] = <[_; 2]>::try_from(replies).unwrap_or_default();
    let (seconds, micros): (u64, u64) = reply::parse(time)?;
    let last: Vec<(String, f64)> = reply::parse(last)?;
    let now = (seconds * 1000 + micros / 1000) as f64;
    Ok(last.first().is_none_or(|(_, end)| *end < now))
}

#[cfg(test)]
mod tests;
