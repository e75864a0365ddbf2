//! A node of a test: it appends messages, and takes what is delivered to it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::TEST_TIMEOUT;
use crate::{
    backend::{
        Appended, Bus, BusEvent, Deliveries, Delivery, Draft, Log,
        conformance::{draft, key},
        redis::{
            config::RedisConfig,
            log::{RedisLog, open_with},
        },
    },
    error::{Code, Result},
    model::{Ephemeral, EventName, Message, Timestamp},
};

/// A node, and what is delivered to it.
pub(crate) struct TestNode {
    pub(crate) log: Arc<RedisLog>,
    pub(crate) deliveries: Deliveries,
}

impl TestNode {
    pub(crate) async fn at(url: String, rooms: &[&str]) -> Self {
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

    pub(crate) async fn send(&self, draft: Draft) -> Result<Appended> {
        self.log.append(draft).await?.wait().await
    }

    /// Sends a draft until it is stored.
    pub(crate) async fn send_until_stored(&self, draft: &Draft) -> Appended {
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            match self.send(draft.clone()).await {
                Ok(appended) => return appended,
                Err(error) => assert_eq!(error.code(), Code::Unavailable),
            }
            assert!(Instant::now() < deadline, "the draft is never stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the node is ready.
    pub(crate) async fn wait_until_ready(&self) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        while let Err(error) = self.log.ready().await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The next messages; anything else but what other nodes do fails the test.
    pub(crate) async fn next_messages(&mut self, count: usize) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = timeout(TEST_TIMEOUT, self.deliveries.recv()).await;
            match next.unwrap_or_else(|_| panic!("{} of {count} were delivered", all.len())) {
                Some(Delivery::Message(message)) => all.push(message),
                Some(Delivery::Remote(..) | Delivery::NodeGone(_)) => {}
                other => panic!("{other:?} is no message"),
            }
        }
        all
    }

    /// The next messages, skipping everything else.
    pub(crate) async fn messages_only(&mut self, count: usize) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = timeout(TEST_TIMEOUT, self.deliveries.recv()).await;
            if let Some(Delivery::Message(message)) = next.expect("a delivery in time") {
                all.push(message);
            }
        }
        all
    }

    /// The room of the next ephemeral event; anything else but what other nodes do fails the test.
    pub(crate) async fn event(&mut self) -> String {
        loop {
            let next = timeout(TEST_TIMEOUT, self.deliveries.recv()).await;
            match next.expect("a delivery in time") {
                Some(Delivery::Event(event)) => return event.channel().room.to_string(),
                Some(Delivery::Remote(..) | Delivery::NodeGone(_)) => {}
                other => panic!("{other:?} is no event"),
            }
        }
    }

    /// Checks that nothing more is in flight: a message that is sent now is the next.
    pub(crate) async fn nothing_more(&mut self, room: &str) {
        let last = self.send_until_stored(&draft(room, "\"last\"")).await;
        let next = self.next_messages(1).await;
        assert_eq!((next[0].seq, &next[0].id), (last.seq, &last.id));
    }
}

/// An ephemeral event.
pub(crate) fn ephemeral(room: &str) -> BusEvent {
    let event = Ephemeral {
        room: key("/", room),
        id: None,
        event: EventName::message(),
        from: None,
        data: draft(room, "1").data,
        ts: Timestamp::now(),
    };
    BusEvent::Ephemeral(Arc::new(event), None)
}

pub(crate) fn offsets(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.offset.0).collect()
}
