//! The server's side of Socket.IO's Admin UI (`@socket.io/admin-ui`): the namespace `/admin`, for operators.
//!
//! It is no namespace of the hub: its sockets have no session to resume, no rooms and no offsets. An operator logs in with any name and
//! the key of operators as the password, and is sent what all nodes report of their clients ([`view`]). What the operator asks for
//! ([`request`]) is carried out on all nodes.

use std::{future::ready, net::IpAddr, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use socketioxide::handler::ConnectHandler;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

mod request;
mod view;

use super::{
    SocketIo, SocketIoTransport, SocketRef,
    authorize::ConnectError,
    connect::{Accepting, ConnectingSocket, decide_connect, session_of, take_pending},
    engine_session::EngineSession,
    event_packet::EventPacket,
    event_sink::SocketEventSink,
    inbox::{InboxReceiver, Received},
    socket_end::SocketEnd,
};
use crate::{
    auth::AdminSession,
    error::{Code, Error, Result},
    hub::{ClientReportRequest, CloseReason, EventSink},
    model::{ConnectionId, EventPayload, Namespace, Offset, Timestamp},
    transport::wire::ConnectReply,
};
use request::OperatorRequest;
use view::{MAX_LISTED_SOCKETS, OperatorView};

/// The namespace that the page connects to, unless it is told another one.
pub(super) const NAMESPACE: &str = "/admin";

/// How often an operator is sent what has changed.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the page takes for wrong credentials.
const INVALID_CREDENTIALS: &str = "invalid credentials";

/// What an operator logs in with: a name, which may be any, and a password, or the token of a session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogIn {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    session_id: Option<String>,
}

/// What the middleware leaves for the connect handler.
struct PendingOperator {
    token: String,
    session: AdminSession,
    inbox: InboxReceiver,
    end: Arc<SocketEnd>,
}

/// Registers the namespace.
pub(super) async fn serve(io: &SocketIo, transport: Arc<SocketIoTransport>) {
    let in_middleware = transport.clone();
    let middleware = async move |socket: SocketRef, connecting: ConnectingSocket| {
        let accept = |auth: String| -> Accepting<'_, PendingOperator> {
            let accepted = in_middleware.accept_operator(&socket, &connecting, &auth);
            Box::pin(ready(accepted))
        };
        decide_connect(&socket, &connecting, accept).await
    };
    let connected = async move |socket: SocketRef| transport.run_operator(socket).await;
    let served = io.ns(NAMESPACE, connected.with(middleware)).await;
    served.expect("the driver never fails, and the namespace has no #");
}

impl SocketIoTransport {
    /// Decides about a CONNECT to the namespace.
    fn accept_operator(
        &self,
        socket: &SocketRef,
        connecting: &ConnectingSocket,
        auth: &str,
    ) -> Result<PendingOperator, ConnectError> {
        let session = session_of(socket)?;
        let (token, admin_session) = self.log_in(session.address(), auth).map_err(|error| {
            self.hub.metrics().error(&error);
            let message = match error.code() {
                Code::Unauthorized => INVALID_CREDENTIALS,
                _ => error.message(),
            };
            ConnectError::with_message(message, &error)
        })?;
        let reply = ConnectReply {
            connection: ConnectionId::generate(),
            pid: None,
            delivered: Offset::default(),
        };
        session.set_connect_reply(socket.ns(), reply);
        session.add_socket(connecting.0.clone());
        let (inbox, end) = self.receive(socket, session, (&namespace(), None));
        Ok(PendingOperator {
            token,
            session: admin_session,
            inbox,
            end,
        })
    }

    /// The session of what an operator logs in with, and its token.
    fn log_in(&self, address: IpAddr, auth: &str) -> Result<(String, AdminSession)> {
        let wrong = || Error::unauthorized("log in with any name and the key of auth.admin_key");
        let LogIn {
            password,
            session_id,
        } = serde_json::from_str(auth).map_err(|_| wrong())?;
        let (authority, now) = (self.hub.authority(), Timestamp::now());
        let admin = authority.admin().ok_or_else(wrong)?;
        let known = session_id.and_then(|token| {
            let session = admin.session_of_token(&token, now)?;
            Some((token, session))
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let key = password.ok_or_else(wrong)?;
        let log_ins = self.admission.log_ins();
        let token = log_ins.log_in(authority, address, (&key, "admin-ui"))?;
        let session = admin.session_of_token(&token, now).ok_or_else(wrong)?;
        Ok((token, session))
    }

    /// The connect handler: socketioxide has replied to CONNECT.
    async fn run_operator(self: Arc<Self>, socket: SocketRef) {
        if let Some((pending, session)) = take_pending::<PendingOperator>(&socket) {
            Operator::new(self, socket, session, pending).run().await;
        }
    }
}

fn namespace() -> Namespace {
    Namespace::parse(NAMESPACE).expect("a valid name")
}

/// The connection of an operator.
struct Operator {
    transport: Arc<SocketIoTransport>,
    sink: SocketEventSink,
    session: AdminSession,
    inbox: InboxReceiver,
    end: Arc<SocketEnd>,
    view: OperatorView,
}

impl Operator {
    fn new(
        transport: Arc<SocketIoTransport>,
        socket: SocketRef,
        engine: Arc<EngineSession>,
        pending: PendingOperator,
    ) -> Self {
        let PendingOperator {
            token,
            session,
            inbox,
            end,
        } = pending;
        let sink = SocketEventSink::new(namespace(), (socket, None), Arc::default(), engine);
        let operator = Self {
            transport,
            sink,
            session,
            inbox,
            end,
            view: OperatorView::default(),
        };
        operator.send(json!(["session", token]).to_string());
        operator
    }

    /// Runs until the socket or the session of the operator has ended.
    async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let left = self.session.expires_at.0.saturating_sub(Timestamp::now().0);
        let expires = Instant::now() + Duration::from_millis(left);
        let end = self.end.token().clone();
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                () = sleep_until(expires) => return self.sink.close(CloseReason::Expired),
                received = self.inbox.next() => match received {
                    Received::Packet(packet) => self.handle(packet).await,
                    Received::Quiet => {}
                    Received::Ended => return,
                },
                _ = ticks.tick() => self.update().await,
            }
        }
    }

    /// Sends what has changed, unless the operator is too slow for it.
    async fn update(&mut self) {
        if self.sink.is_behind() {
            return;
        }
        let request = ClientReportRequest {
            max_sockets: MAX_LISTED_SOCKETS,
            events_after: self.view.events_after(),
        };
        let reports = self.transport.hub.client_reports(&request).await;
        for event in self.view.update(reports, Timestamp::now()) {
            self.send(event);
        }
    }

    /// Sends an event: the array of its name and arguments.
    fn send(&self, text: String) {
        let event = EventPayload {
            text: text.into(),
            attachments: Vec::new(),
        };
        if let Err(error) = self.sink.push_charged(self.sink.payload_frame(&event)) {
            tracing::debug!(%error, "an operator is not sent an event");
        }
    }

    /// Carries out what the operator asks for, and acknowledges it if that is wanted.
    async fn handle(&self, mut packet: EventPacket) {
        let ack = packet.ack.take();
        let done = self.carry_out(&packet).await;
        if let Err(error) = &done {
            tracing::warn!(%error, "a request of an operator failed");
        }
        match (ack, done) {
            (Some(ack), Ok(())) => self.sink.acknowledge_payload(ack, &EventPayload::ok()),
            (Some(ack), Err(error)) => self.sink.acknowledge_failure(ack, &error),
            (None, _) => {}
        }
    }

    async fn carry_out(&self, packet: &EventPacket) -> Result<()> {
        let arguments = packet.arguments(self.transport.nesting)?;
        let request = OperatorRequest::parse(&arguments.event, arguments.values())?;
        let hub = &self.transport.hub;
        if !self.transport.namespaces.contains_key(request.namespace()) {
            return Err(Error::new(Code::NotFound, "there is no such namespace"));
        }
        tracing::info!(event = %arguments.event, "an operator acts in the Admin UI");
        match request {
            OperatorRequest::Emit(broadcast) => hub.emit(broadcast).await,
            OperatorRequest::Change(sockets, change) => hub.change_sockets(&sockets, change).await,
        }
    }
}
