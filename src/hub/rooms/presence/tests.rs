//! Presence by hand-made cases, and by random histories against a naive model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;

use super::*;

mod nodes;

const GRACE: Duration = Duration::from_millis(5000);

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// Said after all that was said before.
fn stance(status: &str) -> Stance {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Stance {
        profile: Profile {
            name: Some("Some Name".into()),
            status: status.into(),
            info: None,
        },
        idle: false,
        changed: Timestamp(1 + LAST.fetch_add(1, Ordering::Relaxed)),
    }
}

/// What a user says of itself, its name not among it.
fn said(status: &str, info: Option<Arc<RawValue>>) -> Stance {
    let mut stance = stance(status);
    stance.profile.name = None;
    stance.profile.info = info;
    stance
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
        let connection = ConnectionId::fresh();
        let who = Arrival {
            user: user(id),
            stance: stance(status),
        };
        let change = self.presence.enter(connection, who, Timestamp(7));
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

/// When the user leaves whose last connection this is.
fn leave(presence: &mut Presence, connection: ConnectionId, now: Instant) -> Option<Instant> {
    let user = presence.connections.get(&connection)?.clone();
    assert!(
        presence.leave(connection, now).is_none(),
        "nobody is told yet"
    );
    presence.users[&user].own.as_ref()?.leaves
}

fn show(change: &Change) -> String {
    let Change {
        kind, user, count, ..
    } = change;
    format!("{kind:?} {user} {} {count}", change.profile.status)
}

#[test]
fn a_user_in_its_grace_time_can_be_let_go_at_once_and_one_with_a_connection_not() {
    let mut scene = Scene::new(0);
    let (alice, _) = scene.enter("alice", "online");
    assert!(scene.presence.dismiss(&user("alice")).is_none());
    scene.leave(alice);
    let left = scene.presence.dismiss(&user("alice")).unwrap();
    assert_eq!((left.kind, left.count), (ChangeKind::Leave, 0));
    assert!(scene.presence.dismiss(&user("alice")).is_none());
    assert!(scene.presence.count() == 0 && scene.presence.next_deadline().is_none());
}

#[test]
fn a_user_joins_with_the_first_connection_and_leaves_the_grace_time_after_the_last() {
    let mut scene = Scene::new(0);
    let (phone, joined) = scene.enter("alice", "online");
    assert_eq!(joined.as_deref(), Some("Join alice online 1"));
    let (laptop, second) = scene.enter("alice", "busy");
    assert_eq!(second, None, "the user has another connection");
    assert_eq!(scene.presence.connections(), 2);
    assert_eq!(scene.leave(phone), None);
    assert_eq!(scene.leave(phone), None, "it is gone already");
    assert_eq!(scene.leave(laptop), Some(GRACE));
    assert_eq!(scene.presence.next_deadline(), Some(scene.now + GRACE));
    assert!(scene.pass(4999).is_empty());
    assert_eq!(scene.presence.count(), 1);
    assert_eq!(scene.pass(1), ["Leave alice online 0"]);
    assert!(scene.presence.count() == 0);
    assert_eq!(scene.presence.next_deadline(), None);
    assert!(scene.pass(60_000).is_empty());
}

#[test]
fn coming_back_within_the_grace_time_is_no_news_unless_the_profile_is_another() {
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
    let who = Arrival {
        user: user("alice"),
        stance: stance("busy"),
    };
    assert!(
        scene
            .presence
            .enter(connection, who, Timestamp(8))
            .is_none()
    );
    assert_eq!(scene.presence.connections(), 1);
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
fn an_update_is_told_only_when_something_is_different() {
    let mut scene = Scene::new(0);
    scene.enter("alice", "online");
    let presence = &mut scene.presence;
    let mut update = |id: &str, status: &str, info: Option<&str>| {
        let change = presence.update(&user(id), said(status, info.map(json)))?;
        Some((show(&change), change.profile.info.map(|i| i.to_string())))
    };
    assert_eq!(update("alice", "online", None), None);
    assert_eq!(update("bob", "away", None), None, "bob is not here");
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
fn in_a_room_beyond_the_bound_everybody_is_counted_and_nobody_told_of() {
    let mut scene = Scene::new(2);
    let (alice, _) = scene.enter("alice", "online");
    assert_eq!(
        scene.enter("bob", "online").1.as_deref(),
        Some("Join bob online 2")
    );
    let (carol, silent) = scene.enter("carol", "online");
    assert_eq!(silent, None);
    let away = scene.presence.update(&user("bob"), said("away", None));
    assert!(away.is_none());
    assert!(scene.presence.is_crowded());
    assert_eq!(scene.presence.count(), 3);
    assert_eq!(
        scene.listed(),
        ["alice", "bob", "carol"],
        "for whoever asks"
    );
    scene.leave(carol);
    assert!(
        scene.pass(5000).is_empty(),
        "nobody was told, so nobody has to be"
    );
    assert!(!scene.presence.is_crowded());
    scene.leave(alice);
    assert_eq!(scene.pass(5000), ["Leave alice online 1"]);
}

#[test]
fn a_change_and_a_page_read_as_the_contract_says() {
    let mut presence = Presence::new(GRACE, 0);
    let room = RoomName::parse("lobby").unwrap();
    let mut enter = |id: &str, name: Option<&str>, info: Option<&str>| {
        let who = Arrival {
            user: user(id),
            stance: Stance {
                profile: Profile {
                    name: name.map(Into::into),
                    status: "online".into(),
                    info: info.map(json),
                },
                ..stance("")
            },
        };
        let change = presence.enter(ConnectionId::fresh(), who, Timestamp(5));
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

fn check_change(change: Option<&Change>, expected: Expected, most: usize) {
    let told = expected
        .filter(|(kind, _, _, count)| count + usize::from(*kind == ChangeKind::Leave) <= most);
    let change = change.map(|change| {
        let status = STATUSES
            .iter()
            .position(|status| *status == &*change.profile.status);
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
            let who = Arrival {
                user: id(user),
                stance: stance(STATUSES[status]),
            };
            let change = presence.enter(ids[connection], who, Timestamp(1));
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
            let change = presence.update(&id(user), said(STATUSES[status], None));
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
    assert_eq!(presence.count(), model.here.len());
    assert_eq!(presence.connections(), model.open.len());
    assert_eq!(presence.count() == 0, model.here.is_empty());
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
        let ids: Vec<_> = (0..USERS * 2).map(|_| ConnectionId::fresh()).collect();
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
        prop_assert!(presence.count() == 0);
        prop_assert!(model.here.is_empty());
        prop_assert_eq!(presence.next_deadline(), None);
    }
}
