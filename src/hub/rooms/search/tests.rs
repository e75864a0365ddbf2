//! What a search finds, and how many names it reads.

use proptest::prelude::*;

use super::*;
use crate::{
    auth::Grants,
    hub::{Connection, StatelessCaller, rooms::index::RoomIndex},
    model::{Namespace, RoomKey, UserId},
};

/// A user with these grants, or a back end.
struct TestCaller(Option<Arc<Principal>>);

impl TestCaller {
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

impl Caller for TestCaller {
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

/// What is found, and how many names were read.
fn search(
    index: &RoomIndex,
    caller: &impl Caller,
    prefix: &str,
    after: Option<&RoomName>,
    most: usize,
) -> (SearchResult, usize) {
    let mut search = RoomSearch::new(caller, prefix, after, most);
    while let Some(query) = search.next_query() {
        let names = index.page(
            caller.namespace(),
            &query.prefix,
            query.after.as_ref(),
            query.limit,
        );
        search.add_names(&query, names, |room| caller.may(Permission::Join, room));
    }
    let names_read = search.names_read;
    (search.finish(), names_read)
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
fn a_search_for_a_user_who_may_join_none_of_many_rooms_reads_no_names() {
    let rooms = many();
    for (grants, most_names_read) in [
        ("zz*=join", 1),
        ("*=history", 0),
        ("lobby=join", 1),
        ("", 0),
    ] {
        let (found, names_read) = search(&rooms, &TestCaller::with(grants), "", None, 100);
        assert!(found.rooms.is_empty() && found.stopped_at.is_none());
        assert!(names_read <= most_names_read, "{grants}: {names_read}");
    }
}

#[test]
fn a_search_starts_where_the_rooms_of_a_grant_are() {
    let rooms = many();
    for grants in ["team-7:*=join", "team-7:a=join;team-7:b=join;team-7:c=join"] {
        let (found, names_read) = search(&rooms, &TestCaller::with(grants), "", None, 100);
        assert_eq!(found.rooms, [room("team-7:a"), room("team-7:b")]);
        assert!(names_read <= 3, "{grants}: {names_read}");
    }
}

#[test]
fn a_search_that_finds_little_stops_and_the_next_continues_after_it() {
    let (rooms, user) = (many(), TestCaller::with("*:a=join;x*=join"));
    let (mut after, mut found, mut searches) = (None, Vec::new(), 0);
    loop {
        let (page, names_read) = search(&rooms, &user, "", after.as_ref(), 100);
        assert!(names_read <= MAX_COMPARISONS / 2, "{names_read}");
        assert!(page.comparisons <= MAX_COMPARISONS);
        found.extend(page.rooms);
        searches += 1;
        match page.stopped_at {
            Some(stopped_at) => after = Some(stopped_at),
            None => break,
        }
    }
    assert_eq!(found, [room("team-7:a")]);
    assert!((10..=13).contains(&searches), "{searches}");
}

#[test]
fn where_a_search_stops_reveals_little_of_rooms_that_the_caller_may_not_join() {
    let names: Vec<_> = (0..5_000)
        .map(|nth| format!("patient-{:03}-secret-{nth}", nth / 10))
        .collect();
    let rooms = index(names.iter().map(String::as_str));
    let user = TestCaller::with("*:public=join;*:open=join;*:all=join");
    let (found, _) = search(&rooms, &user, "", None, 100);
    let stopped_at = found.stopped_at.expect("there are more");
    assert!(!stopped_at.as_str().contains("secret"), "{stopped_at}");
}

proptest! {
    #[test]
    fn pages_together_are_what_a_scan_of_all_rooms_finds(
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
            true => TestCaller(None),
            false => TestCaller::with(&rules.join(";")),
        };
        let personal = prefix.starts_with(PERSONAL_ROOM_PREFIX);
        let expected: Vec<_> = names
            .iter()
            .map(|name| room(name))
            .filter(|room| room.as_str().starts_with(&prefix) && room.is_personal() == personal)
            .filter(|room| caller.may(Permission::Join, room))
            .collect();
        let index = index(names.iter().map(String::as_str));
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let (found, _) = search(&index, &caller, &prefix, after.as_ref(), most);
            prop_assert!(found.rooms.len() <= most);
            let full = found.rooms.len() == most;
            all.extend(found.rooms);
            after = match full {
                true => all.last().cloned(),
                false => found.stopped_at,
            };
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn a_text_between_two_names_is_between_them(one in "[a-c\u{10FFFD}\u{10FFFE}]{1,8}", other in "[a-c\u{10FFFD}\u{10FFFE}]{1,8}") {
        prop_assume!(one != other);
        let (last, next) = (room(one.as_str().min(&other)), room(one.as_str().max(&other)));
        if let Some(place) = between(&last, &next) {
            prop_assert!(last <= place && place < next);
            prop_assert!(RoomName::parse(place.as_str()).is_ok());
        }
    }
}

#[test]
fn a_back_end_finds_all_rooms() {
    let back_end = StatelessCaller::back_end(Namespace::root());
    let (found, names_read) = search(&many(), &back_end, "", None, 1000);
    assert_eq!((found.rooms.len(), found.stopped_at), (1000, None));
    assert_eq!(names_read, 1000);
}
