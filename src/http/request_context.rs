//! What every request has, whichever server accepted it: one host, its client's address, and security headers in the response.
//!
//! Connections of ours do this before the router. For an application that serves the router itself, [`with_request_context`]
//! does it within; what only a connection of ours can do (see [`connection`](super::connection)) is missing there.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request as AnyRequest, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderValue, Request, StatusCode, Version, header};
use ipnet::IpNet;

use super::{ClientAddress, host::HostPort};
use crate::{
    error::{Error, Result},
    retry::log_rarely,
};

/// Which connections a server takes requests from, and which of them are trusted proxies.
#[derive(Clone, Debug)]
pub struct PeerRules {
    /// Proxies whose `X-Forwarded-*` and `Forwarded` are trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Only programs on this machine are answered, whatever address is listened on: anybody may take any name here.
    pub this_machine_only: bool,
}

/// A router for requests that come over connections of others.
pub fn with_request_context(router: Router, rules: PeerRules) -> Router {
    router.layer(from_fn_with_state(rules, add_context))
}

async fn add_context(
    State(rules): State<PeerRules>,
    mut request: AnyRequest,
    next: Next,
) -> Response {
    let peer = peer_address(request.extensions());
    let mut response = match rules
        .check(peer)
        .and_then(|()| normalize_host(&mut request))
    {
        Ok(()) => {
            if let Some(peer) = peer {
                let address = ClientAddress::of(peer, request.headers(), &rules.trusted_proxies);
                request.extensions_mut().insert(address);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    add_security_headers(&mut response);
    response
}

impl PeerRules {
    /// Checks that a request may come from the other end of its connection, which is a proxy where there is one.
    ///
    /// # Errors
    /// `forbidden`: the server is for its own machine only, and the peer is elsewhere, or nobody knows where.
    pub(super) fn check(&self, peer: Option<IpAddr>) -> Result<()> {
        if !self.this_machine_only {
            return Ok(());
        }
        let whose = match peer.map(|peer| peer.to_canonical()) {
            Some(peer) if peer.is_loopback() => return Ok(()),
            Some(peer) => format!("and {peer} is another one"),
            None => "and the address of this client is unknown: serve the router with ConnectInfo<SocketAddr>".to_owned(),
        };
        let message = format!(
            "a server without keys answers only to its own machine, {whose}; configure a key, or auth.allow_anyone = true to \
             let anyone connect"
        );
        log_rarely!(error, "refused a request: {message}");
        Err(Error::forbidden(message))
    }
}

fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        log_rarely!(
            warn,
            "requests come without ConnectInfo<SocketAddr>: all clients count as one address; serve \
             router.into_make_service_with_connect_info::<SocketAddr>()"
        );
        return None;
    };
    Some(peer.ip())
}

/// Makes browsers trust the declared content type, and send no referrer from a page of this server to another site.
pub(super) fn add_security_headers(response: &mut Response) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
}

/// Makes sure that a request names one host, in the header where HTTP/1.1 has it: HTTP/2 has it in the request's URI.
///
/// # Errors
/// There is none (only HTTP/1.0 may leave it out), or more than one, or it is malformed: a proxy that passes such a request on
/// may take it for one to another site than we do.
pub(super) fn normalize_host(request: &mut Request<Body>) -> Result<()> {
    if request.version() == Version::HTTP_2
        && let Some(authority) = request.uri().authority()
    {
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| Error::bad_request("the :authority is no host"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().ok().and_then(HostPort::parse);
            host.map(|_| ())
                .ok_or_else(|| Error::bad_request("the header host is no host"))
        }
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        (None, _) => Err(Error::bad_request("the header host is missing")),
        (Some(_), Some(_)) => Err(Error::bad_request("there is more than one header host")),
    }
}
