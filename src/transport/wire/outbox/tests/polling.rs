//! Sessions that poll: barriers, and packets taken by poll responses.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{super::super::payload, *};
use crate::transport::socketio::testing::{ConnectingSocket, Engine, session};

#[test]
fn a_poll_that_leaves_packets_behind_needs_another_barrier() {
    let queue = Arc::default();
    let outbox = outbox(1_000, &queue);
    // Without an owner no barrier can be sent, and it is not counted as in flight either: it would be waited for for ever.
    let needs_barrier = || outbox.lock().gate.hold_packet();
    for number in 0..5 {
        outbox.push(numbered(number, 100), &DeliveryPolicy::Always);
    }
    outbox.push(ours("newest"), &DeliveryPolicy::NewestOnly("key".into()));
    assert!(
        outbox
            .lock()
            .newest
            .as_ref()
            .is_some_and(|newest| newest.len() == 1)
    );
    assert_eq!(outbox.take_at_barrier(330).len(), 3);
    check(&outbox);
    assert!(outbox.lock().newest.is_none());
    assert!(needs_barrier());
    assert_eq!(outbox.take_at_barrier(1).len(), 1, "one is always taken");
    assert_eq!(outbox.take_at_barrier(1_000).len(), 2);
    assert!(outbox.take_at_barrier(1_000).is_empty() && needs_barrier());
    check(&outbox);
    assert!(!outbox.check_stall(Instant::now() + 100 * SECOND) && !outbox.has_ended());
}

/// The response body of a polling request.
async fn polled(engine: &Engine, sid: &str, packet: Option<&'static str>) -> Vec<u8> {
    let request = Request::builder()
        .uri(format!("/socket.io/?EIO=4&transport=polling{sid}"))
        .method(if packet.is_some() { "POST" } else { "GET" })
        .body(Body::from(packet.unwrap_or_default()))
        .unwrap();
    let response = soon(engine.clone().oneshot(request)).await.unwrap();
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .into()
}

#[tokio::test]
async fn a_polling_session_gets_all_queued_packets_poll_by_poll() {
    let (session, engine, io) = session();
    let in_handler = session.clone();
    let served = io.ns("/", async move |connecting: ConnectingSocket| {
        in_handler.add_socket(connecting.0);
    });
    served.await.unwrap();
    let open = String::from_utf8(polled(&engine, "", None).await).unwrap();
    let sid = format!("&sid={}", open.split('"').nth(3).unwrap());
    polled(&engine, &sid, Some("40")).await;
    assert!(polled(&engine, &sid, None).await.starts_with(b"40{"));

    let outbox = session.outbox();
    let mut received = Vec::new();
    for number in 0..20 {
        outbox.push(numbered(number, 50), &DeliveryPolicy::Always);
    }
    let mut polls = 0;
    while received.len() < 20 {
        let answer = polled(&engine, &sid, None).await;
        let encoding = payload::PollEncoding::Separated;
        let answer = payload::rewrite_poll_response(&answer, encoding, outbox, 200).unwrap();
        let answer = String::from_utf8(answer.bytes).unwrap();
        received.extend(answer.split('\u{1e}').map(str::to_owned));
        polls += 1;
    }
    assert_eq!(numbers(&received, 'o'), (0..20).collect::<Vec<_>>());
    assert_eq!(polls, 7, "three fit into one response");
}

#[tokio::test]
async fn waiting_tasks_are_woken_when_held_packets_lose_their_recipient() {
    let (session, _engine, _io) = session();
    let outbox = session.outbox();
    let bound = outbox.limits.bytes;
    // A barrier is in flight, and its namespace has been left meanwhile.
    assert!(outbox.lock().gate.hold_packet());
    for number in 0..6 {
        outbox.push(numbered(number, bound / 10), &DeliveryPolicy::Always);
    }
    outbox.push(ours("newest"), &DeliveryPolicy::NewestOnly("key".into()));
    let mut drained = std::pin::pin!(outbox.clone().drained());
    assert!(futures_util::poll!(&mut drained).is_pending());
    assert_eq!(outbox.take_at_barrier(1).len(), 1);
    check(outbox);
    assert_eq!(outbox.lock().bytes, 0);
    soon(drained).await;
}

#[test]
fn an_ended_session_is_drained_to_its_websocket_but_not_by_polling() {
    let queue = Arc::default();
    let polling = outbox(1_000, &queue);
    polling.push(numbered(0, 1), &DeliveryPolicy::Always);
    polling.end_unless_attached();
    assert!(polling.has_ended() && polling.take_at_barrier(1_000).is_empty());

    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 1), &DeliveryPolicy::Always);
    outbox.end_unless_attached();
    client.takes(1_000);
    outbox.finish();
    while queue.flush_all() {}
    assert_eq!(numbers(&client.texts(), 'o'), [0]);
    assert!(outbox.has_ended() && client.peer().gone);
    outbox.end_unless_attached();
}
