//! Presence by hand-made cases, and by random histories against a naive model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;

use serde_json::value::RawValue;

use super::*;
use crate::model::RoomName;

mod nodes;

const GRACE: Duration = Duration::from_millis(5000);

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// A status set after all others.
fn new_status(status: &str) -> UserStatus {
    static LAST: AtomicU64 = AtomicU64::new(0);
    UserStatus {
        name: Some("Some Name".into()),
        status: status.into(),
        info: None,
        idle: false,
        changed: Timestamp(1 + LAST.fetch_add(1, Ordering::Relaxed)),
    }
}

/// A status without a name.
fn unnamed_status(status: &str, info: Option<Arc<RawValue>>) -> UserStatus {
    let mut status = new_status(status);
    status.name = None;
    status.info = info;
    status
}

fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.into()).unwrap().into()
}

/// A room with a clock that is moved by hand.
struct Scene {
    presence: Presence,
    now: Instant,
}

impl Scene {
    fn new(most: usize) -> Self {
        Self {
            presence: Presence::new(GRACE, most),
            now: Instant::now(),
        }
    }

    fn enter(&mut self, id: &str, status: &str) -> (ConnectionId, Option<String>) {
        let connection = ConnectionId::generate();
        let (user_id, status) = (user(id), new_status(status));
        let change = self
            .presence
            .enter(connection, user_id, status, Timestamp(7));
        (connection, change.map(|change| show(&change)))
    }

    fn leave(&mut self, connection: ConnectionId) -> Option<Duration> {
        let deadline = leave(&mut self.presence, connection, self.now)?;
        Some(deadline - self.now)
    }

    fn pass(&mut self, millis: u64) -> Vec<String> {
        self.now += Duration::from_millis(millis);
        self.presence.expire(self.now).iter().map(show).collect()
    }

    fn listed(&self) -> Vec<String> {
        let page = self.presence.page(None, usize::MAX);
        page.users.iter().map(|u| u.user.to_string()).collect()
    }
}

/// When the user leaves, if this is its last connection.
fn leave(presence: &mut Presence, connection: ConnectionId, now: Instant) -> Option<Instant> {
    let user = user_of(presence, connection)?;
    assert!(
        presence.leave(connection, &user, now).is_none(),
        "nothing is announced yet"
    );
    presence.users[&user].local.as_ref()?.expires()
}

/// The user that has entered by a connection.
fn user_of(presence: &Presence, connection: ConnectionId) -> Option<UserId> {
    let mut users = presence.users.keys();
    let user = users.find(|user| presence.has_connection(user, connection))?;
    Some(user.clone())
}

fn show(change: &PresenceChange) -> String {
    let PresenceChange {
        kind, user, count, ..
    } = change;
    format!("{kind:?} {user} {} {count}", change.status.displayed())
}

#[test]
fn the_grace_time_of_a_user_can_be_ended_unless_it_has_a_connection() {
    let mut scene = Scene::new(0);
    let (alice, _) = scene.enter("alice", "online");
    assert!(scene.presence.end_grace(&user("alice")).is_none());
    scene.leave(alice);
    let left = scene.presence.end_grace(&user("alice")).unwrap();
    assert_eq!((left.kind, left.count), (ChangeKind::Leave, 0));
    assert!(scene.presence.end_grace(&user("alice")).is_none());
    assert!(scene.presence.user_count() == 0 && scene.presence.next_deadline().is_none());
}

#[test]
fn a_user_joins_with_its_first_connection_and_leaves_the_grace_time_after_its_last() {
    let mut scene = Scene::new(0);
    let (phone, joined) = scene.enter("alice", "online");
    assert_eq!(joined.as_deref(), Some("Join alice online 1"));
    let (laptop, second) = scene.enter("alice", "busy");
    assert_eq!(second, None, "the user has another connection");
    assert_eq!(scene.presence.connection_count(), 2);
    assert_eq!(scene.leave(phone), None);
    assert_eq!(scene.leave(phone), None, "it has left already");
    assert_eq!(scene.leave(laptop), Some(GRACE));
    assert_eq!(scene.presence.next_deadline(), Some(scene.now + GRACE));
    assert!(scene.pass(4999).is_empty());
    assert_eq!(scene.presence.user_count(), 1);
    assert_eq!(scene.pass(1), ["Leave alice online 0"]);
    assert!(scene.presence.user_count() == 0);
    assert_eq!(scene.presence.next_deadline(), None);
    assert!(scene.pass(60_000).is_empty());
}

#[test]
fn reconnecting_within_the_grace_time_is_not_announced_unless_the_status_is_different() {
    let mut scene = Scene::new(0);
    let (first, _) = scene.enter("alice", "online");
    scene.leave(first);
    scene.pass(4999);
    let (second, change) = scene.enter("alice", "online");
    assert_eq!(change, None);
    assert!(scene.pass(60_000).is_empty(), "the leave was cancelled");
    scene.leave(second);
    let (_, change) = scene.enter("alice", "away");
    assert_eq!(change.as_deref(), Some("Update alice away 1"));
    assert_eq!(scene.presence.next_deadline(), None);
}

#[test]
fn entering_again_with_the_same_connection_counts_once() {
    let mut scene = Scene::new(0);
    let (connection, _) = scene.enter("alice", "online");
    let (user_id, status) = (user("alice"), new_status("busy"));
    assert!(
        scene
            .presence
            .enter(connection, user_id, status, Timestamp(8))
            .is_none()
    );
    assert_eq!(scene.presence.connection_count(), 1);
    assert_eq!(scene.leave(connection), Some(GRACE));
}

#[test]
fn leaves_come_in_the_order_of_their_deadlines() {
    let mut scene = Scene::new(0);
    let connections: Vec<_> = ["carol", "alice", "bob"]
        .map(|id| scene.enter(id, "online").0)
        .into();
    for connection in connections {
        scene.leave(connection);
        scene.now += Duration::from_millis(1);
    }
    assert_eq!(
        scene.pass(5000),
        [
            "Leave carol online 2",
            "Leave alice online 1",
            "Leave bob online 0"
        ]
    );
}

#[test]
fn an_update_is_announced_only_if_something_else_is_shown() {
    let mut scene = Scene::new(0);
    scene.enter("alice", "online");
    let presence = &mut scene.presence;
    let mut update = |id: &str, status: &str, info: Option<&str>| {
        let change = presence.update(&user(id), unnamed_status(status, info.map(json)))?;
        Some((show(&change), change.status.info.map(|i| i.to_string())))
    };
    assert_eq!(update("alice", "online", None), None);
    assert_eq!(update("bob", "away", None), None, "bob is not in the room");
    let (away, info) = update("alice", "away", Some(r#"{"a":1}"#)).unwrap();
    assert_eq!(away, "Update alice away 1");
    assert_eq!(info.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(update("alice", "away", Some(r#"{"a":1}"#)), None);
    let (_, info) = update("alice", "busy", None).unwrap();
    assert_eq!(
        info.as_deref(),
        Some(r#"{"a":1}"#),
        "a status alone keeps the info"
    );
    assert!(update("alice", "busy", Some(r#"{"a":2}"#)).is_some());
}

#[test]
fn pages_together_list_everybody_once_and_the_last_says_so() {
    let mut scene = Scene::new(0);
    for id in ["e", "b", "d", "a", "c"] {
        scene.enter(id, "online");
    }
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut after = None;
    loop {
        let page = scene.presence.page(after.as_ref(), 2);
        pages.push(page.users.iter().map(|u| u.user.to_string()).collect());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    let whole = scene.presence.page(Some(&user("bb")), 3);
    assert_eq!(whole.users.len(), 3, "c, d, e: bb need not be here");
    assert_eq!(whole.next, None);
    assert!(scene.presence.page(None, 0).next.is_none());
}

#[test]
fn in_a_room_beyond_the_limit_all_users_are_counted_and_none_announced() {
    let mut scene = Scene::new(2);
    let (alice, _) = scene.enter("alice", "online");
    assert_eq!(
        scene.enter("bob", "online").1.as_deref(),
        Some("Join bob online 2")
    );
    let (carol, silent) = scene.enter("carol", "online");
    assert_eq!(silent, None);
    let away = scene
        .presence
        .update(&user("bob"), unnamed_status("away", None));
    assert!(away.is_none());
    assert!(scene.presence.is_crowded());
    assert_eq!(scene.presence.user_count(), 3);
    assert_eq!(
        scene.listed(),
        ["alice", "bob", "carol"],
        "a page lists them"
    );
    scene.leave(carol);
    assert!(
        scene.pass(5000).is_empty(),
        "the join was not announced, so neither is the leave"
    );
    assert!(!scene.presence.is_crowded());
    scene.leave(alice);
    assert_eq!(scene.pass(5000), ["Leave alice online 1"]);
}

#[test]
fn a_change_and_a_page_have_the_documented_shape() {
    let mut presence = Presence::new(GRACE, 0);
    let room = RoomName::parse("lobby").unwrap();
    let mut enter = |id: &str, name: Option<&str>, info: Option<&str>| {
        let status = UserStatus {
            name: name.map(Into::into),
            status: "online".into(),
            info: info.map(json),
            ..new_status("")
        };
        let change = presence.enter(ConnectionId::generate(), user(id), status, Timestamp(5));
        serde_json::to_string(&change.unwrap().event(&room, Timestamp(9))).unwrap()
    };
    assert_eq!(
        enter("alice", Some("Alice"), Some(r#"{"b":1.0}"#)),
        r#"{"room":"lobby","event":"join","user":"alice","name":"Alice","status":"online","info":{"b":1.0},"count":1,"ts":9}"#
    );
    assert_eq!(
        enter("bob", None, None),
        r#"{"room":"lobby","event":"join","user":"bob","status":"online","count":2,"ts":9}"#
    );
    assert_eq!(
        serde_json::to_string(&presence.page(None, 9).users).unwrap(),
        concat!(
            r#"[{"user":"alice","name":"Alice","status":"online","info":{"b":1.0},"connections":1,"since":5},"#,
            r#"{"user":"bob","status":"online","connections":1,"since":5}]"#
        )
    );
}

const USERS: usize = 5;
const STATUSES: [&str; 2] = ["online", "away"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A connection; it belongs to the user of its number modulo `USERS`.
    Enter(usize, usize),
    Leave(usize),
    Update(usize, usize),
    Pass(u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..USERS * 2;
    prop_oneof![
        4 => (connection.clone(), 0..2usize).prop_map(|(c, s)| Step::Enter(c, s)),
        4 => connection.prop_map(Step::Leave),
        1 => (0..USERS, 0..2usize).prop_map(|(u, s)| Step::Update(u, s)),
        3 => (1..4000u64).prop_map(Step::Pass),
        2 => Just(Step::Expire),
    ]
}

/// What was done, kept as plainly as possible.
#[derive(Default)]
struct Model {
    open: BTreeSet<usize>,
    /// Per user, when its last connection went.
    gone: HashMap<usize, Instant>,
    /// Status by user, of those with a connection and those whose grace is not over.
    here: BTreeMap<usize, usize>,
}

impl Model {
    fn connected(&self, user: usize) -> usize {
        self.open.iter().filter(|c| *c % USERS == user).count()
    }
}

fn id(number: usize) -> UserId {
    user(&format!("u{number}"))
}

fn number(user: &UserId) -> usize {
    user.as_str()[1..].parse().unwrap()
}

/// A change as kind, user, status and count.
type Expected = Option<(ChangeKind, usize, usize, usize)>;

fn check_change(change: Option<&PresenceChange>, expected: Expected, most: usize) {
    let told = expected
        .filter(|(kind, _, _, count)| count + usize::from(*kind == ChangeKind::Leave) <= most);
    let change = change.map(|change| {
        let status = STATUSES
            .iter()
            .position(|status| *status == &*change.status.displayed());
        (
            change.kind,
            number(&change.user),
            status.unwrap(),
            change.count,
        )
    });
    assert_eq!(change, told);
}

/// Takes one step in both, and checks that the change is the one that the rules ask for.
fn take(
    step: Step,
    presence: &mut Presence,
    model: &mut Model,
    ids: &[ConnectionId],
    most: usize,
    now: Instant,
) {
    match step {
        Step::Enter(connection, status) => {
            let user = connection % USERS;
            let (before, connected) = (model.here.get(&user).copied(), model.connected(user));
            model.open.insert(connection);
            let entered = new_status(STATUSES[status]);
            let change = presence.enter(ids[connection], id(user), entered, Timestamp(1));
            let kind = match before {
                None => Some(ChangeKind::Join),
                Some(shown) if connected == 0 && shown != status => Some(ChangeKind::Update),
                Some(_) => None,
            };
            if kind.is_some() {
                model.here.insert(user, status);
            }
            let expected = kind.map(|kind| (kind, user, status, model.here.len()));
            check_change(change.as_ref(), expected, most);
        }
        Step::Leave(connection) => {
            let user = connection % USERS;
            let last = model.open.remove(&connection) && model.connected(user) == 0;
            let deadline = leave(presence, ids[connection], now);
            assert_eq!(deadline, last.then(|| now + GRACE));
            if last {
                model.gone.insert(user, now);
            }
        }
        Step::Update(user, status) => {
            let differs = model.here.get(&user).is_some_and(|shown| *shown != status);
            let change = presence.update(&id(user), unnamed_status(STATUSES[status], None));
            if differs {
                model.here.insert(user, status);
            }
            let expected = differs.then_some((ChangeKind::Update, user, status, model.here.len()));
            check_change(change.as_ref(), expected, most);
        }
        Step::Pass(_) => {}
        Step::Expire => expire(presence, model, most, now),
    }
}

/// Exactly those leave who have been without a connection for the grace time, the longest gone first.
fn expire(presence: &mut Presence, model: &mut Model, most: usize, now: Instant) {
    let mut over: Vec<_> = model
        .here
        .keys()
        .filter(|user| model.connected(**user) == 0 && model.gone[user] + GRACE <= now)
        .map(|user| (model.gone[user], *user))
        .collect();
    over.sort();
    let mut changes = presence.expire(now).into_iter();
    for (_, user) in over {
        let status = model.here.remove(&user).unwrap();
        let count = model.here.len();
        if count < most {
            let expected = Some((ChangeKind::Leave, user, status, count));
            check_change(changes.next().as_ref(), expected, most);
        }
    }
    assert!(changes.next().is_none());
}

/// What must be true at any time.
fn check(presence: &Presence, model: &Model, most: usize) {
    assert_eq!(presence.user_count(), model.here.len());
    assert_eq!(presence.connection_count(), model.open.len());
    assert_eq!(presence.user_count() == 0, model.here.is_empty());
    assert_eq!(presence.is_crowded(), model.here.len() > most);
    let page = presence.page(None, usize::MAX).users;
    let listed: BTreeMap<_, _> = page
        .iter()
        .map(|present| (number(&present.user), present.status.to_string()))
        .collect();
    let here: BTreeMap<_, _> = model
        .here
        .iter()
        .map(|(user, status)| (*user, STATUSES[*status].to_owned()))
        .collect();
    assert_eq!(listed, here);
    for present in page {
        assert_eq!(present.connections, model.connected(number(&present.user)));
    }
    let next = model
        .here
        .keys()
        .filter(|user| model.connected(**user) == 0)
        .map(|user| model.gone[user] + GRACE)
        .min();
    assert_eq!(presence.next_deadline(), next);
}

proptest! {
    #[test]
    fn whatever_happens_each_user_joins_and_leaves_once_and_the_counts_are_exact(
        most in prop_oneof![Just(usize::MAX), 1..USERS],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut presence = Presence::new(GRACE, most);
        let mut model = Model::default();
        let ids: Vec<_> = (0..USERS * 2).map(|_| ConnectionId::generate()).collect();
        let mut now = Instant::now();
        for step in steps {
            if let Step::Pass(millis) = step {
                now += Duration::from_millis(millis);
            }
            take(step, &mut presence, &mut model, &ids, most, now);
            check(&presence, &model, most);
        }
        for connection in 0..USERS * 2 {
            take(Step::Leave(connection), &mut presence, &mut model, &ids, most, now);
        }
        take(Step::Expire, &mut presence, &mut model, &ids, most, now + GRACE);
        prop_assert!(presence.user_count() == 0);
        prop_assert!(model.here.is_empty());
        prop_assert_eq!(presence.next_deadline(), None);
    }
}
