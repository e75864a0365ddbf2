//! A node as the tests of one see it: it writes, and takes what it is delivered.

use tokio::time::timeout;

use super::*;
use crate::{
    backend::{
        Appended,
        conformance::{draft, key},
    },
    error::Code,
    model::Message,
};

/// A node, and what it was delivered.
pub(super) struct Node {
    pub(super) log: Arc<RedisLog>,
    pub(super) deliveries: Deliveries,
}

impl Node {
    pub(super) async fn at(url: String, rooms: &[&str]) -> Self {
        let opened = open_with(RedisConfig::new(url), None).await;
        let (log, _, deliveries) = opened.unwrap();
        for room in rooms {
            log.subscribe(&key("/", room)).await.unwrap();
        }
        Self {
            log: Arc::new(log),
            deliveries,
        }
    }

    pub(super) async fn send(&self, draft: Draft) -> Result<Appended> {
        self.log.append(draft).await?.wait().await
    }

    /// Sends it again and again until it is stored.
    pub(super) async fn insist(&self, draft: &Draft) -> Appended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.send(draft.clone()).await {
                Ok(appended) => return appended,
                Err(error) => assert_eq!(error.code(), Code::Unavailable),
            }
            assert!(Instant::now() < deadline, "it is never stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it says that it is ready.
    pub(super) async fn is_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.log.ready().await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The next messages, which have to come.
    pub(super) async fn next(&mut self, count: usize) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = timeout(PATIENCE, self.deliveries.recv()).await;
            match next.unwrap_or_else(|_| panic!("{} of {count} came", all.len())) {
                Some(Delivery::Message(message)) => all.push(message),
                Some(Delivery::Remote(..)) => {}
                other => panic!("{other:?} is no message"),
            }
        }
        all
    }

    /// The next messages, whatever else comes between.
    pub(super) async fn messages(&mut self, count: usize) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = timeout(PATIENCE, self.deliveries.recv()).await;
            if let Some(Delivery::Message(message)) = next.expect("it comes") {
                all.push(message);
            }
        }
        all
    }

    /// The room of the next event, which has to come.
    pub(super) async fn event(&mut self) -> String {
        loop {
            let next = timeout(PATIENCE, self.deliveries.recv()).await;
            match next.expect("it comes") {
                Some(Delivery::Ephemeral(event, _)) => return event.room.room.to_string(),
                Some(Delivery::Remote(..)) => {}
                other => panic!("{other:?} is no event"),
            }
        }
    }

    /// Nothing more is on its way: whatever comes after is the next.
    pub(super) async fn nothing_more(&mut self, room: &str) {
        let last = self.insist(&draft(room, "\"last\"")).await;
        let next = self.next(1).await;
        assert_eq!((next[0].seq, &next[0].id), (last.seq, &last.id));
    }
}

/// An event that is not kept.
pub(super) fn event(room: &str) -> Arc<Ephemeral> {
    Arc::new(Ephemeral {
        room: key("/", room),
        id: None,
        event: crate::model::EventName::message(),
        from: None,
        data: draft(room, "1").data,
        ts: Timestamp::now(),
    })
}

pub(super) fn offsets(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.offset.0).collect()
}
