//! Who a request speaks for: finds its token, as far as its page is trusted, and has it verified.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, Request, header, request::Parts};
use serde_json::{Value, value::RawValue};
use tokio::time::timeout;

use super::{AdmissionConfig, AuthFailures};
use crate::{
    auth::{ApplicationAuth, HttpToken, Principal, Reject, find_token, query_user},
    error::{Code, Error, Result},
    hooks::{ClientFacts, HookPermit},
    http::{
        client_address,
        origins::{Origins, Trust},
    },
    hub::Hub,
    limits::Rate,
    model::Timestamp,
    retry::log_in_bursts,
    traces::TraceParent,
};

/// Identifies the sender of a request.
pub(crate) struct Authenticator {
    hub: Hub,
    origins: Origins,
    failures: AuthFailures,
    cookie: Option<String>,
    early_tokens: bool,
    application: Option<ApplicationAuth>,
}

/// What a client is told that needs a token.
pub(crate) const TOKEN_NEEDED: &str =
    "a token is needed: Authorization: Bearer, the configured cookie, or ?token=";

/// How long an application may take to decide who a client is.
const APPLICATION_TIMEOUT: Duration = Duration::from_secs(10);

impl Authenticator {
    pub(super) fn new(hub: &Hub, config: AdmissionConfig) -> Self {
        let limits = hub.limits();
        Self {
            hub: hub.clone(),
            origins: config.origins,
            failures: AuthFailures::new(Rate::new(
                limits.auth_failures_per_second,
                limits.auth_failures_burst,
            )),
            cookie: config.cookie,
            early_tokens: config.early_tokens,
            application: config.application,
        }
    }

    /// Who the request speaks for, where an identity is required; in open mode, who it says it is.
    ///
    /// # Errors
    /// There is no token, or it is wrong.
    pub(crate) async fn principal(&self, request: &Parts) -> Result<Principal> {
        let authority = self.hub.authority();
        if authority.is_open() {
            return authority.open_principal(query_user(request.uri.query()).as_deref());
        }
        let trust = self.origins.trust(&request.headers, &request.extensions);
        if self.has_application() {
            let address = client_address(&request.extensions).ip;
            let decided = self.ask_application(request, trust, address, None);
            let decided = decided.await.map_err(|reject| reject.error().clone())?;
            if let Some(principal) = decided {
                return Ok(principal);
            }
        }
        let identified = self.identify(request, trust).await?;
        identified.ok_or_else(|| {
            let error = Error::unauthorized(match trust {
                Some(Trust::Full) => TOKEN_NEEDED,
                _ => {
                    "a token is needed: ?token=; cookies and Authorization are read only of pages whose origin \
                     http.origins lists, and of the server's own"
                }
            });
            let address = client_address(&request.extensions).ip;
            self.record_refusal(address, &error);
            self.record_failure(address, error)
        })
    }

    /// Whether the application decides who a client is.
    pub(crate) fn has_application(&self) -> bool {
        self.application.is_some()
    }

    /// Asks the application who a client is: by the head of its HTTP request, without what its browser may have added for a page that is
    /// not trusted, and by the `auth` payload of its CONNECT. `None`: its token decides.
    ///
    /// # Errors
    /// The application refuses the client, cannot decide in time, or the client's address was refused too often.
    pub(crate) async fn ask_application(
        &self,
        request: &Parts,
        trust: Option<Trust>,
        address: IpAddr,
        auth: Option<&RawValue>,
    ) -> Result<Option<Principal>, Reject> {
        let Some(application) = &self.application else {
            return Ok(None);
        };
        self.failures.check_bad_signatures(address)?;
        let parts = shown_parts(request, trust, address);
        let auth = auth.map_or(Ok(Value::Null), |auth| serde_json::from_str(auth.get()));
        let auth = auth.map_err(|_| Error::bad_request("auth is not JSON"))?;
        let decided = timeout(APPLICATION_TIMEOUT, application.ask(parts, auth)).await;
        let decided = decided.unwrap_or_else(|_| {
            log_in_bursts!(warn, limit = ?APPLICATION_TIMEOUT, "authenticating a client timed out");
            Err(Reject::cannot_check())
        });
        decided.inspect_err(|reject| self.record_refusal(address, reject.error()))
    }

    /// What a hook is told of a client, besides its identity: the headers of its request without what its browser may have added for a page
    /// that is not trusted. No headers, if no hook is asked about clients.
    pub(crate) fn client_facts(
        &self,
        request: &Parts,
        trust: Option<Trust>,
        address: IpAddr,
    ) -> ClientFacts<'static> {
        let headers = match self.hub.hooks().asks(HookPermit::Connect, None) {
            true => shown_parts(request, trust, address).headers,
            false => HeaderMap::new(),
        };
        ClientFacts {
            auth: None,
            headers,
            ip: Some(address),
            trace: TraceParent::read(&request.headers),
        }
    }

    /// Records that the application, or its silence, has refused a client for good: it is not asked for ever.
    pub(crate) fn record_refusal(&self, address: IpAddr, error: &Error) {
        if self.has_application() && !error.code().is_temporary() {
            self.failures.record_bad_signature(address);
        }
    }

    /// Who the request's own token speaks for, if it has one.
    async fn identify(&self, request: &Parts, trust: Option<Trust>) -> Result<Option<Principal>> {
        let authority = self.hub.authority();
        if authority.is_open() {
            return Ok(None);
        }
        match self.token(request, trust) {
            Some(token) => {
                let address = client_address(&request.extensions).ip;
                let verified = self.verify(address, &token.text).await;
                let verified = verified.map_err(|error| self.record_failure(address, error));
                verified.map(Some)
            }
            None => Ok(None),
        }
    }

    /// Who the HTTP request speaks for of a client that may send its token later, with its CONNECT. A text that is not a JSON
    /// Web Token belongs to a proxy or to the application, and is ignored: if the client has nothing better, its CONNECT
    /// is refused.
    pub(super) async fn identify_early(
        &self,
        request: &Parts,
        trust: Option<Trust>,
    ) -> Result<Option<Principal>> {
        match self.early_token(request, trust) {
            Some(_) if self.has_application() => Ok(None),
            Some(token) if token.is_jwt() => self.identify(request, trust).await,
            _ => Ok(None),
        }
    }

    /// The token of such a request of a page that is trusted so far, if tokens are read that early.
    pub(crate) fn early_token(&self, request: &Parts, trust: Option<Trust>) -> Option<HttpToken> {
        self.token(request, trust).filter(|_| self.early_tokens)
    }

    /// The request's own token. On requests of an unlisted page, what the browser or a proxy has added is ignored.
    fn token(&self, request: &Parts, trust: Option<Trust>) -> Option<HttpToken> {
        let query = request.uri.query();
        let (headers, cookie) = (&request.headers, self.cookie.as_deref());
        match trust {
            Some(Trust::Full) => find_token(headers, query, cookie),
            Some(Trust::WithoutCookies) => find_token(headers, query, None),
            Some(Trust::WithoutHeaders) | None => find_token(&HeaderMap::new(), query, None),
        }
    }

    /// Verifies a token that was sent from an address.
    ///
    /// # Errors
    /// The token is wrong, or the address sent too many wrong signatures that are expensive to verify.
    pub(crate) async fn verify(&self, address: IpAddr, token: &str) -> Result<Principal> {
        let authority = self.hub.authority();
        let is_expensive = authority.needs_public_key(token);
        if is_expensive {
            self.failures.check_bad_signatures(address)?;
        }
        let verified = authority.verify(token, Timestamp::now()).await;
        if let Err(error) = &verified
            && is_expensive
            && error.code() == Code::Unauthorized
        {
            self.failures.record_bad_signature(address);
        }
        verified
    }

    /// Records that a token or key was wrong. Returns why the request is refused: `error`, or that its address has failed too
    /// often.
    pub(crate) fn record_failure(&self, address: IpAddr, error: Error) -> Error {
        match error.code() {
            Code::Unauthorized | Code::TokenExpired => self.failures.record(address, error),
            _ => error,
        }
    }
}

/// The head of a request as the application is shown it, with the client's address as an extension.
fn shown_parts(request: &Parts, trust: Option<Trust>, address: IpAddr) -> Parts {
    let mut shown = Request::new(()).into_parts().0;
    shown.method = request.method.clone();
    shown.uri = request.uri.clone();
    shown.version = request.version;
    shown.headers = request.headers.clone();
    shown.extensions.insert(address);
    if trust != Some(Trust::Full) {
        shown.headers.remove(header::COOKIE);
    }
    if !matches!(trust, Some(Trust::Full | Trust::WithoutCookies)) {
        shown.headers.remove(header::AUTHORIZATION);
        shown.headers.remove(header::PROXY_AUTHORIZATION);
    }
    shown
}
