//! Pages of live rooms.

use crate::{
    hub::testing::{hub, key, member},
    hub::{RoomsRequest, StatelessCaller},
    model::{Namespace, RoomName},
};

#[tokio::test]
async fn rooms_are_listed_by_name_page_by_page_and_personal_ones_only_when_asked_for() {
    let hub = hub();
    let rooms = ["c", "a", "b", "d"];
    let (_alice, _client) = member(&hub, "alice", &rooms).await;
    let _nobody_is_in_there = hub.rooms().add_poller(&key("aa"));
    let caller = StatelessCaller::back_end(Namespace::root());
    let list = async |prefix: &str, after: Option<&str>| {
        let request = RoomsRequest {
            prefix: prefix.into(),
            after: after.map(|after| RoomName::parse(after).unwrap()),
            limit: Some(3),
            rates: false,
        };
        let page = hub.live_rooms(&caller, &request).await.unwrap();
        let names: Vec<_> = page
            .rooms
            .iter()
            .map(|room| room.room.to_string())
            .collect();
        (names, page.next.map(|next| next.to_string()))
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        list("", None).await,
        (names(&["a", "b", "c"]), Some("c".into()))
    );
    assert_eq!(list("", Some("c")).await, (names(&["d"]), None));
    assert_eq!(list("b", None).await, (names(&["b"]), None));
    assert_eq!(list("user:", None).await, (names(&["user:alice"]), None));
    assert_eq!(list("us", None).await, (names(&[]), None));
}
