//! What nodes say to each other: questions with their answers, and words on channels.

use super::*;
use crate::backend::{ClusterNodes, PubSub};

/// A node that answers each question with its own name and the question.
struct Node {
    log: Arc<RedisLog>,
}

impl Node {
    async fn start(server: &Server, name: &'static str) -> Self {
        let config = RedisConfig::new(server.url());
        let (log, _, mut deliveries) = open_with(config, None).await.unwrap();
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                if let Delivery::Request(question) = delivery
                    && question.text != "say nothing"
                {
                    let answer = format!("{name} heard {}", question.text);
                    question.answer.send(answer).unwrap();
                }
            }
        });
        Self { log: Arc::new(log) }
    }

    /// Asks with more patience than any answer takes.
    async fn ask(&self, text: &str) -> Result<Vec<String>> {
        let mut answers = self.log.request_all(text.to_owned(), PATIENCE).await?;
        answers.sort();
        Ok(answers)
    }

    fn knows(&self, others: &[&Node]) {
        let others = others.iter().map(|other| other.log.shared.node).collect();
        self.log.shared.others.have_leases(others, true);
    }

    /// Waits until it can reach the others, or cannot.
    async fn is_connected(&self, connected: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.log.channels.connection().is_some() != connected {
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
    one.knows(&[two, three]);
    two.knows(&[one, three]);
    three.knows(&[one, two]);
    for node in &nodes {
        node.is_connected(true).await;
    }
    nodes
}

#[tokio::test]
async fn a_question_is_answered_by_every_other_node_and_not_waited_for_longer() {
    let server = Server::start().await;
    let nodes = three(&server).await;
    let answers = nodes[0].ask("hello\nthere").await.unwrap();
    assert_eq!(
        answers,
        ["three heard hello\nthere", "two heard hello\nthere"]
    );
    let nothing: Vec<String> = Vec::new();
    assert_eq!(nodes[1].ask("say nothing").await.unwrap(), nothing);
    let told = nodes[1]
        .log
        .request_all("nobody waits".into(), Duration::ZERO);
    assert_eq!(told.await.unwrap(), nothing);
    let many = (0..500).map(|number| nodes[2].log.request_all(number.to_string(), PATIENCE));
    for (number, answers) in futures_util::future::join_all(many)
        .await
        .into_iter()
        .enumerate()
    {
        let mut answers = answers.unwrap();
        answers.sort();
        assert_eq!(
            answers,
            [format!("one heard {number}"), format!("two heard {number}")]
        );
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_waited_for_as_long_as_was_said() {
    let server = Server::start().await;
    let [one, two, three] = three(&server).await;
    // It lives for all that is known, and has nobody who hears.
    drop(three);
    let began = Instant::now();
    let within = Duration::from_secs(2);
    let answers = one.log.request_all("hello".into(), within).await.unwrap();
    assert_eq!(answers, ["two heard hello"]);
    assert!(began.elapsed() >= within);
    one.knows(&[&two]);
    assert_eq!(one.ask("again").await.unwrap(), ["two heard again"]);
}

#[tokio::test]
async fn a_node_that_stops_is_not_waited_for() {
    let server = Server::start().await;
    let [one, two, three] = three(&server).await;
    three.log.close().await;
    let began = Instant::now();
    assert_eq!(one.ask("hello").await.unwrap(), ["two heard hello"]);
    assert_eq!(two.ask("hello").await.unwrap(), ["one heard hello"]);
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_can_be_asked_while_redis_is_away_and_everybody_soon_after() {
    let mut server = Server::start().await;
    let nodes = three(&server).await;
    server.kill();
    for node in &nodes {
        node.is_connected(false).await;
    }
    let began = Instant::now();
    let refused = nodes[0].ask("hello").await.unwrap_err();
    assert_eq!(refused.code(), crate::error::Code::Unavailable);
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(nodes[0].log.channels.node_count(), 1);
    server.restart().await;
    for node in &nodes {
        node.is_connected(true).await;
    }
    assert_eq!(nodes[0].ask("hello").await.unwrap().len(), 2);
    assert_eq!(nodes[0].log.channels.node_count(), 3);
}

#[tokio::test]
async fn words_that_were_published_while_redis_was_away_come_once_it_is_back_as_far_as_there_was_room()
 {
    let mut server = Server::start().await;
    let [one, two, _three] = three(&server).await;
    let mut words = two.log.channels.subscribe("words".into()).await;
    let mut hear = async || {
        let word = tokio::time::timeout(PATIENCE, words.recv());
        let (channel, word) = word.await.expect("something comes in time").unwrap();
        assert_eq!(channel, "words");
        String::from_utf8(word).unwrap()
    };
    let say = |word: &str| {
        one.log
            .channels
            .publish("words".into(), word.as_bytes().to_vec());
    };
    say("before");
    assert_eq!(hear().await, "before");
    server.kill();
    one.is_connected(false).await;
    for number in 0..10 {
        say(&number.to_string());
    }
    let large = vec![b'x'; 17 << 20];
    one.log.channels.publish("words".into(), large);
    assert_eq!(one.log.channels.dropped()[0], ("full", 1));
    server.restart().await;
    for number in 0..10 {
        assert_eq!(hear().await, number.to_string());
    }
    assert_eq!(one.log.channels.dropped()[0], ("full", 1));
}

#[tokio::test]
async fn a_channel_that_was_unsubscribed_is_heard_no_more_and_a_log_that_closes_hears_nothing() {
    let server = Server::start().await;
    let [one, two, _three] = three(&server).await;
    let mut left = two.log.channels.subscribe("left".into()).await;
    let mut kept = two.log.channels.subscribe("kept".into()).await;
    two.log.channels.unsubscribe("left".into());
    assert!(left.recv().await.is_none());
    for channel in ["left", "kept"] {
        one.log.channels.publish(channel.into(), b"word".to_vec());
    }
    assert_eq!(kept.recv().await.unwrap().0, "kept");
    two.log.close().await;
    assert!(kept.recv().await.is_none());
}

#[tokio::test]
async fn a_session_of_a_life_that_is_over_is_not_found() {
    let server = Server::start().await;
    let one = Node::start(&server, "one").await.log;
    let session = crate::backend::conformance::sessions::session(&[("a", 7)]);
    one.save(session.clone()).await.unwrap();
    assert_eq!(one.find(session.pid).await.unwrap(), Some(session.clone()));
    let keys = &one.shared.keys;
    begin_life(keys, one.reads.of(Part::FIRST)).await.unwrap();
    one.shared
        .live(life(keys, one.reads.of(Part::FIRST)).await.unwrap());
    assert_eq!(one.find(session.pid).await.unwrap(), None);
    one.save(session.clone()).await.unwrap();
    assert_eq!(one.find(session.pid).await.unwrap(), Some(session));
}
