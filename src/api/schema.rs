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

/// A user whose connections were closed.
#[derive(ToSchema)]
#[schema(as = Disconnected)]
pub(super) struct DisconnectedSchema {
    /// The user.
    user: UserSchema,
    /// Connections that were closed; 0 if it had none.
    connections: u64,
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
