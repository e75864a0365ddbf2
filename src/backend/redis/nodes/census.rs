//! Who is in rooms, and which rooms there are, over all nodes: read from Redis by whoever does not follow them.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::said;
use crate::{
    backend::{
        PresenceEntry, RosterPage,
        redis::{
            RedisLog,
            keys::{self, Keys, Part},
            line, scripts,
        },
    },
    error::Result,
    model::{Namespace, NodeId, RoomKey, RoomName, UserId},
    repeat::log_rarely,
};

/// Asks who is in a room, on all nodes or all but one.
pub(in crate::backend::redis) fn present(keys: &Keys, room: &RoomKey, but: Option<NodeId>) -> Cmd {
    let mut command = scripts::present(&keys.here(room));
    command.arg(keys.entries(room));
    command.arg(but.map(|node| node.to_string()).unwrap_or_default());
    command
}

/// What each node has of each user.
type Present = Vec<(NodeId, UserId, PresenceEntry)>;

/// The version of what is answered, and that.
pub(in crate::backend::redis) fn read_present(answer: Value) -> Result<(u64, Present)> {
    let mut answer: Vec<Value> = line::read_as(answer)?;
    let mut nodes = answer.split_off(answer.len().min(1)).into_iter();
    // One that is none is like none.
    let version = redis::from_redis_value(answer.pop().unwrap_or_default()).unwrap_or(0);
    let mut present = Vec::new();
    while let (Some(node), Some(users)) = (nodes.next(), nodes.next()) {
        let users = redis::from_redis_value::<HashMap<String, String>>(users);
        let (Some(node), Ok(users)) = (read_node(node), users) else {
            log_rarely!(warn, "what a node has of users cannot be read");
            continue;
        };
        let users = users
            .iter()
            .filter_map(|(user, text)| said::attending(user, text));
        present.extend(users.map(|(user, attending)| (node, user, attending)));
    }
    Ok((version, present))
}

/// A node's name.
pub(super) fn read_node(name: Value) -> Option<NodeId> {
    let name: String = redis::from_redis_value(name).ok()?;
    name.parse().ok()
}

impl RedisLog {
    pub(super) async fn census(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<RosterPage> {
        let (_, present) = read_present(
            self.reads
                .of(Part::of(room))
                .ask(present(&self.shared.keys, room, None))
                .await?,
        )?;
        let mut users: BTreeMap<UserId, Vec<PresenceEntry>> = BTreeMap::new();
        let mut connections = 0_usize;
        for (_, user, attending) in present {
            // Whatever is stored may say anything.
            connections = connections.saturating_add(attending.connections);
            users.entry(user).or_default().push(attending);
        }
        let count = users.len();
        let behind = match after {
            Some(after) => users.split_off(after),
            None => users,
        };
        let mut behind = behind.into_iter().filter(|(user, _)| after != Some(user));
        let listed = behind.by_ref().take(limit).flat_map(|(user, entries)| {
            let of_node = move |entry| (user.clone(), entry);
            entries.into_iter().map(of_node)
        });
        Ok(RosterPage {
            count,
            connections,
            users: listed.collect(),
            more: behind.next().is_some(),
        })
    }

    pub(super) async fn live_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<RoomName>> {
        let first = match after {
            Some(after) if after.as_str() >= prefix => format!("({namespace} {after}"),
            _ => format!("[{namespace} {prefix}"),
        };
        // No byte of any name is as high.
        let last = [format!("({namespace} {prefix}").as_bytes(), &[0xff]].concat();
        let parts = Part::all().map(|part| {
            let mut live = redis::cmd("ZRANGEBYLEX");
            live.arg(self.shared.keys.live(part)).arg(&first).arg(&last);
            live.arg("LIMIT").arg(0).arg(limit);
            self.reads.of(part).ask(live)
        });
        let mut rooms = Vec::new();
        for answer in try_join_all(parts).await? {
            let names: Vec<String> = line::read_as(answer)?;
            let names = names.iter().filter_map(|name| keys::named(name));
            rooms.extend(names.map(|key| key.room));
        }
        rooms.sort_unstable();
        rooms.truncate(limit);
        Ok(rooms)
    }
}
