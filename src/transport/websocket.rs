//! Plain WebSockets: `/ws` and `/ws/{room}`, one JSON object a frame, for clients without a library.
//!
//! After admission the connection is upgraded. One task per connection reads frames ([`envelope`](super::envelope)) and passes
//! requests to the hub's executor. Outgoing events are encoded once for all receivers, and queued in the same kind of outbox
//! as for Socket.IO.

mod conversation;
mod replies;

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response, routing::get};
use bytes::Bytes;
use http::Request;
use hyper::upgrade::OnUpgrade;

use self::{conversation::Conversation, replies::EnvelopeReplySink};
use super::{
    AdmissionControl, WebSocketSettings, client_socket, close_codes, envelope,
    framed_client::{FramedClient, Framing},
    room_query::RoomQuery,
    session_event::session_event,
    wire::Frame,
};
use crate::{
    error::{Error, Result},
    http::{
        Routes,
        params::PathParams,
        route_all, traced,
        upgrade::{accept_upgrade, switching_protocols},
    },
    hub::{
        CloseReason, Connection, Executor, Format, Join, OutgoingEvent, PreparedConnection, Replay,
        ResumeRequest,
    },
    limits::Account,
    model::{Namespace, Position},
};

/// The transport's shared state.
#[derive(Clone)]
struct WebSocketTransport {
    admission: Arc<AdmissionControl>,
    settings: Arc<WebSocketSettings>,
    /// How many bytes are read at a time.
    read_size: usize,
}

/// The paths of the transport's routes.
const PATHS: [&str; 3] = ["/ws", "/ws/", "/ws/{room}"];

/// The transport's routes.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    settings: &WebSocketSettings,
    read_size: usize,
) -> Routes {
    let transport = WebSocketTransport {
        admission: admission.clone(),
        settings: Arc::new(settings.clone()),
        read_size,
    };
    let upgrade = async |State(transport): State<WebSocketTransport>,
                         room: Option<PathParams<String>>,
                         request| {
        transport
            .respond(room.map(|PathParams(room)| room), request)
            .await
    };
    let routes = route_all(&PATHS, &get(upgrade));
    Routes::new(traced(routes.with_state(transport)), PATHS)
}

impl WebSocketTransport {
    async fn respond(self, room: Option<String>, request: Request<Body>) -> Response {
        let admission = self.admission.clone();
        let upgraded = self.upgrade(room, request).await;
        upgraded.unwrap_or_else(|error| admission.reject(&error))
    }

    async fn upgrade(self, room: Option<String>, mut request: Request<Body>) -> Result<Response> {
        self.admission
            .check_websocket_origin(request.headers(), request.extensions())?;
        let accept = accept_upgrade(&request)?;
        let query = RoomQuery::parse(room.as_deref(), request.uri())?;
        let joins = joins(query)?;
        let upgrading = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let (permit, principal) = self.admission.admit(&parts).await?;
        let holder = self.admission.holder(&parts, Some(&principal));
        let hub = self.admission.hub();
        let prepared = hub
            .prepare_connection(
                Namespace::root(),
                principal,
                ResumeRequest::Unsupported,
                self.admission.client_facts(&parts),
            )
            .await?;
        let client = FramedClient::new(
            Envelopes,
            &self.admission,
            permit,
            &hub.metrics().websockets,
        );
        client.complete_handshake();
        let account = Account::new(hub.memory().clone(), holder);
        tokio::spawn(self.serve(upgrading, prepared, (client, account), joins));
        Ok(switching_protocols(accept))
    }

    async fn serve(
        self,
        upgrading: OnUpgrade,
        prepared: PreparedConnection,
        (client, account): (Arc<FramedClient<Envelopes>>, Arc<Account>),
        joins: Vec<Join>,
    ) {
        let Ok(upgraded) = upgrading.await else {
            return; // the client disconnected between its request and our response
        };
        let sizes = (self.settings.max_payload.bytes(), self.read_size);
        let opening =
            client_socket::open(upgraded, &self.admission, &client, account.clone(), sizes);
        let mut socket = opening.await;
        let (hub, node) = (self.admission.hub(), self.admission.node());
        let greet = |connection: &Connection| {
            connection.push(&session_event(connection, hub, node, None));
        };
        // Boxed, as everything that an idle connection does not need.
        let connecting = Box::pin(hub.connect(prepared, client.clone(), greet));
        let connection = connecting.await;
        let mut conversation = Conversation {
            executor: Executor::new(
                hub.clone(),
                connection,
                EnvelopeReplySink {
                    client: client.clone(),
                    account,
                },
                client.close_token().clone(),
            ),
            room: match joins.as_slice() {
                [only] => Some(only.room.clone()),
                _ => None,
            },
            client: &client,
            settings: &self.settings,
        };
        Box::pin(conversation.join_rooms(joins)).await;
        let closed_by = conversation.run(&mut socket).await;
        Box::pin(conversation.executor.finish()).await;
        drop(conversation);
        Box::pin(client_socket::end(socket, &client, closed_by)).await;
    }
}

/// The joins for the rooms of a URL.
fn joins(query: RoomQuery) -> Result<Vec<Join>> {
    let RoomQuery {
        rooms,
        since,
        history,
        last_event: _,
    } = query;
    let replay = match since {
        Some(_) if rooms.len() != 1 => {
            return Err(Error::bad_request("since goes with one room"));
        }
        Some(since) => Replay::Since(Position::parse(&since)?, (history > 0).then_some(history)),
        None if history > 0 => Replay::Last(history),
        None => Replay::Nothing,
    };
    let join = |room| Join {
        room,
        replay: replay.clone(),
    };
    Ok(rooms.into_iter().map(join).collect())
}

/// How events are written to a plain WebSocket.
struct Envelopes;

impl Framing for Envelopes {
    const TRANSPORT: &'static str = "websocket";
    const FORMAT: Option<Format> = Some(Format::Envelope);

    fn frame(&self, event: &OutgoingEvent) -> Bytes {
        envelope::frame(event)
    }

    fn close_frame(&self, reason: CloseReason) -> Option<Frame> {
        Some(close_codes::close_frame(reason))
    }
}
