//! Rooms: listing them, who is in one, and kicking a member.

use std::time::Instant;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{
    Api,
    access::require_api_key,
    params::{Bounded, RoomPath},
    schema,
};
use crate::{
    error::{Error, Result},
    http::params::{PathParams, QueryParams},
    hub::{Caller, PresencePage, RoomState, RoomsPage, RoomsRequest, StatelessCaller},
    model::{MAX_NAME_BYTES, PERSONAL_ROOM_PREFIX, RoomName, UserId},
};

/// Query of a room list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomsQuery {
    /// Only those whose names begin with this. Personal rooms are listed only if it begins with `user:`.
    #[serde(default)]
    #[param(required = false, max_length = 133)]
    prefix: String,
    /// Page size.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the previous page.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 133,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$"
    )]
    cursor: Option<RoomName>,
    /// With `events_per_second` of each room. Requires an API key.
    #[serde(default)]
    #[param(required = false, default = false)]
    rates: bool,
}

/// List the rooms that have members.
///
/// By name. A user sees those that it may join. One request scans a bounded number of rooms, and counts against the user's rate
/// by how many it scans: a page may be short or empty and still have a `next`. Only a page without `next` is the last.
#[utoipa::path(
    get,
    path = "/v1/rooms",
    operation_id = "list_rooms",
    tag = "rooms",
    params(RoomsQuery),
    responses((status = 200, description = "Some of the rooms.", body = schema::RoomsSchema))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    QueryParams(query): QueryParams<RoomsQuery>,
) -> Result<Json<RoomsPage>> {
    let max_bytes = PERSONAL_ROOM_PREFIX.len() + MAX_NAME_BYTES;
    if query.prefix.chars().count() > max_bytes {
        return Err(Error::bad_request(format!(
            "no room's name has more than {max_bytes} bytes"
        )));
    }
    let request = RoomsRequest {
        prefix: query.prefix,
        after: query.cursor,
        limit: query.limit.map(Bounded::count),
        rates: query.rates,
    };
    if request.rates {
        require_api_key(&caller)?;
    }
    api.hub.live_rooms(&caller, &request).await.map(Json)
}

/// Look at one room.
///
/// Whether or not it has members. Requires the `join` grant.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    operation_id = "get_room",
    tag = "rooms",
    params(RoomPath),
    responses((status = 200, description = "The end of its log, and its number of members.", body = schema::RoomStateSchema))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(RoomPath { room }): PathParams<RoomPath>,
) -> Result<Json<RoomState>> {
    api.hub.take_non_member_permit(&caller, Instant::now())?;
    api.hub.room(&caller, room).await.map(Json)
}

/// Query of a presence list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceQuery {
    /// Page size.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the previous page.
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
/// By id. Requires the `presence` grant.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/presence",
    operation_id = "list_presence",
    tag = "rooms",
    params(RoomPath, PresenceQuery),
    responses((status = 200, description = "Some of the users.", body = schema::PresenceSchema))
)]
pub(super) async fn presence(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(RoomPath { room }): PathParams<RoomPath>,
    QueryParams(query): QueryParams<PresenceQuery>,
) -> Result<Json<PresencePage>> {
    api.hub.take_non_member_permit(&caller, Instant::now())?;
    let limit = query.limit.map(Bounded::count);
    let page = api.hub.presence(&caller, room, limit, query.after.as_ref());
    page.await.map(Json)
}

/// A user in a room.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MemberPath {
    /// The room.
    room: RoomName,
    /// The user.
    user: UserId,
}

/// Query of a kick.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KickQuery {
    /// The reason that the user gets; `removed` if not given.
    #[param(min_length = 1, max_length = 128, example = "spam")]
    reason: Option<String>,
}

/// Result of a kick.
#[derive(Serialize)]
pub(super) struct KickResponse {
    room: RoomName,
    user: UserId,
    connections: usize,
}

/// Remove a user from a room.
///
/// All its connections leave the room and get the event `kicked`; the other members see it leave. It may join again, unless its
/// grants forbid it. Requires an API key.
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}/members/{user}",
    operation_id = "kick_member",
    tag = "rooms",
    params(MemberPath, KickQuery),
    responses((status = 200, description = "It is not in the room any more.", body = schema::KickedSchema))
)]
pub(super) async fn kick(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(MemberPath { room, user }): PathParams<MemberPath>,
    QueryParams(query): QueryParams<KickQuery>,
) -> Result<Json<KickResponse>> {
    require_api_key(&caller)?;
    let reason = query.reason.as_deref().unwrap_or("removed");
    if !(1..=128).contains(&reason.chars().count()) {
        return Err(Error::bad_request("a reason has 1 to 128 characters"));
    }
    let connections = api.hub.kick(&caller.room_key(&room), &user, reason).await?;
    Ok(Json(KickResponse {
        room,
        user,
        connections,
    }))
}
