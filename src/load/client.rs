//! The life of one client: connect, join, live, and come back after every end.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use rand::RngExt;
use tokio::time::{sleep, timeout};

use super::{link::Link, shard::Shard, shared::Command, talk::Talk};

/// How a connection ended.
enum End {
    /// As the conductor wanted.
    Command(Command),
    /// Otherwise.
    Lost,
}

/// Waits between attempts double up to so many times the first.
const MAX_BACKOFF: u32 = 5;

/// Lives until the task is dropped.
pub(super) async fn run(shard: Rc<Shard>, client: usize) {
    let mut talk = Talk::new(shard.clone(), client);
    // The ramp: a permit until the first attempt has ended.
    let mut permit = shard.ramp.acquire().await.ok();
    let mut failures = 0;
    loop {
        shard.shared.take_command(client);
        talk.begin();
        let limit = shard.shared.plan.connect_timeout;
        let joined = timeout(limit, join(&shard, &mut talk, client)).await;
        drop(permit.take());
        let wait = match joined {
            Ok(Ok(link)) => {
                failures = 0;
                live(&shard, &mut talk, client, link).await
            }
            failed => {
                shard.failed(failed.ok().and_then(Result::err));
                failures += 1;
                Some(backoff(&shard, failures))
            }
        };
        talk.disconnected();
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}

/// Connects and joins.
async fn join(shard: &Rc<Shard>, talk: &mut Talk, client: usize) -> io::Result<Link> {
    let transport = shard.shared.plan.transport_of(client);
    let mut link = Link::open(shard, transport, &talk.door()).await?;
    let mut drive = Drive::new(shard, client);
    match poll_fn(|cx| drive.poll(cx, talk, &mut link, true)).await {
        None => Ok(link),
        // The server has said why.
        Some(_) if talk.is_over() => Err(io::ErrorKind::PermissionDenied.into()),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Lives on a joined connection; returns how long to wait before the next one.
async fn live(
    shard: &Rc<Shard>,
    talk: &mut Talk,
    client: usize,
    mut link: Link,
) -> Option<Duration> {
    if !talk.sends() {
        link.outbox().shrink();
    }
    let mut drive = Drive::new(shard, client);
    let end = poll_fn(|cx| drive.poll(cx, talk, &mut link, false)).await;
    match end {
        Some(End::Command(Command::Storm)) => {
            shard.counters.cut.inc();
            None
        }
        Some(End::Command(Command::Cut)) => {
            shard.counters.cut.inc();
            Some(backoff(shard, 1))
        }
        _ => {
            shard.counters.dropped.inc();
            Some(backoff(shard, 1))
        }
    }
}

/// The wait before an attempt, as stock clients do it: longer each time, and half of it by chance.
fn backoff(shard: &Shard, attempt: u32) -> Duration {
    let first = shard.shared.plan.reconnect_after;
    let longer = 2u32.saturating_pow(attempt - 1).min(MAX_BACKOFF);
    (first * longer).mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Drives a connection whenever something happens.
struct Drive<'a> {
    shard: &'a Rc<Shard>,
    client: usize,
    registered: bool,
}

impl<'a> Drive<'a> {
    fn new(shard: &'a Rc<Shard>, client: usize) -> Self {
        Self {
            shard,
            client,
            registered: false,
        }
    }

    /// Everything that can be done now. Ready with `None` once the client has joined, if that is all that is wanted, and else with the end of the connection.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        talk: &mut Talk,
        link: &mut Link,
        until_joined: bool,
    ) -> Poll<Option<End>> {
        let shared = &self.shard.shared;
        // A task keeps its waker.
        if !std::mem::replace(&mut self.registered, true) {
            shared.register(self.client, cx.waker());
        }
        if let Some(command) = shared.take_command(self.client) {
            return Poll::Ready(Some(End::Command(command)));
        }
        loop {
            // One look at the clock for everything that was read at once.
            let mut is_read = false;
            let read = link.poll_read(self.shard, cx, &mut |packet, out| {
                if !std::mem::replace(&mut is_read, true) {
                    talk.now = shared.now();
                }
                talk.receive(&packet, out);
            });
            match read {
                Poll::Ready(Ok(true)) if !talk.is_over() => {}
                Poll::Ready(_) => return Poll::Ready(Some(End::Lost)),
                Poll::Pending => {}
            }
            if until_joined && talk.is_joined() {
                return Poll::Ready(None);
            }
            if talk.is_joined() && talk.sends() {
                if !is_read {
                    talk.now = shared.now();
                }
                talk.produce(link.outbox());
            }
            if let Poll::Ready(Err(_)) = link.poll_flush(cx) {
                return Poll::Ready(Some(End::Lost));
            }
            if read.is_pending() {
                return Poll::Pending;
            }
        }
    }
}
