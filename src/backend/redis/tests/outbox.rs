//! The outbox when Redis loses data, and which node may send to an endpoint.

use super::*;
use crate::{
    backend::{Draft, EndpointRecord, MessageEntries, Outbox, OutboxEvent},
    model::UserId,
};

const LEASE: Duration = Duration::from_secs(2);

async fn node_at(server: &Server) -> TestNode {
    let config = RedisConfig {
        lease: LEASE,
        ..RedisConfig::new(server.url())
    };
    let (log, _, deliveries) = open_with(config, None).await.unwrap();
    TestNode {
        log: Arc::new(log),
        deliveries,
    }
}

async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !is().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl TestNode {
    /// Sends a message that is told of, until it is stored.
    async fn tell(&self, id: &str) {
        let entries = MessageEntries {
            message: true,
            unseen: false,
        };
        let draft = Draft {
            entries,
            ..named("r", id)
        };
        self.send_until_stored(&draft).await;
    }

    fn set_member(&self, who: &str, is_member: bool) {
        let user = UserId::parse(who).unwrap();
        self.log.set_member(&key("/", "s"), &user, is_member);
    }

    async fn claim(&self) -> EndpointRecord {
        self.log.claim_endpoint("one").await.unwrap()
    }

    async fn save(&self, state: &str) -> bool {
        let state = state.to_owned();
        self.log.save_endpoint("one", state).await.unwrap()
    }
}

/// Reads the outbox as a sender does, and checks that no number is given twice.
#[derive(Default)]
struct Reader {
    last: u64,
    events: Vec<OutboxEvent>,
}

impl Reader {
    /// Reads on until an event comes that satisfies a condition.
    async fn read_until(&mut self, node: &TestNode, what: &str, is: impl Fn(&OutboxEvent) -> bool) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        let read = self.events.len();
        while !self.events[read..].iter().any(&is) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.events);
            // While Redis is away this fails.
            if let Ok(page) = node.log.read_events(0, self.last, 3, 1000).await {
                for (nth, event) in page.events.iter().enumerate() {
                    assert_eq!(event.number, page.events[0].number + nth as u64);
                }
                assert!(page.events.first().is_none_or(|it| it.number > self.last));
                assert!(page.last >= self.last);
                self.last = page.events.last().map_or(self.last, |it| it.number);
                self.events.extend(page.events);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn read_until_message(&mut self, node: &TestNode, id: &str) {
        self.read_until(node, id, |event| {
            let message = event.message.as_ref();
            message.is_some_and(|message| message.id.as_str() == id)
        })
        .await;
    }

    async fn read_until_joined(&mut self, node: &TestNode, who: &str) {
        self.read_until(node, who, |event| {
            event.kind.as_str() == "member.joined"
                && event.user.as_ref().is_some_and(|user| user.as_str() == who)
        })
        .await;
    }
}

#[tokio::test]
async fn numbers_of_the_outbox_rise_when_redis_has_lost_everything() {
    let server = Server::start().await;
    let node = node_at(&server).await;
    let mut reader = Reader::default();
    for nth in 0..10 {
        node.tell(&format!("before-{nth}")).await;
    }
    node.set_member("alice", true);
    reader.read_until_message(&node, "before-9").await;
    if !reader.events.iter().any(|event| event.user.is_some()) {
        reader.read_until_joined(&node, "alice").await;
    }
    let flush = redis::cmd("FLUSHALL");
    let connection = node.log.connections.of(Partition::FIRST);
    connection.query(flush).await.unwrap();
    let page = node.log.read_events(0, 0, 10, 10).await.unwrap();
    assert!(page.last >= reader.last && page.events.is_empty());
    node.set_member("bob", true);
    reader.read_until_joined(&node, "bob").await;
    node.tell("after").await;
    reader.read_until_message(&node, "after").await;
    // Her node writes her again.
    if !reader.events[12..].iter().any(|event| {
        let user = event.user.as_ref();
        user.is_some_and(|user| user.as_str() == "alice")
    }) {
        reader.read_until_joined(&node, "alice").await;
    }
}

#[tokio::test]
async fn no_number_of_the_outbox_is_given_twice_after_a_restore() {
    let mut server = Server::start().await;
    let node = node_at(&server).await;
    let mut reader = Reader::default();
    node.tell("kept").await;
    reader.read_until_message(&node, "kept").await;
    let copy = server.copy();
    node.tell("lost").await;
    reader.read_until_message(&node, "lost").await;
    server.restore(&copy).await;
    node.tell("after").await;
    reader.read_until_message(&node, "after").await;
    // Nothing but members.
    let copy = server.copy();
    node.set_member("alice", true);
    reader.read_until_joined(&node, "alice").await;
    server.restore(&copy).await;
    node.set_member("bob", true);
    reader.read_until_joined(&node, "bob").await;
    // Who reads from the beginning does not see what was lost, and gets no page with a gap.
    let mut again = Reader::default();
    again.read_until_joined(&node, "bob").await;
    let lost = |event: &&OutboxEvent| {
        let message = event.message.as_ref();
        message.is_some_and(|message| message.id.as_str() == "lost")
    };
    assert_eq!(reader.events.iter().filter(lost).count(), 1);
    assert_eq!(again.events.iter().filter(lost).count(), 0);
}

#[tokio::test]
async fn a_malformed_event_is_skipped() {
    let server = Server::start().await;
    let node = node_at(&server).await;
    let mut reader = Reader::default();
    node.tell("one").await;
    reader.read_until_message(&node, "one").await;
    let keys = &node.log.context.keys;
    let connection = node.log.connections.of(Partition::FIRST);
    for nth in 1..=5 {
        let mut add = redis::cmd("XADD");
        add.arg(keys.outbox(Partition::FIRST));
        add.arg(format!("{}-0", reader.last + nth));
        add.arg("kind").arg("unheard-of");
        connection.query(add).await.unwrap();
    }
    let mut count = redis::cmd("HINCRBY");
    count.arg(keys.shard_incarnation(Partition::FIRST));
    count.arg("outbox").arg(5);
    connection.query(count).await.unwrap();
    node.tell("two").await;
    let before = reader.last;
    reader.read_until_message(&node, "two").await;
    assert_eq!((reader.last, reader.events.len()), (before + 6, 2));
}

#[tokio::test]
async fn an_endpoint_goes_to_another_node_when_its_owner_stops_renewing() {
    let server = Server::start().await;
    let (one, two) = (node_at(&server).await, node_at(&server).await);
    assert!(one.claim().await.is_mine);
    assert!(one.save("1").await);
    let refused = two.claim().await;
    let owner = one.log.context.node.to_string();
    assert_eq!((refused.is_mine, refused.owner), (false, Some(owner)));
    assert!(!two.save("2").await);
    // Nobody has taken it meanwhile.
    eventually("the lease has expired", async || {
        two.log.find_endpoint("one").await.unwrap().owner.is_none()
    })
    .await;
    assert!(one.save("3").await);
    assert!(!two.claim().await.is_mine);
    eventually("the other takes it", async || two.claim().await.is_mine).await;
    assert!(!one.save("late").await);
    let record = one.claim().await;
    assert_eq!(
        (record.is_mine, record.state.as_deref()),
        (false, Some("3"))
    );
    one.log.release_endpoint("one").await;
    assert!(two.save("4").await);
    two.log.release_endpoint("one").await;
    assert!(!two.save("late").await);
    let record = one.claim().await;
    assert_eq!((record.is_mine, record.state.as_deref()), (true, Some("4")));
}
