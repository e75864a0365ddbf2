//! What a room remembers.

use super::*;
use crate::limits::Rate;

#[test]
fn of_users_that_read_on_other_nodes_and_have_gone_a_bounded_number_is_remembered() {
    let manners = Manners {
        grace: Duration::ZERO,
        room_users: 0,
        typing: Duration::ZERO,
        typists: 0,
        fan_out: Arc::new(FanOut::new(Rate::new(0, 0))),
    };
    let followed = Box::pin(std::future::ready(Ok(())));
    let mut room = Room::new(RoomName::parse("r").unwrap(), manners, followed, true);
    for nth in 0..10_000 {
        let user = UserId::parse(&format!("u{nth}")).unwrap();
        let read = Notice::Read { user, seq: Seq(1) };
        room.hear(RemoteEvent::Notice(read), Instant::now(), Timestamp(1));
    }
    let remembered = room.readers.count();
    assert!(remembered <= shown::READERS + 1, "{remembered}");
}
