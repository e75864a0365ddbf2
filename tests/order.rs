//! Messages are stored in the order their connection sent them, and everybody sees one order.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{Raw, Server, config};
use switchboard::config::Store;

const SENDERS: usize = 20;
const MESSAGES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_messages_sent_without_waiting_by_each_of_twenty_connections_keep_their_order()
{
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store = Some(Store::Sqlite);
    config.data = folder.path().to_owned();
    config.history.messages = 100_000;
    let server = Server::start(config).await;
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let mut raw = Raw::connect(&server, &format!("sender-{sender}")).await;
        senders.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let body =
                    json!({ "room": "lobby", "data": { "sender": sender, "number": number } });
                raw.ask("message", &body).await;
            }
            // Acks come in the order of the messages, so the last one is enough.
            let mut last = Value::Null;
            for number in 1..=MESSAGES {
                last = raw.ack(u64::try_from(number).unwrap()).await;
                assert_eq!(last["ok"], true, "{last}");
            }
            last["seq"].as_u64().unwrap()
        }));
    }
    let mut highest = 0;
    for sender in senders {
        highest = highest.max(sender.await.unwrap());
    }
    assert_eq!(
        highest,
        (SENDERS * MESSAGES) as u64,
        "numbers have no holes"
    );

    let mut reader = Raw::connect(&server, "reader").await;
    let (mut after, mut next) = (0u64, vec![0u64; SENDERS]);
    loop {
        let page = reader
            .call("history", json!({ "room": "lobby", "after": after }))
            .await;
        for message in page["messages"].as_array().unwrap() {
            after += 1;
            assert_eq!(message["seq"], after);
            let sender = usize::try_from(message["data"]["sender"].as_u64().unwrap()).unwrap();
            assert_eq!(
                message["data"]["number"], next[sender],
                "of sender {sender}"
            );
            next[sender] += 1;
        }
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(after, highest);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_under_load_sees_every_message_after_its_position_once() {
    let server = Server::start(config()).await;
    let mut first = Raw::connect(&server, "first").await;
    let epoch = first.call("join", json!("lobby")).await["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(first);
    let mut sender = Raw::connect(&server, "sender").await;
    let sending = tokio::spawn(async move {
        for number in 0..3_000u64 {
            sender
                .ask("message", &json!({ "room": "lobby", "data": number }))
                .await;
        }
        for number in 1..=3_000 {
            assert_eq!(sender.ack(number).await["ok"], true);
        }
    });
    let mut readers = Vec::new();
    for reader in 0..10u64 {
        let mut raw = Raw::connect(&server, &format!("reader-{reader}")).await;
        let since = format!("{epoch}:0");
        readers.push(tokio::spawn(async move {
            let joined = raw
                .call("join", json!({ "room": "lobby", "since": since }))
                .await;
            assert!(
                raw.events.iter().all(|event| event[0] != "message"),
                "live before the ack"
            );
            let replayed = joined["messages"].as_array().unwrap();
            let mut seen: Vec<u64> = replayed
                .iter()
                .map(|message| message["seq"].as_u64().unwrap())
                .collect();
            assert_eq!(
                seen.last().copied().unwrap_or_default(),
                joined["seq"].as_u64().unwrap()
            );
            if joined["recovered"] == true {
                assert_eq!(seen.first().copied().unwrap_or(1), 1);
            }
            while seen.last().copied().unwrap_or_default() < 3_000 {
                let event = raw.event("message").await;
                seen.push(event[1]["seq"].as_u64().unwrap());
            }
            assert!(
                seen.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "a hole or a repeat"
            );
        }));
    }
    sending.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_not_kept_does_not_overtake_the_message_sent_before_it() {
    let server = Server::start(config()).await;
    let mut reader = Raw::connect(&server, "reader").await;
    reader.call("join", json!("lobby")).await;
    let mut sender = Raw::connect(&server, "sender").await;
    for number in 0..200u64 {
        sender
            .ask("message", &json!({ "room": "lobby", "data": number }))
            .await;
        let cursor =
            json!({ "room": "lobby", "event": "cursor", "data": number, "ephemeral": true });
        sender.ask("publish", &cursor).await;
    }
    for number in 0..200u64 {
        let text = reader.text().await.unwrap();
        let message: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        assert_eq!(
            (&message[0], &message[1]["data"]),
            (&json!("message"), &json!(number))
        );
        let text = reader.text().await.unwrap();
        let cursor: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        assert_eq!((&cursor[0], &cursor[1]), (&json!("cursor"), &json!(number)));
        assert_eq!(cursor.len(), 3, "an ephemeral event has no offset");
    }
    server.stop().await;
}
