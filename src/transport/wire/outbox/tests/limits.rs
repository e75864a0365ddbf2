//! Slow clients: what they get, what is dropped, and when they are closed.

use super::*;

#[test]
fn a_client_past_twice_its_limit_is_closed_at_once() {
    let (outbox, _queue, client) = scripted(1_000);
    for number in 0..18 {
        outbox.push(numbered(number, 96), &DeliveryPolicy::Always);
    }
    assert!(!outbox.has_ended());
    for number in 18..20 {
        outbox.push(numbered(number, 96), &DeliveryPolicy::Always);
    }
    assert!(outbox.has_ended() && client.peer().gone);
}

#[test]
fn a_client_that_takes_nothing_is_closed_after_the_stall_timeout_and_sooner_past_its_limit() {
    let (outbox, queue, _client) = scripted(1_000);
    outbox.push(numbered(0, 400), &DeliveryPolicy::Always);
    queue.flush_all();
    let now = Instant::now();
    assert!(outbox.check_stall(now + 9 * SECOND));
    outbox.push(numbered(1, 700), &DeliveryPolicy::Always);
    assert!(outbox.check_stall(now + SECOND));
    assert!(!outbox.check_stall(now + 6 * SECOND));
    assert!(outbox.has_ended());

    let (outbox, queue, _client) = scripted(1_000);
    outbox.push(numbered(0, 400), &DeliveryPolicy::Always);
    queue.flush_all();
    assert!(!outbox.check_stall(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_not_closed() {
    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 1_500), &DeliveryPolicy::Always);
    queue.flush_all();
    for _ in 0..100 {
        let before = outbox.lock().waiting_since.expect("bytes are queued");
        client.takes(1);
        queue.flush_all();
        let since = outbox.lock().waiting_since.expect("bytes are still queued");
        assert!(since > before, "progress is recorded");
        assert!(outbox.check_stall(since + SECOND));
    }
}

#[test]
fn a_client_with_an_empty_queue_is_not_watched() {
    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 400), &DeliveryPolicy::Always);
    queue.flush_all();
    client.takes(1_000);
    queue.flush_all();
    assert!(!outbox.check_stall(Instant::now() + 100 * SECOND));
    assert!(!outbox.has_ended() && !outbox.lock().watched);
    // A later stall is still noticed.
    client.peer().room = 0;
    outbox.push(numbered(1, 400), &DeliveryPolicy::Always);
    queue.flush_all();
    assert!(!outbox.check_stall(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_session_whose_barrier_never_passes_is_closed() {
    let queue = Arc::default();
    let outbox = outbox(1_000, &queue);
    outbox.push(numbered(0, 1), &DeliveryPolicy::Always);
    assert!(outbox.check_stall(Instant::now() + 9 * SECOND));
    assert!(!outbox.check_stall(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_client_that_is_behind_gets_the_newest_events_once_it_has_caught_up() {
    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 600), &DeliveryPolicy::Always);
    assert!(outbox.is_behind());
    let key = |key: &str| DeliveryPolicy::NewestOnly(key.into());
    outbox.push(ours("in time"), &DeliveryPolicy::Droppable);
    outbox.push(ours("a1"), &key("a"));
    outbox.push(ours("b1"), &key("b"));
    outbox.push(ours("a2"), &key("a"));
    check(&outbox);
    for line in ["{reason=\"behind\"} 1\n", "{reason=\"newer\"} 1\n"] {
        let page = outbox.metrics.render();
        assert!(page.contains(&format!("dropped_total{line}")), "{page}");
    }
    client.takes(300);
    queue.flush_all();
    check(&outbox);
    assert!(!outbox.is_behind());
    // A newer one replaces a stored event before that is sent.
    outbox.push(ours("b2"), &key("b"));
    outbox.push(ours("in time"), &DeliveryPolicy::Droppable);
    client.takes(1_000);
    while queue.flush_all() {
        check(&outbox);
    }
    assert_eq!(client.texts()[1..], ["b2", "in time", "a2"]);
    assert_eq!(outbox.lock().bytes, 0);
}

#[test]
fn newest_events_of_a_client_that_is_behind_are_bounded() {
    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 600), &DeliveryPolicy::Always);
    for number in 0..100 {
        let key = DeliveryPolicy::NewestOnly(number.to_string().into());
        outbox.push(ours(&format!("k{number:02} {}", "z".repeat(44))), &key);
        check(&outbox);
        assert!(outbox.lock().newest_bytes <= 250);
    }
    let page = outbox.metrics.render();
    assert!(
        page.contains("dropped_total{reason=\"newer\"} 95\n"),
        "{page}"
    );
    client.takes(10_000);
    while queue.flush_all() {}
    assert_eq!(numbers(&client.texts(), 'k'), (95..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn draining_wakes_waiting_tasks() {
    let (outbox, queue, client) = scripted(1_000);
    soon(outbox.clone().drained()).await;
    outbox.push(numbered(0, 600), &DeliveryPolicy::Always);
    let mut drained = Box::pin(outbox.clone().drained());
    assert!(futures_util::poll!(&mut drained).is_pending());
    client.takes(300);
    queue.flush_all();
    assert!(
        futures_util::poll!(&mut drained).is_pending(),
        "more than a quarter is queued"
    );
    client.takes(100);
    queue.flush_all();
    assert!(futures_util::poll!(&mut drained).is_ready());
    outbox.push(numbered(1, 600), &DeliveryPolicy::Always);
    let drained = tokio::spawn(outbox.clone().drained());
    tokio::task::yield_now().await;
    outbox.end();
    soon(drained).await.unwrap();
}

#[test]
fn an_event_that_would_close_its_client_as_slow_is_dropped_unless_it_is_alone() {
    let (outbox, _queue, client) = scripted(1_000);
    let keep = DeliveryPolicy::IfItFits;
    for number in 0..3 {
        outbox.push(numbered(number, 900), &keep);
    }
    assert!(!outbox.has_ended(), "the third was dropped");
    client.takes(1 << 20);
    outbox.flush();
    outbox.push(numbered(3, 900), &keep);
    outbox.flush();
    assert_eq!(numbers(&client.texts(), 'o'), [0, 1, 3]);
}

#[test]
fn what_alone_is_larger_than_the_queue_may_be_closes_nobody_who_reads() {
    let (outbox, _queue, client) = scripted(1_000);
    let large = numbered(0, 10_000);
    let size = large.len();
    outbox.push(large, &DeliveryPolicy::Always);
    client.takes(size - 1_500);
    outbox.flush();
    outbox.push(numbered(1, 900), &DeliveryPolicy::Always);
    assert!(
        !outbox.has_ended(),
        "2,400 bytes are left, most of them of the first"
    );
    client.takes(1_500);
    outbox.flush();
    outbox.push(numbered(2, 900), &DeliveryPolicy::Always);
    outbox.push(numbered(3, 900), &DeliveryPolicy::Always);
    assert!(
        outbox.has_ended(),
        "the first has gone, and the bound is as before"
    );
    assert_eq!(numbers(&client.texts(), 'o'), [0]);
}
