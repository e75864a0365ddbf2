//! Rooms: which there are, who is in one, and taking somebody out.

use std::time::Instant;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{
    Api,
    access::only_back_ends,
    params::{Bounded, InRoom},
    schema,
};
use crate::{
    error::{Error, Result},
    http::params::{PathParams, QueryParams},
    hub::{Caller, PresencePage, RoomState, RoomsPage, RoomsRequest, Visitor},
    model::{MAX_NAME_BYTES, PERSONAL_ROOM_PREFIX, RoomName, UserId},
};

/// Which rooms.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listed {
    /// Only those whose names begin with this. Personal rooms are listed only where it begins with `user:`.
    #[serde(default)]
    #[param(required = false, max_length = 133)]
    prefix: String,
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the answer before.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 133,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$"
    )]
    cursor: Option<RoomName>,
}

/// List the rooms that somebody is in.
///
/// By name. A user sees those that it may join. One answer looks at a bounded number of rooms, and the more are looked at the
/// more it counts against the user's rate: a page may be short, or empty, and have a `next` all the same. Only a page without
/// `next` is the last.
#[utoipa::path(
    get,
    path = "/v1/rooms",
    operation_id = "list_rooms",
    tag = "rooms",
    params(Listed),
    responses((status = 200, description = "Some of the rooms.", body = schema::Rooms))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    QueryParams(listed): QueryParams<Listed>,
) -> Result<Json<RoomsPage>> {
    let most = PERSONAL_ROOM_PREFIX.len() + MAX_NAME_BYTES;
    if listed.prefix.chars().count() > most {
        return Err(Error::bad_request(format!(
            "no room's name has more than {most} bytes"
        )));
    }
    let request = RoomsRequest {
        prefix: listed.prefix,
        after: listed.cursor,
        limit: listed.limit.map(Bounded::count),
    };
    api.hub.live_rooms(&visitor, &request).await.map(Json)
}

/// Look at one room.
///
/// Whether or not anybody is in it. Takes the `join` grant.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    operation_id = "get_room",
    tag = "rooms",
    params(InRoom),
    responses((status = 200, description = "Where its log stands, and how many are in it.", body = schema::RoomState))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(InRoom { room }): PathParams<InRoom>,
) -> Result<Json<RoomState>> {
    api.hub.take_non_member_permit(&visitor, Instant::now())?;
    api.hub.room(&visitor, room).await.map(Json)
}

/// Which users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceRequest {
    /// At most so many.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the answer before.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$"
    )]
    after: Option<UserId>,
}

/// List who is in a room.
///
/// By id. Takes the `presence` grant.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/presence",
    operation_id = "list_presence",
    tag = "rooms",
    params(InRoom, PresenceRequest),
    responses((status = 200, description = "Some of the users.", body = schema::Presence))
)]
pub(super) async fn presence(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(InRoom { room }): PathParams<InRoom>,
    QueryParams(roll): QueryParams<PresenceRequest>,
) -> Result<Json<PresencePage>> {
    api.hub.take_non_member_permit(&visitor, Instant::now())?;
    let limit = roll.limit.map(Bounded::count);
    let page = api.hub.presence(&visitor, room, limit, roll.after.as_ref());
    page.await.map(Json)
}

/// A user in a room.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Member {
    /// The room.
    room: RoomName,
    /// The user.
    user: UserId,
}

/// Why.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Because {
    /// What the user is told; `removed` if not given.
    #[param(min_length = 1, max_length = 128, example = "spam")]
    reason: Option<String>,
}

/// What came of a kick.
#[derive(Serialize)]
pub(super) struct Kicked {
    room: RoomName,
    user: UserId,
    connections: usize,
}

/// Take a user out of a room.
///
/// All its connections, which are told `kicked`; the others see it leave. It may join again, unless its grants say
/// otherwise. Takes an API key.
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}/members/{user}",
    operation_id = "kick_member",
    tag = "rooms",
    params(Member, Because),
    responses((status = 200, description = "It is not in the room any more.", body = schema::Kicked))
)]
pub(super) async fn kick(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(Member { room, user }): PathParams<Member>,
    QueryParams(because): QueryParams<Because>,
) -> Result<Json<Kicked>> {
    only_back_ends(&visitor)?;
    let reason = because.reason.as_deref().unwrap_or("removed");
    if !(1..=128).contains(&reason.chars().count()) {
        return Err(Error::bad_request("a reason has 1 to 128 characters"));
    }
    let connections = api.hub.kick(&visitor.key(&room), &user, reason).await?;
    Ok(Json(Kicked {
        room,
        user,
        connections,
    }))
}
