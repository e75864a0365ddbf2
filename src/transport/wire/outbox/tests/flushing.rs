//! A writer that keeps what it has taken until it is flushed, as TLS does.

use super::*;

fn behind_tls() -> (Arc<Outbox>, Arc<WriteQueue>, Client) {
    let (outbox, queue, client) = scripted(1 << 20);
    client.peer().buffers = true;
    (outbox, queue, client)
}

#[test]
fn what_the_writer_keeps_is_flushed_once_the_socket_takes_it() {
    let (outbox, queue, client) = behind_tls();
    outbox.push(numbered(0, 100), &DeliveryPolicy::Always);
    queue.flush_all();
    check(&outbox);
    assert!(client.peer().taken.is_empty());
    outbox.push(numbered(1, 100), &DeliveryPolicy::Always);
    assert!(!queue.flush_all(), "its waker queues it");
    client.takes(1000);
    assert!(queue.flush_all());
    assert_eq!(numbers(&client.texts(), 'o'), [0, 1]);
    check(&outbox);
    assert!(!outbox.check_stall(Instant::now() + 60 * SECOND));
    assert!(!outbox.has_ended(), "nothing is left to be taken");
}

#[test]
fn a_session_ends_when_its_last_frame_is_flushed() {
    let (outbox, queue, client) = behind_tls();
    outbox.finish_with(Some(ours("last")), true);
    assert!(!outbox.has_ended());
    client.takes(3);
    queue.flush_all();
    assert!(!outbox.has_ended(), "a part is still kept");
    client.takes(1000);
    queue.flush_all();
    assert!(outbox.has_ended() && client.peer().gone);
    assert_eq!(client.texts(), ["last"]);
}

#[test]
fn a_client_that_never_takes_what_the_writer_keeps_is_slow() {
    let (outbox, queue, client) = behind_tls();
    outbox.push(numbered(0, 100), &DeliveryPolicy::Always);
    queue.flush_all();
    assert!(outbox.check_stall(Instant::now() + 9 * SECOND));
    assert!(!outbox.check_stall(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended() && client.peer().gone);
}
