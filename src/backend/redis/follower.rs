//! Follows the rooms of a lane: takes what Redis publishes in them, finds what it lost, and puts all of it on the lane's
//! stream.
//!
//! One task, so that there is one order; how it keeps that is said at the top of the module above. It alone knows which
//! rooms are followed and up to where each has been delivered, so it also settles receipts: behind the delivery.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use redis::{Cmd, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};

use super::{
    Reads, Shared,
    entry::{self, Published},
    inflow::{Inflow, Push},
    keys::Part,
    life,
    line::{self, Line},
    merger::{Item, Outlet},
    order::Order,
};
use crate::{
    backend::{Delivery, closed, health::HealthCheck},
    error::{Error, Result},
    model::{ConnectionId, Ephemeral, Message, Offset, RoomKey},
    repeat::{Backoff, LogRate, log_at, log_rarely},
};

mod offline;
mod receipts;
mod resync;
mod room;
mod roster;
mod stall;

pub(super) use offline::deaf;
use offline::tell_deaf;
pub(super) use room::Stored;
use room::{Followed, end_of, read_end};

/// How many commands are taken together at most, and how many channels one command names.
const BATCH: usize = 1024;
pub(super) const CHUNK: usize = 512;

/// How often Redis is asked for a sign of life, and how often every room is compared with its end, in case that anything
/// was lost without a word.
const PING: Duration = Duration::from_secs(1);
const COMPARE: Duration = Duration::from_secs(15);

/// What the follower is asked to do.
pub(super) enum Command {
    /// Deliver what comes in a room from now on, or as soon as Redis can be listened to; whoever asks is told which.
    Follow(RoomKey, oneshot::Sender<Result<()>>),
    /// Deliver nothing more of it.
    Unfollow(RoomKey),
    /// Deliver an event of this node that is not kept.
    Send(
        Arc<Ephemeral>,
        Option<ConnectionId>,
        Arc<OwnedSemaphorePermit>,
    ),
    /// Settle a receipt behind the delivery of its message.
    Settle(RoomKey, Stored),
    /// Say when everything that was published before this is on the stream.
    Reach(oneshot::Sender<()>),
    /// Say to the merger how far the lane is.
    Pass,
    /// Redis has lost something that it had acknowledged: compare.
    Compare,
    /// And have the log begin another life.
    Lost,
    /// Deliver what is stored and end.
    Close(oneshot::Sender<()>),
}

/// Why a connection is not listened to any more.
enum End {
    /// And why, if that is a failure.
    Lost(Option<String>),
    Closed,
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        line::away(error).into()
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Lost(Some(line::reason(&error)))
    }
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    order: Arc<Order>,
    reads: Arc<Reads>,
    outlet: Outlet,
    commands: mpsc::UnboundedReceiver<Command>,
    /// What was asked while there was no room on the stream, before what is asked next.
    put_off: VecDeque<Command>,
    rooms: HashMap<String, Followed>,
    /// Whether the other lanes wait for this one.
    counts: bool,
    /// This node's own channel: what is published there comes behind whatever was published before.
    own: String,
    /// Who waits for a word on the own channel, and how many words were sent.
    reaching: VecDeque<(u64, oneshot::Sender<()>)>,
    words: u64,
    /// Who waits until all of it has ended, and behind which word that is.
    closing: Vec<oneshot::Sender<()>>,
    closed_by: u64,
    /// Rooms that had more than was delivered when they were compared: it is on its way, or was lost if it has not come
    /// when this word comes.
    suspects: Vec<(String, Offset)>,
    suspected: u64,
    /// Rooms where other nodes had changed something that had not been heard, and the version that had been.
    suspected_rosters: Vec<(String, Option<u64>)>,
    /// Rooms to follow as soon as that can be done.
    early: Vec<Follow>,
    /// Receipts whose messages wait for other lanes, in the order of offsets.
    under_way: VecDeque<Stored>,
    /// The first of those, a moment ago.
    waited: Option<Offset>,
    /// Another lane is waited for longer than whoever waits for a receipt should.
    held_up: bool,
    /// Redis has lost something, and the log has not yet begun another life.
    lost: bool,
    /// Where the lane's incarnation begins that the followed rooms' epochs are of.
    floor: Offset,
    /// Whether it hears what is published.
    watch: Arc<HealthCheck>,
    /// How long to wait before the next attempt, until a connection has lasted for a moment.
    again: Backoff,
    wait: Option<Duration>,
    lines: LogRate,
}

/// A room to follow, and who waits for that; nobody, once it was said that it takes longer.
type Follow = (RoomKey, Option<oneshot::Sender<Result<()>>>);

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        order: Arc<Order>,
        reads: Arc<Reads>,
        outlet: Outlet,
        commands: mpsc::UnboundedReceiver<Command>,
        watch: Arc<HealthCheck>,
    ) -> Self {
        Self {
            own: shared.keys.node(order.part(), shared.node),
            shared,
            order,
            reads,
            outlet,
            commands,
            put_off: VecDeque::new(),
            rooms: HashMap::new(),
            counts: false,
            reaching: VecDeque::new(),
            words: 0,
            closing: Vec::new(),
            closed_by: 0,
            suspects: Vec::new(),
            suspected: 0,
            suspected_rosters: Vec::new(),
            early: Vec::new(),
            under_way: VecDeque::new(),
            waited: None,
            held_up: false,
            lost: false,
            floor: Offset(0),
            watch,
            again: line::AGAIN,
            wait: None,
            lines: LogRate::of(10, Duration::from_secs(60)),
        }
    }

    /// Works until it is told to close, or nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut first = true;
        loop {
            let inflow = Inflow::new(self.shared.lanes());
            let Some(connection) = self.connect(&inflow, first).await else {
                break;
            };
            first = false;
            let end = self.listen(connection, inflow).await;
            if matches!(end, Err(End::Closed)) || !self.closing.is_empty() {
                break;
            }
            if let Err(End::Lost(Some(reason))) = end {
                self.note_lost(&reason);
            }
            self.shared.site.doubt(self.order.part()).await;
        }
        self.settle_all();
        for (_, reached) in std::mem::take(&mut self.reaching) {
            self.outlet.put(Delivery::Barrier(reached)).await;
        }
        for closed in self.closing.drain(..) {
            let _ = closed.send(());
        }
    }

    /// The connection was lost, or what has to be done with it at first failed. One that failed so soon is followed by the
    /// next only after a while.
    fn note_lost(&mut self, reason: &str) {
        let shard = self.order.part().number();
        log_at!(
            self.lines,
            warn,
            shard,
            reason,
            "lost the connection that brings messages from Redis"
        );
        if self.wait.is_some() {
            self.watch.record_failure(reason);
        }
    }

    /// Delivers what comes through one connection, until it is lost.
    async fn listen(
        &mut self,
        mut connection: MultiplexedConnection,
        mut inflow: Inflow,
    ) -> Result<(), End> {
        let mut channels: Vec<_> = self.rooms.keys().cloned().collect();
        channels.push(self.own.clone());
        let (listen, _) = self.shared.listening();
        tell_each(&mut connection, listen, &channels).await?;
        self.resync().await?;
        self.vouch(&mut connection).await?;
        self.follow(&mut connection).await?;
        self.watch.record_success();
        let begun = Instant::now();
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compared = Instant::now();
        let mut commands = Vec::new();
        loop {
            if !self.put_off.is_empty() {
                let put_off = std::mem::take(&mut self.put_off);
                self.answer(&mut connection, put_off.into_iter()).await?;
            }
            let outlet = &self.outlet;
            let push = async {
                outlet.room().await;
                inflow.recv().await
            };
            tokio::select! {
                push = push => match push {
                    Some(Push::Published(channel, payload)) => {
                        self.take(&channel, &payload).await?;
                    }
                    Some(Push::Lost) => self.resync().await?,
                    Some(Push::Over) | None => return Err(End::Lost(Some("the connection was closed".to_owned()))),
                },
                count = self.commands.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return Err(End::Closed);
                    }
                    self.answer(&mut connection, commands.drain(..)).await?;
                }
                () = self.order.moved() => {
                    self.held_up = false;
                    self.settle_given();
                }
                _ = ping.tick() => {
                    let known = self.order.known();
                    // Refused if the part is elsewhere by now.
                    let now: Option<u64> = self.order.look().query_async(&mut connection).await?;
                    let now = Offset(now.unwrap_or(0));
                    self.order.know(now);
                    if now < known {
                        self.resync().await?;
                    }
                    self.watch.record_success();
                    if begun.elapsed() >= PING {
                        self.wait = None;
                        self.again.reset();
                    }
                    self.note_hold_up();
                    self.rest().await;
                    if compared.elapsed() > COMPARE {
                        self.look_at_life().await?;
                        self.suspect(&mut connection).await?;
                        compared = Instant::now();
                    }
                }
            }
        }
    }

    /// What came through a channel.
    async fn take(&mut self, channel: &str, payload: &[u8]) -> Result<(), End> {
        if channel == self.own {
            let (word, offset) = read_word(payload).unwrap_or_default();
            if word >= self.suspected && self.has_lost_something() {
                log_rarely!(
                    warn,
                    "messages were lost on the way from Redis and are read"
                );
                self.resync().await?;
            }
            self.say(Item::Past(offset)).await;
            return self.reached(word).await;
        }
        let Some(room) = self.rooms.get(channel) else {
            return Ok(());
        };
        match entry::published(&room.key, payload) {
            Some(Published::Message(epoch, message)) => {
                let follows = room.precedes(&epoch, message.seq);
                if message.offset <= room.offset {
                    return Ok(());
                }
                if !follows {
                    log_rarely!(warn, room = %message.room.room, seq = %message.seq, "messages were lost on the way from Redis and are read");
                    self.resync().await?;
                }
                // Read just now, or, if it was lost from the log, delivered all the same.
                if let Some(room) = self.rooms.get_mut(channel)
                    && message.offset > room.offset
                {
                    room.epoch = epoch;
                    self.deliver(channel, message).await;
                }
            }
            Some(Published::Ephemeral(event, except, node)) if node != self.shared.node => {
                self.put(Delivery::Ephemeral(event, except)).await;
            }
            Some(Published::Said(said)) => self.hear(channel, said).await?,
            // It went the short way.
            Some(Published::Ephemeral(..)) => {}
            None => log_rarely!(warn, channel, "something else than ours was published"),
        }
        Ok(())
    }

    /// Puts a room's next message on the stream, and settles its receipt.
    async fn deliver(&mut self, channel: &str, message: Arc<Message>) {
        let (seq, offset) = (message.seq, message.offset);
        self.order.know(offset);
        // Waits while the hub is behind; without anybody to deliver to, receipts are settled all the same.
        self.put(Delivery::Message(message)).await;
        if let Some(room) = self.rooms.get_mut(channel) {
            room.advance(seq, offset);
            while let Some(stored) = room.delivered() {
                self.under_way.push_back(stored);
            }
        }
        self.settle_given();
    }

    async fn answer(
        &mut self,
        connection: &mut MultiplexedConnection,
        commands: impl Iterator<Item = Command>,
    ) -> Result<(), End> {
        let mut left = Vec::new();
        let (mut say, mut compare) = (false, false);
        for command in commands {
            match command {
                Command::Follow(room, done) => self.early.push((room, Some(done))),
                Command::Unfollow(room) => {
                    // In the order asked: a follow of the same room that came before it has been overtaken.
                    self.early.retain(|(followed, _)| *followed != room);
                    left.extend(self.forget(&room));
                }
                Command::Send(event, except, _space) => self.send(event, except).await,
                Command::Settle(room, stored) => self.settle_behind(&room, stored),
                Command::Reach(reached) => {
                    say = true;
                    self.reaching.push_back((self.words + 1, reached));
                }
                Command::Pass => say = true,
                Command::Compare => compare = true,
                Command::Lost => (compare, self.lost) = (true, true),
                Command::Close(done) => {
                    say = true;
                    self.closing.push(done);
                    self.closed_by = self.words + 1;
                }
            }
        }
        let (_, leave) = self.shared.listening();
        tell_each(connection, leave, &left).await?;
        self.follow(connection).await?;
        self.rest().await;
        if say {
            self.say_word(connection).await?;
        }
        match compare {
            true => Err(End::Lost(None)),
            false => Ok(()),
        }
    }

    /// Delivers an event of this node, unless the hub could not be given it soon.
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) {
        if !self.outlet.offer(Delivery::Ephemeral(event, except)).await {
            tracing::debug!("an event was let go: another part of the log is waited for");
        }
    }

    /// Publishes something that comes behind everything that was published before.
    async fn say_word(&mut self, connection: &mut MultiplexedConnection) -> Result<(), End> {
        self.words += 1;
        let publish = self.shared.publish();
        let say = self.order.say(&self.own, publish, self.words);
        let mut answers = line::exchange(connection, &[say]).await?;
        let (_, lost, _): (u64, u8, u64) = line::read_as(answers.pop().unwrap_or_default())?;
        if lost == 1 {
            self.lost = true;
            return Err(End::Lost(None));
        }
        Ok(())
    }

    /// Begins to follow rooms: listens first, then looks where each is. What comes in between is in the queue, and what of
    /// it is not newer than that place is from before.
    async fn follow(&mut self, connection: &mut MultiplexedConnection) -> Result<(), End> {
        let new: Vec<_> = (self.early.iter())
            .map(|(room, _)| (self.shared.keys.channel(room), room.clone()))
            .filter(|(channel, _)| !self.rooms.contains_key(channel))
            .collect();
        let channels: Vec<_> = new.iter().map(|(channel, _)| channel.clone()).collect();
        if !new.is_empty()
            && let Err(end) = self.begin(connection, new).await
        {
            self.early.iter_mut().for_each(|(_, done)| tell_deaf(done));
            return Err(end);
        }
        for done in self.early.drain(..).filter_map(|(_, done)| done) {
            let _ = done.send(Ok(()));
        }
        // Whoever waits does not wait for room on the stream, too.
        Ok(self.read_rosters(&channels).await?)
    }

    async fn begin(
        &mut self,
        connection: &mut MultiplexedConnection,
        new: Vec<(String, RoomKey)>,
    ) -> Result<(), End> {
        let channels: Vec<_> = new.iter().map(|(channel, _)| channel.clone()).collect();
        let (listen, _) = self.shared.listening();
        tell_each(connection, listen, &channels).await?;
        if !self.counts {
            // Other lanes may have got ahead meanwhile: whatever comes of these rooms has to come behind.
            self.order.begin();
            self.counts = true;
            self.raise().await?;
        }
        let ends: Vec<_> = new
            .iter()
            .map(|(_, room)| end_of(&self.shared.keys, room))
            .collect();
        let ends = self.line().run(&ends, line::Lost::Repeat).await?;
        let mut earlier = Vec::new();
        for ((channel, room), end) in new.into_iter().zip(ends) {
            let end = read_end(end)?;
            self.order.know(end.2);
            if end.2 > Offset(0) && end.2 < self.floor {
                earlier.push(channel.clone());
            }
            let followed = Followed::from(room, end);
            self.rooms.entry(channel).or_insert(followed);
        }
        Ok(self.renew(&earlier).await?)
    }

    /// Tells the other lanes not to wait for this one if nothing is followed here any more.
    async fn rest(&mut self) {
        // While it is full it is waited for all the same.
        if self.counts && self.rooms.is_empty() && !self.outlet.is_full() {
            self.counts = false;
            self.outlet.say(Item::Idle(self.order.begun())).await;
        }
    }

    /// For what the lane is asked.
    fn line(&self) -> &Line {
        self.reads.of(self.order.part())
    }

    /// Learns which life of the log this is.
    async fn look_at_life(&self) -> Result<()> {
        // One lane does it for all.
        if self.order.part() == Part::FIRST {
            let life = life(&self.shared.keys, self.line()).await?;
            self.shared.live(life);
        }
        Ok(())
    }

    /// Everything that was published before the word is on the stream.
    async fn reached(&mut self, word: u64) -> Result<(), End> {
        while let Some((_, reached)) = self.reaching.pop_front_if(|(of, _)| *of <= word) {
            self.put(Delivery::Barrier(reached)).await;
        }
        match self.closing.is_empty() || word < self.closed_by {
            true => Ok(()),
            false => Err(End::Closed),
        }
    }

    /// Stops following; the channel, if the room was followed.
    fn forget(&mut self, room: &RoomKey) -> Option<String> {
        let (channel, room) = self.rooms.remove_entry(&self.shared.keys.channel(room))?;
        room.waiting.into_iter().for_each(Stored::settle);
        Some(channel)
    }
}

/// Sends a command once for each of many names, with which it is answered.
async fn tell_each(
    connection: &mut MultiplexedConnection,
    command: &str,
    names: &[String],
) -> Result<(), RedisError> {
    for names in names.chunks(CHUNK) {
        let each = |name: &String| redis::cmd(command).arg(name).clone();
        let each: Vec<Cmd> = names.iter().map(each).collect();
        for answer in line::exchange(connection, &each).await? {
            answer.extract_error()?;
        }
    }
    Ok(())
}

/// A word on the own channel: its number, and how far the lane is.
fn read_word(payload: &[u8]) -> Option<(u64, Offset)> {
    let (word, offset) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some((word.parse().ok()?, Offset(offset.parse().ok()?)))
}

/// Asks the follower, and waits for its answer.
pub(super) async fn ask<T>(
    commands: &mpsc::UnboundedSender<Command>,
    ask: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T> {
    let (done, answer) = oneshot::channel();
    commands.send(ask(done)).map_err(|_| closed())?;
    answer.await.map_err(|_| closed())
}
