//! Documents: collaborative editing with Yjs clients.
//!
//! A document is its updates. Updates commute, so none of them has to wait for another: an update is checked, stored, acknowledged and
//! passed on as it is, by whatever node it reaches, and no node keeps a document in memory. Only what a client asks for when it
//! connects is merged, and what has become long is compacted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::interval,
    time::sleep,
};

mod awareness;
mod calls;
mod client;
mod compaction;
mod encoding;
mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod history;
mod hocuspocus_message;
mod merge;
mod merged;
mod numbers;
mod open_document;
mod settings;
mod state;
mod sync_message;
mod walk;

pub(crate) use client::DocumentClient;
pub(crate) use event::{DocumentEvent, DocumentProtocol, DocumentSink};
pub(crate) use hocuspocus_message::{
    Address, ClientFrame, ClientMessage, PING_FRAME, Scope, ServerMessage,
    parse as parse_hocuspocus,
};
pub(crate) use merge::split as split_update;
pub use settings::DocumentSettings;
pub(crate) use sync_message::{Message, SyncMessage, parse as parse_messages};

use compaction::Compactor;
use merged::MergedCache;
use open_document::OpenDocument;

use crate::{
    backend::{
        Bus, BusEvent, DocumentInfo, DocumentNotice, DocumentStore, OutboxKind, UpdateTerms,
    },
    error::Result,
    hooks::Hooks,
    model::{NodeId, RoomKey, RoomName, Timestamp},
    retry::log_rarely,
    sync::lock,
    telemetry::Metrics,
};

/// How often open documents are looked at: for updates of other nodes that did not arrive, and for clients that are gone.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long after a change back ends are told of it, with whatever is changed meanwhile.
const NOTICE_DELAY: Duration = Duration::from_secs(2);

/// How often changes are looked for that are to be told of.
const NOTICE_INTERVAL: Duration = Duration::from_millis(500);

/// The documents of this node: those that are open, and all that are stored.
#[derive(Clone)]
pub(crate) struct Documents(Arc<Parts>);

struct Parts {
    store: Arc<dyn DocumentStore>,
    bus: Arc<dyn Bus>,
    /// Whether other nodes may change the same documents.
    is_shared: bool,
    /// Know which changes back ends are told of.
    hooks: Arc<Hooks>,
    metrics: Arc<Metrics>,
    settings: DocumentSettings,
    open: Mutex<HashMap<RoomName, Arc<OpenDocument>>>,
    merged: Mutex<MergedCache>,
    compactor: Compactor,
    /// Reads of whole documents, which may take many megabytes each.
    reads: Semaphore,
}

/// How many clients' whole documents are read and compared at the same time.
const READS_AT_ONCE: usize = 8;

/// The shortest time between two answers of a node about who is at a document.
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);

impl Documents {
    pub(crate) fn new(
        store: Arc<dyn DocumentStore>,
        bus: Arc<dyn Bus>,
        is_shared: bool,
        (hooks, metrics): (Arc<Hooks>, Arc<Metrics>),
        settings: DocumentSettings,
    ) -> Self {
        Self(Arc::new(Parts {
            compactor: Compactor::new(store.clone()),
            merged: Mutex::new(MergedCache::new(settings.cache_bytes.bytes())),
            store,
            bus,
            is_shared,
            hooks,
            metrics,
            settings,
            open: Mutex::default(),
            reads: Semaphore::new(READS_AT_ONCE),
        }))
    }

    /// The limits and times that are configured.
    pub(crate) fn settings(&self) -> &DocumentSettings {
        &self.0.settings
    }

    /// Waits until a whole document may be read.
    async fn read_turn(&self) -> SemaphorePermit<'_> {
        let turn = self.0.reads.acquire().await;
        turn.expect("the semaphore is never closed")
    }

    /// Opens a document for a client, whose task is woken when it is not sent something because it is behind. Creates none: a document
    /// begins with its first update.
    ///
    /// # Errors
    /// `unavailable` if the store, or what connects nodes, is away.
    pub(crate) async fn open(
        &self,
        name: &RoomName,
        sink: Arc<dyn DocumentSink>,
        wake: Arc<Notify>,
    ) -> Result<DocumentClient> {
        let document = {
            let mut open = self.lock_open();
            let document = open
                .entry(name.clone())
                .or_insert_with(|| {
                    self.0.metrics.documents_open.inc();
                    Arc::new(OpenDocument::new(name.clone(), &self.0.settings))
                })
                .clone();
            // While the map is locked, so that the last client does not close it meanwhile.
            let member = document.add(sink, wake);
            DocumentClient::new(self.clone(), document, member)
        };
        self.follow(document.document()).await?;
        Ok(document)
    }

    /// Receives what other nodes do to a document that was opened just now.
    async fn follow(&self, document: &OpenDocument) -> Result<()> {
        if !self.0.is_shared {
            return Ok(());
        }
        let mut followed = document.followed().await;
        if !*followed {
            self.0.bus.subscribe(&channel(document.name())).await?;
            let info = self.0.store.find_document(document.name()).await?;
            document.begin_at(info.map_or(0, |info| info.last));
            *followed = true;
            self.notify_nodes(document.name(), DocumentNotice::QueryAwareness)
                .await;
        }
        Ok(())
    }

    /// Takes a client out of a document. The last one closes it.
    fn leave(&self, document: &Arc<OpenDocument>, member: u64) {
        let mut open = self.lock_open();
        let (gone, is_last) = document.remove(member);
        if is_last {
            open.remove(document.name());
            self.0.metrics.documents_open.dec();
            if self.0.is_shared {
                self.0.bus.unsubscribe(&channel(document.name()));
            }
        }
        drop(open);
        if let Some(gone) = gone {
            document.deliver(&DocumentEvent::awareness(gone.clone()), None);
            self.spawn_notice(document.name(), DocumentNotice::Awareness(gone));
        }
        if is_last && document.has_unmerged() {
            self.compact(document.name());
        }
    }

    /// How a document's updates are stored.
    fn update_terms(&self, name: &RoomName) -> UpdateTerms {
        UpdateTerms {
            max_bytes: self.0.settings.bytes.bytes() as u64,
            is_told: self.0.hooks.tells(OutboxKind::DocumentChanged, name),
        }
    }

    /// Applies what another node has done to a document.
    pub(crate) fn apply_notice(&self, name: &RoomName, notice: &DocumentNotice, node: NodeId) {
        let Some(document) = self.lock_open().get(name).cloned() else {
            return;
        };
        match notice {
            DocumentNotice::Update(number, update) => document.take_update(*number, update, None),
            DocumentNotice::Awareness(states) => document.apply_remote_awareness(states, node),
            DocumentNotice::QueryAwareness => self.answer_query(document),
        }
    }

    /// Tells other nodes what this node's clients show: at once, and to those that ask soon after together.
    fn answer_query(&self, document: Arc<OpenDocument>) {
        if !document.begin_answer() {
            return;
        }
        let documents = self.clone();
        tokio::spawn(async move {
            loop {
                if let Some(states) = document.local_awareness() {
                    let notice = DocumentNotice::Awareness(states);
                    documents.notify_nodes(document.name(), notice).await;
                }
                sleep(ANSWER_INTERVAL).await;
                if !document.take_asked_again() {
                    break;
                }
            }
        });
    }

    /// Takes back what the clients of a node that is gone have shown.
    pub(crate) fn remove_node(&self, node: NodeId) {
        let all: Vec<_> = self.lock_open().values().cloned().collect();
        for document in all {
            document.remove_node(node);
        }
    }

    async fn notify_nodes(&self, name: &RoomName, notice: DocumentNotice) {
        if !self.0.is_shared {
            return;
        }
        let event = BusEvent::Document(name.clone(), notice, None);
        if let Err(error) = self.0.bus.send(event).await {
            tracing::debug!(document = %name, %error, "other nodes hear of a document later");
        }
    }

    fn spawn_notice(&self, name: &RoomName, notice: DocumentNotice) {
        if self.0.is_shared {
            let (documents, name) = (self.clone(), name.clone());
            tokio::spawn(async move { documents.notify_nodes(&name, notice).await });
        }
    }

    fn compact(&self, name: &RoomName) {
        let documents = self.clone();
        self.0.compactor.start(name, move |name| {
            documents.0.metrics.document_compactions.inc();
            if let Some(document) = documents.lock_open().get(name) {
                document.note_compacted();
            }
        });
    }

    /// Deletes a document. Clients that have it open keep what they have: what they write next begins it again, and they bring the rest when they
    /// connect again.
    ///
    /// # Errors
    /// `unavailable` if the store is away.
    pub(crate) async fn delete(&self, name: &RoomName) -> Result<bool> {
        let deleted = self.0.store.delete_document(name).await?;
        lock(&self.0.merged).remove(name);
        Ok(deleted)
    }

    /// How a document is; `None` if there is none.
    ///
    /// # Errors
    /// `unavailable` if the store is away.
    pub(crate) async fn find(&self, name: &RoomName) -> Result<Option<DocumentInfo>> {
        self.0.store.find_document(name).await
    }

    /// Documents by name.
    ///
    /// # Errors
    /// `unavailable` if the store is away.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>> {
        self.0.store.list_documents(prefix, after, limit).await
    }

    /// How many clients of this node have a document open.
    pub(crate) fn clients(&self, name: &RoomName) -> usize {
        let open = self.lock_open();
        open.get(name).map_or(0, |document| document.clients())
    }

    /// Takes back what clients that are gone have shown, and reads what other nodes have stored and was lost on the way. Runs until
    /// dropped.
    pub(crate) async fn run_checks(&self) {
        let mut ticks = interval(CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            let all: Vec<_> = self.lock_open().values().cloned().collect();
            for document in all {
                document.expire_awareness(Instant::now());
                if self.0.is_shared
                    && let Err(error) = self.read_missed(&document).await
                {
                    log_rarely!(warn, document = %document.name(), %error, "cannot read a document's updates");
                }
            }
        }
    }

    /// Has back ends told of documents that have changed. Runs until dropped.
    pub(crate) async fn run_notices(&self) {
        if !self.0.hooks.tells_some(&[OutboxKind::DocumentChanged]) {
            return std::future::pending().await;
        }
        let mut ticks = interval(NOTICE_INTERVAL);
        loop {
            ticks.tick().await;
            let before = Timestamp::now().before(NOTICE_DELAY);
            if let Err(error) = self.0.store.tell_changes(before).await {
                log_rarely!(warn, %error, "cannot tell of documents that have changed; it is tried again");
            }
        }
    }

    async fn read_missed(&self, document: &OpenDocument) -> Result<()> {
        let Some(last) = document.contiguous() else {
            return Ok(());
        };
        let stored = self.0.store.find_document(document.name()).await?;
        if stored.is_none_or(|info| info.last <= last) {
            return Ok(());
        }
        if let Some(missed) = self.0.store.read_document(document.name(), last).await? {
            for part in missed.parts() {
                document.take_update(part.number, &part.bytes, None);
            }
            document.begin_at(missed.last().unwrap_or(last));
        }
        Ok(())
    }

    fn lock_open(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<OpenDocument>>> {
        lock(&self.0.open)
    }
}

/// What nodes carry a document's updates on.
fn channel(name: &RoomName) -> RoomKey {
    RoomKey::of_document(name)
}
