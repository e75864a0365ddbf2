//! Takes out what nodes have left that do not live any more.
//!
//! Every node does this for all the others. A step on one room is one script that tells only if there was something, so
//! however many do it at once, everybody is told once; and what breaks off in the middle is taken up by the next, because the
//! lease itself goes last. A node that comes back in the middle of it finds its lease lost, and what was taken from it, and
//! says it anew.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use crate::{
    backend::redis::{
        Reads, Shared,
        keys::{self, Part},
        line::{self, Lost},
        scripts, sessions,
    },
    error::Result,
    model::NodeId,
    repeat::log_in_bursts,
};

/// How many rooms are emptied together.
const STEP: usize = 64;

pub(super) struct Patrol {
    pub(super) shared: Arc<Shared>,
    pub(super) reads: Arc<Reads>,
    /// How often it is looked for what belongs to nobody.
    pub(super) lease: Duration,
    pub(super) ended: watch::Receiver<Option<Vec<NodeId>>>,
}

impl Patrol {
    /// Works until nobody tells it any more which leases have ended.
    pub(super) async fn run(mut self) {
        let mut looked = Instant::now();
        while self.ended.changed().await.is_ok() {
            let Some(ended) = self.ended.borrow_and_update().clone() else {
                continue;
            };
            let mut done = Ok(());
            for node in ended {
                done = done.and(self.take_out(node).await);
            }
            if looked.elapsed() >= self.lease {
                looked = Instant::now();
                done = done.and(self.look_around().await);
            }
            if let Err(error) = done {
                tracing::debug!(%error, "what dead nodes have left cannot be taken out now");
            }
        }
    }

    /// Takes out a node whose lease has ended: everything that it has, then the lease.
    async fn take_out(&self, node: NodeId) -> Result<()> {
        // All parts are tried, even if one is away.
        let parts = join_all(Part::all().map(|part| self.take_out_of(part, node))).await;
        parts.into_iter().collect::<Result<()>>()?;
        let mut release = scripts::release(&self.shared.keys.leases());
        release.arg(node.to_string());
        self.reads.of(Part::FIRST).ask(release).await?;
        log_in_bursts!(info, %node, "a node has gone; its users and sessions were taken out");
        Ok(())
    }

    async fn take_out_of(&self, part: Part, node: NodeId) -> Result<()> {
        while self.empty_rooms(part, node).await? {}
        let now = (self.shared.clock)().now.0.to_string();
        let abandon = sessions::call(
            &self.shared.keys,
            part,
            &["abandon", &node.to_string(), &now],
        );
        while line::read_as::<u64>(self.reads.of(part).ask(abandon.clone()).await?)? > 0 {}
        let mut leave = redis::cmd("SREM");
        leave
            .arg(self.shared.keys.nodes(part))
            .arg(node.to_string());
        self.reads.of(part).ask(leave).await.map(|_| ())
    }

    /// Takes a node out of a few rooms; whether there were any.
    async fn empty_rooms(&self, part: Part, node: NodeId) -> Result<bool> {
        let rooms_of = self.shared.keys.rooms_of(part, node);
        let mut some = redis::cmd("SRANDMEMBER");
        some.arg(&rooms_of).arg(STEP);
        let names: Vec<String> = line::read_as(self.reads.of(part).ask(some).await?)?;
        let mut calls = Vec::with_capacity(names.len());
        for name in &names {
            let Some(room) = keys::named(name) else {
                let mut remove = redis::cmd("SREM");
                remove.arg(&rooms_of).arg(name);
                calls.push(remove);
                continue;
            };
            let mut gone = scripts::gone([
                &self.shared.keys.entries_of(&room, node),
                &self.shared.keys.here(&room),
                &rooms_of,
                &self.shared.keys.live(part),
                &self.shared.keys.channel(&room),
            ]);
            gone.arg(self.shared.publish()).arg(name);
            gone.arg(node.to_string());
            calls.push(gone);
        }
        for answer in self.reads.of(part).run(&calls, Lost::Repeat).await? {
            line::checked(answer)?;
        }
        Ok(!names.is_empty())
    }

    /// Takes out nodes that have something without a lease, and has this node compare rooms that it should not be in.
    async fn look_around(&self) -> Result<()> {
        let mut looked = Ok(());
        for part in Part::all() {
            // Of a Cluster one part may be away alone.
            looked = looked.and(self.look_around_in(part).await);
        }
        looked
    }

    async fn look_around_in(&self, part: Part) -> Result<()> {
        let mut nodes = redis::cmd("SMEMBERS");
        nodes.arg(self.shared.keys.nodes(part));
        let nodes: Vec<String> = line::read_as(self.reads.of(part).ask(nodes).await?)?;
        // Later than those: whoever has something had a lease before.
        let mut leases = redis::cmd("ZRANGE");
        leases.arg(self.shared.keys.leases()).arg(0).arg(-1);
        let leases: HashSet<String> = line::read_as(self.reads.of(Part::FIRST).ask(leases).await?)?;
        let strays = nodes.iter().filter(|node| !leases.contains(*node));
        for node in strays.filter_map(|node| node.parse().ok()) {
            self.take_out_of(part, node).await?;
        }
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(self.shared.keys.rooms_of(part, self.shared.node));
        let stored: Vec<String> = line::read_as(self.reads.of(part).ask(stored).await?)?;
        let here: HashSet<_> = self.shared.book.rooms(part).into_iter().collect();
        let stored = stored.iter().filter_map(|name| keys::named(name));
        stored
            .filter(|room| !here.contains(room))
            .for_each(|room| self.shared.book.check(&room));
        Ok(())
    }
}
