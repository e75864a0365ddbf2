//! Who is in the followed rooms on other nodes: read when a room is followed, carried on by what is published, and read anew
//! when anything of that was left out.

use super::{CHUNK, End, Follower};
use crate::{
    backend::{
        Delivery, RemoteEvent,
        redis::{
            line::{self, Lost},
            nodes::{self, Said, What},
        },
    },
    error::Result,
    model::RoomKey,
    repeat::log_rarely,
};

/// How many rooms are read together: any of them may be large.
const ROOMS: usize = 64;

impl Follower {
    /// Takes what a node says in a room's channel.
    pub(super) async fn hear(&mut self, channel: &str, said: Said) -> Result<(), End> {
        let own = self.shared.node;
        let Some(room) = self.rooms.get_mut(channel) else {
            return Ok(());
        };
        let key = room.key.clone();
        match said {
            Said::Notice(node, _) if node == own => {}
            Said::Notice(_, notice) => self.put_said(&key, RemoteEvent::Notice(notice)).await,
            Said::Changed { version, .. } if Some(version) <= room.roster => {}
            Said::Changed { before, .. } if Some(before) != room.roster => {
                log_rarely!(warn, room = %key.room, "changes of who is there were lost on the way from Redis; it is read anew");
                self.read_rosters_anew(&[channel.to_owned()]).await?;
            }
            Said::Changed {
                version,
                node,
                what,
                ..
            } => {
                room.roster = Some(version);
                match what {
                    // This node was taken for dead.
                    What::Gone if node == own => self.shared.book.check(&key),
                    What::Users(_) if node == own => {}
                    What::Gone => self.put_said(&key, RemoteEvent::NodeLeft(node)).await,
                    What::Users(users) => {
                        for (user, attending) in users {
                            let user = RemoteEvent::UserChanged(node, user, attending);
                            self.put_said(&key, user).await;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts on the stream who is in rooms on other nodes.
    pub(super) async fn read_rosters(&mut self, channels: &[String]) -> Result<()> {
        for channels in channels.chunks(ROOMS) {
            let rooms = channels
                .iter()
                .filter_map(|channel| self.rooms.get(channel));
            let keys: Vec<_> = rooms.map(|room| room.key.clone()).collect();
            let own = self.shared.node;
            let calls: Vec<_> = keys
                .iter()
                .map(|key| nodes::present(&self.shared.keys, key, Some(own)))
                .collect();
            let answers = self.line().run(&calls, Lost::Repeat).await?;
            for (key, answer) in keys.into_iter().zip(answers) {
                let (version, present) = nodes::read_present(answer)?;
                if let Some(room) = self.rooms.get_mut(&self.shared.keys.channel(&key)) {
                    room.roster = Some(version);
                }
                self.put_said(&key, RemoteEvent::Snapshot(present)).await;
            }
        }
        Ok(())
    }

    /// The same for rooms where something was lost: what this node has there may be lost, too.
    async fn read_rosters_anew(&mut self, channels: &[String]) -> Result<()> {
        self.read_rosters(channels).await?;
        let rooms = channels
            .iter()
            .filter_map(|channel| self.rooms.get(channel));
        rooms.for_each(|room| self.shared.book.check(&room.key));
        Ok(())
    }

    /// Reads the rooms anew where something has changed that was not heard of.
    pub(super) async fn compare_rosters(&mut self) -> Result<()> {
        let changed = self.changed_rosters().await?;
        let changed: Vec<_> = changed.into_iter().map(|(channel, _)| channel).collect();
        self.read_rosters_anew(&changed).await
    }

    /// The rooms that have another version than was heard of, and that one.
    pub(super) async fn changed_rosters(&self) -> Result<Vec<(String, Option<u64>)>> {
        let rooms: Vec<_> = self.rooms.iter().collect();
        let mut changed = Vec::new();
        for rooms in rooms.chunks(CHUNK) {
            let asks: Vec<_> = rooms
                .iter()
                .map(|(_, room)| {
                    let mut ask = redis::cmd("HGET");
                    ask.arg(self.shared.keys.here(&room.key)).arg("version");
                    ask
                })
                .collect();
            let answers = self.line().run(&asks, Lost::Repeat).await?;
            for ((channel, room), answer) in rooms.iter().zip(answers) {
                // One that is none is like none.
                let version = redis::from_redis_value::<Option<u64>>(line::checked(answer)?);
                if Some(version.ok().flatten().unwrap_or(0)) != room.roster {
                    changed.push(((*channel).clone(), room.roster));
                }
            }
        }
        Ok(changed)
    }

    /// Whether nothing was heard of a room's change since it was suspected.
    pub(super) fn has_lost_changes(&mut self) -> bool {
        let suspects = std::mem::take(&mut self.suspected_rosters);
        suspects.iter().any(|(channel, known)| {
            let room = self.rooms.get(channel);
            room.is_some_and(|room| room.roster == *known)
        })
    }

    async fn put_said(&mut self, room: &RoomKey, elsewhere: RemoteEvent) {
        let said = Delivery::Remote(room.clone(), elsewhere);
        self.put(said).await;
    }
}
