use super::*;

#[test]
fn a_connection_floods_once_it_has_been_behind_for_too_long_and_until_it_has_caught_up() {
    let most = Duration::from_secs(20);
    let mut backlog = Backlog::new(most);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    backlog.held_back(start);
    backlog.held_back(after(15));
    assert_eq!(backlog.patience(after(20)), most);
    assert_eq!(backlog.patience(after(21)), Duration::ZERO);
    assert_eq!(backlog.patience(after(60)), Duration::ZERO);
    backlog.caught_up();
    assert_eq!(backlog.patience(after(60)), most);
    backlog.held_back(after(60));
    assert_eq!(backlog.patience(after(80)), most);
}

#[tokio::test]
async fn only_what_has_to_be_waited_for_is_idleness() {
    let mut idle = false;
    assert_eq!(track_idle(&mut idle, std::future::ready(1)).await, 1);
    assert!(!idle);
    track_idle(&mut idle, tokio::task::yield_now()).await;
    assert!(idle);
}

#[test]
fn the_newest_of_a_kind_takes_the_place_and_the_turn_of_the_one_before() {
    let publish = |room: &str, event: &str, data: u32| {
        Publish::new(room.parse().unwrap(), event, &data).unwrap()
    };
    let mut latest = Latest::new();
    let now = Instant::now();
    for (asked, room) in [(1, "a"), (2, "b")] {
        let publish = publish(room, "cursor", asked);
        let (asked, publish) = latest.replace(asked, publish).unwrap_err();
        latest.keep(asked, publish, now);
    }
    assert_eq!(latest.replace(3, publish("a", "cursor", 3)).unwrap(), 1);
    assert!(latest.replace(4, publish("a", "other", 4)).is_err());
    let (asked, first) = latest.take().unwrap();
    assert_eq!((asked, first.data.get()), (3, "3"));
    assert_eq!(latest.take().unwrap().0, 2);
    assert!(latest.take().is_none());
}
