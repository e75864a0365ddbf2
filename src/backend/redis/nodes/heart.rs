//! The node's lease: as long as it holds it, the others take what it has for true.
//!
//! Leases end by Redis's own clock, so clocks of nodes do not matter. Renewing the own one answers which others live and
//! which do not. A node takes others out only after it has held its own for a whole lease: when Redis was away, everybody's
//! has ended, and everybody is to have the time to take it again.

use std::{sync::Arc, time::Duration};

use redis::Value;
use tokio::{sync::watch, time::Instant};

use super::census::read_node;
use crate::{
    backend::redis::{Reads, Shared, keys::Part, line, millis, scripts},
    error::Result,
    model::NodeId,
};

/// How many times a lease is renewed before it ends.
const RENEWALS: u32 = 3;

/// How long after a lease should have ended it is looked whether it has.
const SLACK: Duration = Duration::from_millis(20);

pub(super) struct Heart {
    shared: Arc<Shared>,
    reads: Arc<Reads>,
    lease: Duration,
    /// When the lease began that was renewed ever since.
    since: Option<Instant>,
    ended: watch::Sender<Option<Vec<NodeId>>>,
}

/// What renewing a lease answers.
struct Beat {
    /// It had ended, or there was none.
    lost: bool,
    /// When the next one of another node ends, unless it is renewed.
    next: Duration,
    /// Nodes with a lease, without this one.
    living: Vec<NodeId>,
    /// Nodes whose lease has ended.
    ended: Vec<NodeId>,
}

impl Heart {
    /// Takes the first lease. Tells `ended` at each renewal which nodes are to be taken out, as soon as it may be said.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        reads: Arc<Reads>,
        lease: Duration,
        ended: watch::Sender<Option<Vec<NodeId>>>,
    ) -> Result<Self> {
        let mut heart = Self {
            shared,
            reads,
            lease,
            since: None,
            ended,
        };
        heart.beat().await?;
        Ok(heart)
    }

    /// Renews the lease for as long as it is polled.
    pub(super) async fn run(mut self) {
        let mut rest = self.lease / RENEWALS;
        let mut again = line::AGAIN;
        loop {
            tokio::time::sleep(rest).await;
            rest = match self.beat().await {
                Ok(next) => {
                    again.reset();
                    next.min(self.lease / RENEWALS) + SLACK
                }
                Err(error) => {
                    tracing::debug!(%error, "the lease of this node cannot be renewed");
                    self.since = None;
                    self.ended.send_replace(None);
                    again.next_wait().min(self.lease / RENEWALS)
                }
            };
        }
    }

    /// Renews the lease, and looks who else has one; answers when the next of those ends.
    async fn beat(&mut self) -> Result<Duration> {
        let beat = renew(&self.shared, &self.reads, self.lease).await?;
        if beat.lost {
            self.shared.leased.send_replace(());
        }
        if beat.lost || self.since.is_none() {
            self.since = Some(Instant::now());
            // The others may have taken out what is here, or Redis may have lost it.
            Part::all().for_each(|part| self.shared.book.check_part(part));
        }
        let sure = self
            .since
            .is_some_and(|since| since.elapsed() >= self.lease);
        self.ended.send_replace(sure.then_some(beat.ended));
        self.shared.others.have_leases(beat.living, sure);
        Ok(beat.next)
    }
}

/// Has this node's lease end so long from now, unless it is renewed.
async fn renew(shared: &Shared, reads: &Reads, lease: Duration) -> Result<Beat> {
    let mut command = scripts::lease(&shared.keys.leases());
    command.arg(shared.node.to_string()).arg(millis(lease));
    let mut answer: Vec<Value> = line::read_as(reads.of(Part::FIRST).ask(command).await?)?;
    let mut others = answer.split_off(answer.len().min(3));
    let (lost, next, living): (u8, u64, usize) = line::read_as(Value::Array(answer))?;
    let ended = others.split_off(living.min(others.len()));
    Ok(Beat {
        lost: lost == 1,
        next: Duration::from_millis(next),
        living: others.into_iter().filter_map(read_node).collect(),
        ended: ended.into_iter().filter_map(read_node).collect(),
    })
}

/// Has this node taken out so long from now.
pub(super) async fn wind_down(shared: &Shared, reads: &Reads, grace: Duration) -> Result<()> {
    renew(shared, reads, grace).await.map(|_| ())
}
