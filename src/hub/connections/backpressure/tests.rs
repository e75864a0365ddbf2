//! When a connection floods, and how waiting events are conflated.

use super::*;

#[test]
fn a_connection_floods_once_it_has_been_behind_for_too_long_and_until_it_has_caught_up() {
    let max_age = Duration::from_secs(20);
    let mut backlog = RateBacklog::new(max_age);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    backlog.start(start);
    backlog.start(after(15));
    assert_eq!(backlog.max_wait(after(20)), max_age);
    assert_eq!(backlog.max_wait(after(21)), Duration::ZERO);
    assert_eq!(backlog.max_wait(after(60)), Duration::ZERO);
    backlog.reset();
    assert_eq!(backlog.max_wait(after(60)), max_age);
    backlog.start(after(60));
    assert_eq!(backlog.max_wait(after(80)), max_age);
}

#[tokio::test]
async fn a_client_is_idle_only_if_its_next_request_has_to_be_awaited() {
    let mut idle = false;
    assert_eq!(track_idle(&mut idle, std::future::ready(1)).await, 1);
    assert!(!idle);
    track_idle(&mut idle, tokio::task::yield_now()).await;
    assert!(idle);
}

#[test]
fn the_newest_event_of_a_name_replaces_the_queued_one_in_its_place() {
    let publish = |room: &str, event: &str, data: u32| {
        Publish::new(room.parse().unwrap(), event, &data).unwrap()
    };
    let mut queue = ConflatingQueue::new();
    let now = Instant::now();
    for (target, room) in [(1, "a"), (2, "b")] {
        let publish = publish(room, "cursor", target);
        let (target, publish) = queue.replace(target, publish).unwrap_err();
        queue.push(target, publish, now);
    }
    assert_eq!(queue.replace(3, publish("a", "cursor", 3)).unwrap(), 1);
    assert!(queue.replace(4, publish("a", "other", 4)).is_err());
    let (target, first) = queue.pop().unwrap();
    assert_eq!((target, first.data.get()), (3, "3"));
    assert_eq!(queue.pop().unwrap().0, 2);
    assert!(queue.pop().is_none());
}
