//! What a hub is made of. Each part keeps its fields to itself; this file alone knows how they are put together.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::rooms::outbox_members::OutboxMembers;
use super::{
    Hub, HubSettings, LimitSettings, ResumeRejection,
    answers::AnswerTable,
    broadcast::BroadcastPublishing,
    client_report::ClientReporter,
    cluster::ClusterClient,
    connections::{ConnectionTable, SessionTable, memory_pool},
    delivery::BatchWriters,
    limiter::Limiter,
    node_stats::NodeState,
    rates::RateLimiter,
    rooms::{fan_out::FanOutBudget, registry::RoomRegistry, room::RoomSettings},
};
use crate::{
    auth::Authority,
    backend::Backend,
    documents::Documents,
    hooks::Hooks,
    limits::Rate,
    policies::{CurrentPolicies, RoomPolicies},
    telemetry::Metrics,
};

/// The parts of a hub.
pub(super) struct HubParts {
    backend: Backend,
    authority: Authority,
    rooms: RoomRegistry,
    connections: ConnectionTable,
    sessions: SessionTable,
    cluster: ClusterClient,
    limiter: Limiter,
    rates: RateLimiter,
    batch_writers: BatchWriters,
    broadcast_publishing: BroadcastPublishing,
    hooks: Arc<Hooks>,
    documents: Documents,
    policies: CurrentPolicies,
    /// One more for each connection of whose end the application is still being told.
    endings: Arc<()>,
    away_after: Option<Duration>,
    lease: Duration,
    token_grace: Duration,
    node: NodeState,
    client_reporter: ClientReporter,
    answers: AnswerTable,
    metrics: Arc<Metrics>,
}

/// A hub that this does not keep alive.
pub(super) struct WeakHub(Weak<HubParts>);

impl WeakHub {
    pub(super) fn upgrade(&self) -> Option<Hub> {
        self.0.upgrade().map(Hub)
    }
}

impl Hub {
    /// A hub over `backend`, with identities from `authority`.
    pub(crate) fn new(
        backend: Backend,
        authority: Authority,
        settings: HubSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let HubSettings {
            limits,
            pages,
            recovery,
            presence,
            typing,
            grace,
            node,
            hooks,
            answer_window,
            documents,
            policies,
        } = settings;
        metrics.show_not_recovered(ResumeRejection::ALL.map(ResumeRejection::as_str));
        let notices = Rate::new(limits.notices_per_second, limits.notices_burst);
        let fan_out = Arc::new(FanOutBudget::new(notices));
        let policy = RoomSettings {
            grace: presence.grace,
            max_announced_users: presence.room_users,
            typing_timeout: typing.timeout,
            max_typists: typing.room_users,
            fan_out: fan_out.clone(),
            policies: policies.clone(),
        };
        let (bus, nodes) = (backend.bus.clone(), backend.cluster.clone());
        let (outbox, lease) = (backend.outbox.clone(), presence.lease);
        let outbox_members = OutboxMembers::new(outbox, hooks.clone(), presence.grace);
        let (store, is_shared) = (backend.documents.clone(), nodes.is_some());
        let told = (hooks.clone(), metrics.clone());
        let documents = Documents::new(store, bus.clone(), is_shared, told, documents);
        let memory = memory_pool(&limits, &metrics);
        let hub = Self(Arc::new(HubParts {
            rooms: RoomRegistry::new(policy, bus, nodes.clone(), outbox_members, metrics.clone()),
            connections: ConnectionTable::new(presence.grace, metrics.clone()),
            sessions: SessionTable::new(&recovery),
            cluster: ClusterClient::new(nodes),
            rates: RateLimiter::new(&limits, fan_out),
            limiter: Limiter::new(limits, pages, memory),
            batch_writers: BatchWriters::default(),
            broadcast_publishing: BroadcastPublishing::default(),
            hooks,
            documents,
            policies,
            endings: Arc::default(),
            away_after: presence.away_after,
            lease,
            token_grace: grace,
            node: NodeState::new(node),
            client_reporter: ClientReporter::default(),
            answers: AnswerTable::new(answer_window),
            backend,
            authority,
            metrics,
        }));
        hub.export_send_queues();
        hub
    }

    fn parts(&self) -> &HubParts {
        &self.0
    }

    /// The metrics of this node.
    #[doc(hidden)]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts().metrics
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &LimitSettings {
        self.parts().limiter.settings()
    }

    /// How long a node counts as alive without a sign of life.
    pub(crate) fn lease(&self) -> Duration {
        self.parts().lease
    }

    /// How long a connection stays after its token has expired, waiting for a new one.
    pub(crate) fn grace(&self) -> Duration {
        self.parts().token_grace
    }

    /// Verifies tokens.
    pub fn authority(&self) -> &Authority {
        &self.parts().authority
    }

    pub(super) fn node(&self) -> &NodeState {
        &self.parts().node
    }

    pub(super) fn client_reporter(&self) -> &ClientReporter {
        &self.parts().client_reporter
    }

    pub(super) fn answers(&self) -> &AnswerTable {
        &self.parts().answers
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.parts().backend
    }

    /// The documents.
    pub(crate) fn documents(&self) -> &Documents {
        &self.parts().documents
    }

    pub(super) fn rooms(&self) -> &RoomRegistry {
        &self.parts().rooms
    }

    pub(super) fn connection_table(&self) -> &ConnectionTable {
        &self.parts().connections
    }

    pub(super) fn sessions(&self) -> &SessionTable {
        &self.parts().sessions
    }

    pub(super) fn cluster(&self) -> &ClusterClient {
        &self.parts().cluster
    }

    pub(super) fn limiter(&self) -> &Limiter {
        &self.parts().limiter
    }

    pub(super) fn rates(&self) -> &RateLimiter {
        &self.parts().rates
    }

    pub(super) fn batch_writers(&self) -> &BatchWriters {
        &self.parts().batch_writers
    }

    pub(super) fn broadcast_publishing(&self) -> &BroadcastPublishing {
        &self.parts().broadcast_publishing
    }

    /// The back ends that answer for what happens.
    pub(crate) fn hooks(&self) -> &Arc<Hooks> {
        &self.parts().hooks
    }

    /// What may be done in which rooms, at this moment.
    pub(crate) fn policies(&self) -> Arc<RoomPolicies> {
        self.parts().policies.get()
    }

    pub(super) fn replace_policies(&self, policies: RoomPolicies) {
        self.parts().policies.replace(policies);
    }

    /// Held while the application is told of a connection's end.
    pub(super) fn endings(&self) -> &Arc<()> {
        &self.parts().endings
    }

    /// After how long without activity a user is shown as away; `None`: never.
    pub(super) fn away_after(&self) -> Option<Duration> {
        self.parts().away_after
    }

    pub(super) fn downgrade(&self) -> WeakHub {
        WeakHub(Arc::downgrade(&self.0))
    }
}
