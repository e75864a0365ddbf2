//! Statistics of this node and its cluster: what the dashboard draws, for others to draw as well.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Extension, Json, extract::State, response::Response};
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::spawn_blocking};
use utoipa::IntoParams;

use super::{
    Api,
    access::{Operator, require_api_key},
    event_stream::{self, EventSource},
    params::{Bounded, SafeInteger},
    schema,
};
use crate::{
    error::Result,
    http::params::QueryParams,
    hub::{ActiveRooms, AllNodeStats, Hub, StatelessCaller},
    model::{Namespace, Timestamp},
    telemetry::{Columns, SAMPLE_INTERVAL, Sample},
};

/// Rooms of each kind that are named.
const ACTIVE_ROOMS: usize = 20;

/// For how long the state of the cluster and of all rooms is good enough for the next caller.
const FRESH: Duration = Duration::from_millis(500);

/// Query of the statistics.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// Only samples after this time, in milliseconds since the Unix epoch.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991u64)]
    since: Option<SafeInteger>,
}

/// The last hour of this node, and the nodes now.
#[derive(Serialize)]
pub(super) struct Stats {
    ts: Timestamp,
    interval_ms: u128,
    node: String,
    #[serde(flatten)]
    present: Arc<Present>,
    series: Columns,
}

/// What a stream adds to the statistics with each sample.
#[derive(Serialize)]
struct Update {
    ts: u64,
    sample: Sample,
    #[serde(flatten)]
    present: Arc<Present>,
}

/// The nodes and rooms at one moment.
#[derive(Serialize)]
struct Present {
    #[serde(flatten)]
    nodes: AllNodeStats,
    rooms: ActiveRooms,
}

/// Computes [`Present`] once for all who ask at the same time, and anew for each sample.
#[derive(Default)]
pub(super) struct PresentCache(tokio::sync::Mutex<Option<CachedPresent>>);

struct CachedPresent {
    made: Instant,
    /// The newest sample by then.
    sampled: u64,
    present: Arc<Present>,
}

impl PresentCache {
    async fn get(&self, hub: &Hub) -> Arc<Present> {
        let mut cached = self.0.lock().await;
        let sampled = *hub.sampled().borrow();
        if let Some(cached) = &*cached
            && cached.made.elapsed() < FRESH
            && cached.sampled == sampled
        {
            return cached.present.clone();
        }
        // Of many rooms that takes a while.
        let looking = hub.clone();
        let rooms =
            spawn_blocking(move || looking.most_active_rooms(&Namespace::root(), ACTIVE_ROOMS));
        let (nodes, rooms) = tokio::join!(hub.all_node_stats(), rooms);
        let present = Arc::new(Present {
            nodes,
            rooms: rooms.unwrap_or_default(),
        });
        *cached = Some(CachedPresent {
            made: Instant::now(),
            sampled,
            present: present.clone(),
        });
        present
    }
}

/// Read the statistics.
///
/// The last hour of the node that answers, sampled every five seconds, and all nodes of its cluster now. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/stats",
    operation_id = "get_stats",
    tag = "operation",
    params(StatsQuery),
    responses((status = 200, description = "The statistics.", body = schema::StatsSchema))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    QueryParams(query): QueryParams<StatsQuery>,
) -> Result<Json<Stats>> {
    require_api_key(&caller)?;
    let since = query.since.map_or(0, Bounded::get);
    Ok(Json(stats(&api, since).await))
}

async fn stats(api: &Api, since: u64) -> Stats {
    let present = api.present.get(&api.hub).await;
    Stats {
        ts: Timestamp::now(),
        interval_ms: SAMPLE_INTERVAL.as_millis(),
        node: api.hub.node_info().id.clone(),
        present,
        series: api.hub.metrics().history().columns(since),
    }
}

/// Follow the statistics.
///
/// Server-Sent Events: first `stats`, as `GET /v1/stats` returns them, then an `update` with each new sample. A browser that
/// reconnects gets only the samples that it has not got. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/stats/stream",
    operation_id = "stream_stats",
    tag = "operation",
    params(StatsQuery),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn stream(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    operator: Option<Extension<Operator>>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<StatsQuery>,
) -> Result<Response> {
    require_api_key(&caller)?;
    let place = event_stream::reserve(&api)?;
    // What the browser has got since the page wrote its URL.
    let last = headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let since = last.or(query.since.map(Bounded::get)).unwrap_or(0);
    let stream = StatsStream {
        sampled: api.hub.sampled(),
        sent: None,
        since,
        api: api.clone(),
    };
    Ok(event_stream::respond(&api, place, operator, stream))
}

struct StatsStream {
    api: Api,
    sampled: watch::Receiver<u64>,
    /// Where the samples begin.
    since: u64,
    /// The newest sample that was sent; `None`: nothing was sent yet.
    sent: Option<u64>,
}

impl EventSource for StatsStream {
    async fn next(&mut self) -> Option<Bytes> {
        let Some(sent) = self.sent else {
            let stats = stats(&self.api, self.since).await;
            let newest = stats.series.newest().unwrap_or(self.since);
            self.sent = Some(newest);
            return Some(event_stream::event("stats", Some(newest), &stats));
        };
        tokio::select! {
            sampled = self.sampled.wait_for(|ts| *ts > sent) => drop(sampled.ok()?),
            // A page can watch until all connections are closed.
            () = self.api.stopped() => return None,
        }
        let present = self.api.present.get(&self.api.hub).await;
        // A reader that was slow gets the samples one after another.
        let sample = self.api.hub.metrics().history().next_after(sent)?;
        self.sent = Some(sample.ts);
        let update = Update {
            ts: sample.ts,
            sample,
            present,
        };
        Some(event_stream::event("update", Some(update.ts), &update))
    }
}
