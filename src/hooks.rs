//! Hooks: back ends, in any language, that answer clients' events, permit what clients do, and are told what happened, over HTTP.
//!
//! [`Hooks`] has the endpoints of the configuration. Those that are told are told by tasks of their own ([`notify`]). Of those that
//! answer it asks the right one. An endpoint is asked once for each event or permit; what
//! it replies is read whole and checked before anything of it is done. Who does it is not known here: the hub asks for permits, and a
//! transport carries out what a reply to an event says.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

mod binary;
mod breaker;
mod call;
mod call_hook;
mod client;
mod endpoint;
mod failure;
mod identity;
mod notify;
mod notify_hook;
mod places;
mod reply;
mod settings;
mod signature;
mod table;

pub(crate) use binary::push_binary;
pub(crate) use call::{CallSubject, CallTopic, ClientFacts};
pub(crate) use call_hook::{CallHook, HookPermit};
pub(crate) use client::HookClient;
pub(crate) use endpoint::CallEndpointStatus;
pub(crate) use failure::HookFailure;
pub(crate) use identity::{IdentityChange, PermittedIdentity};
pub(crate) use notify::{NotifyEndpointStatus, NotifyTasks};
pub(crate) use reply::{
    Action, Answer, ConnectReply, EmitTarget, EventReply, PublishReply, read_emit,
};
pub use settings::HooksSettings;
pub(crate) use signature::SigningKey;

use crate::{
    backend::{Outbox, OutboxKind},
    error,
    model::RoomName,
    options::Problem,
    telemetry::Metrics,
};
use endpoint::CallEndpoint;
use notify::Notifications;
use reply::JoinReply;

/// The endpoints that are asked.
#[derive(Default)]
pub(crate) struct Hooks {
    calls: Vec<CallEndpoint>,
    notifications: Notifications,
}

/// An endpoint and what it has said.
pub(crate) type Asked<T> = Result<Answer<T>, HookFailure>;

impl Hooks {
    /// The endpoints of the configuration; `node` is this node's name.
    ///
    /// # Errors
    /// Every problem in them.
    pub(crate) fn open(
        settings: &HooksSettings,
        node: &str,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        let (node, mut calls) = (Arc::<str>::from(node), Vec::new());
        let max = settings.response_bytes.bytes();
        let mut names = EndpointNames::default();
        for hook in settings.calls()? {
            let name = names.name(hook.shown_url());
            let endpoint = CallEndpoint::new(hook, (name, node.clone()), max, metrics);
            calls.push(endpoint.map_err(|error| no_client("hooks.call", &error))?);
        }
        let (mut notifications, mut names) = (Notifications::default(), EndpointNames::default());
        for hook in settings.notifications()? {
            let name = names.name(hook.shown_url());
            let added = notifications.add(hook, name, max, settings.retry_for, metrics);
            added.map_err(|error| no_client("hooks.notify", &error))?;
        }
        let hooks = Arc::new(Self {
            calls,
            notifications,
        });
        let of_scrape = Arc::downgrade(&hooks);
        metrics.on_scrape(move || {
            if let Some(hooks) = of_scrape.upgrade() {
                hooks.calls.iter().for_each(CallEndpoint::update_gauges);
            }
        });
        Ok(hooks)
    }

    /// Whether something is asked of a room, or before a client connects.
    pub(crate) fn asks(&self, permit: HookPermit, room: Option<&RoomName>) -> bool {
        self.asked(permit, room).is_some()
    }

    fn asked(&self, permit: HookPermit, room: Option<&RoomName>) -> Option<&CallEndpoint> {
        let mut calls = self.calls.iter();
        calls.find(|endpoint| endpoint.permits(permit, room))
    }

    /// The time of a call of an endpoint.
    pub(crate) fn timeout(&self, index: usize) -> Duration {
        self.calls
            .get(index)
            .map_or(Duration::ZERO, CallEndpoint::timeout)
    }

    /// The longest time of a call of any endpoint.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let timeouts = self.calls.iter().map(CallEndpoint::timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Asks the endpoint that a client's event belongs to, no longer than until `deadline`.
    ///
    /// # Errors
    /// Why there is no reply.
    pub(crate) async fn answer_event(
        &self,
        index: usize,
        subject: &CallSubject<'_>,
        topic: &CallTopic<'_>,
        deadline: Option<Instant>,
    ) -> Asked<EventReply> {
        match self.calls.get(index) {
            Some(endpoint) => endpoint.call(subject, topic, deadline).await,
            None => Err(HookFailure::Busy),
        }
    }

    /// Asks whether a client may connect, and as whom; `None`: nobody is asked.
    pub(crate) async fn permit_connect(
        &self,
        subject: &CallSubject<'_>,
        facts: &ClientFacts<'_>,
    ) -> Option<Asked<ConnectReply>> {
        let endpoint = self.asked(HookPermit::Connect, None)?;
        let topic = CallTopic::Connect(facts);
        Some(endpoint.call(subject, &topic, None).await)
    }

    /// Asks whether a client may join a room; `None`: nobody is asked.
    pub(crate) async fn permit_join(
        &self,
        subject: &CallSubject<'_>,
        room: &RoomName,
    ) -> Option<Asked<()>> {
        let endpoint = self.asked(HookPermit::Join, Some(room))?;
        let topic = CallTopic::Join(room);
        let asked = endpoint.call::<JoinReply>(subject, &topic, None).await;
        Some(asked.map(|answer| match answer {
            Answer::Reply(JoinReply) => Answer::Reply(()),
            Answer::Denied(error) => Answer::Denied(error),
        }))
    }

    /// Asks whether a client may publish to a room; `None`: nobody is asked. `topic` is what it publishes.
    pub(crate) async fn permit_publish(
        &self,
        subject: &CallSubject<'_>,
        (room, topic): (&RoomName, &CallTopic<'_>),
    ) -> Option<Asked<PublishReply>> {
        let endpoint = self.asked(HookPermit::Publish, Some(room))?;
        Some(endpoint.call(subject, topic, None).await)
    }

    /// Whether an endpoint is to be told of something in a room.
    pub(crate) fn tells(&self, kind: OutboxKind, room: &RoomName) -> bool {
        self.notifications.wants(kind, room)
    }

    /// Whether an endpoint is to be told of one of these in some room.
    pub(crate) fn tells_some(&self, kinds: &[OutboxKind]) -> bool {
        self.notifications.wants_some(kinds)
    }

    /// Has new endpoints told of everything that happens from now on: called before the server is used.
    pub(crate) async fn begin_notifications(&self, outbox: &dyn Outbox) {
        self.notifications.begin(outbox).await;
    }

    /// Starts to tell the endpoints what is in the outbox. A node that has died is replaced after `lease`.
    pub(crate) fn start_notifications(
        &self,
        outbox: &Arc<dyn Outbox>,
        lease: Duration,
    ) -> NotifyTasks {
        self.notifications.start(outbox, lease)
    }

    /// How each endpoint that is told is.
    ///
    /// # Errors
    /// Fails with `unavailable` if the store is away.
    pub(crate) async fn notify_status(
        &self,
        outbox: &dyn Outbox,
    ) -> error::Result<Vec<NotifyEndpointStatus>> {
        self.notifications.status(outbox).await
    }

    /// Has an endpoint told again that was stopped, and one that fails tried at once; `url` as its status shows it.
    ///
    /// # Errors
    /// Fails with `not_found` if there is no such endpoint, and `unavailable` if the store is away.
    pub(crate) async fn resume_notifications(
        &self,
        outbox: &dyn Outbox,
        url: &str,
    ) -> error::Result<()> {
        self.notifications.resume(outbox, url).await
    }

    /// How each endpoint that answers is.
    pub(crate) fn call_status(&self) -> Vec<CallEndpointStatus> {
        self.calls.iter().map(CallEndpoint::status).collect()
    }

    /// Whether each endpoint can be reached, by its name: the status of its response, or why not.
    pub(crate) async fn reach(&self) -> Vec<(String, Result<u16, HookFailure>)> {
        let mut reached = Vec::new();
        for endpoint in &self.calls {
            reached.push((endpoint.status().url, endpoint.reach().await));
        }
        reached.extend(self.notifications.reach().await);
        reached
    }
}

/// Names endpoints by their URLs: two tables may have the same, as far as it can be shown.
#[derive(Default)]
struct EndpointNames(HashMap<String, usize>);

impl EndpointNames {
    fn name(&mut self, url: String) -> String {
        let times = self.0.entry(url.clone()).or_default();
        *times += 1;
        match *times {
            1 => url,
            times => format!("{url} ({times})"),
        }
    }
}

fn no_client(option: &'static str, error: &reqwest::Error) -> Vec<Problem> {
    let message = format!("no HTTP client can be made: {error}");
    vec![Problem::rule(&[option], message)]
}
