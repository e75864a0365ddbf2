//! What happens to each request of a connection before and after the router: memory, host, client address, security headers.

use std::{net::IpAddr, sync::Arc};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use ipnet::IpNet;
use tower::ServiceExt;

use super::{BODY_WINDOW, ConnectionContext};
use crate::{
    error::{Error, Result},
    http::{
        ClientAddress, ConnectionAbort, ServerConfig, error_response,
        host::HostPort,
        idle::{ConnectionActivity, OpenRequest},
        request_memory::reserve_request,
        response_memory::{OutOfMemory, PendingResponses, ResponseContext},
    },
    limits::{Exhausted, Holder, Pool, Reservation},
    telemetry::Metrics,
};

/// Handles the requests of one connection.
#[derive(Clone)]
pub(super) struct RequestHandler {
    router: Router,
    peer: IpAddr,
    trusted_proxies: Arc<[IpNet]>,
    activity: Arc<ConnectionActivity>,
    memory: Arc<Pool>,
    metrics: Arc<Metrics>,
    responses: PendingResponses,
}

impl RequestHandler {
    pub(super) fn new(
        router: Router,
        peer: IpAddr,
        config: ServerConfig,
        context: ConnectionContext,
    ) -> Self {
        Self {
            router,
            peer,
            trusted_proxies: config.trusted_proxies,
            activity: context.activity,
            memory: config.memory,
            metrics: config.metrics,
            responses: context.responses,
        }
    }

    /// What the connection is doing.
    pub(super) fn activity(&self) -> &Arc<ConnectionActivity> {
        &self.activity
    }

    /// Passes a request to the router, with what only its connection knows in the extensions. The request counts as open until
    /// the response's body is dropped.
    pub(super) fn handle(
        &self,
        request: Request<Incoming>,
        abort: ConnectionAbort,
    ) -> impl Future<Output = Result<(Response, OpenRequest), OutOfMemory>> + use<> {
        let open = self.activity.open_request();
        let http2 = request.version() == Version::HTTP_2;
        let address = ClientAddress::of(self.peer, request.headers(), &self.trusted_proxies);
        let mut context = ResponseContext {
            holder: Holder::address(address.ip),
            abort: abort.clone(),
            http2,
        };
        let prepared = self.prepare(request, address, abort, &context.holder);
        let (router, responses, metrics) = (
            self.router.clone(),
            self.responses.clone(),
            self.metrics.clone(),
        );
        async move {
            let mut response = match prepared {
                Ok((request, _head)) => {
                    let Ok(response) = router.oneshot(request).await;
                    response
                }
                Err(error) => {
                    metrics.error(&error);
                    let mut response = error_response(&error);
                    if !http2 {
                        // It is uncertain where this request ends and the next one begins, or not worth waiting for.
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    response
                }
            };
            add_security_headers(&mut response);
            if let Some(known) = response.extensions().get::<Holder>() {
                context.holder = known.clone();
            }
            Ok((responses.hold(response, context).await?, open))
        }
    }

    /// A request that may go to the router, and what is reserved for its head.
    fn prepare(
        &self,
        request: Request<Incoming>,
        address: ClientAddress,
        abort: ConnectionAbort,
        holder: &Holder,
    ) -> Result<(Request<Body>, Option<Reservation>)> {
        let (mut request, head) = reserve_request(request, BODY_WINDOW, holder, &self.memory)
            .map_err(Exhausted::into_memory_error)?;
        normalize_host(&mut request)?;
        let extensions = request.extensions_mut();
        extensions.insert(address);
        extensions.insert(abort);
        Ok((request, head))
    }
}

/// Makes browsers trust the declared content type, and send no referrer from a page of this server to another site.
fn add_security_headers(response: &mut Response) {
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
fn normalize_host(request: &mut Request<Body>) -> Result<()> {
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
