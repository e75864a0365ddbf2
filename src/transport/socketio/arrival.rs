//! Who a CONNECT speaks for, and what becomes of one that is not granted.
//!
//! A stock client takes a refusal for final: it never asks its `auth` callback again. So only what neither time nor a new
//! token heals is refused. What time heals is held for a while and tried again; then, and where a new token is needed, the
//! transport is closed, and the client comes back by itself.

use std::{fmt, time::Duration};

use socketioxide::ProtocolVersion;
use tokio::time::Instant;

use super::{Door, Link, Socket, credentials::Credentials};
use crate::{
    auth::{Principal, query_user},
    error::{Code, Error, Result},
    hub::{PreparedConnection, ResumeRequest},
    limits::Holder,
    model::{Namespace, Timestamp, UserId},
    repeat::{Backoff, log_in_bursts},
    transport::wire,
};

/// How long a CONNECT is held that time may heal. Less than clients wait for their connection.
const HOLD: Duration = Duration::from_secs(5);

/// How often is tried again meanwhile.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(1));

/// Why a CONNECT is refused, as socketioxide is to write it.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn of(error: &Error) -> Self {
        Self(wire::refusal(error))
    }

    /// To a CONNECT that nobody waits for: no client sees it.
    pub(super) fn of_nobody() -> Self {
        Self(wire::NOBODY.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a CONNECT is not granted, by what helps.
#[derive(Debug)]
enum Denial {
    /// Time.
    Later(Error),
    /// A new token, which its client may have by the time it is asked again.
    NewToken(Error),
    /// Nothing.
    Final(Error),
}

impl Denial {
    fn error(&self) -> &Error {
        match self {
            Denial::Later(error) | Denial::NewToken(error) | Denial::Final(error) => error,
        }
    }
}

impl From<Error> for Denial {
    fn from(error: Error) -> Self {
        match error.code() {
            Code::Unavailable | Code::LimitReached | Code::RateLimited | Code::Draining => {
                Denial::Later(error)
            }
            _ => Denial::Final(error),
        }
    }
}

impl Door {
    /// Lets a client in, or says why not; one that had better come back has its transport closed.
    pub(super) async fn arrive(
        &self,
        socket: &Socket,
        link: &Link,
        namespace: &Namespace,
        credentials: &Credentials,
    ) -> Result<PreparedConnection, Refusal> {
        let give_up = Instant::now() + HOLD;
        let mut noted = false;
        let mut again = TRY_AGAIN;
        loop {
            let denied = self.try_arrive(socket, link, namespace, credentials).await;
            let denial = match denied {
                Ok(arrived) => return Ok(arrived),
                Err(denial) => denial,
            };
            if !std::mem::replace(&mut noted, true) {
                self.note(namespace, &denial);
            }
            let error = denial.error();
            if link.intake().namespaces().is_outdated(namespace.as_str()) {
                return Err(Refusal::of(error)); // it is decided about once more, or for nobody
            }
            match denial {
                // Other namespaces live on the same transport: it is not closed for this one, which waits on.
                Denial::Later(_) if Instant::now() < give_up || link.is_connected() => {
                    again.wait().await;
                    continue;
                }
                Denial::Later(_) | Denial::NewToken(_) => link.dismiss(error),
                Denial::Final(_) => {}
            }
            return Err(Refusal::of(error));
        }
    }

    fn note(&self, namespace: &Namespace, denial: &Denial) {
        let error = denial.error();
        self.hub.metrics().error(error);
        let (code, reason) = (error.code().as_str(), error.message());
        match denial {
            Denial::Later(_) => {
                log_in_bursts!(info, %namespace, code, reason, "a CONNECT has to wait");
            }
            Denial::NewToken(_) | Denial::Final(_) => {
                log_in_bursts!(info, %namespace, code, reason, "a CONNECT was refused");
            }
        }
    }

    async fn try_arrive(
        &self,
        socket: &Socket,
        link: &Link,
        namespace: &Namespace,
        credentials: &Credentials,
    ) -> Result<PreparedConnection, Denial> {
        let resume = match socket.protocol() {
            ProtocolVersion::V5 => credentials.resume(),
            ProtocolVersion::V4 => ResumeRequest::Unsupported,
        };
        let principal = match self.hub.authority().is_open() {
            true => self.named(socket, namespace, credentials, resume).await?,
            false => {
                let principal = self.identify(socket, link, credentials).await?;
                let holder = Holder::User(principal.user.clone());
                link.account().charge_to(holder);
                principal
            }
        };
        let arrived = self
            .hub
            .prepare_connection(namespace.clone(), principal, resume);
        Ok(arrived.await?)
    }

    /// In open mode, the user that the client names; one that gives no name is a guest, the same as before when it brings the
    /// secret of a guest's session.
    async fn named(
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

    /// Who a token speaks for: the CONNECT's own first, then the handshake's.
    async fn identify(
        &self,
        socket: &Socket,
        link: &Link,
        credentials: &Credentials,
    ) -> Result<Principal, Denial> {
        let now = Timestamp::now();
        if let Some(token) = credentials.token()? {
            return self.verify(link, &token, now).await;
        }
        match link.principal() {
            Some(principal) if principal.is_expired(now) => {
                // Its next handshake brings another one, or is answered 401 until it does.
                let message = "the token of the HTTP handshake has expired";
                Err(Denial::NewToken(Error::new(Code::TokenExpired, message)))
            }
            Some(principal) => Ok(principal.clone()),
            None => {
                let other = self.doorway.early_token(socket.req_parts());
                let message = match other {
                    None => "a token is needed, in auth.token for instance",
                    Some(_) => {
                        "a token is needed, in auth.token for instance; what came with the HTTP request is no JSON Web Token"
                    }
                };
                Err(Denial::Final(Error::unauthorized(message)))
            }
        }
    }

    /// A token that ended a moment ago may have been fetched in time, or its successor is on its way: its client is asked
    /// again. One that ended longer ago is what the client will always bring.
    async fn verify(&self, link: &Link, token: &str, now: Timestamp) -> Result<Principal, Denial> {
        let error = match self.doorway.verify(link.address(), token).await {
            Ok(principal) => return Ok(principal),
            Err(error) => error,
        };
        if error.code() == Code::TokenExpired {
            let before = now.before(self.hub.grace());
            let before = self.hub.authority().verify(token, before).await;
            if !before.is_err_and(|error| error.code() == Code::TokenExpired) {
                return Err(Denial::NewToken(error));
            }
        }
        // Its client is told what is wrong with the token, however often that happens.
        let noted = self.doorway.note_failure(link.address(), error.clone());
        if let Some(limit) = noted.limit() {
            self.hub.metrics().limited(limit);
        }
        Err(match error.code() {
            Code::TokenExpired => Denial::Final(error),
            _ => error.into(),
        })
    }
}
