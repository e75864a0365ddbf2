//! The router of a server: its own routes by group, an application's beside them, and what answers elsewhere.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::{probe::RouteProbe, start_error::StartError};
use crate::{
    api::ApiRoutes,
    config::Config,
    http::{self, HttpSettings, RouteGroup, Routes, body::BodyLimits, origins::Origins},
    limits::Pool,
    pages::{self, PageConfig},
    transport::{AdmissionControl, collab, poll, sse, websocket, yjs},
};

/// What the server answers itself.
pub(super) struct OwnRoutes {
    routes: Routes,
    /// What answers where nothing has a route, if the application has no fallback.
    fallback: Router,
    /// What answers below `/v1` where nothing there has a route, whatever the application has elsewhere.
    rest_fallback: Option<RestFallback>,
}

/// Answers below a path.
#[derive(Clone)]
struct RestFallback {
    below: Arc<str>,
    router: Router,
}

impl OwnRoutes {
    /// The groups of `http.routes` below `http.prefix`, and Socket.IO. `open`: clients choose their names.
    ///
    /// # Errors
    /// Socket.IO has the path of one of the groups.
    pub(super) fn new(
        config: &Config,
        admission: &Arc<AdmissionControl>,
        (socketio, api): (Routes, ApiRoutes),
        (origins, open): (Origins, bool),
    ) -> Result<Self, StartError> {
        let HttpSettings { prefix, routes, .. } = &config.http;
        let has = |group| routes.contains(&group);
        let groups = [
            (RouteGroup::Rest, api.rest),
            (RouteGroup::Health, api.health),
            (RouteGroup::Metrics, api.metrics),
            (
                RouteGroup::WebSocket,
                websocket::routes(
                    admission,
                    &config.websocket,
                    config.socketio.read_buffer.bytes(),
                ),
            ),
            (RouteGroup::Documents, document_routes(admission, config)),
            (RouteGroup::Events, sse::routes(admission, &config.events)),
            (RouteGroup::Poll, poll::routes(admission, &config.poll)),
        ];
        let admin = api.admin.map(|session| session.merge(pages::admin()));
        let is_admin_open = admin.is_some();
        let groups = groups
            .into_iter()
            .chain(admin.map(|admin| (RouteGroup::Admin, admin)));
        // Metrics with an address of their own are for operators alone.
        let is_served = |group| {
            has(group)
                && match group {
                    RouteGroup::Metrics => config.http.internal_listen.is_none(),
                    // It is made of calls to that.
                    RouteGroup::Admin => has(RouteGroup::Rest),
                    _ => true,
                }
        };
        let served: Vec<_> = groups.filter(|(group, _)| is_served(*group)).collect();
        let served_groups = served.iter().map(|(group, _)| group.as_str()).collect();
        let groups = served
            .into_iter()
            .fold(Routes::default(), |all, (_, routes)| all.merge(routes));
        let groups = groups.under(prefix);
        if let Some(taken) = groups
            .paths
            .iter()
            .find(|path| socketio.paths.contains(path))
        {
            return Err(StartError::Route(format!(
                "socketio.path is {}, but the server has its own route {taken}; http.prefix moves that and http.routes \
                 leaves it out",
                config.socketio.path
            )));
        }
        let mut own = socketio.merge(groups);
        let cors = cors(origins);
        own.router = own
            .router
            .method_not_allowed_fallback(http::method_not_allowed)
            .layer(cors.clone());
        let page = has(RouteGroup::Page).then(|| PageConfig {
            prefix: prefix.clone(),
            socketio: config.socketio.path.trim_end_matches('/').to_owned(),
            open,
            groups: served_groups,
            version: env!("CARGO_PKG_VERSION"),
        });
        let closed_admin =
            (has(RouteGroup::Admin) && !is_admin_open).then(|| format!("{prefix}/admin"));
        let rest_fallback = has(RouteGroup::Rest).then(|| RestFallback {
            below: format!("{prefix}/v1/").into(),
            router: api.rest_fallback.layer(cors.clone()),
        });
        Ok(Self {
            routes: own,
            fallback: pages::fallback(pages::Fallback { page, closed_admin }).layer(cors),
            rest_fallback,
        })
    }

    /// Adds an application's routes. Its layers and its fallback stay as they are, and ours do not concern its routes.
    ///
    /// # Errors
    /// It has a route that the server has.
    pub(super) async fn with_application(
        self,
        application: Router,
        bodies: BodyLimits,
    ) -> Result<Router, StartError> {
        let probe = RouteProbe::new(application.clone());
        for path in &self.routes.paths {
            if let Some(conflict) = probe.conflict(path).await {
                return Err(StartError::Route(format!(
                    "the application's route {conflict} is taken: the server has {path}. http.prefix moves the server's \
                     routes and http.routes leaves some out; socketio.path moves Socket.IO"
                )));
            }
        }
        let elsewhere = match probe.has_fallback().await {
            true => application.clone(),
            false => self.fallback,
        };
        // Like this a page of an application does not answer a call that is misspelt.
        let (application, elsewhere) = match self.rest_fallback {
            Some(rest) => (
                application.layer(from_fn_with_state(rest.clone(), answer_misspelt)),
                rest.router.fallback_service(elsewhere),
            ),
            None => (application, elsewhere),
        };
        let router = self.routes.router.without_v07_checks().merge(application);
        // For extractors of ours, which an application's routes may have, too.
        Ok(router.fallback_service(elsewhere).layer(Extension(bodies)))
    }
}

/// Answers in the place of an application's route that is not below the path itself, like `/{*rest}`. A route for this in the
/// server's own router would not do: axum does not take one beside `/v1/{parameter}` of an application.
async fn answer_misspelt(
    State(rest): State<RestFallback>,
    request: Request,
    next: Next,
) -> Response {
    let is_below = request.uri().path().starts_with(&*rest.below);
    let matched = request.extensions().get::<MatchedPath>();
    // Where the whole router is nested in another, only the matched path has that one's prefix.
    if is_below && matched.is_some_and(|path| !path.as_str().contains(&*rest.below)) {
        let Ok(response) = rest.router.oneshot(request).await;
        return response;
    }
    next.run(request).await
}

/// The limits of bodies.
pub(super) fn body_limits(settings: &HttpSettings, memory: &Arc<Pool>) -> BodyLimits {
    BodyLimits {
        bytes: settings.body_bytes.bytes(),
        time: settings.body_timeout,
        memory: memory.clone(),
    }
}

/// The CORS layer, with the origins that WebSocket upgrades are checked against.
fn cors(origins: Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([http::REQUEST_ID, ::http::header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600));
    if origins.allows_any() {
        return layer.allow_origin(AllowOrigin::any());
    }
    layer
        .allow_credentials(true)
        .allow_origin(AllowOrigin::predicate(move |origin, request| {
            origins.is_trusted(origin, &request.headers, &request.extensions)
        }))
}

/// The protocols of documents.
fn document_routes(admission: &Arc<AdmissionControl>, config: &Config) -> Routes {
    let read_size = config.socketio.read_buffer.bytes();
    let yjs = yjs::routes(admission, &config.websocket, read_size);
    yjs.merge(collab::routes(admission, &config.websocket, read_size))
}
