//! When the answer to a message is waited for: at once, or, in a batch, when those after it are on their way too.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::Serialize;

use crate::{backend::Appended, error::Result, hub::PublishOutcome, model::RoomName};

/// A message that has its place in the order.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) room: RoomName,
    pub(super) publishing: PublishOutcome,
}

#[derive(Serialize)]
struct Sent {
    room: RoomName,
    #[serde(flatten)]
    appended: Option<Appended>,
}

impl Sending {
    /// Waits until it is stored.
    pub(super) async fn answer(self) -> Result<Response> {
        let appended = self.publishing.settled().await?;
        let status = match &appended {
            None => StatusCode::ACCEPTED,
            Some(appended) if appended.duplicate => StatusCode::OK,
            Some(_) => StatusCode::CREATED,
        };
        let sent = Sent {
            room: self.room,
            appended,
        };
        Ok((status, Json(sent)).into_response())
    }
}

/// Where a call leaves its message for whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Later(Arc<Mutex<Option<Sending>>>);

impl Later {
    /// The message that was left.
    pub(super) fn take(&self) -> Option<Sending> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Sending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call waits for its message itself: a batch puts a [`Later`] among the extensions of its requests.
pub(super) struct Settling(Option<Later>);

impl<S: Sync> FromRequestParts<S> for Settling {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

impl Settling {
    /// The answer to a message; one that somebody else waits for has none yet.
    pub(super) async fn answer(self, sending: Sending) -> Result<Response> {
        let Some(later) = self.0 else {
            return sending.answer().await;
        };
        *later.lock() = Some(sending);
        Ok(StatusCode::ACCEPTED.into_response())
    }
}
