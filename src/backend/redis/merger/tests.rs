//! Lanes that are made up, each in order: what comes out is in the order of all, whole, and held up by nothing that need
//! not be waited for.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{sync::oneshot, time::timeout};

use super::*;
use crate::{
    backend::{
        conformance::key,
        redis::{
            keys::{Keys, Part},
            order::Clock,
        },
    },
    model::{Ephemeral, EventName, MessageId, Seq, Timestamp},
};

const LANES: usize = 4;

/// A lane in which rooms are followed, if it says so; it answers as a follower would.
struct Made {
    order: Arc<Order>,
    items: mpsc::Sender<Item>,
    asked: mpsc::UnboundedReceiver<Command>,
    // The merger holds it only weakly.
    _follower: mpsc::UnboundedSender<Command>,
}

impl Made {
    fn follows(&self) {
        self.order.begin();
    }

    async fn message(&self, offset: u64) {
        self.order.know(Offset(offset));
        let message = Delivery::Message(message(offset));
        self.items.send(Item::Delivery(message)).await.unwrap();
    }

    /// Waits until it is asked how far it is.
    async fn is_asked(&mut self) {
        let asked = timeout(Duration::from_secs(10), self.asked.recv()).await;
        assert!(matches!(asked, Ok(Some(Command::Pass))));
    }
}

fn made_up(lanes: usize) -> (Vec<Made>, mpsc::Receiver<Delivery>) {
    let clock = Arc::new(Clock::default());
    let (mut all, mut sources) = (Vec::new(), Vec::new());
    for part in Part::all().take(lanes) {
        let order = Arc::new(Order::new(Keys::default(), part, lanes, clock.clone()));
        let (items, taken) = mpsc::channel(4);
        let (follower, asked) = mpsc::unbounded_channel();
        sources.push(Source {
            order: order.clone(),
            items: taken,
            follower: follower.downgrade(),
        });
        all.push(Made {
            order,
            items,
            asked,
            _follower: follower,
        });
    }
    let (hub, deliveries) = mpsc::channel(1);
    tokio::spawn(Merger::new(sources, hub).run());
    (all, deliveries)
}

fn message(offset: u64) -> Arc<Message> {
    Arc::new(Message {
        room: key("/", "r"),
        id: MessageId::fresh(),
        seq: Seq(offset),
        offset: Offset(offset),
        event: EventName::message(),
        from: None,
        data: serde_json::value::to_raw_value(&1).unwrap().into(),
        ts: Timestamp(0),
        except: None,
    })
}

/// An event that says behind which message of its lane it was.
fn event(behind: u64) -> Delivery {
    let event = Ephemeral {
        room: key("/", "r"),
        id: None,
        event: EventName::message(),
        from: None,
        data: serde_json::value::to_raw_value(&1).unwrap().into(),
        ts: Timestamp(behind),
    };
    Delivery::Ephemeral(Arc::new(event), None)
}

async fn next(deliveries: &mut mpsc::Receiver<Delivery>) -> u64 {
    let next = timeout(Duration::from_secs(10), deliveries.recv()).await;
    match next.expect("it comes") {
        Some(Delivery::Message(message)) => message.offset.0,
        other => panic!("{other:?} is no message"),
    }
}

#[tokio::test]
async fn a_message_waits_until_every_lane_with_followed_rooms_is_past_it() {
    let (mut lanes, mut deliveries) = made_up(3);
    lanes[0].follows();
    lanes[1].follows();
    lanes[0].message(30).await;
    lanes[1].is_asked().await;
    assert!(deliveries.try_recv().is_err());
    lanes[1].message(16).await;
    assert_eq!(next(&mut deliveries).await, 16);
    lanes[1].items.send(Item::Past(Offset(31))).await.unwrap();
    assert_eq!(next(&mut deliveries).await, 30);
    assert!(
        lanes[2].asked.try_recv().is_err(),
        "nothing is followed there"
    );
}

#[tokio::test]
async fn a_lane_that_begins_to_be_followed_is_waited_for_from_then_on() {
    let (mut lanes, mut deliveries) = made_up(2);
    lanes[0].follows();
    lanes[0].message(10).await;
    assert_eq!(next(&mut deliveries).await, 10);
    lanes[1].follows();
    lanes[0].message(20).await;
    lanes[1].is_asked().await;
    let idle = Item::Idle(lanes[1].order.begun());
    lanes[1].items.send(idle).await.unwrap();
    assert_eq!(next(&mut deliveries).await, 20);
    lanes[1].items.send(Item::Past(Offset(20))).await.unwrap();
    // What ended before it began again says nothing.
    let idle = Item::Idle(lanes[1].order.begun());
    lanes[1].follows();
    lanes[1].items.send(idle).await.unwrap();
    lanes[0].message(30).await;
    lanes[1].is_asked().await;
    assert!(deliveries.try_recv().is_err());
    lanes.pop();
    assert_eq!(next(&mut deliveries).await, 30, "it has ended");
}

/// What a lane brings, in its order: messages that are so much further on, events, marks, and how far it is.
#[derive(Clone, Debug)]
enum Step {
    Message(u64),
    Event,
    Mark,
    Past(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..40).prop_map(Step::Message),
        1 => Just(Step::Event),
        1 => Just(Step::Mark),
        1 => (0_u64..40).prop_map(Step::Past),
    ];
    prop::collection::vec(step, 0..40)
}

/// Whether something is a message, and its offset or that behind which it was.
type Brought = (bool, u64);

/// Brings all of it, and ends; what has to come out, and how many marks.
async fn bring(lane: Made, nth: u64, steps: Vec<Step>) -> (Vec<Brought>, usize) {
    let (mut brought, mut marks, mut offset) = (Vec::new(), 0, nth);
    for step in steps {
        let item = match step {
            Step::Message(further) => {
                offset += (further + 1) * LANES as u64;
                brought.push((true, offset));
                lane.message(offset).await;
                continue;
            }
            Step::Event => {
                brought.push((false, offset));
                Item::Delivery(event(offset))
            }
            Step::Mark => {
                marks += 1;
                Item::Delivery(Delivery::Barrier(oneshot::channel().0))
            }
            Step::Past(further) => {
                offset += further * LANES as u64;
                Item::Past(Offset(offset))
            }
        };
        lane.items.send(item).await.unwrap();
    }
    (brought, marks)
}

async fn all_comes_out_in_order(steps: Vec<Vec<Step>>) {
    let (made, mut deliveries) = made_up(LANES);
    made.iter().for_each(Made::follows);
    let lanes = made.into_iter().zip(steps).enumerate();
    let bringing: Vec<_> = lanes
        .map(|(nth, (lane, steps))| tokio::spawn(bring(lane, nth as u64, steps)))
        .collect();
    let (mut came, mut marks) = (Vec::new(), 0);
    while let Some(delivery) = deliveries.recv().await {
        match delivery {
            Delivery::Message(message) => came.push((true, message.offset.0)),
            Delivery::Ephemeral(event, _) => came.push((false, event.ts.0)),
            Delivery::Barrier(_) => marks += 1,
            other => panic!("{other:?} was not brought"),
        }
    }
    let messages = came.iter().filter(|(message, _)| *message);
    assert!(messages.is_sorted());
    for (nth, bringing) in bringing.into_iter().enumerate() {
        let (brought, marked) = bringing.await.unwrap();
        let of_lane = came
            .iter()
            .filter(|(_, at)| at % LANES as u64 == nth as u64);
        assert!(of_lane.eq(&brought), "each lane keeps its order");
        marks -= marked;
    }
    assert_eq!(marks, 0);
}

proptest! {
    #[test]
    fn what_ordered_lanes_bring_comes_out_whole_and_in_the_order_of_all(
        lanes in prop::collection::vec(steps(), LANES),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(async {
            let all = all_comes_out_in_order(lanes);
            timeout(Duration::from_secs(10), all).await.unwrap();
        });
    }
}
