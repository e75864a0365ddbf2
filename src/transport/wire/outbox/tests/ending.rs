//! Plain streams and their last frame.

use super::*;

/// A plain stream, and its client.
fn stream(bytes: usize) -> (Arc<Outbox>, Arc<WriteQueue>, Client) {
    let (queue, client) = (Arc::default(), Client::default());
    let outbox = outbox(bytes, &queue);
    outbox.attach_plain(client.writer());
    (outbox, queue, client)
}

#[test]
fn a_plain_stream_needs_no_barrier() {
    let (outbox, queue, client) = stream(1_000);
    outbox.push(numbered(0, 10), &DeliveryPolicy::Always);
    client.takes(1_000);
    queue.flush_all();
    assert_eq!(numbers(&client.texts(), 'o'), [0]);
    check(&outbox);
}

#[test]
fn a_drained_client_gets_its_last_frame_behind_the_queue_and_nothing_after_it() {
    let (outbox, queue, client) = stream(1_000);
    for number in 0..3 {
        outbox.push(numbered(number, 10), &DeliveryPolicy::Always);
    }
    outbox.finish_with(Some(ours("last")), true);
    outbox.push(numbered(3, 10), &DeliveryPolicy::Always);
    outbox.queue_engine_bytes(&text("pong")).unwrap();
    outbox.finish_with(Some(ours("again")), true);
    check(&outbox);
    assert!(!outbox.has_ended());
    client.takes(1_000);
    while queue.flush_all() {}
    let texts = client.texts();
    assert_eq!(numbers(&texts, 'o'), [0, 1, 2]);
    assert_eq!(texts.last().map(String::as_str), Some("last"));
    assert_eq!(texts.len(), 4);
    assert!(outbox.has_ended() && client.peer().gone);
}

#[test]
fn a_slow_client_gets_the_rest_of_a_partly_sent_frame_and_then_only_the_last_frame() {
    for taken in [0, 5, 70] {
        let (outbox, queue, client) = stream(1_000);
        for number in 0..5 {
            outbox.push(numbered(number, 60), &DeliveryPolicy::Always);
        }
        outbox.push(ours("newest"), &DeliveryPolicy::NewestOnly("key".into()));
        client.takes(taken);
        queue.flush_all();
        outbox.finish_with(Some(ours("last")), false);
        check(&outbox);
        client.takes(1_000);
        while queue.flush_all() {}
        let texts = client.texts();
        let begun = taken.div_ceil(numbered(0, 60).len());
        assert_eq!(numbers(&texts[..begun], 'o').len(), begun, "{texts:?}");
        assert_eq!(texts[begun..], ["last"]);
        assert!(outbox.has_ended() && client.peer().gone);
    }
}

#[test]
fn a_client_that_does_not_take_its_last_frame_is_closed() {
    let (outbox, _queue, client) = stream(1_000);
    outbox.push(numbered(0, 60), &DeliveryPolicy::Always);
    outbox.finish_with(Some(ours("last")), true);
    check(&outbox);
    assert!(!outbox.check_stall(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended() && client.peer().gone);
}
