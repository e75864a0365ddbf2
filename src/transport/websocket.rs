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
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

use self::{
    conversation::{ClosedBy, Conversation},
    replies::EnvelopeReplySink,
};
use super::{
    AdmissionControl, WebSocketSettings, close_codes, envelope,
    framed_client::{CLOSE_TIMEOUT, FramedClient, Framing},
    message_memory::{MemoryLimitedReader, ReaderContext},
    packet_rate::PacedReader,
    room_query::RoomQuery,
    session_event::session_event,
    wire::{Frame, OutboxStream},
};
use crate::{
    error::{Error, Result},
    http::{
        Routes,
        params::PathParams,
        route_all, traced,
        upgrade::{accept_upgrade, split_upgraded, switching_protocols},
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
    /// Bytes of each connection's read buffer.
    read_buffer: usize,
}

/// The paths of the transport's routes.
const PATHS: [&str; 3] = ["/ws", "/ws/", "/ws/{room}"];

/// The transport's routes.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    settings: &WebSocketSettings,
    read_buffer: usize,
) -> Routes {
    let transport = WebSocketTransport {
        admission: admission.clone(),
        settings: Arc::new(settings.clone()),
        read_buffer,
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
            .prepare_connection(Namespace::root(), principal, ResumeRequest::Unsupported)
            .await?;
        let client = FramedClient::new(
            Envelopes,
            &self.admission,
            permit,
            &hub.metrics().websockets,
        );
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
        let (reader, writer) = split_upgraded(upgraded);
        let context = ReaderContext {
            account: account.clone(),
            outbox: client.outbox().clone(),
            metrics: self.admission.hub().metrics().clone(),
            stall: self.admission.hub().limits().stall,
        };
        let paced = PacedReader::new(reader, self.admission.packet_rate());
        let reader = MemoryLimitedReader::new(paced, context);
        let wire = OutboxStream::for_plain(reader, writer, client.outbox().clone());
        let max_bytes = Some(self.settings.max_payload.bytes());
        let config = WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .max_message_size(max_bytes)
            .max_frame_size(max_bytes);
        let mut socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        let (hub, node) = (self.admission.hub(), self.admission.node());
        let greet = |connection: &Connection| {
            connection.push(&session_event(connection, hub, node, None));
        };
        let connection = hub.connect(prepared, client.clone(), greet).await;
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
        conversation.join_rooms(joins).await;
        let closed_by = conversation.run(&mut socket).await;
        conversation.executor.finish().await;
        drop(conversation);
        if closed_by == ClosedBy::Server {
            let _ = timeout(CLOSE_TIMEOUT, socket.get_mut().drain_reader()).await;
            client.outbox().end();
        }
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
    const FORMAT: Format = Format::Envelope;

    fn frame(&self, event: &OutgoingEvent) -> Bytes {
        envelope::frame(event)
    }

    fn close_frame(&self, reason: CloseReason) -> Option<Frame> {
        Some(close_codes::close_frame(reason))
    }
}
