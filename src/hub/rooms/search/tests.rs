//! What a walk finds, and how many rooms it looks at.

use proptest::prelude::*;

use super::*;
use crate::{
    auth::Grants,
    hub::{Connection, Visitor, rooms::index::RoomIndex},
    model::{Namespace, RoomKey, UserId},
};

/// A user with these grants, or a back end.
struct Someone(Option<Arc<Principal>>);

impl Someone {
    fn with(grants: &str) -> Self {
        Self(Some(Arc::new(Principal {
            user: UserId::parse("alice").unwrap(),
            name: None,
            info: None,
            grants: Arc::new(Grants::parse(grants).unwrap()),
            expires_at: None,
        })))
    }
}

impl Caller for Someone {
    fn namespace(&self) -> &Namespace {
        static ROOT: std::sync::LazyLock<Namespace> = std::sync::LazyLock::new(Namespace::root);
        &ROOT
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        self.0.clone()
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn index<'a>(rooms: impl IntoIterator<Item = &'a str>) -> RoomIndex {
    let index = RoomIndex::default();
    for name in rooms {
        index.insert(&RoomKey {
            namespace: Namespace::root(),
            room: room(name),
        });
    }
    index
}

/// What is found, and how many names were looked at.
fn walk(
    index: &RoomIndex,
    caller: &impl Caller,
    prefix: &str,
    after: Option<&RoomName>,
    most: usize,
) -> (Found, usize) {
    let mut walk = Walk::new(caller, prefix, after, most);
    while let Some(wanted) = walk.wants() {
        let names = index.page(
            caller.namespace(),
            &wanted.prefix,
            wanted.after.as_ref(),
            wanted.most,
        );
        walk.take(&wanted, names, |room| caller.may(Permission::Join, room));
    }
    let looked_at = walk.looked_at;
    (walk.found(), looked_at)
}

fn many() -> RoomIndex {
    let names: Vec<_> = (0..50_000).map(|nth| format!("room-{nth:05}")).collect();
    index(
        names
            .iter()
            .map(String::as_str)
            .chain(["team-7:a", "team-7:b"]),
    )
}

#[test]
fn a_user_who_may_join_none_of_many_rooms_is_answered_without_a_look_at_them() {
    let rooms = many();
    for (grants, most_looked_at) in [
        ("zz*=join", 1),
        ("*=history", 0),
        ("lobby=join", 1),
        ("", 0),
    ] {
        let (found, looked_at) = walk(&rooms, &Someone::with(grants), "", None, 100);
        assert!(found.rooms.is_empty() && found.until.is_none());
        assert!(looked_at <= most_looked_at, "{grants}: {looked_at}");
    }
}

#[test]
fn a_grant_is_looked_for_where_its_rooms_are() {
    let rooms = many();
    for grants in ["team-7:*=join", "team-7:a=join;team-7:b=join;team-7:c=join"] {
        let (found, looked_at) = walk(&rooms, &Someone::with(grants), "", None, 100);
        assert_eq!(found.rooms, [room("team-7:a"), room("team-7:b")]);
        assert!(looked_at <= 3, "{grants}: {looked_at}");
    }
}

#[test]
fn a_walk_that_finds_little_stops_and_goes_on_behind_where_it_stopped() {
    let (rooms, user) = (many(), Someone::with("*:a=join;x*=join"));
    let (mut after, mut found, mut walks) = (None, Vec::new(), 0);
    loop {
        let (page, looked_at) = walk(&rooms, &user, "", after.as_ref(), 100);
        assert!(looked_at <= COMPARISONS / 2, "{looked_at}");
        assert!(page.comparisons <= COMPARISONS);
        found.extend(page.rooms);
        walks += 1;
        match page.until {
            Some(until) => after = Some(until),
            None => break,
        }
    }
    assert_eq!(found, [room("team-7:a")]);
    assert!((10..=13).contains(&walks), "{walks}");
}

#[test]
fn where_a_walk_stops_says_little_of_rooms_that_the_caller_may_not_join() {
    let names: Vec<_> = (0..5_000)
        .map(|nth| format!("patient-{:03}-secret-{nth}", nth / 10))
        .collect();
    let rooms = index(names.iter().map(String::as_str));
    let user = Someone::with("*:public=join;*:open=join;*:all=join");
    let (found, _) = walk(&rooms, &user, "", None, 100);
    let until = found.until.expect("there are more");
    assert!(!until.as_str().contains("secret"), "{until}");
}

proptest! {
    #[test]
    fn pages_together_are_what_a_look_at_every_room_finds(
        names in proptest::collection::btree_set("(user:)?[a-c:]{1,4}", 0..60),
        rules in proptest::collection::vec("[a-c:]{0,2}\\*?[a-c]?", 0..4),
        prefix in "(user:|u)?[a-c]{0,1}",
        back_end in any::<bool>(),
        most in 1usize..5,
    ) {
        let rules: Vec<_> = rules
            .iter()
            .filter(|rule| !rule.is_empty())
            .map(|rule| format!("{rule}=join"))
            .collect();
        let caller = match back_end {
            true => Someone(None),
            false => Someone::with(&rules.join(";")),
        };
        let personal = prefix.starts_with(PERSONAL);
        let expected: Vec<_> = names
            .iter()
            .map(|name| room(name))
            .filter(|room| room.as_str().starts_with(&prefix) && room.is_personal() == personal)
            .filter(|room| caller.may(Permission::Join, room))
            .collect();
        let index = index(names.iter().map(String::as_str));
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let (found, _) = walk(&index, &caller, &prefix, after.as_ref(), most);
            prop_assert!(found.rooms.len() <= most);
            let full = found.rooms.len() == most;
            all.extend(found.rooms);
            after = match full {
                true => all.last().cloned(),
                false => found.until,
            };
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn a_place_between_two_names_is_between_them(one in "[a-c\u{10FFFD}\u{10FFFE}]{1,8}", other in "[a-c\u{10FFFD}\u{10FFFE}]{1,8}") {
        prop_assume!(one != other);
        let (last, next) = (room(one.as_str().min(&other)), room(one.as_str().max(&other)));
        if let Some(place) = between(&last, &next) {
            prop_assert!(last <= place && place < next);
            prop_assert!(RoomName::parse(place.as_str()).is_ok());
        }
    }
}

#[test]
fn a_back_end_finds_whatever_there_is() {
    let back_end = Visitor::back_end(Namespace::root());
    let (found, looked_at) = walk(&many(), &back_end, "", None, 1000);
    assert_eq!((found.rooms.len(), found.until), (1000, None));
    assert_eq!(looked_at, 1000);
}
