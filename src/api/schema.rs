//! The words of the API as its description has them. What is answered is written by the hub's own types; these say what
//! that looks like, and a test compares both.
#![expect(dead_code, reason = "described, never made")]

use std::borrow::Cow;

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

use crate::{error::Code, http::json::StringOrNumber, model};

/// Has a type that is parsed described by one that is not.
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

describe!(model::RoomName => Room, model::UserId => User, model::MessageId => MessageId);

/// A name or the number that stands for it, by its digits.
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
    min_length = 1,
    max_length = 133,
    pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
    example = "lobby"
)]
pub(super) struct Room(String);

/// A user's id: 1 to 128 bytes of UTF-8 without white space or control characters.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
    example = "alice"
)]
pub(super) struct User(String);

/// A message's id, chosen by its sender or given by the server. The same id again in the same room is the same message.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$",
    example = "order-7-paid"
)]
pub(super) struct MessageId(String);

/// Names the life of a room's log: numbers compare only within one.
#[derive(ToSchema)]
#[schema(min_length = 1, example = "k3v9x0ad")]
pub(super) struct Epoch(String);

/// A message's number in its room: 1, 2, 3 … without holes; 0 is before the first.
#[derive(ToSchema)]
#[schema(minimum = 0, example = 42)]
pub(super) struct Seq(u64);

/// Server time, in milliseconds since the Unix epoch.
#[derive(ToSchema)]
#[schema(minimum = 0, example = 1711000000123u64)]
pub(super) struct Timestamp(u64);

/// Who sent a message.
#[derive(ToSchema)]
pub(super) struct Sender {
    /// The user.
    user: User,
    /// The name to show.
    #[schema(required = false, nullable = false, example = "Alice")]
    name: Option<String>,
}

/// A stored message.
#[derive(ToSchema)]
pub(super) struct Message {
    /// Its room.
    room: Room,
    /// Its id.
    id: MessageId,
    /// Its number in the room.
    seq: Seq,
    /// The name it was delivered under.
    #[schema(example = "message")]
    event: String,
    /// Who sent it; null: a back end, in nobody's name.
    #[schema(required)]
    from: Option<Sender>,
    /// What was sent, byte for byte.
    data: Value,
    /// When it was stored.
    ts: Timestamp,
}

/// A message that was stored.
#[derive(ToSchema)]
pub(super) struct Sent {
    /// Its room.
    room: Room,
    /// Its id.
    id: MessageId,
    /// Its number in the room.
    seq: Seq,
    /// The room's epoch.
    epoch: Epoch,
    /// When it was stored; of a repeat, when it was stored first.
    ts: Timestamp,
    /// It had been stored before: nothing was stored or delivered now.
    #[schema(required = false, nullable = false)]
    duplicate: Option<bool>,
}

/// An event that was passed on.
#[derive(ToSchema)]
pub(super) struct Passed {
    /// Its room.
    room: Room,
}

/// A part of a room's log.
#[derive(ToSchema)]
pub(super) struct History {
    /// The room.
    room: Room,
    /// Its epoch.
    epoch: Epoch,
    /// Its last number.
    seq: Seq,
    /// The messages, oldest first.
    messages: Vec<Message>,
    /// There are more in the direction that was asked for.
    more: bool,
    /// What to give as `after` or `before`, whichever was given, to go on; as `before` if neither was.
    #[schema(required = false, nullable = false)]
    next: Option<Seq>,
}

/// A room in which somebody is.
#[derive(ToSchema)]
pub(super) struct LiveRoom {
    /// Its name.
    room: Room,
    /// Users in it, each counted once; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    users: Option<u64>,
    /// Their connections; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    connections: Option<u64>,
}

/// A part of the live rooms.
#[derive(ToSchema)]
pub(super) struct Rooms {
    /// By name.
    rooms: Vec<LiveRoom>,
    /// What to give as `cursor` to go on, unless this is the end: there may be more even if `rooms` is short or empty.
    #[schema(required = false, nullable = false)]
    next: Option<Room>,
}

/// One room.
#[derive(ToSchema)]
pub(super) struct RoomState {
    /// Its name.
    room: Room,
    /// Its epoch.
    epoch: Epoch,
    /// Its last number.
    seq: Seq,
    /// Users in it, each counted once; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    users: Option<u64>,
    /// Their connections; only with the `presence` grant.
    #[schema(required = false, nullable = false)]
    connections: Option<u64>,
}

/// A user in a room.
#[derive(ToSchema)]
pub(super) struct Present {
    /// Who.
    user: User,
    /// The name to show.
    #[schema(required = false, nullable = false)]
    name: Option<String>,
    /// `online`, `away`, `busy` or any other word.
    #[schema(max_length = 32, example = "online")]
    status: String,
    /// Whatever the user shows of itself besides.
    #[schema(required = false, nullable = false, value_type = Object)]
    info: Option<Value>,
    /// Connections it has in the room; 0 while it may still come back unnoticed.
    connections: u64,
    /// When it came.
    since: Timestamp,
}

/// A part of a room's users.
#[derive(ToSchema)]
pub(super) struct Presence {
    /// The room.
    room: Room,
    /// Users in it, each counted once.
    count: u64,
    /// Some of them, by id.
    users: Vec<Present>,
    /// What to give as `after` to go on.
    #[schema(required = false, nullable = false)]
    next: Option<User>,
}

/// Whom a room was rid of.
#[derive(ToSchema)]
pub(super) struct Kicked {
    /// The room.
    room: Room,
    /// The user.
    user: User,
    /// Connections that were taken out; 0 if it had none there.
    connections: u64,
}

/// A user over all rooms.
#[derive(ToSchema)]
pub(super) struct UserState {
    /// Who.
    user: User,
    /// Whether it has a connection.
    online: bool,
    /// How many.
    connections: u64,
    /// The rooms they are in.
    rooms: Vec<Room>,
    /// What it shows; null while it is not online.
    #[schema(required, example = "online")]
    status: Option<String>,
    /// When it went; now, while it is online; null if that is not known.
    #[schema(required)]
    last_seen: Option<Timestamp>,
}

/// Whose connections were ended.
#[derive(ToSchema)]
pub(super) struct Disconnected {
    /// The user.
    user: User,
    /// Connections that were ended; 0 if it had none.
    connections: u64,
}

/// Why a call was refused.
#[derive(ToSchema)]
pub(super) struct Refusal {
    /// A stable word to branch on.
    code: ErrorCode,
    /// A sentence for a human.
    message: String,
    /// When to try again.
    #[schema(required = false, nullable = false)]
    retry_after_ms: Option<u64>,
}

/// A stable word for a kind of failure.
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
