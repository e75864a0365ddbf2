//! The merger over simulated shards, each of which is in order: everything is forwarded in the order of all offsets, and
//! waits only for shards that may have something lower.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{sync::oneshot, time::timeout};

use super::*;
use crate::backend::BusEvent;
use crate::{
    backend::conformance::key,
    model::{Ephemeral, EventName, MessageId, Seq, Timestamp},
};

const SHARDS: usize = 4;

/// A simulated shard; the test responds in place of its subscription.
struct TestShard {
    progress: Arc<MergeProgress>,
    items: mpsc::Sender<ShardItem>,
    commands: mpsc::UnboundedReceiver<SubscriptionCommand>,
    // The merger holds it only weakly.
    _subscription: mpsc::UnboundedSender<SubscriptionCommand>,
}

impl TestShard {
    /// The first room of the shard is followed.
    fn activate(&self) {
        self.progress.activate();
    }

    async fn message(&self, offset: u64) {
        let message = Delivery::Message(message(offset));
        self.items.send(ShardItem::Delivery(message)).await.unwrap();
    }

    async fn watermark(&self, offset: u64) {
        let watermark = ShardItem::Watermark(Offset(offset));
        self.items.send(watermark).await.unwrap();
    }

    /// Waits until the merger requests a watermark.
    async fn watermark_requested(&mut self) {
        let command = timeout(Duration::from_secs(10), self.commands.recv()).await;
        assert!(matches!(
            command,
            Ok(Some(SubscriptionCommand::ReportPosition))
        ));
    }
}

fn start_merger(count: usize) -> (Vec<TestShard>, mpsc::Receiver<Delivery>) {
    let (mut shards, mut sources) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let progress = Arc::new(MergeProgress::default());
        let (items, receiver) = mpsc::channel(4);
        let (subscription, commands) = mpsc::unbounded_channel();
        sources.push(ShardSource {
            progress: progress.clone(),
            items: receiver,
            subscription: subscription.downgrade(),
        });
        shards.push(TestShard {
            progress,
            items,
            commands,
            _subscription: subscription,
        });
    }
    let (hub, deliveries) = mpsc::channel(1);
    tokio::spawn(Merger::new(sources, hub).run());
    (shards, deliveries)
}

fn message(offset: u64) -> Arc<Message> {
    Arc::new(Message {
        room: key("/", "r"),
        id: MessageId::generate(),
        seq: Seq(offset),
        offset: Offset(offset),
        event: EventName::message(),
        from: None,
        data: serde_json::value::to_raw_value(&1).unwrap().into(),
        ts: Timestamp(0),
        except: None,
    })
}

/// An event that carries the offset of the message of its shard before it.
fn event(behind: u64) -> Delivery {
    let event = Ephemeral {
        room: key("/", "r"),
        id: None,
        event: EventName::message(),
        from: None,
        data: serde_json::value::to_raw_value(&1).unwrap().into(),
        ts: Timestamp(behind),
    };
    Delivery::Event(BusEvent::Ephemeral(Arc::new(event), None))
}

async fn next(deliveries: &mut mpsc::Receiver<Delivery>) -> u64 {
    let next = timeout(Duration::from_secs(10), deliveries.recv()).await;
    match next.expect("a delivery in time") {
        Some(Delivery::Message(message)) => message.offset.0,
        other => panic!("{other:?} is no message"),
    }
}

#[tokio::test]
async fn a_message_waits_until_every_active_shard_is_past_it() {
    let (mut shards, mut deliveries) = start_merger(3);
    shards[0].activate();
    shards[1].activate();
    shards[0].message(30).await;
    shards[1].watermark_requested().await;
    assert!(deliveries.try_recv().is_err());
    shards[1].message(16).await;
    assert_eq!(next(&mut deliveries).await, 16);
    shards[1].watermark(31).await;
    assert_eq!(next(&mut deliveries).await, 30);
    assert!(
        shards[2].commands.try_recv().is_err(),
        "no room of it is followed"
    );
}

#[tokio::test]
async fn a_shard_is_waited_for_from_its_activation_until_it_is_idle() {
    let (mut shards, mut deliveries) = start_merger(2);
    shards[0].activate();
    shards[0].message(10).await;
    assert_eq!(next(&mut deliveries).await, 10);
    shards[1].activate();
    shards[0].message(20).await;
    shards[1].watermark_requested().await;
    let idle = ShardItem::Idle(shards[1].progress.activations());
    shards[1].items.send(idle).await.unwrap();
    assert_eq!(next(&mut deliveries).await, 20);
    shards[1].watermark(20).await;
    // Idle since an earlier activation counts for nothing.
    let idle = ShardItem::Idle(shards[1].progress.activations());
    shards[1].activate();
    shards[1].items.send(idle).await.unwrap();
    shards[0].message(30).await;
    shards[1].watermark_requested().await;
    assert!(deliveries.try_recv().is_err());
    shards.pop();
    assert_eq!(next(&mut deliveries).await, 30, "the shard has ended");
}

/// What a shard sends, in its order: messages and watermarks that are so much further on, events and barriers.
#[derive(Clone, Debug)]
enum Step {
    Message(u64),
    Event,
    Barrier,
    Watermark(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..40).prop_map(Step::Message),
        1 => Just(Step::Event),
        1 => Just(Step::Barrier),
        1 => (0_u64..40).prop_map(Step::Watermark),
    ];
    prop::collection::vec(step, 0..40)
}

/// Whether it is a message, and its offset or that of the message before it.
type Sent = (bool, u64);

/// Sends everything, and ends the shard. Returns what has to be forwarded, and how many barriers.
async fn send_all(shard: TestShard, nth: u64, steps: Vec<Step>) -> (Vec<Sent>, usize) {
    let (mut sent, mut barriers, mut offset) = (Vec::new(), 0, nth);
    for step in steps {
        let item = match step {
            Step::Message(further) => {
                offset += (further + 1) * SHARDS as u64;
                sent.push((true, offset));
                shard.message(offset).await;
                continue;
            }
            Step::Event => {
                sent.push((false, offset));
                ShardItem::Delivery(event(offset))
            }
            Step::Barrier => {
                barriers += 1;
                ShardItem::Delivery(Delivery::Barrier(oneshot::channel().0))
            }
            Step::Watermark(further) => {
                offset += further * SHARDS as u64;
                ShardItem::Watermark(Offset(offset))
            }
        };
        shard.items.send(item).await.unwrap();
    }
    (sent, barriers)
}

async fn check_order(steps: Vec<Vec<Step>>) {
    let (shards, mut deliveries) = start_merger(SHARDS);
    shards.iter().for_each(TestShard::activate);
    let shards = shards.into_iter().zip(steps).enumerate();
    let sending: Vec<_> = shards
        .map(|(nth, (shard, steps))| tokio::spawn(send_all(shard, nth as u64, steps)))
        .collect();
    let (mut forwarded, mut barriers) = (Vec::new(), 0);
    while let Some(delivery) = deliveries.recv().await {
        match delivery {
            Delivery::Message(message) => forwarded.push((true, message.offset.0)),
            Delivery::Event(BusEvent::Ephemeral(event, _)) => forwarded.push((false, event.ts.0)),
            Delivery::Barrier(_) => barriers += 1,
            other => panic!("{other:?} was not sent"),
        }
    }
    let messages = forwarded.iter().filter(|(message, _)| *message);
    assert!(messages.is_sorted());
    for (nth, sending) in sending.into_iter().enumerate() {
        let (sent, sent_barriers) = sending.await.unwrap();
        let of_shard = forwarded
            .iter()
            .filter(|(_, at)| at % SHARDS as u64 == nth as u64);
        assert!(of_shard.eq(&sent), "a shard's own order is kept");
        barriers -= sent_barriers;
    }
    assert_eq!(barriers, 0);
}

proptest! {
    #[test]
    fn everything_is_forwarded_in_the_order_of_all_offsets(
        shards in prop::collection::vec(steps(), SHARDS),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(async {
            timeout(Duration::from_secs(10), check_order(shards)).await.unwrap();
        });
    }
}
