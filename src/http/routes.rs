//! Routes together with the list of their paths: axum does not list the routes of a router.

use axum::{Router, routing::MethodRouter};

/// A router, and the paths of its routes as axum writes them: `/poll/{room}`.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    /// The routes.
    pub(crate) router: Router,
    /// The paths of all of them.
    pub(crate) paths: Vec<String>,
}

/// The same handler at several paths.
pub(crate) fn route_all<S: Clone + Send + Sync + 'static>(
    paths: &[&str],
    handler: &MethodRouter<S>,
) -> Router<S> {
    paths.iter().fold(Router::new(), |routes, path| {
        routes.route(path, handler.clone())
    })
}

impl Routes {
    /// `router` has to have exactly the routes of these paths.
    pub(crate) fn new(router: Router, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            router,
            paths: paths.into_iter().map(Into::into).collect(),
        }
    }

    /// Both.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.paths.extend(other.paths);
        self
    }

    /// The same routes below `prefix`, which is empty or a path without a slash at its end.
    pub(crate) fn under(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        Self {
            router: Router::new().nest(prefix, self.router),
            paths: self
                .paths
                .iter()
                .map(|path| format!("{prefix}{path}"))
                .collect(),
        }
    }
}
