//! Emitting an event of the application's own, as a reply of a hook does, but at any time.

use axum::{Extension, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Api, access::require_api_key};
use crate::{
    error::{Error, Result},
    hooks::{EmitTarget, read_emit},
    http::body::JsonBody,
    hub::{Caller, StatelessCaller},
    model::{Audience, Broadcast, RoomName},
};

/// An event for clients.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ emit, to }")]
#[schema(example = json!({ "emit": ["stock", { "sku": 7, "left": 41 }], "to": "shop" }))]
pub(super) struct EmitRequest {
    /// The event's name and its arguments. A binary value is `{ "$binary": "<Base64>" }`.
    #[schema(value_type = Vec<serde_json::Value>)]
    emit: Box<RawValue>,
    /// A room's name, `{ "user": id }`, or `"all"` for everybody.
    #[schema(value_type = serde_json::Value, example = "shop")]
    to: Box<RawValue>,
}

/// Emit an event.
///
/// Clients of Socket.IO receive it with these arguments, as from `io.to(room).emit(...)`, on every node. It is neither numbered nor stored:
/// who is away misses it. Requires an API key.
#[utoipa::path(
    post,
    path = "/v1/emit",
    operation_id = "emit",
    tag = "messages",
    request_body = EmitRequest,
    responses((status = 202, description = "It is on its way."))
)]
pub(super) async fn emit(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    JsonBody(EmitRequest { emit, to }): JsonBody<EmitRequest>,
) -> Result<StatusCode> {
    require_api_key(&caller)?;
    let (event, to) = read_emit(&emit, &to).map_err(Error::bad_request)?;
    let to = match to {
        EmitTarget::Room(room) => Audience::Rooms(vec![room]),
        EmitTarget::User(user) => Audience::Rooms(vec![RoomName::personal(&user)]),
        EmitTarget::All | EmitTarget::Caller => Audience::Everybody,
    };
    let broadcast = Broadcast {
        namespace: caller.namespace().clone(),
        to,
        except: Vec::new(),
        except_rooms: Vec::new(),
        event,
    };
    api.hub.emit(broadcast).await?;
    Ok(StatusCode::ACCEPTED)
}
