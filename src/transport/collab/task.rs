//! The task of one client: opens and closes documents, and carries out the messages about them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    Client, Gate,
    attachment::{Attachment, AttachmentSink},
};
use crate::{
    documents::{
        Address, ClientFrame, ClientMessage, PING_FRAME, Scope, ServerMessage, SyncMessage,
        parse_hocuspocus,
    },
    error::{Code, Error, Limit, Result},
    hub::{Connection, EventSink, TokenExpiry},
    model::RoomName,
    retry::log_in_bursts,
    transport::{
        document_session::{DocumentSession, Written},
        document_socket::{DocumentProtocolTask, NOBODY},
        wire::{Frame, binary_frame},
    },
};

/// How long a client may be connected without a document. A client that was refused keeps its connection, and may send another token.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(60);

/// One client's task.
pub(super) struct CollabTask {
    gate: Gate,
    client: Arc<Client>,
    /// By address.
    attachments: HashMap<String, Attachment>,
    /// Notified when one of them is closed, or was not sent something.
    closing: Arc<Notify>,
    /// Since when there are none.
    unused_since: Instant,
    /// Whether the client answers pings: those that tell their version do.
    answers_pings: bool,
}

impl CollabTask {
    pub(super) fn new(gate: Gate, client: Arc<Client>) -> Self {
        Self {
            gate,
            client,
            attachments: HashMap::new(),
            closing: Arc::default(),
            unused_since: Instant::now(),
            answers_pings: false,
        }
    }
}

impl DocumentProtocolTask for CollabTask {
    async fn receive(&mut self, frame: Bytes) -> Result<()> {
        let parsed = parse_hocuspocus(&frame).map_err(|error| {
            Error::bad_request(format!("this is no message of Hocuspocus: {error}"))
        })?;
        let ClientFrame::Message(address, message) = parsed else {
            return Ok(());
        };
        match message {
            ClientMessage::Token { token, version } => {
                self.answers_pings |= version.is_some();
                self.take_token(address, token).await
            }
            ClientMessage::Close => {
                self.detach(address.as_str());
                Ok(())
            }
            message => match self.attachments.get(address.as_str()) {
                Some(attachment) => attachment.carry_out(&frame, message).await,
                // The client was refused, and does not wait to hear it.
                None => Ok(()),
            },
        }
    }

    fn has_missed(&self) -> bool {
        let mut attachments = self.attachments.values();
        attachments.any(|attachment| attachment.session.document().has_missed())
    }

    async fn catch_up(&mut self) -> Result<()> {
        for attachment in self.attachments.values() {
            // What is left is sent when that has gone.
            if EventSink::is_behind(&*self.client) {
                break;
            }
            attachment.catch_up().await?;
        }
        Ok(())
    }

    async fn due(&self) {
        let expiries = self.attachments.values().map(|each| each.expiry.next());
        let next = match self.attachments.is_empty() {
            true => Some(self.unused_since + UNUSED_TIMEOUT),
            false => expiries.flatten().min(),
        };
        let next = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.closing.notified() => {}
            () = next => {}
        }
    }

    fn advance(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.attachments.is_empty() && now >= self.unused_since + UNUSED_TIMEOUT {
            return Err(Error::unauthorized("no document was opened"));
        }
        for attachment in self.attachments.values_mut() {
            if attachment.expiry.next().is_some_and(|at| at <= now) {
                attachment.expiry.advance(attachment.session.connection());
            }
        }
        let closed = self.attachments.iter().filter_map(|(address, attachment)| {
            let reason = attachment.sink.closed()?;
            Some((address.clone(), reason))
        });
        let closed: Vec<_> = closed.collect();
        for (address, reason) in closed {
            self.close(&address, reason.as_str());
        }
        Ok(())
    }

    fn keep_alive(&self) {
        match self.attachments.values().next() {
            _ if self.answers_pings => self.client.send(Frame::of(binary_frame(&[PING_FRAME]))),
            Some(attachment) => attachment.send(&ServerMessage::Awareness(NOBODY)),
            None => {}
        }
    }
}

impl CollabTask {
    /// Opens a document with a token, or takes a new token for one that is open.
    async fn take_token(&mut self, address: Address<'_>, token: &str) -> Result<()> {
        if let Some(attachment) = self.attachments.get_mut(address.as_str()) {
            if let Err(error) = attachment.refresh(&self.gate, token).await {
                self.client.count_error(&error);
                self.close(address.as_str(), error.message());
            }
            return Ok(());
        }
        match self.attach(address, token).await {
            Ok(attachment) => {
                attachment.greet();
                self.client.complete_handshake();
                let address = address.as_str().to_owned();
                self.attachments.insert(address, attachment);
                Ok(())
            }
            // The client connects again, and tries once more.
            Err(error) if error.code().is_temporary() && !is_of_client(&error) => Err(error),
            Err(error) => {
                log_in_bursts!(info, code = %error.code(), reason = error.message(), "a document is not opened");
                self.client.count_error(&error);
                let reason = ServerMessage::PermissionDenied(error.message());
                let frame = binary_frame(&[&reason.encode(address.as_str())]);
                self.client.send(Frame::of(frame));
                Ok(())
            }
        }
    }

    async fn attach(&self, address: Address<'_>, token: &str) -> Result<Attachment> {
        let name = RoomName::parse(address.document())?;
        let hub = self.gate.admission.hub();
        let max = hub.limits().rooms_per_connection;
        if max > 0 && self.attachments.len() >= max {
            let message =
                format!("a connection has at most {max} documents (limits.rooms_per_connection)");
            return Err(
                Error::new(Code::LimitReached, message).for_limit(Limit::RoomsPerConnection)
            );
        }
        let prepared = self.gate.prepare(token, &name).await?;
        let sink = AttachmentSink::new(
            self.client.clone(),
            address.as_str().to_owned(),
            address.session().is_some(),
            self.closing.clone(),
        );
        let connecting = hub.connect(prepared, sink.clone(), |_: &Connection| {});
        let connection = Box::pin(connecting).await;
        let opened = (sink.clone() as _, self.closing.clone());
        Ok(Attachment {
            account: self.gate.account.clone(),
            expiry: TokenExpiry::new(&connection, Duration::ZERO),
            session: DocumentSession::open(hub, connection, &name, opened).await?,
            sink,
        })
    }

    /// Closes a document and tells the client why.
    fn close(&mut self, address: &str, reason: &str) {
        if let Some(attachment) = self.detach(address) {
            attachment.send(&ServerMessage::Close(reason));
        }
    }

    fn detach(&mut self, address: &str) -> Option<Attachment> {
        let attachment = self.attachments.remove(address);
        if self.attachments.is_empty() {
            self.unused_since = Instant::now();
        }
        attachment
    }
}

/// Whether it helps that the client does something else than to try once more.
fn is_of_client(error: &Error) -> bool {
    error.limit() == Some(Limit::RoomsPerConnection)
}

impl Attachment {
    /// Tells the client that the document is open, and what the document's clients show of themselves.
    fn greet(&self) {
        self.send(&ServerMessage::Authenticated(self.scope()));
        if let Some(states) = self.session.document().awareness() {
            self.send(&ServerMessage::Awareness(&states));
        }
    }

    fn scope(&self) -> Scope {
        match self.session.may_write() {
            true => Scope::ReadWrite,
            false => Scope::ReadOnly,
        }
    }

    /// Takes a new token.
    async fn refresh(&mut self, gate: &Gate, token: &str) -> Result<()> {
        let hub = gate.admission.hub();
        if hub.authority().is_open() || hub.authority().has_application() {
            self.send(&ServerMessage::Authenticated(self.scope()));
            return Ok(());
        }
        let connection = self.session.connection();
        let refreshed = hub.refresh(connection, token).await;
        let authenticator = gate.admission.authenticator();
        refreshed.map_err(|error| authenticator.record_failure(gate.address, error))?;
        self.session.check_read()?;
        self.expiry = TokenExpiry::new(connection, Duration::ZERO);
        self.send(&ServerMessage::Authenticated(self.scope()));
        Ok(())
    }

    async fn carry_out(&self, frame: &Bytes, message: ClientMessage<'_>) -> Result<()> {
        let document = self.session.document();
        match message {
            ClientMessage::Sync(SyncMessage::Step1(state_vector)) => {
                // The client counts as synced once its own answer to the first is acknowledged.
                let known = document.state_vector().await?;
                self.send(&ServerMessage::Sync(SyncMessage::Step1(&known)));
                let missing = document.missing(frame.slice_ref(state_vector)).await?;
                self.send_updates(&missing)
            }
            ClientMessage::Sync(SyncMessage::Step2(update)) => {
                let written = self.session.write_news(frame.slice_ref(update)).await;
                self.acknowledge(written)
            }
            ClientMessage::Sync(SyncMessage::Update(update)) => {
                let written = self.session.write(frame.slice_ref(update)).await;
                self.acknowledge(written)
            }
            ClientMessage::Awareness(states) => match document.set_awareness(states).await {
                Err(error) if is_refusal(&error) => {
                    self.sink.count_error(&error);
                    Ok(())
                }
                done => done,
            },
            ClientMessage::QueryAwareness => {
                let states = document.awareness();
                self.send(&ServerMessage::Awareness(
                    states.as_deref().unwrap_or(NOBODY),
                ));
                Ok(())
            }
            // Applications have messages of their own elsewhere.
            ClientMessage::Stateless(_)
            | ClientMessage::Unknown(_)
            | ClientMessage::Token { .. }
            | ClientMessage::Close => Ok(()),
        }
    }

    /// Tells a client whether its update is stored. It is asked for exactly one answer to each.
    fn acknowledge(&self, written: Result<Written>) -> Result<()> {
        let is_stored = match written {
            Ok(Written::Stored) => true,
            Ok(Written::Forbidden) => {
                self.session.refusal();
                false
            }
            Err(error) if is_refusal(&error) => {
                self.sink.count_error(&error);
                false
            }
            Err(error) => return Err(error),
        };
        self.send(&ServerMessage::SyncStatus(is_stored));
        Ok(())
    }
}

/// Whether something is wrong with what the client has sent, and it would not help to send it again.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), Code::BadRequest | Code::TooLarge)
}
