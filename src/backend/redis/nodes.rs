//! Other nodes over the same Redis: who is in rooms there, and which of them live.
//!
//! What a node has of a user in a room is an *entry*, and only that node writes it. A room has a hash of entries for each
//! node; one script ([`scripts::note`](super::scripts::note)) writes what changed of them, gives the room its next *version*,
//! and publishes both in the room's channel. The follower reads all entries of the other nodes just after it has begun to
//! listen to a room, and again whenever a version was left out; it puts what it reads and what comes on the node's stream.
//!
//! A node says what it has for as long as it holds its *lease* (`heart`). Whoever sees that a lease has ended takes
//! out all that its node has left (`patrol`), and notes its sessions as ended.
//!
//! # What it costs
//!
//! A change is one script and one publish; changes of one room that wait together share both. To begin to follow a room reads
//! all of it at once, and so does a page of its users for whoever does not follow it: 10,000 users are 1.5 MB and some
//! milliseconds of Redis's time. It is not made for rooms of many more than a hundred thousand.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

use super::{Reads, RedisLog, Shared, keys::Part};
use crate::{
    backend::{ClusterNodes, Notice, PresenceEntry, RosterPage},
    error::Result,
    model::{Namespace, RoomKey, RoomName, UserId},
    repeat::log_rarely,
};

mod book;
mod census;
mod heart;
mod patrol;
mod said;
mod teller;
#[cfg(test)]
mod tests;

pub(super) use book::Book;
pub(super) use census::{present, read_present};
use heart::Heart;
use patrol::Patrol;
pub(super) use said::{Said, What, said};
use teller::Teller;

/// How long what is still to be written may take when a node stops.
const LAST: Duration = Duration::from_secs(3);

/// The tasks that say what this node has and take out what others have left. They end with it.
pub(super) struct Tasks {
    /// Whatever writes what is here.
    tellers: Mutex<JoinSet<()>>,
    /// Whatever concerns leases.
    keepers: Mutex<JoinSet<()>>,
    lease: Duration,
    grace: Duration,
}

/// Takes this node's lease, and begins to work.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    reads: &Arc<Reads>,
    lease: Duration,
    grace: Duration,
) -> Result<Tasks> {
    let tasks = Tasks {
        tellers: Mutex::default(),
        keepers: Mutex::default(),
        lease,
        grace,
    };
    tasks.keep(shared, reads).await?;
    tasks.say(shared, reads).await;
    Ok(tasks)
}

impl Tasks {
    /// Takes this node's lease and keeps it, and takes out nodes that keep theirs no more.
    async fn keep(&self, shared: &Arc<Shared>, reads: &Arc<Reads>) -> Result<()> {
        let (sender, ended) = watch::channel(None);
        let heart = Heart::begin(shared.clone(), reads.clone(), self.lease, sender).await?;
        let patrol = Patrol {
            shared: shared.clone(),
            reads: reads.clone(),
            lease: self.lease,
            ended,
        };
        let mut keepers = self.keepers.lock().await;
        keepers.spawn(heart.run());
        keepers.spawn(patrol.run());
        Ok(())
    }

    /// Writes what is here.
    async fn say(&self, shared: &Arc<Shared>, reads: &Arc<Reads>) {
        let mut tellers = self.tellers.lock().await;
        for part in Part::all() {
            let teller = Teller {
                shared: shared.clone(),
                reads: reads.clone(),
                part,
            };
            tellers.spawn(teller.run());
        }
    }

    /// Writes what is still to be written, and has this node taken out after the grace time: by then its users are elsewhere,
    /// or have left.
    pub(super) async fn close(&self, shared: &Shared, reads: &Reads) {
        shared.book.close();
        let mut tellers = self.tellers.lock().await;
        let written = async { while tellers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, written).await.is_err() {
            tracing::warn!("not all that was to be said of who is here could be written");
        }
        self.keepers.lock().await.shutdown().await;
        if let Err(error) = heart::wind_down(shared, reads, self.grace).await {
            tracing::debug!(%error, "this node is taken out only when its lease ends");
        }
    }
}

#[async_trait]
impl ClusterNodes for RedisLog {
    fn set_presence(&self, room: &RoomKey, user: &UserId, attending: Option<PresenceEntry>) {
        let text = attending.as_ref().map(said::write).transpose();
        match text {
            Ok(text) => self.shared.book.note(room, user, text.map(Into::into)),
            Err(error) => log_rarely!(error, %error, "what is here of a user cannot be written"),
        }
    }

    fn notify(&self, room: &RoomKey, notice: Notice) {
        match said::write_notice(self.shared.node, &notice) {
            Ok(text) => self.shared.book.tell(room, text),
            Err(error) => log_rarely!(error, %error, "a notice cannot be written"),
        }
    }

    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<RosterPage> {
        self.check_open()?;
        self.census(room, after, limit).await
    }

    async fn occupied_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<RoomName>> {
        self.check_open()?;
        self.live_rooms(namespace, prefix, after, limit).await
    }

    async fn request_all(&self, text: String, within: Duration) -> Result<Vec<String>> {
        self.asking.ask(&text, within).await
    }
}
