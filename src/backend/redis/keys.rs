//! The names of all keys and channels, and the partition of each. `docs/redis.md` lists them.
//!
//! Rooms and sessions are spread over a fixed number of partitions. All keys of a partition have the same hash tag, so a
//! script may use several of them in a Cluster, too, where partitions may have different owners.

use std::sync::Arc;

use crate::model::{MessageId, Namespace, NodeId, Pid, RoomKey, RoomName};

/// The default prefix of all names.
pub(in crate::backend) const PREFIX: &str = "switchboard";

/// The number of partitions. With another number no room would be found again.
pub(super) const PARTITIONS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Partition(u8);

impl Partition {
    /// The partition of the keys that exist once, and the name of the only shard of a single Redis.
    pub(super) const FIRST: Self = Self(0);

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    pub(super) fn of(room: &RoomKey) -> Self {
        Self::hashed(&[room.namespace.as_str(), room.room.as_str()])
    }

    pub(super) fn of_session(pid: Pid) -> Self {
        Self::hashed(&[&pid.reveal()])
    }

    pub(super) fn of_document(document: &RoomName) -> Self {
        Self::hashed(&[document.as_str()])
    }

    /// The number as an index into what there is one of for each partition.
    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    /// FNV-1a (Fowler, Noll, Vo), folded: the same on every node and in every version.
    fn hashed(texts: &[&str]) -> Self {
        let bytes = texts
            .iter()
            .flat_map(|text| text.bytes().chain(std::iter::once(0)));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let folded = hash ^ (hash >> 32);
        let partition = folded % u64::from(PARTITIONS);
        Self(u8::try_from(partition).unwrap_or(0))
    }
}

/// A room's name within its partition: namespace and room. Neither contains a space.
pub(super) fn room_name(room: &RoomKey) -> String {
    format!("{} {}", room.namespace, room.room)
}

/// Reads a name that [`room_name`] made.
pub(super) fn parse_room_name(name: &str) -> Option<RoomKey> {
    let (namespace, room) = name.split_once(' ')?;
    Some(RoomKey {
        namespace: Namespace::from_log(namespace),
        room: RoomName::from_log(room),
    })
}

/// The names of one deployment; cheap to clone. Deployments with different prefixes share no key and no channel.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<str>);

impl Default for Keys {
    fn default() -> Self {
        Self::new(PREFIX)
    }
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    fn of_partition(&self, partition: Partition, name: &str) -> String {
        format!("{}:{{{}}}:{name}", self.0, partition.0)
    }

    fn of_room(&self, room: &RoomKey, kind: &str) -> String {
        self.of_partition(Partition::of(room), &format!("{kind}:{}", room_name(room)))
    }

    /// The name of the log's incarnation.
    pub(super) fn log_incarnation(&self) -> String {
        self.of_partition(Partition::FIRST, "life")
    }

    /// A shard's counter of offsets; in the partition that the shard is named after.
    pub(super) fn offset(&self, shard: Partition) -> String {
        self.of_partition(shard, "offset")
    }

    /// A shard's incarnation; in the partition that the shard is named after.
    pub(super) fn shard_incarnation(&self, shard: Partition) -> String {
        self.of_partition(shard, "incarnation")
    }

    /// How many rooms of a partition were forgotten, by the counter that they share.
    pub(super) fn forgotten(&self, partition: Partition) -> String {
        self.of_partition(partition, "forgotten")
    }

    /// A partition's rooms, by the time at which they are due for trimming.
    pub(super) fn rooms(&self, partition: Partition) -> String {
        self.of_partition(partition, "rooms")
    }

    /// A partition's sessions that have ended, by time.
    pub(super) fn ended(&self, partition: Partition) -> String {
        self.of_partition(partition, "ended")
    }

    /// The retention clock.
    pub(super) fn retention_clock(&self) -> String {
        self.of_partition(Partition::FIRST, "aged")
    }

    /// A key or channel of a partition that only probes write to.
    pub(super) fn probe(&self, partition: Partition, kind: &str) -> String {
        self.of_partition(partition, &format!("probe:{kind}"))
    }

    /// The prefix of each user's set of sessions in a partition.
    pub(super) fn users(&self, partition: Partition) -> String {
        self.of_partition(partition, "user:")
    }

    /// The prefix of each session of a partition.
    pub(super) fn sessions(&self, partition: Partition) -> String {
        self.of_partition(partition, "session:")
    }

    pub(super) fn session(&self, pid: Pid) -> String {
        self.sessions(Partition::of_session(pid)) + &pid.reveal()
    }

    /// A room's epoch and numbers.
    pub(super) fn room(&self, room: &RoomKey) -> String {
        self.of_room(room, "room")
    }

    pub(super) fn messages(&self, room: &RoomKey) -> String {
        self.of_room(room, "messages")
    }

    pub(super) fn read_markers(&self, room: &RoomKey) -> String {
        self.of_room(room, "marks")
    }

    /// When each user's read marker was set.
    pub(super) fn read_marker_times(&self, room: &RoomKey) -> String {
        self.of_room(room, "marked")
    }

    /// What was stored under a message id.
    pub(super) fn id(&self, room: &RoomKey, id: &MessageId) -> String {
        format!("{} {id}", self.of_room(room, "id"))
    }

    /// The channel of a room's messages, events and roster updates.
    pub(super) fn channel(&self, room: &RoomKey) -> String {
        self.of_room(room, "channel")
    }

    /// A node's own channel in a shard, for barriers.
    pub(super) fn node(&self, shard: Partition, node: NodeId) -> String {
        self.of_partition(shard, &format!("node:{node}"))
    }

    /// All nodes, by the end of their lease.
    pub(super) fn leases(&self) -> String {
        self.of_partition(Partition::FIRST, "leases")
    }

    /// The nodes that have roster entries or sessions in a partition.
    pub(super) fn nodes(&self, partition: Partition) -> String {
        self.of_partition(partition, "nodes")
    }

    /// A partition's rooms that are not empty, by name.
    pub(super) fn live(&self, partition: Partition) -> String {
        self.of_partition(partition, "live")
    }

    /// The rooms of a partition in which a node has roster entries.
    pub(super) fn rooms_of(&self, partition: Partition, node: NodeId) -> String {
        self.of_partition(partition, &format!("in:{node}"))
    }

    /// The prefix of each node's set of active sessions in a partition.
    pub(super) fn owned(&self, partition: Partition) -> String {
        self.of_partition(partition, "owned:")
    }

    /// The nodes that have roster entries in a room, and the roster's version.
    pub(super) fn here(&self, room: &RoomKey) -> String {
        self.of_room(room, "here")
    }

    /// The prefix of each node's roster entries in a room.
    pub(super) fn entries(&self, room: &RoomKey) -> String {
        self.of_room(room, "entries") + " "
    }

    /// A node's roster entries in a room.
    pub(super) fn entries_of(&self, room: &RoomKey, node: NodeId) -> String {
        format!("{}{node}", self.entries(room))
    }

    /// A shard's outbox; in the partition that the shard is named after.
    pub(super) fn outbox(&self, shard: Partition) -> String {
        self.of_partition(shard, "outbox")
    }

    /// The prefix of each room's members, with how many nodes have them.
    pub(super) fn present(&self, partition: Partition) -> String {
        self.of_partition(partition, "present:")
    }

    /// The members that a node has in the rooms of a partition.
    pub(super) fn present_of(&self, partition: Partition, node: NodeId) -> String {
        self.of_partition(partition, &format!("present-of:{node}"))
    }

    /// The nodes that have members in a partition. Apart from those of [`nodes`](Self::nodes), because nodes of earlier versions
    /// take what they have removed out of that.
    pub(super) fn present_nodes(&self, partition: Partition) -> String {
        self.of_partition(partition, "present-nodes")
    }

    /// Where an endpoint of the outbox stands.
    pub(super) fn endpoint(&self, endpoint: &str) -> String {
        self.of_partition(Partition::FIRST, &format!("hook:{endpoint}"))
    }

    fn of_document(&self, document: &RoomName, kind: &str) -> String {
        let partition = Partition::of_document(document);
        self.of_partition(partition, &format!("{kind}:{document}"))
    }

    /// A document's numbers.
    pub(super) fn document(&self, document: &RoomName) -> String {
        self.of_document(document, "document")
    }

    /// A document's updates that are not merged, by number.
    pub(super) fn document_updates(&self, document: &RoomName) -> String {
        self.of_document(document, "updates")
    }

    /// What is merged of a document.
    pub(super) fn document_snapshot(&self, document: &RoomName) -> String {
        self.of_document(document, "snapshot")
    }

    /// The names of a partition's documents.
    pub(super) fn documents(&self, partition: Partition) -> String {
        self.of_partition(partition, "documents")
    }

    /// The names of a shard's documents that have changed and are to be told of, by the time of the first change.
    pub(super) fn untold_documents(&self, shard: Partition) -> String {
        self.of_partition(shard, "untold")
    }

    /// The channel of cluster RPC requests. A plain channel, of no partition.
    pub(super) fn requests(&self) -> String {
        format!("{}:questions", self.0)
    }

    /// The channel of responses to a node's requests.
    pub(super) fn responses(&self, node: NodeId) -> String {
        format!("{}:answers:{node}", self.0)
    }
}

#[cfg(test)]
mod tests;
