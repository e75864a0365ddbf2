//! Documents over the protocol of y-websocket: `/yjs/{document}`, binary frames.
//!
//! The server begins with the document's state vector and what its clients show of themselves. A client answers with the updates that
//! the server lacks, and asks for those that it lacks itself; from then on both send each update as it comes.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, request::Parts};
use hyper::upgrade::OnUpgrade;
use tokio::{sync::Notify, time::Instant};

use super::{
    AdmissionControl, WebSocketSettings,
    client_socket::{self, ClosedBy},
    close_codes,
    document_session::{DocumentSession, Written, check_read},
    document_socket::{self, DocumentProtocolTask, NOBODY},
    framed_client::{FramedClient, Framing},
    wire::{Frame, binary_frame},
};
use crate::{
    documents::{
        DocumentEvent, DocumentProtocol, DocumentSink, Message, SyncMessage, parse_messages,
    },
    error::{Code, Error, Result},
    http::{
        Routes,
        params::PathParams,
        route_all, traced,
        upgrade::{accept_upgrade, switching_protocols},
    },
    hub::{
        CloseReason, Connection, EventSink, Format, Hub, OutgoingEvent, PreparedConnection,
        ResumeRequest, TokenExpiry,
    },
    limits::{Account, ConnectionPermit, Holder},
    model::{Namespace, RoomName},
};

/// What a frame has besides an update: two message types and a length.
const FRAME_OVERHEAD: usize = 16;

/// The transport's shared state.
#[derive(Clone)]
struct YjsTransport {
    admission: Arc<AdmissionControl>,
    settings: Arc<WebSocketSettings>,
    /// How many bytes are read at a time.
    read_size: usize,
}

/// The transport's routes. The names of documents may have slashes.
const PATHS: [&str; 1] = ["/yjs/{*document}"];

/// The transport's routes.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    settings: &WebSocketSettings,
    read_size: usize,
) -> Routes {
    let transport = YjsTransport {
        admission: admission.clone(),
        settings: Arc::new(settings.clone()),
        read_size,
    };
    let upgrade = async |State(transport): State<YjsTransport>,
                         PathParams(document): PathParams<String>,
                         request| { transport.respond(&document, request).await };
    let routes = route_all(&PATHS, &get(upgrade));
    Routes::new(traced(routes.with_state(transport)), PATHS)
}

impl YjsTransport {
    async fn respond(self, document: &str, request: Request<Body>) -> Response {
        let admission = self.admission.clone();
        let upgraded = self.upgrade(document, request).await;
        upgraded.unwrap_or_else(|error| admission.reject(&error))
    }

    async fn upgrade(self, document: &str, mut request: Request<Body>) -> Result<Response> {
        self.admission
            .check_websocket_origin(request.headers(), request.extensions())?;
        let accept = accept_upgrade(&request)?;
        let document = RoomName::parse(document)?;
        let upgrading = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let (permit, holder, prepared) = match self.prepare(&parts, &document).await {
            Ok((permit, holder, prepared)) => (permit, holder, Ok(prepared)),
            Err(error) if is_final(&error) => {
                let permit = self.admission.admit_stranger(&parts).await?;
                (permit, self.admission.holder(&parts, None), Err(error))
            }
            Err(error) => return Err(error),
        };
        let hub = self.admission.hub();
        let open = &hub.metrics().websockets;
        let client = FramedClient::new(DocumentMessages, &self.admission, permit, open);
        let account = Account::new(hub.memory().clone(), holder);
        tokio::spawn(self.serve(upgrading, (client, account), prepared, document));
        Ok(switching_protocols(accept))
    }

    async fn prepare(
        &self,
        request: &Parts,
        document: &RoomName,
    ) -> Result<(ConnectionPermit, Holder, PreparedConnection)> {
        let (permit, principal) = self.admission.admit(request).await?;
        check_read(&principal, document)?;
        let holder = self.admission.holder(request, Some(&principal));
        let facts = self.admission.client_facts(request);
        let (root, resume) = (Namespace::root(), ResumeRequest::Unsupported);
        let hub = self.admission.hub();
        let prepared = hub.prepare_connection(root, principal, resume, facts);
        Ok((permit, holder, prepared.await?))
    }

    async fn serve(
        self,
        upgrading: OnUpgrade,
        (client, account): (Arc<Client>, Arc<Account>),
        prepared: Result<PreparedConnection>,
        document: RoomName,
    ) {
        let Ok(upgraded) = upgrading.await else {
            return; // the client disconnected between its request and our response
        };
        let hub = self.admission.hub();
        let max_payload = hub.documents().settings().update_bytes.bytes() + FRAME_OVERHEAD;
        let sizes = (max_payload, self.read_size);
        let opening =
            client_socket::open(upgraded, &self.admission, &client, account.clone(), sizes);
        let mut socket = opening.await;
        let begun = match prepared {
            Ok(prepared) => Box::pin(begin(hub, (&client, account), prepared, &document)).await,
            Err(error) => Err(error),
        };
        let closed_by = match begun {
            Ok(task) => document_socket::serve(task, &client, &self.settings, &mut socket).await,
            Err(error) => {
                document_socket::fail(&*client, &error);
                ClosedBy::Server
            }
        };
        Box::pin(client_socket::end(socket, &client, closed_by)).await;
    }
}

/// Whether a client is refused until it has another token or other rights. It is told by a WebSocket that is closed: pages cannot read
/// the status of a response.
fn is_final(error: &Error) -> bool {
    let code = error.code();
    matches!(
        code,
        Code::Unauthorized | Code::TokenExpired | Code::Forbidden
    )
}

/// Connects a client that was let in, opens its document, and sends the state vector and what the document's clients show of themselves.
async fn begin(
    hub: &Hub,
    (client, account): (&Arc<Client>, Arc<Account>),
    prepared: PreparedConnection,
    document: &RoomName,
) -> Result<YjsTask> {
    client.complete_handshake();
    let connecting = hub.connect(prepared, client.clone(), |_: &Connection| {});
    let connection = connecting.await;
    let wake = Arc::<Notify>::default();
    let sink = (client.clone() as _, wake.clone());
    let task = YjsTask {
        wake,
        expiry: TokenExpiry::new(&connection, Duration::ZERO),
        session: DocumentSession::open(hub, connection, document, sink).await?,
        client: client.clone(),
        account,
        was_refused: false,
    };
    let document = task.session.document();
    let state_vector = document.state_vector().await?;
    client.send_message(Message::Sync(SyncMessage::Step1(&state_vector)));
    if let Some(states) = document.awareness() {
        client.send_message(Message::Awareness(&states));
    }
    Ok(task)
}

type Client = FramedClient<DocumentMessages>;

/// How a document's messages are written: they are encoded already, and the hub has no other events for such a client.
struct DocumentMessages;

impl Framing for DocumentMessages {
    const TRANSPORT: &'static str = "yjs";
    const FORMAT: Option<Format> = None;

    fn frame(&self, _: &OutgoingEvent) -> Bytes {
        Bytes::new()
    }

    fn close_frame(&self, reason: CloseReason) -> Option<Frame> {
        let code = match (reason, close_codes::close_code(reason)) {
            // The client is to come again with a new token, and is refused then if it has none.
            (CloseReason::Expired, code) => code,
            (_, usual) => Self::close_code(usual),
        };
        Some(Frame::close(code, reason.as_str()))
    }

    /// y-websocket 3 connects again for ever, unless the code is one of 4400 to 4499: those are for what another attempt does not change.
    fn close_code(usual: u16) -> u16 {
        match usual {
            close_codes::PROTOCOL | close_codes::NOT_UTF8 => 4400,
            close_codes::UNAUTHORIZED => 4401,
            close_codes::FORBIDDEN => 4403,
            close_codes::TOO_LARGE => 4413,
            other => other,
        }
    }
}

impl DocumentSink for Client {
    fn is_behind(&self) -> bool {
        EventSink::is_behind(self)
    }

    fn send(&self, event: &DocumentEvent) {
        let encode = |message: Message<'_>| binary_frame(&[&message.encode()]);
        let frame = event.encoded(DocumentProtocol::YWebSocket, encode);
        FramedClient::send(self, Frame::of(frame));
    }
}

impl Client {
    fn send_message(&self, message: Message<'_>) {
        let frame = binary_frame(&[&message.encode()]);
        FramedClient::send(self, Frame::of(frame));
    }
}

/// One client's task.
struct YjsTask {
    session: DocumentSession,
    client: Arc<Client>,
    /// What large messages are charged to until they are sent.
    account: Arc<Account>,
    expiry: TokenExpiry,
    /// Notified when the client is not sent something.
    wake: Arc<Notify>,
    /// It was told that it may not write.
    was_refused: bool,
}

impl DocumentProtocolTask for YjsTask {
    async fn receive(&mut self, frame: Bytes) -> Result<()> {
        for message in parse_messages(&frame) {
            let message = message.map_err(|error| {
                Error::bad_request(format!("this is no message of y-websocket: {error}"))
            })?;
            self.carry_out(&frame, message).await?;
        }
        Ok(())
    }

    fn has_missed(&self) -> bool {
        self.session.document().has_missed()
    }

    async fn catch_up(&mut self) -> Result<()> {
        let (updates, states) = self.session.document().missed().await?;
        if let Some(updates) = updates {
            self.send_updates(&updates)?;
        }
        if let Some(states) = states {
            self.send(Message::Awareness(&states));
        }
        Ok(())
    }

    async fn due(&self) {
        tokio::select! {
            () = self.expiry.due() => {}
            () = self.wake.notified() => {}
        }
    }

    fn advance(&mut self) -> Result<()> {
        if self.expiry.next().is_some_and(|at| at <= Instant::now()) {
            self.expiry.advance(self.session.connection());
        }
        Ok(())
    }

    fn keep_alive(&self) {
        self.send(Message::Awareness(NOBODY));
    }
}

impl YjsTask {
    async fn carry_out(&mut self, frame: &Bytes, message: Message<'_>) -> Result<()> {
        let document = self.session.document();
        let done = match message {
            Message::Sync(SyncMessage::Step1(state_vector)) => {
                let missing = document.missing(frame.slice_ref(state_vector)).await?;
                return self.send_updates(&missing);
            }
            Message::Sync(SyncMessage::Step2(update)) => {
                self.session.write_news(frame.slice_ref(update)).await
            }
            Message::Sync(SyncMessage::Update(update)) => {
                self.session.write(frame.slice_ref(update)).await
            }
            Message::Awareness(states) => document
                .set_awareness(states)
                .await
                .map(|()| Written::Stored),
            Message::QueryAwareness => {
                let states = document.awareness();
                self.send(Message::Awareness(states.as_deref().unwrap_or(NOBODY)));
                return Ok(());
            }
            Message::PermissionDenied(_) => return Ok(()),
        };
        match done {
            Ok(Written::Stored) => Ok(()),
            Ok(Written::Forbidden) => {
                if !std::mem::replace(&mut self.was_refused, true) {
                    self.refuse(&self.session.refusal());
                }
                Ok(())
            }
            // The client goes on with what it has.
            Err(error) if error.code() == Code::TooLarge => {
                self.client.count_error(&error);
                self.refuse(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Says why something is not accepted: the only message of the protocol for that.
    fn refuse(&self, error: &Error) {
        self.send(Message::PermissionDenied(error.message()));
    }

    fn send(&self, message: Message<'_>) {
        self.client.send_message(message);
    }

    /// Sends what the client lacks, which may be a whole document.
    fn send_updates(&self, updates: &[u8]) -> Result<()> {
        let message = Message::Sync(SyncMessage::Step2(updates));
        let frame = binary_frame(&[&message.encode()]);
        self.client.send_charged(Frame::of(frame), &self.account)
    }
}
