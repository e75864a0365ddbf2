//! Socket.IO over polling: one connection asks again and again, another one posts.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Door, Framing, Outbox, Packet, Receive, SEPARATOR, connect};
use crate::load::{
    shard::Shard,
    shared::Shared,
    wire::{http, reader::Reader},
};

/// A session that polls.
pub(in crate::load) struct PollingLink {
    shared: Arc<Shared>,
    client: usize,
    stream: TcpStream,
    reader: Reader,
    /// The poll that is to be written.
    poll: Outbox,
    /// Path and query, with the session's id once there is one.
    path: String,
    has_session: bool,
    pub(super) outbox: Outbox,
    post: Option<Posting>,
    /// The connection that posts, while it does not.
    idle: Option<TcpStream>,
}

/// A post under way; it gives its connection back if that can be used again.
type Posting = Pin<Box<dyn Future<Output = io::Result<Option<TcpStream>>>>>;

impl PollingLink {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>, door: &Door) -> Self {
        let mut link = Self {
            client: door.client,
            stream,
            reader: Reader::default(),
            poll: Outbox::new(Framing::Payload),
            path: door.path.clone(),
            has_session: false,
            outbox: Outbox::new(Framing::Payload),
            post: None,
            idle: None,
            shared,
        };
        link.ask();
        link
    }

    /// Queues the next poll.
    fn ask(&mut self) {
        let host = &self.shared.plan.address_of(self.client).host;
        self.poll.bytes = http::get(host, &self.path, "").into_bytes();
    }

    pub(super) fn poll_read(
        &mut self,
        shard: &Shard,
        cx: &mut Context<'_>,
        receive: &mut Receive<'_>,
    ) -> Poll<io::Result<bool>> {
        // What is written answers what was read: while that is under way, its connection wakes the task.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        let outbox = &mut self.outbox;
        let (mut answered, mut closes, mut session) = (false, false, None);
        let has_session = self.has_session;
        let read = self
            .reader
            .poll(&mut self.stream, &shard.buffer, cx, &mut |data| {
                shard.counters.bytes.add(data.len() as u64);
                let Some((head, body, bytes)) = http::response(data)? else {
                    return Ok(0);
                };
                if head.status != 200 {
                    receive(Packet::Refused(head.status, &body), outbox);
                    return Ok(bytes);
                }
                (answered, closes) = (true, head.closes);
                if !has_session {
                    session = session_id(&body);
                }
                for packet in body.split(|byte| *byte == SEPARATOR) {
                    receive(Packet::Text(packet), outbox);
                }
                Ok(bytes)
            });
        let read = ready!(read)?;
        if let Some(session) = session {
            self.path = format!("{}&sid={session}", self.path);
            self.has_session = true;
        }
        if answered {
            self.ask();
        }
        Poll::Ready(Ok(read && !closes))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(post) = &mut self.post
                && let Poll::Ready(done) = post.as_mut().poll(cx)
            {
                self.post = None;
                self.idle = done?;
            }
            if self.post.is_some() || self.outbox.bytes.is_empty() {
                return self.poll.poll_write(&self.stream, cx);
            }
            self.post = Some(Box::pin(post(
                self.shared.clone(),
                self.client,
                self.idle.take(),
                self.path.clone(),
                std::mem::take(&mut self.outbox.bytes),
            )));
        }
    }
}

/// Posts a payload, over the connection of the last post if the server has not closed it.
async fn post(
    shared: Arc<Shared>,
    client: usize,
    idle: Option<TcpStream>,
    path: String,
    body: Vec<u8>,
) -> io::Result<Option<TcpStream>> {
    let host = &shared.plan.address_of(client).host;
    let head = http::post(host, &path, "", body.len());
    let request = [head.as_bytes(), &body].concat();
    let mut stream = match idle.filter(is_open) {
        Some(stream) => stream,
        None => connect::connect(&shared, client).await?,
    };
    stream.write_all(&request).await?;
    let mut read = Vec::new();
    loop {
        if let Some((head, body, _)) = http::response(&read)? {
            if head.status != 200 {
                let why = String::from_utf8_lossy(&body);
                return Err(io::Error::other(format!(
                    "a POST got {}: {why}",
                    head.status
                )));
            }
            return Ok((!head.closes).then_some(stream));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether the server has not closed a connection that nothing is expected from.
fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// The id in the first packet of a session, `0{"sid":"...",...}`.
fn session_id(body: &[u8]) -> Option<String> {
    let open: serde_json::Value = serde_json::from_slice(body.strip_prefix(b"0")?).ok()?;
    Some(open.get("sid")?.as_str()?.to_owned())
}
