//! Cluster RPC and Pub/Sub between nodes.

use super::*;

/// A node that responds to each request with its name and the request.
struct Node {
    log: Arc<RedisLog>,
}

impl Node {
    async fn start(server: &Server, name: &'static str) -> Self {
        let config = RedisConfig::new(server.url());
        let (log, _, mut deliveries) = open_with(config, None).await.unwrap();
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                if let Delivery::Request(request) = delivery
                    && request.text != "no response"
                {
                    let response = format!("{name} received {}", request.text);
                    request.reply.send(response).unwrap();
                }
            }
        });
        Self { log: Arc::new(log) }
    }

    /// Sends a request with a long timeout.
    async fn request(&self, text: &str) -> Result<Vec<String>> {
        let mut responses = self.log.request_all(text.to_owned(), TEST_TIMEOUT).await?;
        responses.sort();
        Ok(responses)
    }

    fn set_peers(&self, peers: &[&Node]) {
        let peers = peers.iter().map(|other| other.log.context.node).collect();
        self.log.context.peers.update_leases(peers, true);
    }

    /// Waits until it is connected to the other nodes, or disconnected.
    async fn wait_until_connected(&self, connected: bool) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        while self.log.pubsub.connection_number().is_some() != connected {
            assert!(Instant::now() < deadline, "connected: {}", !connected);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn three(server: &Server) -> [Node; 3] {
    let [one, two, three] = ["one", "two", "three"];
    let nodes = [
        Node::start(server, one).await,
        Node::start(server, two).await,
        Node::start(server, three).await,
    ];
    let [one, two, three] = &nodes;
    one.set_peers(&[two, three]);
    two.set_peers(&[one, three]);
    three.set_peers(&[one, two]);
    for node in &nodes {
        node.wait_until_connected(true).await;
    }
    nodes
}

#[tokio::test]
async fn a_request_returns_once_every_other_node_has_responded() {
    let server = Server::start().await;
    let nodes = three(&server).await;
    let responses = nodes[0].request("hello\nthere").await.unwrap();
    assert_eq!(
        responses,
        ["three received hello\nthere", "two received hello\nthere"]
    );
    let nothing: Vec<String> = Vec::new();
    assert_eq!(nodes[1].request("no response").await.unwrap(), nothing);
    let announced = nodes[1]
        .log
        .request_all("nobody waits".into(), Duration::ZERO);
    assert_eq!(announced.await.unwrap(), nothing);
    let many = (0..500).map(|number| nodes[2].log.request_all(number.to_string(), TEST_TIMEOUT));
    for (number, responses) in futures_util::future::join_all(many)
        .await
        .into_iter()
        .enumerate()
    {
        let mut responses = responses.unwrap();
        responses.sort();
        assert_eq!(
            responses,
            [
                format!("one received {number}"),
                format!("two received {number}")
            ]
        );
    }
}

#[tokio::test]
async fn a_node_that_does_not_respond_is_waited_for_until_the_timeout() {
    let server = Server::start().await;
    let [one, two, three] = three(&server).await;
    // It counts as alive, and is gone.
    drop(three);
    let began = Instant::now();
    let within = Duration::from_secs(2);
    let responses = one.log.request_all("hello".into(), within).await.unwrap();
    assert_eq!(responses, ["two received hello"]);
    assert!(began.elapsed() >= within);
    one.set_peers(&[&two]);
    assert_eq!(one.request("again").await.unwrap(), ["two received again"]);
}

#[tokio::test]
async fn a_stopping_node_is_not_waited_for() {
    let server = Server::start().await;
    let [one, two, three] = three(&server).await;
    three.log.close().await;
    let began = Instant::now();
    assert_eq!(one.request("hello").await.unwrap(), ["two received hello"]);
    assert_eq!(two.request("hello").await.unwrap(), ["one received hello"]);
    assert!(began.elapsed() < TEST_TIMEOUT / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn requests_fail_while_redis_is_down_and_work_soon_after() {
    let mut server = Server::start().await;
    let nodes = three(&server).await;
    server.kill();
    for node in &nodes {
        node.wait_until_connected(false).await;
    }
    let began = Instant::now();
    let refused = nodes[0].request("hello").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(nodes[0].log.pubsub.node_count(), 1);
    server.restart().await;
    for node in &nodes {
        node.wait_until_connected(true).await;
    }
    assert_eq!(nodes[0].request("hello").await.unwrap().len(), 2);
    assert_eq!(nodes[0].log.pubsub.node_count(), 3);
}

#[tokio::test]
async fn messages_that_were_published_while_redis_was_down_arrive_later_up_to_the_queue_limit() {
    let mut server = Server::start().await;
    let [one, two, _three] = three(&server).await;
    let mut messages = two.log.pubsub.subscribe("messages".into()).await;
    let mut receive = async || {
        let message = tokio::time::timeout(TEST_TIMEOUT, messages.recv());
        let (channel, payload) = message.await.expect("a message in time").unwrap();
        assert_eq!(channel, "messages");
        String::from_utf8(payload).unwrap()
    };
    let publish = |text: &str| {
        one.log
            .pubsub
            .publish("messages".into(), text.as_bytes().to_vec());
    };
    publish("before");
    assert_eq!(receive().await, "before");
    server.kill();
    one.wait_until_connected(false).await;
    for number in 0..10 {
        publish(&number.to_string());
    }
    let large = vec![b'x'; 17 << 20];
    one.log.pubsub.publish("messages".into(), large);
    assert_eq!(one.log.pubsub.dropped()[0], ("full", 1));
    server.restart().await;
    for number in 0..10 {
        assert_eq!(receive().await, number.to_string());
    }
    assert_eq!(one.log.pubsub.dropped()[0], ("full", 1));
}

#[tokio::test]
async fn an_unsubscribed_channel_and_a_closed_log_receive_nothing() {
    let server = Server::start().await;
    let [one, two, _three] = three(&server).await;
    let mut left = two.log.pubsub.subscribe("left".into()).await;
    let mut kept = two.log.pubsub.subscribe("kept".into()).await;
    two.log.pubsub.unsubscribe("left".into());
    assert!(left.recv().await.is_none());
    for channel in ["left", "kept"] {
        one.log.pubsub.publish(channel.into(), b"message".to_vec());
    }
    assert_eq!(kept.recv().await.unwrap().0, "kept");
    two.log.close().await;
    assert!(kept.recv().await.is_none());
}

#[tokio::test]
async fn a_session_of_an_earlier_incarnation_is_not_found() {
    let server = Server::start().await;
    let one = Node::start(&server, "one").await.log;
    let session = session(&[("a", 7)]);
    one.save(session.clone()).await.unwrap();
    assert_eq!(one.find(session.pid).await.unwrap(), Some(session.clone()));
    let keys = &one.context.keys;
    incarnation::begin_next(keys, one.connections.of(Partition::FIRST))
        .await
        .unwrap();
    one.context.set_incarnation(
        incarnation::read(keys, one.connections.of(Partition::FIRST))
            .await
            .unwrap(),
    );
    assert_eq!(one.find(session.pid).await.unwrap(), None);
    one.save(session.clone()).await.unwrap();
    assert_eq!(one.find(session.pid).await.unwrap(), Some(session));
}
