//! How a way out that socketioxide does not know begins and ends: at once, and with a last word.

use super::*;

/// A stream of our own, and its client.
fn stream(bytes: usize) -> (Arc<Outbox>, Arc<Shard>, Client) {
    let (shard, client) = (Arc::default(), Client::default());
    let outbox = outbox(bytes, &shard);
    outbox.open(client.writer());
    (outbox, shard, client)
}

#[test]
fn what_is_pushed_to_a_stream_of_our_own_goes_without_any_mark() {
    let (outbox, shard, client) = stream(1_000);
    outbox.push(numbered(0, 10), &Keep::Always);
    client.takes(1_000);
    shard.walk();
    assert_eq!(numbers(&client.texts(), 'o'), [0]);
    check(&outbox);
}

#[test]
fn whoever_is_to_have_all_gets_the_last_word_behind_what_waits_and_nothing_after_it() {
    let (outbox, shard, client) = stream(1_000);
    for number in 0..3 {
        outbox.push(numbered(number, 10), &Keep::Always);
    }
    outbox.conclude(Some(ours("last")), true);
    outbox.push(numbered(3, 10), &Keep::Always);
    outbox.native(&text("pong")).unwrap();
    outbox.conclude(Some(ours("again")), true);
    check(&outbox);
    assert!(!outbox.has_ended());
    client.takes(1_000);
    while shard.walk() {}
    let texts = client.texts();
    assert_eq!(numbers(&texts, 'o'), [0, 1, 2]);
    assert_eq!(texts.last().map(String::as_str), Some("last"));
    assert_eq!(texts.len(), 4);
    assert!(outbox.has_ended() && client.peer().gone);
}

#[test]
fn a_slow_client_gets_the_frame_that_has_begun_and_then_the_last_word_alone() {
    for taken in [0, 5, 70] {
        let (outbox, shard, client) = stream(1_000);
        for number in 0..5 {
            outbox.push(numbered(number, 60), &Keep::Always);
        }
        outbox.push(ours("newest"), &Keep::Newest("key".into()));
        client.takes(taken);
        shard.walk();
        outbox.conclude(Some(ours("last")), false);
        check(&outbox);
        client.takes(1_000);
        while shard.walk() {}
        let texts = client.texts();
        let begun = taken.div_ceil(numbered(0, 60).len());
        assert_eq!(numbers(&texts[..begun], 'o').len(), begun, "{texts:?}");
        assert_eq!(texts[begun..], ["last"]);
        assert!(outbox.has_ended() && client.peer().gone);
    }
}

#[test]
fn a_client_that_does_not_take_its_last_word_is_noticed() {
    let (outbox, _shard, client) = stream(1_000);
    outbox.push(numbered(0, 60), &Keep::Always);
    outbox.conclude(Some(ours("last")), true);
    check(&outbox);
    assert!(!outbox.keeps_waiting(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended() && client.peer().gone);
}
