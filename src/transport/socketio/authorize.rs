//! Which identity a CONNECT authenticates as, and what happens to one that is not accepted.
//!
//! A stock client takes a refusal for final: it never calls its `auth` callback again. So a CONNECT is refused only if neither
//! time nor a new token helps. A CONNECT that may succeed later is held and retried for a while. After that, and where a new token is
//! needed, the transport is closed, and the client reconnects by itself.

use std::{fmt, time::Duration};

use socketioxide::ProtocolVersion;
use tokio::time::Instant;

use super::{Socket, SocketIoTransport, credentials::Credentials, engine_session::EngineSession};
use crate::{
    auth::{Principal, Reject, query_user},
    error::{Code, Error, Result},
    hooks::{ClientFacts, HookFailure},
    hub::{PreparedConnection, ResumeRequest},
    limits::Holder,
    model::{Namespace, Timestamp, UserId},
    retry::{Backoff, log_in_bursts},
    transport::wire,
};

/// How long a CONNECT is held and retried. Clients wait longer than that for their connection.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// Delays between the retries.
const RETRY_DELAY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(1));

/// Refuses a CONNECT: the text that socketioxide sends.
#[derive(Debug)]
pub(super) struct ConnectError(String);

impl ConnectError {
    pub(super) fn new(error: &Error) -> Self {
        Self(wire::encode_refusal(error.shown_code(), Some(error)))
    }

    /// The same with another message than the error's code.
    pub(super) fn with_message(message: &str, error: &Error) -> Self {
        Self(wire::encode_refusal(message, Some(error)))
    }

    /// Refuses a CONNECT as the application does.
    fn of_application(reject: &Reject) -> Self {
        Self(wire::encode_refusal(reject.message(), reject.data()))
    }

    /// Refuses a CONNECT whose client does not wait for a reply: none is sent.
    pub(super) fn suppressed() -> Self {
        Self(wire::SUPPRESSED_REFUSAL.to_owned())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a CONNECT is not accepted, by what helps.
#[derive(Debug)]
enum ConnectFailure {
    /// Time helps.
    Temporary(Error),
    /// A new token helps, which the client may have when it reconnects.
    NeedsNewToken(Error),
    /// Nothing helps.
    Permanent(Error),
    /// A hook has refused the client for now, or was asked and has not answered. It is not asked once more about the same CONNECT.
    RefusedByHook(Error),
    /// The application refuses the client.
    Rejected(Reject),
}

impl ConnectFailure {
    fn error(&self) -> &Error {
        match self {
            Self::Temporary(error)
            | Self::NeedsNewToken(error)
            | Self::Permanent(error)
            | Self::RefusedByHook(error) => error,
            Self::Rejected(reject) => reject.error(),
        }
    }
}

impl From<Error> for ConnectFailure {
    fn from(error: Error) -> Self {
        if error.code().is_temporary() && HookFailure::was_asked(&error) {
            Self::RefusedByHook(error)
        } else if error.code().is_temporary() {
            Self::Temporary(error)
        } else {
            Self::Permanent(error)
        }
    }
}

impl From<Reject> for ConnectFailure {
    fn from(reject: Reject) -> Self {
        match reject.is_final() {
            true => Self::Rejected(reject),
            false => reject.error().clone().into(),
        }
    }
}

impl SocketIoTransport {
    /// Authorizes a CONNECT, or returns its refusal. Closes the transport of a client that should reconnect.
    pub(super) async fn authorize(
        &self,
        socket: &Socket,
        session: &EngineSession,
        namespace: &Namespace,
        credentials: &Credentials,
    ) -> Result<PreparedConnection, ConnectError> {
        let deadline = Instant::now() + HOLD_TIMEOUT;
        let mut recorded = false;
        let mut delay = RETRY_DELAY;
        loop {
            let result = self
                .try_authorize(socket, session, namespace, credentials)
                .await;
            let failure = match result {
                Ok(prepared) => return Ok(prepared),
                Err(failure) => failure,
            };
            if !std::mem::replace(&mut recorded, true) {
                self.record_failure(namespace, &failure);
            }
            let error = failure.error();
            if session.inbound().namespaces().is_superseded(socket.ns()) {
                return Err(ConnectError::new(error)); // the middleware decides again, or the client has left
            }
            match failure {
                // The session's other namespaces use the same transport, so it stays open and this CONNECT is held longer.
                ConnectFailure::Temporary(_)
                    if Instant::now() < deadline || session.is_connected() =>
                {
                    delay.wait().await;
                    continue;
                }
                ConnectFailure::Temporary(_) | ConnectFailure::NeedsNewToken(_) => {
                    session.reject_connect(error);
                }
                // What else uses the transport keeps it: its client is told.
                ConnectFailure::RefusedByHook(_) if !session.is_connected() => {
                    session.reject_connect(error);
                }
                ConnectFailure::Permanent(_) | ConnectFailure::RefusedByHook(_) => {}
                ConnectFailure::Rejected(reject) => {
                    return Err(ConnectError::of_application(&reject));
                }
            }
            return Err(ConnectError::new(error));
        }
    }

    fn record_failure(&self, namespace: &Namespace, failure: &ConnectFailure) {
        let error = failure.error();
        self.hub.metrics().error(error);
        let (code, reason) = (error.code().as_str(), error.message());
        match failure {
            ConnectFailure::Temporary(_) => {
                log_in_bursts!(info, %namespace, code, reason, "CONNECT held for a retry");
            }
            ConnectFailure::NeedsNewToken(_)
            | ConnectFailure::Permanent(_)
            | ConnectFailure::RefusedByHook(_)
            | ConnectFailure::Rejected(_) => {
                log_in_bursts!(info, %namespace, code, reason, "CONNECT refused");
            }
        }
    }

    async fn try_authorize(
        &self,
        socket: &Socket,
        session: &EngineSession,
        namespace: &Namespace,
        credentials: &Credentials,
    ) -> Result<PreparedConnection, ConnectFailure> {
        let resume = match socket.protocol() {
            ProtocolVersion::V5 => credentials.resume(),
            ProtocolVersion::V4 => ResumeRequest::Unsupported,
        };
        let principal = match self.hub.authority().is_open() {
            true => {
                self.open_mode_principal(socket, namespace, credentials, resume)
                    .await?
            }
            false => {
                let principal = self.authenticate(socket, session, credentials).await?;
                let holder = Holder::User(principal.user.clone());
                session.account().charge_to(holder);
                principal
            }
        };
        let (parts, trust, address) = (socket.req_parts(), session.trust(), session.address());
        let authenticator = self.admission.authenticator();
        let facts = ClientFacts {
            auth: credentials.payload(),
            ..authenticator.client_facts(parts, trust, address)
        };
        let prepared = self
            .hub
            .prepare_connection(namespace.clone(), principal, resume, facts);
        Ok(prepared.await?)
    }

    /// In open mode, the user that the client names. A client that gives no name is a guest, and the same guest as before if
    /// it has the secret of that guest's session.
    async fn open_mode_principal(
        &self,
        socket: &Socket,
        namespace: &Namespace,
        credentials: &Credentials,
        resume: ResumeRequest,
    ) -> Result<Principal> {
        let name = credentials.user()?;
        let name = name.or_else(|| query_user(socket.req_parts().uri.query()));
        let authority = self.hub.authority();
        if let Some(name) = name {
            return authority.open_principal(Some(&name));
        }
        let guest = self.hub.resumed_guest(namespace, resume).await?;
        authority.open_principal(guest.as_ref().map(UserId::as_str))
    }

    /// The identity of a token: the CONNECT's own, otherwise the handshake's.
    async fn authenticate(
        &self,
        socket: &Socket,
        session: &EngineSession,
        credentials: &Credentials,
    ) -> Result<Principal, ConnectFailure> {
        let authenticator = self.admission.authenticator();
        if authenticator.has_application() {
            let (parts, trust, address) = (socket.req_parts(), session.trust(), session.address());
            let auth = credentials.payload();
            let decided = authenticator.ask_application(parts, trust, address, auth);
            if let Some(principal) = decided.await? {
                return Ok(principal);
            }
        }
        let now = Timestamp::now();
        if let Some(token) = credentials.token()? {
            return self.verify(session, &token, now).await;
        }
        // Where the application decides, the handshake's token has not been looked at.
        if authenticator.has_application()
            && let Some(token) = authenticator.early_token(socket.req_parts(), session.trust())
            && token.is_jwt()
        {
            return self.verify(session, &token.text, now).await;
        }
        match session.principal() {
            Some(principal) if principal.is_expired(now) => {
                // The next handshake has another one, or gets 401 until it does.
                let message = "the token of the HTTP handshake has expired";
                Err(ConnectFailure::NeedsNewToken(Error::new(
                    Code::TokenExpired,
                    message,
                )))
            }
            Some(principal) => Ok(principal.clone()),
            None => {
                let other = authenticator.early_token(socket.req_parts(), session.trust());
                let message = match other {
                    None => "a token is needed, in auth.token for instance",
                    Some(_) => {
                        "a token is needed, in auth.token for instance; what came with the HTTP request is no JSON Web Token"
                    }
                };
                let error = Error::unauthorized(message);
                authenticator.record_refusal(session.address(), &error);
                Err(ConnectFailure::Permanent(error))
            }
        }
    }

    /// Verifies a token. If it expired a moment ago, it may have been fetched in time, or its successor may be on its way: its
    /// client should reconnect. If it expired longer ago, the client will always send the same one.
    async fn verify(
        &self,
        session: &EngineSession,
        token: &str,
        now: Timestamp,
    ) -> Result<Principal, ConnectFailure> {
        let error = match self
            .admission
            .authenticator()
            .verify(session.address(), token)
            .await
        {
            Ok(principal) => return Ok(principal),
            Err(error) => error,
        };
        if error.code() == Code::TokenExpired {
            let before = now.before(self.hub.grace());
            let before = self.hub.authority().verify(token, before).await;
            if !before.is_err_and(|error| error.code() == Code::TokenExpired) {
                return Err(ConnectFailure::NeedsNewToken(error));
            }
        }
        // The client gets the error itself, even past the limit of failures.
        let noted = self
            .admission
            .authenticator()
            .record_failure(session.address(), error.clone());
        if let Some(limit) = noted.limit() {
            self.hub.metrics().limited(limit);
        }
        Err(match error.code() {
            Code::TokenExpired => ConnectFailure::Permanent(error),
            _ => error.into(),
        })
    }
}
