//! Routes together with the list of their paths: axum does not list the routes of a router.

use axum::Router;

/// A router, and the paths of its routes as axum writes them: `/poll/{room}`.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    /// The routes.
    pub(crate) router: Router,
    /// The paths of all of them.
    pub(crate) paths: Vec<String>,
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
