//! What everything is called in Redis.
//!
//! Rooms and sessions are spread over a fixed number of parts. Whatever is of one part carries its hash tag, so that on a
//! cluster one script may touch all of it, and the parts lie on different nodes of the cluster.

use std::sync::Arc;

use crate::model::{MessageId, Namespace, NodeId, Pid, RoomKey, RoomName};

/// What all names begin with where nothing else is configured.
pub(in crate::backend) const PREFIX: &str = "switchboard";

/// How many parts there are. Changing it would lose every room.
pub(super) const PARTS: u8 = 16;

/// One of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part(u8);

impl Part {
    /// The part that holds whatever there is once.
    pub(super) const FIRST: Self = Self(0);

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..PARTS).map(Self)
    }

    /// Its number.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// The part of a room.
    pub(super) fn of(room: &RoomKey) -> Self {
        Self::hashed(&[room.namespace.as_str(), room.room.as_str()])
    }

    /// The part of a session.
    pub(super) fn of_session(pid: Pid) -> Self {
        Self::hashed(&[&pid.reveal()])
    }

    /// Its place among all of them.
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
        let part = folded % u64::from(PARTS);
        Self(u8::try_from(part).unwrap_or(0))
    }
}

/// A room among those of its part. No name has a space in it.
pub(super) fn name(room: &RoomKey) -> String {
    format!("{} {}", room.namespace, room.room)
}

/// The room of such a name.
pub(super) fn named(name: &str) -> Option<RoomKey> {
    let (namespace, room) = name.split_once(' ')?;
    Some(RoomKey {
        namespace: Namespace::from_log(namespace),
        room: RoomName::from_log(room),
    })
}

/// The names of one deployment; cheap to clone. Deployments with other prefixes have no key and no channel in common with it.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<str>);

impl Default for Keys {
    fn default() -> Self {
        Self::new(PREFIX)
    }
}

impl Keys {
    /// Names that begin with a prefix.
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    fn of_part(&self, part: Part, what: &str) -> String {
        format!("{}:{{{}}}:{what}", self.0, part.0)
    }

    fn of_room(&self, room: &RoomKey, what: &str) -> String {
        self.of_part(Part::of(room), &format!("{what}:{}", name(room)))
    }

    /// The name of the log's life.
    pub(super) fn life(&self) -> String {
        self.of_part(Part::FIRST, "life")
    }

    /// The last offset of a part.
    pub(super) fn offset(&self, part: Part) -> String {
        self.of_part(part, "offset")
    }

    /// What tells this incarnation of a lane's log from those before; in the part that the lane is named after.
    pub(super) fn incarnation(&self, part: Part) -> String {
        self.of_part(part, "incarnation")
    }

    /// How many of a part's rooms were forgotten, by the counter that they share.
    pub(super) fn forgotten(&self, part: Part) -> String {
        self.of_part(part, "forgotten")
    }

    /// A part's rooms, `namespace room`, by the time to look after them.
    pub(super) fn rooms(&self, part: Part) -> String {
        self.of_part(part, "rooms")
    }

    /// A part's sessions that have ended, by time.
    pub(super) fn ended(&self, part: Part) -> String {
        self.of_part(part, "ended")
    }

    /// How late it is by the time that what is kept by age is compared with.
    pub(super) fn aged(&self) -> String {
        self.of_part(Part::FIRST, "aged")
    }

    /// What is written in a part only to see whether that can be done.
    pub(super) fn probe(&self, part: Part, what: &str) -> String {
        self.of_part(part, &format!("probe:{what}"))
    }

    /// What the key of each user's set of sessions in a part begins with.
    pub(super) fn users(&self, part: Part) -> String {
        self.of_part(part, "user:")
    }

    /// What the key of each session of a part begins with.
    pub(super) fn sessions(&self, part: Part) -> String {
        self.of_part(part, "session:")
    }

    /// A session.
    pub(super) fn session(&self, pid: Pid) -> String {
        self.sessions(Part::of_session(pid)) + &pid.reveal()
    }

    /// A room's numbers.
    pub(super) fn room(&self, room: &RoomKey) -> String {
        self.of_room(room, "room")
    }

    /// A room's messages.
    pub(super) fn messages(&self, room: &RoomKey) -> String {
        self.of_room(room, "messages")
    }

    /// Up to where each user has read.
    pub(super) fn marks(&self, room: &RoomKey) -> String {
        self.of_room(room, "marks")
    }

    /// When each user's mark was set.
    pub(super) fn marked(&self, room: &RoomKey) -> String {
        self.of_room(room, "marked")
    }

    /// What became of an id.
    pub(super) fn id(&self, room: &RoomKey, id: &MessageId) -> String {
        format!("{} {id}", self.of_room(room, "id"))
    }

    /// Where a room's messages and events are published.
    pub(super) fn channel(&self, room: &RoomKey) -> String {
        self.of_room(room, "channel")
    }

    /// A node's own channel in a part.
    pub(super) fn node(&self, part: Part, node: NodeId) -> String {
        self.of_part(part, &format!("node:{node}"))
    }

    /// Until when each node has its lease.
    pub(super) fn leases(&self) -> String {
        self.of_part(Part::FIRST, "leases")
    }

    /// The nodes that have anything in a part.
    pub(super) fn nodes(&self, part: Part) -> String {
        self.of_part(part, "nodes")
    }

    /// A part's rooms that somebody is in, by name.
    pub(super) fn live(&self, part: Part) -> String {
        self.of_part(part, "live")
    }

    /// The rooms of a part that a node has somebody in.
    pub(super) fn rooms_of(&self, part: Part, node: NodeId) -> String {
        self.of_part(part, &format!("in:{node}"))
    }

    /// What the key of each node's set of sessions in a part begins with.
    pub(super) fn owned(&self, part: Part) -> String {
        self.of_part(part, "owned:")
    }

    /// The nodes that have somebody in a room, and the version of that.
    pub(super) fn here(&self, room: &RoomKey) -> String {
        self.of_room(room, "here")
    }

    /// What the key of each node's users in a room begins with.
    pub(super) fn entries(&self, room: &RoomKey) -> String {
        self.of_room(room, "entries") + " "
    }

    /// The users that a node has in a room.
    pub(super) fn entries_of(&self, room: &RoomKey, node: NodeId) -> String {
        format!("{}{node}", self.entries(room))
    }

    /// Where nodes ask all others. A plain channel, of no part.
    pub(super) fn questions(&self) -> String {
        format!("{}:questions", self.0)
    }

    /// Where a node is answered.
    pub(super) fn answers(&self, node: NodeId) -> String {
        format!("{}:answers:{node}", self.0)
    }
}
