//! Follows rooms: takes what Redis publishes in them, finds what it lost, and puts all of it on the node's stream.
//!
//! One task, so that there is one order; how it keeps that is said at the top of the module above. It alone knows which
//! rooms are followed and up to where each has been delivered, so it also settles receipts: behind the delivery.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use redis::{Cmd, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};

use super::{
    Shared,
    entry::{self, Published},
    inflow::{Inflow, Push},
    keys::{self, Part},
    line::{self, Line},
};
use crate::{
    backend::{Appended, Delivery, closed},
    error::{Error, Result},
    model::{Epoch, Message, Offset, RoomKey, Seq},
};

mod resync;
mod roster;

/// How many commands are taken together at most, and how many channels one command names.
const BATCH: usize = 1024;
pub(super) const CHUNK: usize = 512;

/// How often Redis is asked for a sign of life, and how often every room is compared with its end, in case that anything
/// was lost without a word.
const PING: Duration = Duration::from_secs(1);
const COMPARE: Duration = Duration::from_secs(15);

/// How long after a failed attempt to connect the next one is made.
const PAUSE: Duration = Duration::from_millis(200);

/// What the follower is asked to do.
pub(super) enum Command {
    /// Deliver what comes in a room from now on, or as soon as Redis can be listened to; whoever asks is told which.
    Follow(RoomKey, oneshot::Sender<Result<()>>),
    /// Deliver nothing more of it.
    Unfollow(RoomKey),
    /// Settle a receipt behind the delivery of its message.
    Settle(RoomKey, Stored),
    /// Say when everything that was published before this is on the stream.
    Reach(oneshot::Sender<()>),
    /// Deliver what is stored and end.
    Close(oneshot::Sender<()>),
}

/// A stored message whose receipt is not settled.
pub(super) struct Stored {
    pub(super) offset: Offset,
    pub(super) appended: Appended,
    pub(super) settle: oneshot::Sender<Result<Appended>>,
    pub(super) _space: OwnedSemaphorePermit,
}

impl Stored {
    pub(super) fn settle(self) {
        // Nobody may be waiting; it is stored all the same.
        let _ = self.settle.send(Ok(self.appended));
    }
}

/// A room that is followed.
struct Followed {
    key: RoomKey,
    /// Everything up to here was delivered, or is from before the room was followed.
    epoch: Epoch,
    seq: Seq,
    offset: Offset,
    /// Up to here the log was looked at: what it no longer has may be left out.
    looked: Seq,
    /// The version of who is there, if it was read.
    roster: Option<u64>,
    /// Receipts whose messages were not yet delivered, in the order of offsets.
    waiting: VecDeque<Stored>,
}

/// Why a connection is not listened to any more.
enum End {
    Lost,
    Closed,
}

impl From<RedisError> for End {
    fn from(_: RedisError) -> Self {
        Self::Lost
    }
}

impl From<Error> for End {
    fn from(_: Error) -> Self {
        Self::Lost
    }
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    reads: Arc<Line>,
    stream: mpsc::Sender<Delivery>,
    commands: mpsc::UnboundedReceiver<Command>,
    rooms: HashMap<String, Followed>,
    /// This node's own channel: what is published there comes behind whatever was published before.
    own: String,
    /// Who waits for a word on the own channel, and how many words were sent.
    reaching: VecDeque<(u64, oneshot::Sender<()>)>,
    words: u64,
    closing: Vec<oneshot::Sender<()>>,
    /// Rooms that had more than was delivered when they were compared: it is on its way, or was lost if it has not come
    /// when this word comes.
    suspects: Vec<(String, Offset)>,
    suspected: u64,
    /// Rooms where other nodes had changed something that had not been heard, and the version that had been.
    suspected_rosters: Vec<(String, Option<u64>)>,
    /// Rooms to follow once there is a connection.
    early: Vec<Follow>,
}

/// A room to follow, and who waits for that; nobody, once it was said that it takes longer.
type Follow = (RoomKey, Option<oneshot::Sender<Result<()>>>);

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        reads: Arc<Line>,
        stream: mpsc::Sender<Delivery>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            own: keys::node(Part::FIRST, shared.node),
            shared,
            reads,
            stream,
            commands,
            rooms: HashMap::new(),
            reaching: VecDeque::new(),
            words: 0,
            closing: Vec::new(),
            suspects: Vec::new(),
            suspected: 0,
            suspected_rosters: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Works until it is told to close, or nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut first = true;
        loop {
            let inflow = Inflow::new();
            let Some(connection) = self.connect(&inflow, first).await else {
                break;
            };
            first = false;
            let end = self.listen(connection, inflow).await;
            if matches!(end, Err(End::Closed)) || !self.closing.is_empty() {
                break;
            }
            tracing::warn!("the connection that brings messages from Redis is lost");
        }
        self.settle_all();
        for reached in self.reaching.drain(..).map(|(_, reached)| reached) {
            let _ = self.stream.send(Delivery::Mark(reached)).await;
        }
        for closed in self.closing.drain(..) {
            let _ = closed.send(());
        }
    }

    /// Connects, however long that takes; `None` if it is to end.
    async fn connect(&mut self, inflow: &Inflow, first: bool) -> Option<MultiplexedConnection> {
        loop {
            let began = Instant::now();
            let client = self.shared.client.clone();
            let pushes = inflow.sender();
            let mut connecting =
                std::pin::pin!(async move { line::connect(&client, pushes).await });
            let connected = loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    command = self.commands.recv() => self.answer_offline(command?).await?,
                }
            };
            match connected {
                Ok(connection) => {
                    if !first {
                        tracing::info!("Redis brings messages again");
                    }
                    return Some(connection);
                }
                Err(error) => tracing::debug!(%error, "cannot connect to Redis"),
            }
            // They are stored; whoever sent them should not wait until Redis is back.
            self.settle_all();
            for (_, done) in &mut self.early {
                tell_deaf(done);
            }
            let pause = tokio::time::sleep_until(began + PAUSE);
            let mut pause = std::pin::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    command = self.commands.recv() => self.answer_offline(command?).await?,
                }
            }
        }
    }

    /// Answers while nothing comes from Redis; `None` if it is to end.
    async fn answer_offline(&mut self, command: Command) -> Option<()> {
        match command {
            Command::Follow(room, done) => self.early.push((room, Some(done))),
            Command::Unfollow(room) => {
                self.early.retain(|(early, _)| *early != room);
                self.forget(&room);
            }
            Command::Settle(room, stored) => self.settle_behind(&room, stored),
            Command::Reach(reached) => {
                let _ = self.stream.send(Delivery::Mark(reached)).await;
            }
            Command::Close(done) => {
                self.closing.push(done);
                return None;
            }
        }
        Some(())
    }

    /// Delivers what comes through one connection, until it is lost.
    async fn listen(
        &mut self,
        mut connection: MultiplexedConnection,
        mut inflow: Inflow,
    ) -> Result<(), End> {
        let mut channels: Vec<_> = self.rooms.keys().cloned().collect();
        channels.push(self.own.clone());
        subscribe(&mut connection, &channels).await?;
        self.resync().await?;
        let early = std::mem::take(&mut self.early);
        self.follow(&mut connection, early).await?;
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compared = Instant::now();
        let mut commands = Vec::new();
        loop {
            tokio::select! {
                push = inflow.recv() => match push {
                    Some(Push::Published(channel, payload)) => {
                        self.take(&channel, &payload).await?;
                    }
                    Some(Push::Lost) => self.resync().await?,
                    Some(Push::Over) | None => return Err(End::Lost),
                },
                count = self.commands.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return Err(End::Closed);
                    }
                    self.answer(&mut connection, commands.drain(..)).await?;
                }
                _ = ping.tick() => {
                    redis::cmd("PING").exec_async(&mut connection).await?;
                    if compared.elapsed() > COMPARE {
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
            let word = std::str::from_utf8(payload).ok();
            let word = word.and_then(|word| word.parse().ok()).unwrap_or(0);
            if word >= self.suspected && self.has_lost_something() {
                tracing::warn!("messages were lost on the way from Redis and are read");
                self.resync().await?;
            }
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
                    tracing::warn!(room = %message.room.room, seq = %message.seq, "messages were lost on the way from Redis and are read");
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
            Some(Published::Ephemeral(event, except)) => {
                let event = Delivery::Ephemeral(event, except);
                // Nobody may be listening any more.
                let _ = self.stream.send(event).await;
            }
            Some(Published::Said(said)) => self.hear(channel, said).await?,
            None => tracing::warn!(channel, "something else than ours was published"),
        }
        Ok(())
    }

    /// Puts a room's next message on the stream, and settles its receipt.
    async fn deliver(&mut self, channel: &str, message: Arc<Message>) {
        let (seq, offset) = (message.seq, message.offset);
        // Waits while the hub is behind; without anybody to deliver to, receipts are settled all the same.
        let _ = self.stream.send(Delivery::Message(message)).await;
        if let Some(room) = self.rooms.get_mut(channel) {
            room.advance(seq, offset);
        }
    }

    async fn answer(
        &mut self,
        connection: &mut MultiplexedConnection,
        commands: impl Iterator<Item = Command>,
    ) -> Result<(), End> {
        let (mut follow, mut left) = (Vec::new(), Vec::new());
        let (mut closing, mut reach) = (false, false);
        for command in commands {
            match command {
                Command::Follow(room, done) => follow.push((room, Some(done))),
                Command::Unfollow(room) => {
                    // In the order asked: a follow of the same room that came before it has been overtaken.
                    follow.retain(|(followed, _)| *followed != room);
                    left.extend(self.forget(&room));
                }
                Command::Settle(room, stored) => self.settle_behind(&room, stored),
                Command::Reach(reached) => {
                    reach = true;
                    self.reaching.push_back((self.words + 1, reached));
                }
                Command::Close(done) => {
                    closing = true;
                    self.closing.push(done);
                }
            }
        }
        for channels in left.chunks(CHUNK) {
            connection.unsubscribe(channels).await?;
        }
        self.follow(connection, follow).await?;
        if reach || closing {
            self.say_word(connection).await?;
        }
        if closing {
            let (done, _) = oneshot::channel();
            self.reaching.push_back((self.words, done));
        }
        Ok(())
    }

    /// Publishes something that comes behind everything that was published before.
    async fn say_word(&mut self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.words += 1;
        let mut word = redis::cmd("PUBLISH");
        word.arg(&self.own).arg(self.words);
        word.exec_async(connection).await
    }

    /// Begins to follow rooms: listens first, then looks where each is. What comes in between is in the queue, and what of
    /// it is not newer than that place is from before.
    async fn follow(
        &mut self,
        connection: &mut MultiplexedConnection,
        asked: Vec<Follow>,
    ) -> Result<(), End> {
        let new: Vec<_> = asked
            .iter()
            .map(|(room, _)| (keys::channel(room), room))
            .filter(|(channel, _)| !self.rooms.contains_key(channel))
            .collect();
        let channels: Vec<_> = new.iter().map(|(channel, _)| channel.clone()).collect();
        let ends: Vec<_> = new.iter().map(|(_, room)| end_of(room)).collect();
        let begun = async {
            subscribe(connection, &channels).await?;
            self.reads
                .run(&ends, line::Lost::Repeat)
                .await
                .map_err(End::from)
        };
        let ends = match begun.await {
            Ok(ends) => ends,
            Err(end) => {
                self.early.extend(asked.into_iter().map(|(room, mut done)| {
                    tell_deaf(&mut done);
                    (room, None)
                }));
                return Err(end);
            }
        };
        for ((channel, room), end) in new.into_iter().zip(ends) {
            let (epoch, seq, offset) = read_end(end)?;
            let followed = Followed {
                key: room.clone(),
                epoch,
                seq,
                offset,
                looked: seq,
                roster: None,
                waiting: VecDeque::new(),
            };
            self.rooms.entry(channel).or_insert(followed);
        }
        let read = self.read_rosters(&channels).await;
        for done in asked.into_iter().filter_map(|(_, done)| done) {
            let _ = done.send(read.clone());
        }
        Ok(read?)
    }

    /// Everything that was published before the word is on the stream.
    async fn reached(&mut self, word: u64) -> Result<(), End> {
        while let Some((_, reached)) = self.reaching.pop_front_if(|(of, _)| *of <= word) {
            let _ = self.stream.send(Delivery::Mark(reached)).await;
        }
        match self.closing.is_empty() {
            true => Ok(()),
            false => Err(End::Closed),
        }
    }

    fn settle_behind(&mut self, room: &RoomKey, stored: Stored) {
        match self.rooms.get_mut(&keys::channel(room)) {
            Some(room) if stored.offset > room.offset => room.waiting.push_back(stored),
            _ => stored.settle(),
        }
    }

    fn settle_all(&mut self) {
        for room in self.rooms.values_mut() {
            room.waiting.drain(..).for_each(Stored::settle);
        }
    }

    /// Stops following; the channel, if the room was followed.
    fn forget(&mut self, room: &RoomKey) -> Option<String> {
        let (channel, room) = self.rooms.remove_entry(&keys::channel(room))?;
        room.waiting.into_iter().for_each(Stored::settle);
        Some(channel)
    }
}

impl Followed {
    /// Whether nothing that the log still has is between what was delivered and a message.
    fn precedes(&self, epoch: &Epoch, seq: Seq) -> bool {
        match self.epoch == *epoch {
            true => seq <= self.seq.max(self.looked).next(),
            false => seq == Seq(1),
        }
    }

    fn advance(&mut self, seq: Seq, offset: Offset) {
        self.seq = seq;
        self.offset = offset;
        self.settle(offset);
    }

    fn settle(&mut self, offset: Offset) {
        while let Some(stored) = self.waiting.pop_front_if(|it| it.offset <= offset) {
            stored.settle();
        }
    }
}

async fn subscribe(
    connection: &mut MultiplexedConnection,
    channels: &[String],
) -> Result<(), RedisError> {
    for channels in channels.chunks(CHUNK) {
        connection.subscribe(channels).await?;
    }
    Ok(())
}

/// Asks where a room ends.
fn end_of(room: &RoomKey) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command
        .arg(keys::room(room))
        .arg("epoch")
        .arg("head")
        .arg("offset");
    command
}

/// Where a room ends; at the beginning, if there is none.
fn read_end(answer: Value) -> Result<(Epoch, Seq, Offset)> {
    let (epoch, head, offset): (Option<String>, Option<u64>, Option<u64>) = line::read_as(answer)?;
    Ok((
        Epoch::from_text(epoch.as_deref().unwrap_or_default()),
        Seq(head.unwrap_or(0)),
        Offset(offset.unwrap_or(0)),
    ))
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

fn tell_deaf(waiting: &mut Option<oneshot::Sender<Result<()>>>) {
    if let Some(done) = waiting.take() {
        let deaf = Error::unavailable("Redis cannot be listened to now; try again");
        let _ = done.send(Err(deaf));
    }
}
