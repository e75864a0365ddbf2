//! OpenAPI schemas of responses. The hub's own types write the responses; the types here only describe them, and a test
//! compares the two.
#![expect(dead_code, reason = "only described, never constructed")]

use std::borrow::Cow;

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

use crate::{error::Code, http::json::StringOrNumber, model};

/// Describes a parsed type by its schema type.
macro_rules! describe {
    ($($type:ty => $as:ident),*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $as::schema()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $as::name()
            }
        }
    )*};
}

describe!(model::RoomName => RoomSchema, model::UserId => UserSchema, model::MessageId => MessageIdSchema);

/// A name, or a number that stands for its digits.
impl<T: PartialSchema> PartialSchema for StringOrNumber<T> {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0));
        OneOfBuilder::new().item(T::schema()).item(number).into()
    }
}

impl<T: ToSchema> ToSchema for StringOrNumber<T> {
    fn name() -> Cow<'static, str> {
        format!("{}OrNumber", T::name()).into()
    }
}

/// A room's name: 1 to 128 bytes of UTF-8 without white space or control characters. `user:<id>` is a user's personal
/// room; its id alone has up to 128 bytes.
#[derive(ToSchema)]
#[schema(
    as = Room,
    min_length = 1,
    max_length = 133,
    pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
    example = "lobby"
)]
pub(super) struct RoomSchema(String);

/// A user's id: 1 to 128 bytes of UTF-8 without white space or control characters.
#[derive(ToSchema)]
#[schema(
    as = User,
    min_length = 1,
    max_length = 128,
    pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
    example = "alice"
)]
pub(super) struct UserSchema(String);

/// A message's id, chosen by its sender or given by the server. The same id again in the same room is the same message.
#[derive(ToSchema)]
#[schema(
    as = MessageId,
    min_length = 1,
    max_length = 64,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$",
    example = "order-7-paid"
)]
pub(super) struct MessageIdSchema(String);

/// Names one incarnation of a room's log: numbers compare only within one epoch.
#[derive(ToSchema)]
#[schema(as = Epoch, min_length = 1, example = "k3v9x0ad")]
pub(super) struct EpochSchema(String);

/// A message's number in its room: 1, 2, 3 … without holes; 0 is before the first.
#[derive(ToSchema)]
#[schema(as = Seq, minimum = 0, example = 42)]
pub(super) struct SeqSchema(u64);

/// Server time, in milliseconds since the Unix epoch.
#[derive(ToSchema)]
#[schema(as = Timestamp, minimum = 0, example = 1711000000123u64)]
pub(super) struct TimestampSchema(u64);

/// Who sent a message.
#[derive(ToSchema)]
#[schema(as = Sender)]
pub(super) struct SenderSchema {
    /// The user.
    user: UserSchema,
    /// The name to show.
    #[schema(required = false, nullable = false, example = "Alice")]
    name: Option<String>,
}

/// A stored message.
#[derive(ToSchema)]
#[schema(as = Message)]
pub(super) struct MessageSchema {
    /// Its room.
    room: RoomSchema,
    /// Its id.
    id: MessageIdSchema,
    /// Its number in the room.
    seq: SeqSchema,
    /// The name it was delivered under.
    #[schema(example = "message")]
    event: String,
    /// Its sender; null: a back end, in nobody's name.
    #[schema(required)]
    from: Option<SenderSchema>,
    /// What was sent, byte for byte.
    data: Value,
    /// When it was stored.
    ts: TimestampSchema,
}

/// A message that was stored.
#[derive(ToSchema)]
#[schema(as = Sent)]
pub(super) struct SentSchema {
    /// Its room.
    room: RoomSchema,
    /// Its id.
    id: MessageIdSchema,
    /// Its number in the room.
    seq: SeqSchema,
    /// The room's epoch.
    epoch: EpochSchema,
    /// When it was stored; of a repeat, when it was stored first.
    ts: TimestampSchema,
    /// It had been stored before: nothing was stored or delivered now.
    #[schema(required = false, nullable = false)]
    duplicate: Option<bool>,
}

/// An ephemeral event that was delivered.
#[derive(ToSchema)]
#[schema(as = Passed)]
pub(super) struct PassedSchema {
    /// Its room.
    room: RoomSchema,
}

/// A part of a room's log.
#[derive(ToSchema)]
#[schema(as = History)]
pub(super) struct HistorySchema {
    /// The room.
    room: RoomSchema,
    /// Its epoch.
    epoch: EpochSchema,
    /// Its last number.
    seq: SeqSchema,
    /// The messages, oldest first.
    messages: Vec<MessageSchema>,
    /// There are more in the requested direction.
    more: bool,
    /// The value for `after` or `before`, whichever was given, of the next request; for `before` if neither was.
    #[schema(required = false, nullable = false)]
    next: Option<SeqSchema>,
}

/// A room with members.
#[derive(ToSchema)]
#[schema(as = LiveRoom)]
pub(super) struct LiveRoomSchema {
    /// Its name.
    room: RoomSchema,
    /// Users in it, each counted once; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    users: Option<u64>,
    /// Their connections; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    connections: Option<u64>,
    /// Events per second over the last ten seconds, stored or not; only with `rates`, and if a node could say.
    #[schema(required = false, nullable = false)]
    events_per_second: Option<f64>,
}

/// A part of the live rooms.
#[derive(ToSchema)]
#[schema(as = Rooms)]
pub(super) struct RoomsSchema {
    /// By name.
    rooms: Vec<LiveRoomSchema>,
    /// The value for `cursor` of the next request; missing on the last page. A short or empty page is not the last one.
    #[schema(required = false, nullable = false)]
    next: Option<RoomSchema>,
}

/// One room.
#[derive(ToSchema)]
#[schema(as = RoomState)]
pub(super) struct RoomStateSchema {
    /// Its name.
    room: RoomSchema,
    /// Its epoch.
    epoch: EpochSchema,
    /// Its last number.
    seq: SeqSchema,
    /// Users in it, each counted once; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    users: Option<u64>,
    /// Their connections; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    connections: Option<u64>,
}

/// A user in a room.
#[derive(ToSchema)]
#[schema(as = Present)]
pub(super) struct PresentSchema {
    /// The user.
    user: UserSchema,
    /// The name to show.
    #[schema(required = false, nullable = false)]
    name: Option<String>,
    /// `online`, `away`, `busy` or any other word.
    #[schema(max_length = 32, example = "online")]
    status: String,
    /// More information that the user shows.
    #[schema(required = false, nullable = false, value_type = Object)]
    info: Option<Value>,
    /// Its connections in the room; 0 during the grace period after the last one closed.
    connections: u64,
    /// When it joined.
    since: TimestampSchema,
}

/// A part of a room's users.
#[derive(ToSchema)]
#[schema(as = Presence)]
pub(super) struct PresenceSchema {
    /// The room.
    room: RoomSchema,
    /// Users in it, each counted once.
    count: u64,
    /// Some of them, by id.
    users: Vec<PresentSchema>,
    /// The value for `after` of the next request.
    #[schema(required = false, nullable = false)]
    next: Option<UserSchema>,
}

/// A user that was removed from a room.
#[derive(ToSchema)]
#[schema(as = Kicked)]
pub(super) struct KickedSchema {
    /// The room.
    room: RoomSchema,
    /// The user.
    user: UserSchema,
    /// Connections that were removed; 0 if it had none there.
    connections: u64,
}

/// A document that clients of Yjs edit.
#[derive(ToSchema)]
#[schema(as = DocumentState)]
pub(super) struct DocumentStateSchema {
    /// Its name.
    document: RoomSchema,
    /// Bytes as it is stored.
    bytes: u64,
    /// Updates that are not merged yet.
    updates: u64,
    /// The number of its last update.
    last: u64,
    /// When that was stored.
    changed: TimestampSchema,
    /// Clients of the node that answers that have it open.
    clients: u64,
}

/// A part of the documents.
#[derive(ToSchema)]
#[schema(as = Documents)]
pub(super) struct DocumentsSchema {
    /// By name.
    documents: Vec<DocumentStateSchema>,
    /// The value for `cursor` of the next request; without it this is the last page.
    #[schema(required = false, nullable = false)]
    next: Option<RoomSchema>,
}

/// A document that was deleted.
#[derive(ToSchema)]
#[schema(as = DeletedDocument)]
pub(super) struct DeletedDocumentSchema {
    /// Its name.
    document: RoomSchema,
    /// Clients of the node that answers that have it open, and keep it.
    clients: u64,
}

/// An update that was stored.
#[derive(ToSchema)]
#[schema(as = StoredUpdate)]
pub(super) struct StoredUpdateSchema {
    /// The document.
    document: RoomSchema,
    /// Its number in the document; missing if it was not stored.
    #[schema(required = false, nullable = false)]
    number: Option<u64>,
}

/// An update of Yjs, version 1.
#[derive(ToSchema)]
#[schema(as = Update, value_type = String, format = Binary)]
pub(super) struct UpdateSchema(Vec<u8>);

/// A user over all rooms.
#[derive(ToSchema)]
#[schema(as = UserState)]
pub(super) struct UserStateSchema {
    /// The user.
    user: UserSchema,
    /// Whether it is connected.
    online: bool,
    /// Number of its connections.
    connections: u64,
    /// The rooms they are in.
    rooms: Vec<RoomSchema>,
    /// Its status; null while it is offline.
    #[schema(required, example = "online")]
    status: Option<String>,
    /// When it was last online; now, while it is online; null if unknown.
    #[schema(required)]
    last_seen: Option<TimestampSchema>,
}

/// A user with a connection.
#[derive(ToSchema)]
#[schema(as = ConnectedUser)]
pub(super) struct ConnectedUserSchema {
    /// The user.
    user: UserSchema,
    /// The name to show.
    #[schema(required = false, nullable = false)]
    name: Option<String>,
    /// Number of its connections.
    connections: u64,
}

/// Some of the users with a connection.
#[derive(ToSchema)]
#[schema(as = Users)]
pub(super) struct UsersSchema {
    /// By id.
    users: Vec<ConnectedUserSchema>,
    /// The value for `cursor` of the next request; without it this is the last page.
    #[schema(required = false, nullable = false)]
    next: Option<UserSchema>,
}

/// A connection.
#[derive(ToSchema)]
#[schema(as = Connection)]
pub(super) struct ConnectionSchema {
    /// Its id, the client's `socket.id`.
    id: String,
    /// The node that has it.
    node: String,
    /// `socketio`, `websocket` or `events`.
    transport: String,
    /// The namespace that it is connected to.
    #[schema(example = "/")]
    namespace: String,
    /// The rooms that it is in.
    rooms: Vec<RoomSchema>,
    /// When it connected.
    connected_at: TimestampSchema,
    /// Bytes in its client's send queue.
    send_queue_bytes: u64,
}

/// The connections of a user.
#[derive(ToSchema)]
#[schema(as = Connections)]
pub(super) struct ConnectionsSchema {
    /// The user.
    user: UserSchema,
    /// On all nodes, the oldest first.
    connections: Vec<ConnectionSchema>,
}

/// A node that is shutting down.
#[derive(ToSchema)]
#[schema(as = DrainingNode)]
pub(super) struct DrainingNodeSchema {
    /// The node.
    node: String,
    /// Always true.
    draining: bool,
}

/// Numbers of a node since it was started.
#[derive(ToSchema)]
#[schema(as = Totals)]
pub(super) struct TotalsSchema {
    /// Messages stored that were sent through it.
    messages: u64,
    /// Messages deduplicated by their id.
    duplicates: u64,
    /// Ephemeral events sent through it.
    ephemeral_events: u64,
    /// Events of rooms delivered to its connections.
    deliveries: u64,
    /// Sessions resumed.
    recoveries: u64,
    /// Sessions that clients asked to resume and that were not.
    recoveries_refused: u64,
    /// Errors sent to clients.
    errors: u64,
    /// Times that a limit was reached.
    limited: u64,
    /// Ephemeral events dropped for connections that were behind.
    dropped: u64,
    /// Connections closed by the server.
    connections_closed: u64,
}

/// A node.
#[derive(ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeSchema {
    /// Its name.
    id: String,
    /// The name of its machine.
    #[schema(required = false, nullable = false)]
    host: Option<String>,
    /// The address that it is configured to listen on.
    listen: String,
    /// The version of the server.
    version: String,
    /// `sqlite`, `memory` or `redis`.
    store: String,
    /// When it was started.
    started_at: TimestampSchema,
    /// Whether it can serve requests.
    ready: bool,
    /// Why not.
    #[schema(required = false, nullable = false)]
    not_ready: Option<String>,
    /// It is shutting down.
    draining: bool,
    /// Its newest sample: the time and the values of all series; null in its first seconds.
    #[schema(required, value_type = Option<Object>)]
    sample: Option<Value>,
    /// What it has counted since it was started.
    totals: TotalsSchema,
}

/// How much goes on in a room.
#[derive(ToSchema)]
#[schema(as = ActiveRoom)]
pub(super) struct ActiveRoomSchema {
    /// The room.
    room: RoomSchema,
    /// Users in it, each counted once.
    users: u64,
    /// Their connections.
    connections: u64,
    /// Events per second over the last ten seconds.
    events_per_second: f64,
}

/// The rooms of a node in which most goes on.
#[derive(ToSchema)]
#[schema(as = ActiveRooms)]
pub(super) struct ActiveRoomsSchema {
    /// Those with the most events per second.
    busiest: Vec<ActiveRoomSchema>,
    /// Those with the most connections.
    largest: Vec<ActiveRoomSchema>,
}

/// Statistics of a node and its cluster.
#[derive(ToSchema)]
#[schema(as = Stats)]
pub(super) struct StatsSchema {
    /// Now.
    ts: TimestampSchema,
    /// The time between two samples, in milliseconds.
    interval_ms: u64,
    /// The node that answers.
    node: String,
    /// The nodes of its cluster: this one first, the others by id.
    nodes: Vec<NodeSchema>,
    /// Nodes that did not answer in time.
    missing_nodes: u64,
    /// The rooms of this node in which most goes on.
    rooms: ActiveRoomsSchema,
    /// The samples of this node, oldest first: an array of times, `ts`, and one of the same length for each series. Null: unknown.
    #[schema(value_type = Object)]
    series: Value,
}

/// A user whose connections were closed.
#[derive(ToSchema)]
#[schema(as = Disconnected)]
pub(super) struct DisconnectedSchema {
    /// The user.
    user: UserSchema,
    /// Connections that were closed; 0 if it had none.
    connections: u64,
}

/// The endpoints of all hooks.
#[derive(ToSchema)]
#[schema(as = Hooks)]
pub(super) struct HooksSchema {
    /// Those that answer: `hooks.call`.
    call: Vec<CallEndpointSchema>,
    /// Those that are told: `hooks.notify`.
    notify: Vec<NotifyEndpointSchema>,
}

/// An endpoint that is told.
#[derive(ToSchema)]
#[schema(as = NotifyEndpoint)]
pub(super) struct NotifyEndpointSchema {
    /// Its URL without what is secret in it.
    #[schema(example = "https://app.example/events")]
    url: String,
    /// What it is told of.
    #[schema(example = json!(["message", "member.joined"]))]
    events: Vec<String>,
    /// The rooms whose messages and members it is told of.
    #[schema(required = false, nullable = false)]
    rooms: Option<String>,
    /// How long a response may take, in milliseconds.
    timeout_ms: u64,
    /// Whether batches are signed.
    signed: bool,
    /// `ok`, `failing`, or `stopped` after a response with status 410.
    #[schema(example = "ok")]
    state: String,
    /// The node that sends to it; absent with a single node.
    #[schema(required = false, nullable = false)]
    sender: Option<String>,
    /// How many events it was not told of yet, at most.
    behind: u64,
    /// The age of the first of them, in milliseconds.
    behind_ms: u64,
    /// How many events it has taken.
    delivered: u64,
    /// How many events it has lost, at most.
    lost: u64,
    /// Since when every attempt has failed.
    #[schema(required = false, nullable = false)]
    failing_since: Option<TimestampSchema>,
    /// When the next attempt is, if this node is the one that sends to it.
    #[schema(required = false, nullable = false)]
    next_attempt_in_ms: Option<u64>,
    /// The last failed attempt of this node.
    #[schema(required = false, nullable = false)]
    last_failure: Option<HookFailureSchema>,
}

/// An endpoint that answers.
#[derive(ToSchema)]
#[schema(as = CallEndpoint)]
pub(super) struct CallEndpointSchema {
    /// Its URL without what is secret in it.
    #[schema(example = "https://app.example/realtime")]
    url: String,
    /// The events that it answers.
    events: Vec<String>,
    /// What it permits: `connect`, `join`, `publish`.
    on: Vec<String>,
    /// The rooms that it permits joining and publishing in.
    #[schema(required = false, nullable = false)]
    rooms: Option<String>,
    /// How long a call may take, in milliseconds.
    timeout_ms: u64,
    /// Most calls under way.
    concurrency: u64,
    /// Whether calls are signed.
    signed: bool,
    /// `ok`, or `open` while it is not asked because most calls have failed.
    #[schema(example = "ok")]
    state: String,
    /// When it is asked again.
    #[schema(required = false, nullable = false)]
    asked_again_in_ms: Option<u64>,
    /// Calls under way.
    in_flight: u64,
    /// Calls that wait for their turn.
    waiting: u64,
    /// Calls that were sent.
    calls: u64,
    /// Replies that refused something.
    denied: u64,
    /// Calls without a reply, those that were not sent included.
    failures: u64,
    /// Times that it was not asked any more.
    opened: u64,
    /// The last call without a reply.
    #[schema(required = false, nullable = false)]
    last_failure: Option<HookFailureSchema>,
}

/// Why a call got no reply.
#[derive(ToSchema)]
#[schema(as = HookFailure)]
pub(super) struct HookFailureSchema {
    /// When.
    ts: TimestampSchema,
    /// `busy`, `connect`, `timeout`, `broken`, `status`, `too_large` or `reply`.
    #[schema(example = "timeout")]
    kind: String,
    /// A sentence for a human.
    message: String,
}

/// Why a request was refused.
#[derive(ToSchema)]
#[schema(as = Refusal)]
pub(super) struct RefusalSchema {
    /// A stable code to branch on.
    code: ErrorCode,
    /// A sentence for a human.
    message: String,
    /// When to try again.
    #[schema(required = false, nullable = false)]
    retry_after_ms: Option<u64>,
    /// Where data is that a schema refuses: a JSON pointer.
    #[schema(required = false, nullable = false)]
    at: Option<String>,
}

/// A stable code for a kind of failure.
pub(super) struct ErrorCode;

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Code::ALL.map(Code::as_str)))
            .into()
    }
}

impl ToSchema for ErrorCode {}
