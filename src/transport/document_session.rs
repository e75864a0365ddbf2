//! One client of one document, whatever protocol it speaks: what it may do, and what becomes of what it sends.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    auth::{Permission, Principal},
    documents::{DocumentClient, DocumentSink},
    error::{Error, Result},
    hub::{Connection, DisconnectGuard, Hub},
    model::RoomName,
};

/// A document that a connection has open. Dropping it ends the connection.
pub(super) struct DocumentSession {
    hub: Hub,
    connection: Arc<Connection>,
    document: DocumentClient,
    _disconnect: DisconnectGuard,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is stored.
    Stored,
    /// The client may not write.
    Forbidden,
}

impl DocumentSession {
    /// Opens a document for a connection, whose task is woken when the client is not sent something because it is behind.
    ///
    /// # Errors
    /// `unavailable` if the store is away. The connection has ended then.
    pub(super) async fn open(
        hub: &Hub,
        connection: Arc<Connection>,
        name: &RoomName,
        (sink, wake): (Arc<dyn DocumentSink>, Arc<Notify>),
    ) -> Result<Self> {
        let disconnect = DisconnectGuard::new(hub, &connection);
        let document = hub.documents().open(name, sink, wake).await?;
        Ok(Self {
            hub: hub.clone(),
            connection,
            document,
            _disconnect: disconnect,
        })
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn document(&self) -> &DocumentClient {
        &self.document
    }

    /// Whether the client may write.
    pub(super) fn may_write(&self) -> bool {
        let principal = self.connection.principal();
        principal.may(Permission::Write, self.document.name())
    }

    /// Checks that the client may still read: it may have another token now.
    ///
    /// # Errors
    /// `forbidden`.
    pub(super) fn check_read(&self) -> Result<()> {
        check_read(&self.connection.principal(), self.document.name())
    }

    /// Stores an update. Those of a reader are refused, and the client goes on: it may edit for itself.
    ///
    /// # Errors
    /// See [`DocumentClient::check`] and [`DocumentClient::store`].
    pub(super) async fn write(&self, update: Bytes) -> Result<Written> {
        if !self.may_write() {
            return Ok(Written::Forbidden);
        }
        self.hub.record_activity(&self.connection);
        if let Some(update) = self.document.check(update)? {
            self.document.store(update).await?;
        }
        Ok(Written::Stored)
    }

    /// Stores what is new in everything that a client offers: it sends that whenever it connects.
    ///
    /// # Errors
    /// See [`DocumentClient::check`] and [`DocumentClient::store`].
    pub(super) async fn write_news(&self, offered: Bytes) -> Result<Written> {
        let Some(news) = self.document.news(offered).await? else {
            return Ok(Written::Stored);
        };
        if !self.may_write() {
            return Ok(Written::Forbidden);
        }
        self.hub.record_activity(&self.connection);
        self.document.store(news).await?;
        Ok(Written::Stored)
    }

    /// Counts and names the refusal of a reader's update.
    pub(super) fn refusal(&self) -> Error {
        let name = self.document.name();
        let error = Error::forbidden(format!("this identity may not write document {name}"));
        self.hub.metrics().error(&error);
        error
    }
}

/// Checks that an identity may read a document.
///
/// # Errors
/// `forbidden`.
pub(super) fn check_read(principal: &Principal, name: &RoomName) -> Result<()> {
    match principal.may(Permission::Read, name) {
        true => Ok(()),
        false => Err(Error::forbidden(format!(
            "this identity may not read document {name}"
        ))),
    }
}
