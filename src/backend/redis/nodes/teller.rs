//! Writes what the book has of one part into Redis, one batch after another; while Redis is away, again and again.
//!
//! Whenever a batch failed, what was stored before may be lost, and what was refused may be stored. So the next thing is to
//! compare: what Redis has of this node is read, and what is different is written. What is the same costs the others nothing.

use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use redis::Cmd;

use super::book::{Change, Work};
use crate::{
    backend::redis::{
        Reads, Shared,
        keys::{self, Part},
        line::{self, Line, Lost},
        scripts, sessions,
    },
    error::Result,
    model::{Pid, RoomKey, UserId},
};

/// How many rooms are compared together, and how many sessions one command names.
const ROOMS: usize = 64;
const SESSIONS: usize = 512;

pub(super) struct Teller {
    pub(super) shared: Arc<Shared>,
    pub(super) reads: Arc<Reads>,
    pub(super) part: Part,
}

impl Teller {
    fn line(&self) -> &Line {
        self.reads.of(self.part)
    }

    /// Works until the book is closed and everything is written, or cannot be.
    pub(super) async fn run(self) {
        let mut again = line::AGAIN;
        loop {
            let work = self.shared.book.take(self.part).await;
            let closing = work.closing;
            if closing && work.is_nothing() {
                return;
            }
            match self.carry_out(&work).await {
                Ok(()) => {
                    again.reset();
                    self.shared.book.done(self.part, work);
                }
                Err(error) => {
                    tracing::debug!(%error, "who is in rooms here cannot be written into Redis");
                    self.shared.book.failed(self.part, work);
                    if closing {
                        return;
                    }
                    again.wait().await;
                }
            }
        }
    }

    async fn carry_out(&self, work: &Work) -> Result<()> {
        let mut checks = work.checks.clone();
        if work.all {
            checks.extend(self.shared.book.rooms(self.part));
            checks.extend(self.stored_rooms().await?);
            self.check_sessions().await?;
        }
        let checks: Vec<_> = checks.into_iter().collect();
        for rooms in checks.chunks(ROOMS) {
            self.check(rooms).await?;
        }
        let mut commands = notes(&self.shared, &work.changes);
        commands.extend(work.notices.iter().map(|(room, text)| {
            let mut publish = redis::cmd(self.shared.publish());
            publish.arg(self.shared.keys.channel(room)).arg(text);
            publish
        }));
        for answer in self.line().run(&commands, Lost::Repeat).await? {
            line::checked(answer)?;
        }
        Ok(())
    }

    /// The rooms of this part that have somebody of this node, as Redis knows.
    async fn stored_rooms(&self) -> Result<Vec<RoomKey>> {
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(self.shared.keys.rooms_of(self.part, self.shared.node));
        let stored: Vec<String> = line::read_as(self.line().ask(stored).await?)?;
        Ok(stored.iter().filter_map(|name| keys::named(name)).collect())
    }

    /// Has the book compare what Redis has of this node in rooms.
    async fn check(&self, rooms: &[RoomKey]) -> Result<()> {
        let reads: Vec<_> = rooms
            .iter()
            .map(|room| {
                let mut read = redis::cmd("HGETALL");
                read.arg(self.shared.keys.entries_of(room, self.shared.node));
                read
            })
            .collect();
        let answers = self.line().run(&reads, Lost::Repeat).await?;
        for (room, answer) in rooms.iter().zip(answers) {
            let users: HashMap<String, String> = line::read_as(answer)?;
            let users = users.into_iter();
            let users = users.map(|(user, text)| (UserId::from_log(&user), text));
            self.shared.book.compare(room, &users.collect());
        }
        Ok(())
    }

    /// Sessions that go on here were noted as ended if this node was taken for dead; the end of others may not have been
    /// noted.
    async fn check_sessions(&self) -> Result<()> {
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(self.shared.keys.owned(self.part) + &self.shared.node.to_string());
        let stored: Vec<String> = line::read_as(self.line().ask(stored).await?)?;
        let stored: Vec<_> = stored.iter().filter_map(|pid| Pid::parse(pid)).collect();
        let here = self.shared.book.sessions(self.part);
        let (kept, over): (Vec<&Pid>, Vec<_>) = stored.iter().partition(|pid| here.contains(*pid));
        if kept.len() == here.len() && over.is_empty() {
            return Ok(());
        }
        let now = (self.shared.clock)().now.0.to_string();
        let node = self.shared.node.to_string();
        let ends: Vec<_> = over
            .iter()
            .map(|pid| {
                sessions::call(
                    &self.shared.keys,
                    self.part,
                    &["end", &pid.reveal(), &now, &node],
                )
            })
            .collect();
        for ends in ends.chunks(SESSIONS) {
            self.line().run(ends, Lost::Repeat).await?;
        }
        // Looked at again: one that was over may have begun anew meanwhile.
        let here: Vec<_> = self.shared.book.sessions(self.part).into_iter().collect();
        for here in here.chunks(SESSIONS) {
            let mut resume = sessions::call(&self.shared.keys, self.part, &["resume", &node]);
            here.iter().for_each(|pid| {
                resume.arg(pid.reveal());
            });
            self.line().ask(resume).await?;
        }
        Ok(())
    }
}

/// One call for each room, in the order of its first change.
fn notes(shared: &Shared, changes: &[Change]) -> Vec<Cmd> {
    let node = shared.node;
    let mut rooms: IndexMap<&RoomKey, Cmd> = IndexMap::new();
    for Change {
        room, user, text, ..
    } in changes
    {
        let command = rooms.entry(room).or_insert_with(|| {
            let part = Part::of(room);
            let mut command = scripts::note([
                &shared.keys.entries_of(room, node),
                &shared.keys.here(room),
                &shared.keys.rooms_of(part, node),
                &shared.keys.live(part),
                &shared.keys.nodes(part),
                &shared.keys.channel(room),
            ]);
            command.arg(shared.publish()).arg(keys::name(room));
            command.arg(node.to_string());
            command
        });
        command
            .arg(user.as_str())
            .arg(text.as_deref().unwrap_or_default());
    }
    rooms.into_values().collect()
}
