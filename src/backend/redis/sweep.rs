//! Takes away what is not to be kept any more: each part lists its rooms by the time to look after them.
//!
//! Every node does this, and what one has done the others find done.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use redis::Cmd;

use super::{
    Reads, Shared,
    keys::{self, Part},
    line::{self, Lost},
    millis, number, scripts, sessions,
};
use crate::{
    backend::{LogTime, epoch, retention},
    error::Result,
    model::RoomKey,
};

/// How many rooms one step looks after.
const STEP: usize = 64;

pub(super) struct Sweeper {
    pub(super) shared: Arc<Shared>,
    pub(super) reads: Arc<Reads>,
    pub(super) session_window: Duration,
}

impl Sweeper {
    /// Takes one step after another for as long as somebody uses the log.
    pub(super) async fn run(self, used: Weak<()>) {
        let mut rest = retention::trim_delay(false, Duration::ZERO);
        loop {
            tokio::time::sleep(rest).await;
            if used.strong_count() == 0 {
                return;
            }
            let began = Instant::now();
            let now = (self.shared.clock)();
            // Where that fails, writing does, which others tell.
            let _ = self.keep_aged(now).await;
            let more = self.step(now).await;
            rest = retention::trim_delay(more, began.elapsed());
        }
    }

    /// Keeps how late it is, for whoever begins later. That another node was later does not matter: it is the safe side.
    pub(super) async fn keep_aged(&self, now: LogTime) -> Result<()> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.shared.keys.aged()).arg(now.retention_clock.0);
        let kept = self.reads.of(Part::FIRST).ask(keep).await;
        kept.map(|_| ())
    }

    /// Looks after a few sessions and rooms of each part whose time has come; whether there may be more.
    pub(super) async fn step(&self, now: LogTime) -> bool {
        let mut more = false;
        for part in Part::all() {
            // That it failed is told by whoever appends or reads; the next pass tries again.
            more |= self.part(part, now).await.unwrap_or(false);
        }
        more
    }

    async fn part(&self, part: Part, now: LogTime) -> Result<bool> {
        let expired = now.before(self.session_window).0.to_string();
        let sessions = sessions::call(&self.shared.keys, part, &["sweep", "", &expired]);
        let swept: u64 = line::read_as(self.reads.of(part).ask(sessions).await?)?;
        Ok(self.rooms(part, now).await? || swept > 0)
    }

    async fn rooms(&self, part: Part, now: LogTime) -> Result<bool> {
        let mut due = redis::cmd("ZRANGEBYSCORE");
        due.arg(self.shared.keys.rooms(part))
            .arg("-inf")
            .arg(now.retention_clock.0);
        due.arg("LIMIT").arg(0).arg(STEP);
        let rooms: Vec<String> = line::read_as(self.reads.of(part).ask(due).await?)?;
        let rooms = rooms.iter().filter_map(|room| keys::named(room));
        let calls: Vec<_> = rooms.map(|room| self.call(&room, now)).collect();
        if calls.is_empty() {
            return Ok(false);
        }
        for answer in self.reads.of(part).run(&calls, Lost::Repeat).await? {
            line::checked(answer)?;
        }
        Ok(true)
    }

    fn call(&self, room: &RoomKey, now: LogTime) -> Cmd {
        let keep = self.shared.retention.policy(&room.room);
        let mut command = scripts::sweep([
            &self.shared.keys.room(room),
            &self.shared.keys.messages(room),
            &self.shared.keys.marks(room),
            &self.shared.keys.marked(room),
            &self.shared.keys.rooms(Part::of(room)),
            &self.shared.keys.forgotten(Part::of(room)),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(keys::name(room))
            .arg(keep.cutoff(now).0)
            .arg(number(keep.messages))
            .arg(millis(keep.age))
            .arg(self.shared.forget(keep))
            .arg(millis(keep.marker_ttl()))
            .arg(epoch::slot(room));
        command
    }
}
