//! What a router has is found out, whatever its routes look like, and nothing of it is run.

use axum::{extract::Request as AnyRequest, routing::get};
use tower::service_fn;

use super::*;

async fn never() {
    panic!("a handler was run");
}

fn service() -> Router {
    Router::new().fallback(never)
}

#[tokio::test]
async fn a_route_conflicts_with_one_of_the_same_shape_and_with_a_wildcard_in_the_place_of_a_parameter()
 {
    for (own, other, conflict) in [
        ("/poll/{room}", "/poll/{room}", true),
        ("/poll/{room}", "/poll/{name}", true),
        ("/poll/{room}", "/poll/{*rest}", true),
        ("/poll/{room}", "/poll/lobby", false),
        ("/poll/{room}", "/poll/", false),
        ("/poll/{room}", "/poll/{room}/more", false),
        ("/poll/{room}", "/{page}/{room}", false),
        ("/poll/{room}", "/{page}", false),
        ("/poll/{room}", "/{*rest}", false),
        ("/v1/rooms/{room}/messages", "/v1/rooms/{*rest}", true),
        ("/v1/rooms/{room}/messages", "/v1/rooms/{id}/messages", true),
        ("/v1/rooms/{room}/messages", "/v1/{*rest}", false),
        ("/v1/rooms", "/v1/{*rest}", false),
        ("/healthz", "/healthz", true),
        ("/healthz/", "/healthz", false),
        ("/healthz", "/{page}", false),
    ] {
        let application = Router::new().route(other, get(never).post(never));
        let found = RouteProbe::new(application.clone()).conflict(own).await;
        assert_eq!(found.is_some(), conflict, "{own} and {other}");
        if !conflict {
            // axum agrees, or panics.
            let _ = Router::new().route(own, get(never)).merge(application);
        }
    }
}

#[tokio::test]
async fn a_nested_service_conflicts_where_the_server_has_a_parameter() {
    for (own, nested, conflict) in [
        ("/poll/{room}", "/poll", true),
        ("/v1/rooms", "/v1", false),
        ("/v1/rooms", "/v1/rooms", true),
        ("/v1/rooms/{room}", "/v1", false),
        ("/v1/rooms/{room}/messages", "/v1/rooms", true),
    ] {
        let application = Router::new().nest_service(nested, service());
        let found = RouteProbe::new(application.clone()).conflict(own).await;
        assert_eq!(found.is_some(), conflict, "{own} and {nested}");
        if !conflict {
            let _ = Router::new().route(own, get(never)).merge(application);
        }
    }
}

#[tokio::test]
async fn a_fallback_is_found_beside_any_routes_and_layers() {
    let layer = || from_fn(async |request: Request, next: Next| next.run(request).await);
    let routes = [
        Router::new(),
        Router::new().route("/", get(never)),
        Router::new().route("/{*rest}", get(never)),
        Router::new().route("/{page}/{*rest}", get(never)),
        Router::new()
            .route("/", get(never))
            .route("/{user}/{repo}", get(never)),
        Router::new()
            .route("/", get(never))
            .route("/{user}", get(never))
            .route("/{user}/{repo}", get(never)),
        Router::new().nest("/nested", service()),
        Router::new().nest_service("/nested", service()),
        Router::new()
            .without_v07_checks()
            .route("/:colon", get(never)),
    ];
    for (nth, routes) in routes.into_iter().enumerate() {
        let has_fallback = async |router: Router| RouteProbe::new(router).has_fallback().await;
        assert!(!has_fallback(routes.clone()).await, "{nth}");
        assert!(!has_fallback(routes.clone().layer(layer())).await, "{nth}");
        let handler = routes.clone().fallback(never);
        assert!(has_fallback(handler.clone()).await, "{nth}");
        assert!(has_fallback(handler.layer(layer())).await, "{nth}");
        let page = service_fn(
            async |_: AnyRequest| -> Result<Response, std::convert::Infallible> {
                panic!("a fallback was run")
            },
        );
        assert!(has_fallback(routes.fallback_service(page)).await, "{nth}");
    }
}
