//! What happens to each request of a connection of ours before and after the router: memory, and what
//! [`request_context`](crate::http::request_context) does for every request.

use std::{net::IpAddr, sync::Arc};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{BODY_WINDOW, ConnectionContext};
use crate::{
    error::Result,
    http::{
        ClientAddress, ConnectionAbort, PeerRules, ServerConfig, error_response,
        idle::{ConnectionActivity, OpenRequest},
        proxy_protocol::ProxiedClient,
        request_context::{add_security_headers, normalize_host},
        request_memory::{ReservedRequest, reserve_request},
        response_memory::{OutOfMemory, PendingResponses, ResponseContext},
    },
    limits::{Exhausted, Holder, Pool},
    telemetry::Metrics,
};

/// Handles the requests of one connection.
#[derive(Clone)]
pub(super) struct RequestHandler {
    router: Router,
    peer: IpAddr,
    tls: bool,
    peers: PeerRules,
    activity: Arc<ConnectionActivity>,
    memory: Arc<Pool>,
    metrics: Arc<Metrics>,
    responses: PendingResponses,
}

impl RequestHandler {
    pub(super) fn new(
        router: Router,
        client: ProxiedClient,
        config: ServerConfig,
        context: ConnectionContext,
    ) -> Self {
        Self {
            router,
            peer: client.address.ip(),
            tls: client.tls,
            peers: config.peers,
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
        let mut address =
            ClientAddress::of(self.peer, request.headers(), &self.peers.trusted_proxies);
        // A proxy's connection says nothing of its client's.
        address.tls = self.tls && !address.proxied;
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
                Ok((request, reserved)) => {
                    let Ok(mut response) = router.oneshot(request).await;
                    // The connection is closed then, and a client that is not told would send its next request on it.
                    if reserved.has_unread_body() && !http2 {
                        announce_close(&mut response);
                    }
                    response
                }
                Err(error) => {
                    metrics.error(&error);
                    let mut response = error_response(&error);
                    if !http2 {
                        // It is uncertain where this request ends and the next one begins, or not worth waiting for.
                        announce_close(&mut response);
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
    ) -> Result<(Request<Body>, ReservedRequest)> {
        let (mut request, head) = reserve_request(request, BODY_WINDOW, holder, &self.memory)
            .map_err(Exhausted::into_memory_error)?;
        self.peers.check(Some(self.peer))?;
        normalize_host(&mut request)?;
        let extensions = request.extensions_mut();
        extensions.insert(address);
        extensions.insert(abort);
        Ok((request, head))
    }
}

/// Tells the client that no other request can follow on this connection.
fn announce_close(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}
