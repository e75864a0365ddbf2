//! Typing by hand-made cases, and by random histories against a naive model and a receiver that clears on its own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(3000);

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn typing(id: &str, left: Duration) -> TypingChange {
    TypingChange {
        user: user(id),
        name: None,
        expires_in: Some(left),
    }
}

fn stopped(id: &str) -> TypingChange {
    TypingChange {
        user: user(id),
        name: None,
        expires_in: None,
    }
}

/// A room with a clock that stands where each call says.
struct Scene {
    typing: Typing,
    zero: Instant,
    phone: ConnectionId,
    laptop: ConnectionId,
}

impl Scene {
    fn new(most: usize) -> Self {
        Self {
            typing: Typing::new(TIMEOUT, most),
            zero: Instant::now(),
            phone: ConnectionId::generate(),
            laptop: ConnectionId::generate(),
        }
    }

    fn start(&mut self, at: u64, connection: ConnectionId, id: &str) -> Option<TypingChange> {
        self.typing
            .start(connection, &user(id), None, None, self.zero + ms(at))
    }

    fn finish(&mut self, at: u64, id: &str, message: u64) -> Vec<TypingChange> {
        self.typing
            .finish(&user(id), Seq(message), self.zero + ms(at))
    }

    fn stop(&mut self, at: u64, connection: ConnectionId, id: &str) -> Option<TypingChange> {
        self.typing.stop(connection, &user(id), self.zero + ms(at))
    }

    fn due(&mut self, at: u64) -> Vec<TypingChange> {
        self.typing.take_due(self.zero + ms(at))
    }
}

#[test]
fn other_nodes_are_notified_at_once_and_again_before_they_would_take_a_connection_to_have_stopped()
{
    let mut scene = Scene::new(0);
    let (phone, laptop, alice) = (scene.phone, scene.laptop, user("alice"));
    let mut notifies = |at: u64, connection| {
        scene.start(at, connection, "alice");
        let now = scene.zero + ms(at);
        scene.typing.should_notify_nodes(connection, &alice, now)
    };
    let notified: Vec<_> = (0..40)
        .map(|step| step * 100)
        .filter(|at| notifies(*at, phone))
        .collect();
    assert_eq!(notified, [0, 1000, 2000, 3000]);
    assert!(notifies(4000, laptop), "each connection by itself");
    assert!(scene.typing.is_typing(laptop, &alice));
    scene.stop(4000, laptop, "alice");
    let now = scene.zero + ms(9000);
    assert!(!scene.typing.is_typing(laptop, &alice));
    assert!(
        !scene.typing.should_notify_nodes(laptop, &alice, now),
        "it does not type"
    );
}

#[test]
fn typing_is_announced_once_and_ends_on_its_own() {
    let mut scene = Scene::new(0);
    let phone = scene.phone;
    assert_eq!(
        scene.start(0, phone, "alice"),
        Some(typing("alice", TIMEOUT))
    );
    assert_eq!(scene.typing.next_deadline(), Some(scene.zero + TIMEOUT));
    assert_eq!(scene.due(2999), []);
    assert_eq!(scene.due(3000), [stopped("alice")]);
    assert_eq!(scene.due(9000), []);
    assert!(scene.typing.is_empty());
}

#[test]
fn a_user_who_continues_is_announced_again_when_the_announced_time_ends() {
    let mut scene = Scene::new(0);
    let phone = scene.phone;
    scene.start(0, phone, "alice");
    assert_eq!(scene.start(1000, phone, "alice"), None);
    assert_eq!(scene.start(2000, phone, "alice"), None);
    assert_eq!(scene.due(3000), [typing("alice", ms(2000))]);
    assert_eq!(scene.start(4000, phone, "alice"), None);
    assert_eq!(scene.due(5000), [typing("alice", ms(2000))]);
    assert_eq!(scene.due(7000), [stopped("alice")]);
}

#[test]
fn repeated_typing_keeps_one_entry_per_connection() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    for at in 0..1000 {
        scene.start(at, phone, "alice");
        scene.start(at, laptop, "alice");
    }
    assert_eq!(scene.typing.typists[&user("alice")].connections.len(), 2);
    assert_eq!(scene.typing.due.len(), 1);
}

#[test]
fn a_user_types_until_the_last_of_its_connections_stops() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    scene.start(0, phone, "alice");
    assert_eq!(scene.start(10, laptop, "alice"), None);
    assert_eq!(scene.stop(20, phone, "alice"), None);
    assert_eq!(scene.stop(21, phone, "alice"), None, "it stopped already");
    assert_eq!(scene.stop(30, laptop, "alice"), Some(stopped("alice")));
    assert_eq!(scene.stop(40, laptop, "alice"), None);
    assert!(scene.typing.is_empty());
    assert_eq!(scene.typing.next_deadline(), None);
}

#[test]
fn a_user_ends_with_the_connection_that_remains_even_if_more_was_announced() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    scene.start(0, phone, "alice");
    scene.start(2900, laptop, "alice");
    scene.start(2000, phone, "alice");
    assert_eq!(scene.due(3000), [typing("alice", ms(2900))]);
    assert_eq!(scene.stop(3100, laptop, "alice"), None);
    assert_eq!(scene.due(4999), []);
    assert_eq!(scene.due(5000), [stopped("alice")]);
}

#[test]
fn a_connection_whose_time_is_over_does_not_keep_its_user_typing() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    scene.start(0, phone, "alice");
    scene.start(1000, laptop, "alice");
    scene.due(3000);
    assert_eq!(scene.stop(3001, laptop, "alice"), Some(stopped("alice")));
}

#[test]
fn a_message_ends_typing_on_all_connections_of_its_user_alone() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    scene.start(0, phone, "alice");
    scene.start(0, laptop, "alice");
    scene.start(0, ConnectionId::generate(), "bob");
    assert_eq!(scene.finish(0, "alice", 1), [stopped("alice")]);
    assert_eq!(scene.finish(0, "alice", 2), []);
    assert_eq!(scene.stop(1, laptop, "alice"), None);
    assert_eq!(scene.due(3000), [stopped("bob")]);
}

#[test]
fn a_message_that_is_delivered_late_does_not_end_the_typing_of_the_next_one() {
    let mut scene = Scene::new(0);
    let (phone, laptop) = (scene.phone, scene.laptop);
    let now = scene.zero;
    let alice = user("alice");
    scene.start(0, phone, "alice");
    scene.start(0, laptop, "alice");
    assert!(scene.typing.should_notify_nodes(phone, &alice, now));
    let next = scene
        .typing
        .start(phone, &alice, None, Some(Seq(7)), now + ms(100));
    assert_eq!(next, None);
    let restarted = [stopped("alice"), typing("alice", ms(2900))];
    assert_eq!(scene.finish(200, "alice", 6), restarted);
    assert_eq!(scene.finish(200, "alice", 7), restarted);
    assert_eq!(scene.typing.connections(&alice), [phone]);
    assert!(
        scene
            .typing
            .should_notify_nodes(phone, &alice, now + ms(200)),
        "the message has ended it on other nodes"
    );
    assert_eq!(scene.finish(300, "alice", 8), [stopped("alice")]);
    assert_eq!(scene.due(9000), []);
}

#[test]
fn a_new_member_is_sent_who_is_typing_and_for_how_long() {
    let mut scene = Scene::new(0);
    let phone = scene.phone;
    scene.start(0, phone, "alice");
    scene.start(1000, ConnectionId::generate(), "bob");
    let at = |millis| scene.typing.current(scene.zero + ms(millis));
    assert_eq!(
        at(2000),
        [typing("alice", ms(1000)), typing("bob", ms(2000))]
    );
    assert_eq!(at(3000), [typing("bob", ms(1000))]);
}

#[test]
fn a_new_member_is_told_of_a_start_that_is_announced_later_only_then() {
    let mut scene = Scene::new(0);
    scene.start(0, scene.phone, "alice");
    let ready = scene.zero + ms(500);
    scene.typing.defer(&user("alice"), ready);
    assert_eq!(scene.typing.current(scene.zero + ms(100)), []);
    assert_eq!(scene.due(500), [typing("alice", ms(2500))]);
    assert_eq!(scene.typing.current(ready), [typing("alice", ms(2500))]);
}

#[test]
fn beyond_the_limit_no_user_is_kept_until_there_is_room() {
    let mut scene = Scene::new(1);
    let (phone, other) = (scene.phone, ConnectionId::generate());
    scene.start(0, phone, "alice");
    assert_eq!(scene.start(1, other, "bob"), None);
    assert_eq!(scene.stop(2, other, "bob"), None);
    assert_eq!(scene.start(3, other, "bob"), None);
    assert_eq!(scene.stop(4, phone, "alice"), Some(stopped("alice")));
    assert_eq!(scene.start(5, other, "bob"), Some(typing("bob", TIMEOUT)));
}

#[test]
fn the_event_has_the_documented_shape() {
    let room = RoomName::parse("lobby").unwrap();
    let text = |change: &TypingChange| serde_json::to_string(&change.event(&room)).unwrap();
    let mut change = typing("alice", TIMEOUT);
    assert_eq!(
        text(&change),
        r#"{"room":"lobby","user":"alice","typing":true,"expires_in_ms":3000}"#
    );
    change.expires_in = Some(Duration::from_micros(1));
    assert!(text(&change).ends_with(r#""typing":true,"expires_in_ms":1}"#));
    change.name = Some("Alice".into());
    change.expires_in = None;
    assert_eq!(
        text(&change),
        r#"{"room":"lobby","user":"alice","name":"Alice","typing":false,"expires_in_ms":0}"#
    );
}

const USERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A connection; it belongs to the user of its number modulo `USERS`.
    Start(usize),
    /// A connection whose message is stored, and is the next that is delivered.
    StartNext(usize),
    Stop(usize),
    /// A user's message is delivered.
    Sent(usize),
    /// Time passes without anybody looking.
    Pass(u64),
    Due,
}

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..USERS * 2;
    prop_oneof![
        6 => connection.clone().prop_map(Step::Start),
        2 => connection.clone().prop_map(Step::StartNext),
        2 => connection.prop_map(Step::Stop),
        1 => (0..USERS).prop_map(Step::Sent),
        4 => (1..2000u64).prop_map(Step::Pass),
        4 => Just(Step::Due),
    ]
}

#[derive(Clone, Copy)]
struct Said {
    at: Instant,
    after: u64,
}

/// When each connection last said that it types, and what a receiver shows.
struct Model {
    typing: Typing,
    most: usize,
    ids: Vec<ConnectionId>,
    now: Instant,
    said: BTreeMap<usize, Said>,
    /// The number of the last message that was delivered.
    delivered: u64,
    /// Until when the receiver shows a user unless it hears of it again. It is kept here when that is over, so that
    /// every announcement can be held against the one before.
    shown: BTreeMap<usize, Instant>,
}

impl Model {
    fn new(most: usize) -> Self {
        Self {
            typing: Typing::new(TIMEOUT, most),
            most,
            ids: (0..USERS * 2).map(|_| ConnectionId::generate()).collect(),
            now: Instant::now(),
            said: BTreeMap::new(),
            delivered: 0,
            shown: BTreeMap::new(),
        }
    }

    /// Until when a user types, by what its connections said.
    fn until(&self, user: usize) -> Option<Instant> {
        let own = self.said.iter().filter(|(c, _)| *c % USERS == user);
        own.map(|(_, said)| said.at + TIMEOUT)
            .filter(|until| *until > self.now)
            .max()
    }

    fn receive(&mut self, change: &TypingChange) {
        let user: usize = change.user.as_str()[1..].parse().unwrap();
        let before = self.shown.remove(&user);
        match change.expires_in {
            Some(left) => {
                assert!(before.is_none_or(|until| until <= self.now), "too early");
                assert_eq!(Some(self.now + left), self.until(user));
                self.shown.insert(user, self.now + left);
            }
            None => {
                assert!(before.is_some(), "ended twice");
                assert_eq!(self.until(user), None, "ended while typing");
            }
        }
    }

    fn start(&mut self, connection: usize, after: u64) {
        let (user, at) = (connection % USERS, self.now);
        let fits = self.shown.contains_key(&user) || self.shown.len() < self.most;
        if fits {
            self.said.insert(connection, Said { at, after });
        }
        let (connection, seq) = (self.ids[connection], Seq(after));
        let change = self
            .typing
            .start(connection, &id(user), None, Some(seq), at);
        let fresh = fits && !self.shown.contains_key(&user);
        assert_eq!(change.is_some(), fresh);
        change.iter().for_each(|change| self.receive(change));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Start(connection) => self.start(connection, self.delivered),
            Step::StartNext(connection) => self.start(connection, self.delivered + 1),
            Step::Stop(connection) => {
                let user = connection % USERS;
                self.said.remove(&connection);
                let change = self.typing.stop(self.ids[connection], &id(user), self.now);
                let ends = self.shown.contains_key(&user) && self.until(user).is_none();
                assert_eq!(change.is_some(), ends);
                change.iter().for_each(|change| self.receive(change));
            }
            Step::Sent(user) => {
                self.delivered += 1;
                let message = self.delivered;
                let goes_on = |(_, said): (&usize, &Said)| said.after >= message;
                let mut own = self.said.clone();
                own.retain(|connection, _| connection % USERS == user);
                self.said.retain(|connection, _| connection % USERS != user);
                let changes = self.typing.finish(&id(user), Seq(message), self.now);
                let (end, start) = changes.split_at(changes.len().min(1));
                assert_eq!(!end.is_empty(), self.shown.contains_key(&user));
                end.iter().for_each(|change| self.receive(change));
                self.said.extend(own.iter().filter(|one| goes_on(*one)));
                assert_eq!(!start.is_empty(), self.until(user).is_some());
                start.iter().for_each(|change| self.receive(change));
            }
            Step::Pass(millis) => self.now += ms(millis),
            Step::Due => {
                for change in self.typing.take_due(self.now) {
                    self.receive(&change);
                }
                self.check_up_to_date();
            }
        }
    }

    /// After looking, the receiver shows exactly those who are typing, and somebody new is told the same.
    fn check_up_to_date(&self) {
        let truth: BTreeMap<_, _> = (0..USERS)
            .filter_map(|user| Some((id(user), self.until(user)? - self.now)))
            .collect();
        let shown: Vec<_> = self.shown.keys().map(|user| id(*user)).collect();
        assert_eq!(shown, truth.keys().cloned().collect::<Vec<_>>());
        assert!(self.shown.values().all(|until| *until > self.now));
        let current: BTreeMap<_, _> = self
            .typing
            .current(self.now)
            .into_iter()
            .map(|change| (change.user, change.expires_in.unwrap()))
            .collect();
        assert_eq!(current, truth);
    }

    /// Nothing is overlooked: the next deadline is the first end of a user or of what was announced of it.
    fn check_deadline(&self) {
        let last = |user: usize| {
            let own = self.said.iter().filter(move |(c, _)| *c % USERS == user);
            own.map(|(_, said)| said.at + TIMEOUT).max()
        };
        let next = self
            .shown
            .iter()
            .filter_map(|(user, announced)| Some(last(*user)?.min(*announced)))
            .min();
        assert_eq!(self.typing.next_deadline(), next);
        assert_eq!(self.typing.is_empty(), self.shown.is_empty());
    }
}

fn id(number: usize) -> UserId {
    user(&format!("u{number}"))
}

proptest! {
    #[test]
    fn a_receiver_shows_exactly_those_who_are_typing(
        most in prop_oneof![Just(usize::MAX), 1..USERS],
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut model = Model::new(most);
        for step in steps {
            model.take(step);
            model.check_deadline();
        }
        model.take(Step::Pass(3000));
        model.take(Step::Due);
        prop_assert!(model.shown.is_empty());
        prop_assert!(model.typing.is_empty());
    }

    #[test]
    fn a_connection_that_goes_never_leaves_its_user_typing(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut model = Model::new(usize::MAX);
        for step in steps {
            model.take(step);
        }
        for connection in 0..USERS * 2 {
            model.take(Step::Stop(connection));
        }
        prop_assert!(model.shown.is_empty());
        prop_assert_eq!(model.typing.next_deadline(), None);
    }
}
