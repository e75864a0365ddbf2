//! Reads rosters: who is in a room, and which rooms are not empty.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::codec;
use crate::{
    backend::{
        PresenceEntry, RosterPage,
        redis::{
            client::{ShardConnections, reply},
            keys::{self, Keys, Partition},
            scripts,
        },
    },
    error::Result,
    model::{Namespace, NodeId, RoomKey, RoomName, UserId},
    retry::log_rarely,
};

/// Reads a room's roster: the entries of all nodes, or of all but one.
pub(crate) fn read_command(keys: &Keys, room: &RoomKey, without: Option<NodeId>) -> Cmd {
    let mut command = scripts::read_roster(&keys.here(room));
    command.arg(keys.entries(room));
    command.arg(without.map(|node| node.to_string()).unwrap_or_default());
    command
}

/// Every node's entry of every user.
type RosterEntries = Vec<(NodeId, UserId, PresenceEntry)>;

/// Reads the result of [`read_command`]: the roster's version, and its entries.
pub(crate) fn parse(reply: Value) -> Result<(u64, RosterEntries)> {
    let mut fields: Vec<Value> = reply::parse(reply)?;
    let mut nodes = fields.split_off(fields.len().min(1)).into_iter();
    // A version that is no number counts as none.
    let version = redis::from_redis_value(fields.pop().unwrap_or_default()).unwrap_or(0);
    let mut entries = Vec::new();
    while let (Some(node), Some(users)) = (nodes.next(), nodes.next()) {
        let users = redis::from_redis_value::<HashMap<String, String>>(users);
        let (Some(node), Ok(users)) = (parse_node(node), users) else {
            log_rarely!(warn, "ignored the malformed roster entries of a node");
            continue;
        };
        let users = users
            .iter()
            .filter_map(|(user, text)| codec::decode_entry(user, text));
        entries.extend(users.map(|(user, entry)| (node, user, entry)));
    }
    Ok((version, entries))
}

pub(super) fn parse_node(id: Value) -> Option<NodeId> {
    let id: String = redis::from_redis_value(id).ok()?;
    id.parse().ok()
}

/// Reads a page of a room's users: `limit` of them after `after`.
pub(crate) async fn read_users(
    keys: &Keys,
    connections: &ShardConnections,
    room: &RoomKey,
    after: Option<&UserId>,
    limit: usize,
) -> Result<RosterPage> {
    let connection = connections.of(Partition::of(room));
    let (_, entries) = parse(connection.query(read_command(keys, room, None)).await?)?;
    let mut users: BTreeMap<UserId, Vec<PresenceEntry>> = BTreeMap::new();
    let mut connection_count = 0_usize;
    for (_, user, entry) in entries {
        // Saturating: a stored entry may hold any number.
        connection_count = connection_count.saturating_add(entry.connections);
        users.entry(user).or_default().push(entry);
    }
    let count = users.len();
    let rest = match after {
        Some(after) => users.split_off(after),
        None => users,
    };
    let mut rest = rest.into_iter().filter(|(user, _)| after != Some(user));
    let listed = rest.by_ref().take(limit).flat_map(|(user, entries)| {
        let of_node = move |entry| (user.clone(), entry);
        entries.into_iter().map(of_node)
    });
    Ok(RosterPage {
        count,
        connections: connection_count,
        users: listed.collect(),
        more: rest.next().is_some(),
    })
}

/// Reads the rooms of a namespace that are not empty: `limit` of those that begin with `prefix`, after `after`, by name.
pub(crate) async fn read_rooms(
    keys: &Keys,
    connections: &ShardConnections,
    namespace: &Namespace,
    prefix: &str,
    after: Option<&RoomName>,
    limit: usize,
) -> Result<Vec<RoomName>> {
    let first = match after {
        Some(after) if after.as_str() >= prefix => format!("({namespace} {after}"),
        _ => format!("[{namespace} {prefix}"),
    };
    // No byte of any name is as high as 0xff.
    let last = [format!("({namespace} {prefix}").as_bytes(), &[0xff]].concat();
    let partitions = Partition::all().map(|partition| {
        let mut live = redis::cmd("ZRANGEBYLEX");
        live.arg(keys.live(partition)).arg(&first).arg(&last);
        live.arg("LIMIT").arg(0).arg(limit);
        connections.of(partition).query(live)
    });
    let mut rooms = Vec::new();
    for reply in try_join_all(partitions).await? {
        let names: Vec<String> = reply::parse(reply)?;
        let names = names.iter().filter_map(|name| keys::parse_room_name(name));
        rooms.extend(names.map(|key| key.room));
    }
    rooms.sort_unstable();
    rooms.truncate(limit);
    Ok(rooms)
}
