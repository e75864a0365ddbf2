//! When a call waits for its message to be stored: at once, or, in a batch, after the following messages are on their way, too.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::Serialize;

use crate::{backend::Appended, error::Result, hub::PublishOutcome, model::RoomName, sync::lock};

/// A message that was given to the log and may not be stored yet.
#[derive(Debug)]
pub(super) struct PendingPublish {
    pub(super) room: RoomName,
    pub(super) publishing: PublishOutcome,
}

#[derive(Serialize)]
struct PublishResponse {
    room: RoomName,
    #[serde(flatten)]
    appended: Option<Appended>,
}

impl PendingPublish {
    /// Waits until the message is stored, and makes the response.
    ///
    /// # Errors
    /// It could not be stored.
    pub(super) async fn respond(self) -> Result<Response> {
        let appended = self.publishing.settled().await?;
        let status = match &appended {
            None => StatusCode::ACCEPTED,
            Some(appended) if appended.duplicate => StatusCode::OK,
            Some(_) => StatusCode::CREATED,
        };
        let sent = PublishResponse {
            room: self.room,
            appended,
        };
        Ok((status, Json(sent)).into_response())
    }
}

/// Where a call in a batch leaves its message, for the batch to wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct DeferredPublish(Arc<Mutex<Option<PendingPublish>>>);

impl DeferredPublish {
    /// Takes the message, if the call left one.
    pub(super) fn take(&self) -> Option<PendingPublish> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PendingPublish>> {
        lock(&self.0)
    }
}

/// Responds to a call that publishes. In a batch, which puts a [`DeferredPublish`] into its requests' extensions, the message is left
/// there instead of waited for.
pub(super) struct PublishResponder(Option<DeferredPublish>);

impl<S: Sync> FromRequestParts<S> for PublishResponder {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

impl PublishResponder {
    /// The response to a message; a placeholder if the batch waits for it.
    ///
    /// # Errors
    /// The message could not be stored.
    pub(super) async fn respond(self, pending: PendingPublish) -> Result<Response> {
        let Some(deferred) = self.0 else {
            return pending.respond().await;
        };
        *deferred.lock() = Some(pending);
        Ok(StatusCode::ACCEPTED.into_response())
    }
}
