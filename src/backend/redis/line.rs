//! A line to Redis: one connection at a time, opened again when it is lost, with every script loaded.
//!
//! Whoever asks while Redis is away is told so soon: one attempt to connect serves all that wait, and for a moment after
//! it failed nobody tries again. What was sent when a connection was lost may have been carried out or not.
//!
//! In a Cluster it is a line to one part, wherever that is: what is sent to a node that has it no more was not carried out,
//! and is sent again to the one that has.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use super::{keys::Part, scripts, site::Site};
use crate::{
    error::{Error, Result},
    repeat::Backoff,
};

/// How long connecting, and an answer, may take.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);

/// How long after a failed attempt to connect nobody tries again; more after each.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How long a task of this node waits after something failed before it tries again.
pub(super) const AGAIN: Backoff = Backoff::new(PAUSE, Duration::from_secs(1));

pub(super) struct Line {
    site: Arc<Site>,
    part: Part,
    state: Mutex<State>,
}

struct State {
    connection: Option<(MultiplexedConnection, Arc<AtomicBool>)>,
    /// Why there is none, and how long nobody tries again; after a connection that did not help, too.
    failed: Option<RedisError>,
    wait_until: Instant,
    again: Backoff,
}

/// What to do when the connection is lost before the answer is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Ask again, once, over a new one.
    Repeat,
    /// Give up: asked again, it would be done twice.
    GiveUp,
}

impl Line {
    /// A line to whoever has `part`.
    pub(super) fn new(site: Arc<Site>, part: Part) -> Self {
        Self {
            site,
            part,
            state: Mutex::new(State {
                connection: None,
                failed: None,
                wait_until: Instant::now(),
                again: AGAIN,
            }),
        }
    }

    /// Sends commands together and waits for all of their answers; an answer may be [`Value::ServerError`].
    pub(super) async fn run(&self, commands: &[Cmd], lost: Lost) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = match self.try_once(commands).await {
            Err(_) if lost == Lost::Repeat => self.try_once(commands).await,
            answers => answers,
        }
        .map_err(away)?;
        let moved = refused_for("MOVED", commands, &answers);
        if !moved.is_empty() {
            let again: Vec<_> = moved.values().cloned().collect();
            let again = self.try_once(&again).await.map_err(away)?;
            put_back(&mut answers, moved, again);
        }
        Ok(answers)
    }

    /// Sends commands over the connection that there is, or a new one, which is given up if it fails or leads elsewhere.
    async fn try_once(&self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        let (mut connection, broken) = self.connection().await?;
        let answers = exchange(&mut connection, commands).await;
        let elsewhere = match &answers {
            Err(_) => true,
            Ok(answers) if answers.iter().any(has_moved) => true,
            // Somebody else may have taken over. As long as nobody has, each new connection ends up here again.
            Ok(answers) if answers.iter().any(cannot_write) => self.may_look_again().await,
            Ok(_) => {
                self.works().await;
                false
            }
        };
        if elsewhere {
            broken.store(true, Ordering::Release);
            self.site.doubt(self.part).await;
        }
        answers
    }

    /// Whether it is time to see if another connection leads to a better place.
    async fn may_look_again(&self) -> bool {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let may = state.wait_until <= now;
        if may {
            state.wait_until = now + state.again.next_wait();
        }
        may
    }

    async fn works(&self) {
        let mut state = self.state.lock().await;
        state.again.reset();
        state.wait_until = Instant::now();
    }

    /// Sends one command that may be repeated, and waits for its answer.
    pub(super) async fn ask(&self, command: Cmd) -> Result<Value> {
        let mut answers = self.run(&[command], Lost::Repeat).await?;
        checked(answers.pop().unwrap_or_default())
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, Arc<AtomicBool>), RedisError> {
        let mut state = self.state.lock().await;
        match (&state.connection, &state.failed) {
            (Some((connection, broken)), _) if !broken.load(Ordering::Acquire) => {
                return Ok((connection.clone(), broken.clone()));
            }
            (_, Some(error)) if Instant::now() < state.wait_until => return Err(error.clone()),
            _ => {}
        }
        let broken = Arc::new(AtomicBool::new(false));
        let notice = broken.clone();
        let connected = self.site.connect(self.part, move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                notice.store(true, Ordering::Release);
            }
            Ok::<_, RedisError>(())
        });
        match connected.await {
            Ok(connection) => {
                state.connection = Some((connection.clone(), broken.clone()));
                state.failed = None;
                Ok((connection, broken))
            }
            Err(error) => {
                state.connection = None;
                state.failed = Some(error.clone());
                state.wait_until = Instant::now() + state.again.next_wait();
                Err(error)
            }
        }
    }
}

/// Opens a connection that has every script loaded and tells `pushes` what Redis says unasked.
pub(super) async fn connect(
    client: &Client,
    pushes: impl redis::aio::AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = open(client, pushes).await?;
    for answer in send(&mut connection, &scripts::load()).await? {
        answer.extract_error()?;
    }
    Ok(connection)
}

/// Opens a connection that only asks what is there.
pub(super) async fn open(
    client: &Client,
    pushes: impl redis::aio::AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_push_sender(pushes);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// Whether an answer means that another node has what was asked for.
fn has_moved(answer: &Value) -> bool {
    is_error(answer, &["MOVED"])
}

/// Whether an answer means that the keys are on their way to another node at this moment.
pub(super) fn is_migrating(answer: &Value) -> bool {
    is_error(answer, &["ASK", "TRYAGAIN"])
}

/// Whether an answer means that another node may have taken over.
fn cannot_write(answer: &Value) -> bool {
    is_error(answer, &["CLUSTERDOWN", "READONLY", "MASTERDOWN"])
}

/// What Redis answers when it is not about the keys of one room.
const OF_ALL: [&str; 13] = [
    "OOM",
    "MISCONF",
    "READONLY",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "LOADING",
    "BUSY",
    "UNKILLABLE",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "MOVED",
];

/// Whether Redis refuses for a reason that all rooms share, and not because something else lies where one room should.
pub(super) fn refuses_all(answer: &Value) -> bool {
    is_error(answer, &OF_ALL)
}

/// Sends commands together; those whose script Redis has lost are sent again, in order, once it has it.
pub(super) async fn exchange(
    connection: &mut MultiplexedConnection,
    commands: &[Cmd],
) -> Result<Vec<Value>, RedisError> {
    let mut answers = send(connection, commands).await?;
    let lost = refused_for("NOSCRIPT", commands, &answers);
    if !lost.is_empty() {
        let again: Vec<_> = lost.values().cloned().collect();
        send(connection, &scripts::load()).await?;
        put_back(&mut answers, lost, send(connection, &again).await?);
    }
    Ok(answers)
}

/// The commands that were answered with an error of this code, by their places.
fn refused_for(code: &str, commands: &[Cmd], answers: &[Value]) -> BTreeMap<usize, Cmd> {
    let refused = answers.iter().zip(commands).enumerate();
    refused
        .filter(|(_, (answer, _))| is_error(answer, &[code]))
        .map(|(at, (_, command))| (at, command.clone()))
        .collect()
}

/// Puts the second answers in the places of the first.
fn put_back(answers: &mut [Value], refused: BTreeMap<usize, Cmd>, again: Vec<Value>) {
    for (at, answer) in refused.into_keys().zip(again) {
        answers[at] = answer;
    }
}

fn is_error(answer: &Value, codes: &[&str]) -> bool {
    matches!(answer, Value::ServerError(error) if codes.contains(&error.code()))
}

async fn send(
    connection: &mut MultiplexedConnection,
    commands: &[Cmd],
) -> Result<Vec<Value>, RedisError> {
    let mut pipeline = redis::pipe();
    for command in commands {
        pipeline.add_command(command.clone());
    }
    connection
        .send_packed_commands(&pipeline, 0, commands.len())
        .await
}

/// An answer that is no error.
pub(super) fn checked(answer: Value) -> Result<Value> {
    answer.extract_error().map_err(away)
}

/// What an answer holds, as a type that it should have.
pub(super) fn read_as<T: redis::FromRedisValue>(answer: Value) -> Result<T> {
    redis::from_redis_value(checked(answer)?).map_err(damaged)
}

/// Why Redis fails, in its own words, without where in a script it was.
pub(super) fn reason(error: &Error) -> String {
    let Some(cause) = std::error::Error::source(error) else {
        return error.message().to_owned();
    };
    let said = match cause.downcast_ref::<RedisError>() {
        Some(cause) => match (cause.code(), cause.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ => cause.to_string(),
        },
        None => cause.to_string(),
    };
    match said.split_once(" script: ") {
        Some((said, _)) => said.trim_end_matches(['.', ',']).to_owned(),
        None => said,
    }
}

pub(super) fn away(error: RedisError) -> Error {
    Error::unavailable("Redis cannot take it now; retry with the same id").caused_by(error)
}

/// Something is stored that was never written.
pub(super) fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("what is stored in Redis cannot be read").caused_by(error)
}
