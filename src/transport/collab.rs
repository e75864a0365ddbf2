//! Documents over the protocol of Hocuspocus: `/collab`, binary frames, several documents over one WebSocket.
//!
//! A client opens each document with a token of its own, does not wait for the answer, and reads an acknowledgement for each of its
//! updates. Each document that it has open is a connection of the hub, as a namespace of a Socket.IO client is.

mod attachment;
mod task;

use std::{net::IpAddr, sync::Arc};

use axum::{body::Body, extract::State, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, request::Parts};
use hyper::upgrade::OnUpgrade;
use serde_json::value::{RawValue, to_raw_value};

use self::task::CollabTask;
use super::{
    AdmissionControl, WebSocketSettings, client_socket, close_codes,
    document_session::check_read,
    document_socket,
    framed_client::{FramedClient, Framing},
    wire::Frame,
};
use crate::{
    auth::{Principal, query_user},
    error::{Code, Error, Result},
    hooks::ClientFacts,
    http::{
        Routes, client_address,
        origins::Trust,
        route_all, traced,
        upgrade::{accept_upgrade, switching_protocols},
    },
    hub::{CloseReason, Format, OutgoingEvent, PreparedConnection, ResumeRequest},
    limits::Account,
    model::{Namespace, RoomName, Timestamp},
};

/// What a frame has besides an update: the document's address, two message types and lengths.
const FRAME_OVERHEAD: usize = 1 << 10;

const PATHS: [&str; 1] = ["/collab"];

/// The transport's shared state.
#[derive(Clone)]
struct CollabTransport {
    admission: Arc<AdmissionControl>,
    settings: Arc<WebSocketSettings>,
    /// How many bytes are read at a time.
    read_size: usize,
}

/// The transport's routes.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    settings: &WebSocketSettings,
    read_size: usize,
) -> Routes {
    let transport = CollabTransport {
        admission: admission.clone(),
        settings: Arc::new(settings.clone()),
        read_size,
    };
    let upgrade =
        async |State(transport): State<CollabTransport>, request| transport.respond(request).await;
    let routes = route_all(&PATHS, &get(upgrade));
    Routes::new(traced(routes.with_state(transport)), PATHS)
}

impl CollabTransport {
    async fn respond(self, request: Request<Body>) -> Response {
        let admission = self.admission.clone();
        let upgraded = self.upgrade(request).await;
        upgraded.unwrap_or_else(|error| admission.reject(&error))
    }

    async fn upgrade(self, mut request: Request<Body>) -> Result<Response> {
        self.admission
            .check_websocket_origin(request.headers(), request.extensions())?;
        let accept = accept_upgrade(&request)?;
        let upgrading = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let trust = self.admission.trust(&parts);
        let (permit, principal) = self.admission.admit_early(&parts, trust).await?;
        let hub = self.admission.hub();
        let open = &hub.metrics().websockets;
        let client = FramedClient::new(Messages, &self.admission, permit, open);
        let holder = self.admission.holder(&parts, principal.as_ref());
        let account = Account::new(hub.memory().clone(), holder);
        let gate = Gate {
            admission: self.admission.clone(),
            address: client_address(&parts.extensions).ip,
            account,
            request: parts,
            trust,
            principal,
        };
        tokio::spawn(self.serve(upgrading, client, gate));
        Ok(switching_protocols(accept))
    }

    async fn serve(self, upgrading: OnUpgrade, client: Arc<Client>, gate: Gate) {
        let Ok(upgraded) = upgrading.await else {
            return; // the client disconnected between its request and our response
        };
        let settings = self.admission.hub().documents().settings();
        let max_payload = settings.update_bytes.bytes() + FRAME_OVERHEAD;
        let sizes = (max_payload, self.read_size);
        let account = gate.account.clone();
        let opening = client_socket::open(upgraded, &self.admission, &client, account, sizes);
        let mut socket = opening.await;
        let task = CollabTask::new(gate, client.clone());
        let closed_by = document_socket::serve(task, &client, &self.settings, &mut socket).await;
        Box::pin(client_socket::end(socket, &client, closed_by)).await;
    }
}

type Client = FramedClient<Messages>;

/// How messages are written: they are encoded already, and the hub has no other events for such a client.
struct Messages;

impl Framing for Messages {
    const TRANSPORT: &'static str = "collab";
    const FORMAT: Option<Format> = None;

    fn frame(&self, _: &OutgoingEvent) -> Bytes {
        Bytes::new()
    }

    fn close_frame(&self, reason: CloseReason) -> Option<Frame> {
        Some(close_codes::close_frame(reason))
    }
}

/// Who a client is: what it needs to be let into a document.
struct Gate {
    admission: Arc<AdmissionControl>,
    request: Parts,
    trust: Option<Trust>,
    address: IpAddr,
    account: Arc<Account>,
    /// Whom the request speaks for, if it has a token: for documents that are opened without one.
    principal: Option<Principal>,
}

impl Gate {
    /// Lets a client into a document.
    ///
    /// # Errors
    /// There is no token, it is wrong or does not permit to read the document, a hook refuses, or a limit is reached.
    async fn prepare(&self, token: &str, document: &RoomName) -> Result<PreparedConnection> {
        self.admission.check_not_draining()?;
        let auth = payload(token);
        let principal = self.identify(token, auth.as_deref()).await?;
        check_read(&principal, document)?;
        let holder = self.admission.holder(&self.request, Some(&principal));
        self.account.charge_to(holder);
        let authenticator = self.admission.authenticator();
        let facts = ClientFacts {
            auth: auth.as_deref(),
            ..authenticator.client_facts(&self.request, self.trust, self.address)
        };
        let (root, resume) = (Namespace::root(), ResumeRequest::Unsupported);
        let hub = self.admission.hub();
        hub.prepare_connection(root, principal, resume, facts).await
    }

    async fn identify(&self, token: &str, auth: Option<&RawValue>) -> Result<Principal> {
        let authority = self.admission.hub().authority();
        if authority.is_open() {
            let query = self.request.uri.query();
            return authority.open_principal(query_user(query).as_deref());
        }
        let authenticator = self.admission.authenticator();
        if authenticator.has_application() {
            let decided =
                authenticator.ask_application(&self.request, self.trust, self.address, auth);
            let decided = decided.await.map_err(|reject| reject.error().clone())?;
            if let Some(principal) = decided {
                return Ok(principal);
            }
        }
        if !token.is_empty() {
            let verified = authenticator.verify(self.address, token).await;
            return verified.map_err(|error| authenticator.record_failure(self.address, error));
        }
        match &self.principal {
            Some(principal) if principal.is_expired(Timestamp::now()) => Err(Error::new(
                Code::TokenExpired,
                "the token of the HTTP request has expired",
            )),
            Some(principal) => Ok(principal.clone()),
            None => {
                let error = Error::unauthorized("a token is needed: the provider's option token");
                authenticator.record_refusal(self.address, &error);
                Err(error)
            }
        }
    }
}

/// A token as the application and its hooks are shown it: like a Socket.IO client's.
fn payload(token: &str) -> Option<Box<RawValue>> {
    let payload = serde_json::json!({ "token": token });
    to_raw_value(&payload).ok().filter(|_| !token.is_empty())
}
