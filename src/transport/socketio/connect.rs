//! CONNECT to a namespace: the connect middleware, and what happens once socketioxide has replied.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, Weak},
};

use socketioxide::{
    ProtocolVersion,
    handler::{DisconnectHandler, FromConnectParts},
    socket::DisconnectReason,
};
use socketioxide_core::Value;

use super::{
    Adapter, Socket, SocketIo, SocketIoTransport, SocketRef,
    authorize::ConnectError,
    credentials::Credentials,
    engine_session::EngineSession,
    event_sink::SocketEventSink,
    inbound::ConnectDecision,
    inbox::{self, Inbox, InboxReceiver},
    rooms::SocketRooms,
    socket_end::SocketEnd,
    worker::{Greeting, Worker},
};
use crate::{
    error::{Code, Error, Result},
    hooks::HookPermit,
    hub::PreparedConnection,
    model::{Namespace, RoomName},
    sync::lock,
    transport::{document_session::check_read, session_event::session_event, wire::ConnectReply},
};

/// What the middleware leaves for the connect handler. It holds nothing that holds the socket: if the handler never runs,
/// everything is dropped with the socket.
pub(super) struct PendingConnection {
    pub(super) prepared: PreparedConnection,
    pub(super) inbox: InboxReceiver,
    rooms: Option<Arc<SocketRooms>>,
    pub(super) end: Arc<SocketEnd>,
    /// For the application, if it wants to be told.
    greeting: Option<Greeting>,
    pub(super) target: ConnectTarget,
}

/// What a client connects to.
#[derive(Clone)]
pub(super) struct ConnectTarget {
    /// The namespace, as the client calls it.
    pub(super) namespace: Namespace,
    /// The document that the namespace is of, if it is of one.
    pub(super) document: Option<RoomName>,
}

impl ConnectTarget {
    /// The namespace of the hub's connection: that of a document is in none of its own.
    fn hub_namespace(&self) -> Namespace {
        match self.document {
            Some(_) => Namespace::root(),
            None => self.namespace.clone(),
        }
    }
}

/// The decision about a CONNECT: what the connect handler needs, or the refusal.
pub(super) type Accepting<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ConnectError>> + Send + 'a>>;

/// What a middleware has left for the connect handler.
type PendingSlot<T> = Arc<Mutex<Option<T>>>;

impl SocketIoTransport {
    /// The connect middleware: decides about a CONNECT, and decides again if its client sends another one meanwhile.
    pub(super) async fn handle_connect(
        &self,
        socket: &SocketRef,
        connecting: ConnectingSocket,
        target: ConnectTarget,
    ) -> Result<(), ConnectError> {
        let session = session_of(socket)?;
        let (target, connecting) = (&target, &connecting);
        let accept = |auth: String| -> Accepting<'_, PendingConnection> {
            Box::pin(async move {
                if let Some(rates) = session.previous_rates(&target.namespace) {
                    self.hub.wait_connect_permit(&rates).await;
                }
                self.accept_connect(socket, connecting, (target, &auth))
                    .await
            })
        };
        decide_connect(socket, connecting, accept).await
    }

    /// Authorizes a CONNECT and registers the handlers of its socket. Registered later, they would miss the client's first
    /// events.
    async fn accept_connect(
        &self,
        socket: &SocketRef,
        connecting: &ConnectingSocket,
        (target, auth): (&ConnectTarget, &str),
    ) -> Result<PendingConnection, ConnectError> {
        let session = session_of(socket)?;
        let served = self.namespace(&target.namespace);
        let greets = served.handlers.on_connect().is_some();
        let mut credentials = Credentials::read(auth);
        if target.document.is_some() {
            credentials.begin_anew();
        }
        let asks = self.hub.hooks().asks(HookPermit::Connect, None);
        if greets || asks || self.admission.authenticator().has_application() {
            let query = socket.req_parts().uri.query();
            let auth = match socket.protocol() {
                // To the main namespace it sends no CONNECT; its query is the handshake's.
                ProtocolVersion::V4 if auth.is_empty() => query.unwrap_or_default(),
                _ => auth,
            };
            let kept = credentials.keep_payload(auth, self.nesting);
            kept.map_err(|error| ConnectError::new(&error))?;
        }
        let prepared = self
            .authorize(socket, session, &target.hub_namespace(), &credentials)
            .await?;
        if let Some(document) = &target.document {
            check_read(prepared.principal(), document).map_err(|error| {
                self.hub.metrics().error(&error);
                ConnectError::new(&error)
            })?;
        }
        let greeting = greets.then(|| Greeting {
            auth: credentials.take_payload(),
            recovered: prepared.is_resumed(),
        });
        let reply = ConnectReply {
            connection: prepared.connection(),
            pid: prepared.pid(),
            delivered: prepared.received(),
        };
        session.set_connect_reply(socket.ns(), reply);
        session.add_socket(connecting.0.clone());
        let uses_rooms = self.uses_rooms && target.document.is_none();
        let rooms = uses_rooms.then(Arc::<SocketRooms>::default);
        let (inbox, end) = self.receive(socket, session, (&target.namespace, rooms.clone()));
        Ok(PendingConnection {
            prepared,
            inbox,
            rooms,
            end,
            greeting,
            target: target.clone(),
        })
    }

    /// Registers the handlers of a socket: what queues its events, and what notes its end.
    pub(super) fn receive(
        &self,
        socket: &Socket,
        session: &EngineSession,
        (namespace, rooms): (&Namespace, Option<Arc<SocketRooms>>),
    ) -> (InboxReceiver, Arc<SocketEnd>) {
        let charge = session.account().charge(inbox::UNCHARGED_BYTES);
        let (sender, receiver) = inbox::channel(
            self.inbox_limits,
            namespace.clone(),
            (session.outbox().clone(), charge),
            self.hub.metrics().clone(),
        );
        let end = Arc::<SocketEnd>::default();
        socket.on_fallback(sender);
        socket.on_disconnect(SocketEndHandler {
            rooms,
            end: end.clone(),
            inbox: receiver.inbox().clone(),
        });
        (receiver, end)
    }

    /// The connect handler: socketioxide has replied to CONNECT. Sends the session event and runs the connection's worker.
    pub(super) async fn run_connection(self: Arc<Self>, socket: SocketRef, io: SocketIo) {
        let Some((pending, engine_session)) = take_pending::<PendingConnection>(&socket) else {
            return;
        };
        let namespace = self.namespace(pending.prepared.namespace());
        // Before the session is resumed: whoever resumes it next has to come behind this one.
        let place = namespace.is_told().then(|| {
            let id = pending.prepared.connection();
            namespace.succession.enter(id)
        });
        if let Some(rooms) = &pending.rooms {
            rooms.join_own(&socket, pending.prepared.connection());
        }
        let sink = Arc::new(SocketEventSink::new(
            pending.prepared.namespace().clone(),
            (socket.clone(), pending.rooms.clone()),
            namespace.owners.clone(),
            engine_session,
        ));
        // The session event goes before anything from the rooms.
        let connection = self
            .hub
            .connect(pending.prepared, sink.clone(), |connection| {
                connection.push(&session_event(
                    connection,
                    &self.hub,
                    self.admission.node(),
                    None,
                ));
            })
            .await;
        // The rooms of a resumed session are mirrored as joining them would have done.
        for room in connection.rooms() {
            connection.announce_joined(&room);
        }
        let PendingConnection {
            inbox,
            end,
            greeting,
            ..
        } = pending;
        let end = (end, place);
        Worker::new(self, namespace, connection, (socket, io, sink), inbox, end)
            .run(greeting)
            .await;
    }
}

/// Decides about a CONNECT by `accept`, which is given its `auth` payload and returns what the connect handler needs; decides again
/// if its client sends another one meanwhile.
pub(super) async fn decide_connect<'a, T: Send + 'static>(
    socket: &SocketRef,
    connecting: &ConnectingSocket,
    accept: impl Fn(String) -> Accepting<'a, T>,
) -> Result<(), ConnectError> {
    let namespaces = session_of(socket)?.inbound().namespaces();
    // None if socketioxide was given the CONNECT twice: its client has had a reply, and has left.
    let mut auth = namespaces
        .take_request(socket.ns())
        .ok_or_else(ConnectError::suppressed)?;
    loop {
        let result = accept(auth).await;
        let accepted = result.is_ok().then(|| connecting.0.clone());
        match namespaces.finish_connect(socket.ns(), accepted) {
            ConnectDecision::Final => {
                let pending: PendingSlot<T> = Arc::new(Mutex::new(Some(result?)));
                socket.extensions.insert(pending);
                return Ok(());
            }
            // What was accepted is dropped first: it holds a place, and the session that its client most likely names again.
            ConnectDecision::Retry(newer) => auth = newer,
            ConnectDecision::Disconnected => return Err(ConnectError::suppressed()),
        }
    }
}

/// Takes what the middleware has left, now that the socket has connected; `None` if there is nothing.
pub(super) fn take_pending<T: Send + 'static>(
    socket: &SocketRef,
) -> Option<(T, Arc<EngineSession>)> {
    let slot = socket.extensions.remove::<PendingSlot<T>>();
    let pending = slot.and_then(|slot| lock(&slot).take());
    let session = session_of(socket).ok().cloned();
    let (Some(pending), Some(session)) = (pending, session) else {
        tracing::error!("a socket connected without passing the connect middleware");
        let _ = socket.clone().disconnect();
        return None;
    };
    session.mark_connected();
    session.outbox().add_barrier();
    Some((pending, session))
}

/// The Engine.IO session of a socket.
pub(super) fn session_of(socket: &Socket) -> Result<&Arc<EngineSession>, ConnectError> {
    let session = socket.req_parts().extensions.get::<Arc<EngineSession>>();
    session.ok_or_else(|| ConnectError::new(&Error::new(Code::Internal, "no session")))
}

/// Notifies a connection's worker that its socket has ended, and releases the socket at once.
///
/// An async closure would be spawned and release the socket after that. A CONNECT that comes right behind the disconnect would
/// then be taken for a repeated one, and would never get a reply.
struct SocketEndHandler {
    rooms: Option<Arc<SocketRooms>>,
    end: Arc<SocketEnd>,
    inbox: Arc<Inbox>,
}

/// Names this handler to socketioxide, which tells handlers apart by their arguments.
enum EndHandlerMarker {}

impl DisconnectHandler<Adapter, EndHandlerMarker> for SocketEndHandler {
    fn call_with_defer(
        &self,
        socket: Arc<Socket>,
        reason: DisconnectReason,
        release: fn(Arc<Socket>),
    ) {
        if let Ok(session) = session_of(&socket) {
            session.inbound().namespaces().socket_closed(&socket);
            if reason == DisconnectReason::HeartbeatTimeout {
                session.record_engine_close("ping_timeout");
            }
        }
        // In this order: the rooms to keep with the session are read before the socket leaves all of them.
        if let Some(rooms) = &self.rooms {
            rooms.end(&socket);
        }
        self.end.set(reason.into());
        self.inbox.resume_worker();
        release(socket);
    }
}

/// A weak reference to the socket that connects.
#[derive(Clone)]
pub(in crate::transport) struct ConnectingSocket(pub(in crate::transport) Weak<Socket>);

impl FromConnectParts<Adapter> for ConnectingSocket {
    type Error = std::convert::Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Self::Error> {
        Ok(Self(Arc::downgrade(socket)))
    }
}
