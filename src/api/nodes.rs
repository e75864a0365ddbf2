//! Draining a node by a call, as SIGTERM does.

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{
    Api,
    access::{Operator, require_operator},
    schema,
};
use crate::{
    error::{Code, Error, Result},
    http::params::PathParams,
};

/// The node in a call's path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct NodePath {
    /// The node's id, as in the statistics.
    node: String,
}

/// A node that is shutting down.
#[derive(Serialize)]
pub(super) struct DrainingNode {
    node: String,
    draining: bool,
}

/// Drain a node.
///
/// It refuses new clients, closes the others over `drain.over` after it has told them, stores what was accepted, and ends: the same as
/// SIGTERM. Only the node that is called can be drained. Requires `auth.admin_key`.
#[utoipa::path(
    post,
    path = "/v1/nodes/{node}/drain",
    operation_id = "drain_node",
    tag = "operation",
    params(NodePath),
    responses(
        (status = 202, description = "It is shutting down.", body = schema::DrainingNodeSchema),
        (status = 404, description = "This is another node.", body = schema::RefusalSchema),
    )
)]
pub(super) async fn drain(
    State(api): State<Api>,
    operator: Option<Extension<Operator>>,
    PathParams(NodePath { node }): PathParams<NodePath>,
) -> Result<(StatusCode, Json<DrainingNode>)> {
    require_operator(operator)?;
    let own = &api.hub.node_info().id;
    if node != *own {
        let message = format!("this is the node {own}; a node is drained by a call to itself");
        return Err(Error::new(Code::NotFound, message));
    }
    tracing::info!("draining: an operator asked for it");
    api.stop.cancel();
    let draining = true;
    Ok((StatusCode::ACCEPTED, Json(DrainingNode { node, draining })))
}
