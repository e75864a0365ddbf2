//! The name of the log's incarnation: offsets and sessions compare only within one.
//!
//! It is one key for the whole log. Each shard has an incarnation of its own besides, which room epochs are derived from
//! (`lua/epoch.lua`); when a shard begins its next one, so does the log.

use redis::Value;

use super::{
    client::{OnDisconnect, RedisConnection, reply},
    keys::Keys,
};
use crate::{error::Result, model::Incarnation};

/// Reads the log's incarnation, or begins the first one. An existing one is only read, because this is called regularly, and
/// on a Redis that takes no writes, too.
pub(super) async fn read(keys: &Keys, connection: &RedisConnection) -> Result<Incarnation> {
    let read = read_or_create(keys, connection).await;
    read.map(|(incarnation, _)| incarnation)
}

/// As [`read`], and whether it was created now.
pub(super) async fn read_or_create(
    keys: &Keys,
    connection: &RedisConnection,
) -> Result<(Incarnation, bool)> {
    let mut get = redis::cmd("GET");
    get.arg(keys.log_incarnation());
    let stored: Option<String> = reply::parse(connection.query(get.clone()).await?)?;
    if let Some(stored) = stored {
        return Ok((Incarnation::from_text(&stored), false));
    }
    let mut create = redis::cmd("SET");
    create
        .arg(keys.log_incarnation())
        .arg(Incarnation::generate().as_str())
        .arg("NX");
    let replies = connection
        .execute(&[create, get], OnDisconnect::Retry)
        .await?;
    let [created, stored] = <[_; 2]>::try_from(replies).unwrap_or_default();
    let created = reply::check(created)?;
    let stored: String = reply::parse(stored)?;
    Ok((Incarnation::from_text(&stored), created != Value::Nil))
}

/// Begins the next incarnation of the log: messages of the one before may be lost.
pub(super) async fn begin_next(keys: &Keys, connection: &RedisConnection) -> Result<Incarnation> {
    let incarnation = Incarnation::generate();
    let mut set = redis::cmd("SET");
    set.arg(keys.log_incarnation()).arg(incarnation.as_str());
    connection.query(set).await?;
    Ok(incarnation)
}
