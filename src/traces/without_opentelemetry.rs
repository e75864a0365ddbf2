//! What [`opentelemetry`](super::opentelemetry) has, for builds without the Cargo feature: spans have no parents outside, and nobody
//! exports them.

use http::HeaderMap;
use tracing::{Span, Subscriber};
use tracing_subscriber::{Layer, layer::Identity, registry::LookupSpan};

use super::{TraceExportError, TraceSettings};

/// The parent of spans: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceParent(());

impl TraceParent {
    /// Reads nothing.
    pub(crate) fn read(_: &HeaderMap) -> Self {
        Self(())
    }

    /// Nothing.
    pub(crate) fn of(_: &Span) -> Self {
        Self(())
    }

    /// Nothing.
    pub(crate) fn current() -> Self {
        Self(())
    }

    /// False.
    pub(crate) fn is_some(&self) -> bool {
        false
    }

    /// Leaves the span as it is.
    pub(crate) fn adopt(&self, _: &Span) {}
}

/// Adds nothing.
pub(crate) fn add_headers(_: &Span, _: &mut HeaderMap) {}

/// No export.
pub(crate) enum TraceExport {}

impl TraceExport {
    /// There is none.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn start(
        _: &TraceSettings,
        _: Option<&str>,
    ) -> Result<Option<Self>, TraceExportError> {
        Ok(None)
    }

    /// The layer of an export that does not exist.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        Identity::new()
    }

    /// Ends an export that does not exist.
    pub(crate) fn finish(self) {
        match self {}
    }
}
