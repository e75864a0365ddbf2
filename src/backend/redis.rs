//! A log that several nodes share, in one Redis or Valkey, or in a Redis Cluster.
//!
//! `docs/redis.md` is the protocol: keys, scripts, channels, and what happens in each failure. In short: one script drops a
//! repeat, numbers a message in its room (`seq`) and over all rooms (`offset`), stores it and publishes it. A node subscribes
//! only to the rooms that it follows.
//!
//! | module | what it is |
//! |---|---|
//! | `keys`, `scripts`, `lua/` | names of keys and channels, and the scripts |
//! | `client/`, `tls` | connections to Redis, and the topology of a Cluster |
//! | `shard/` | a shard of the log: writer, subscription, and the merger of all shards |
//! | `membership/` | leases, rosters, members of rooms, and the removal of dead nodes |
//! | `rpc/` | Pub/Sub between nodes, and cluster RPC over it |
//! | `log/` | the handle, which implements the traits of a backend |
//! | `outbox_numbers` | what this node knows of the numbers of the outbox |
//! | `startup_check`, `incarnation` | whether Redis has lost data, and the name of the log's incarnation |
//! | `trimmer` | deletes what retention no longer keeps |

mod client;
mod config;
mod context;
mod dropped;
mod incarnation;
mod keys;
mod log;
mod membership;
mod outbox_numbers;
mod rpc;
mod scripts;
mod shard;
mod startup_check;
#[cfg(test)]
pub(in crate::backend) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod trimmer;

pub use config::{RedisConfig, RedisOpenError, RedisTls};
pub use log::open;
