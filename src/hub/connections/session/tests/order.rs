//! Sessions whose saving takes its time, while they end or go on.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::{
    backend::{SessionStore, StoredSession, memory},
    error::Result,
    hub::testing::{connect, hub_with_backend, join, member, name, prepare, resume_of},
    hub::{
        CloseReason, Drained, EventSink, Hub, Join, LimitSettings, OutgoingEvent, PendingReply,
        Replay, ResumeRequest,
    },
    model::{Pid, RoomKey, RoomName, UserId},
    sync::lock,
};

/// Sessions that are saved when they are let through, and what became of them.
struct Gated {
    sessions: Arc<dyn SessionStore>,
    gate: Semaphore,
    /// How often saving was asked for.
    asked: Mutex<usize>,
    noted: Mutex<Vec<&'static str>>,
}

#[async_trait::async_trait]
impl SessionStore for Gated {
    async fn save(&self, session: StoredSession) -> Result<()> {
        *lock(&self.asked) += 1;
        self.gate.acquire().await.unwrap().forget();
        lock(&self.noted).push("saved");
        self.sessions.save(session).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        lock(&self.noted).push("ended");
        self.sessions.end(pid).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.sessions.forget(pid).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.sessions.forget_user(user).await
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.sessions.remove_from_room(user, room, reason).await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.sessions.find(pid).await
    }
}

fn gated() -> (Hub, Arc<Gated>) {
    let (mut backend, deliveries) = memory::open(memory::MemoryConfig::default());
    let gated = Arc::new(Gated {
        sessions: backend.sessions.clone(),
        gate: Semaphore::new(0),
        asked: Mutex::default(),
        noted: Mutex::default(),
    });
    backend.sessions = gated.clone();
    let limits = LimitSettings::default();
    (hub_with_backend(backend, deliveries, limits), gated)
}

async fn soon(what: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !what() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok());
}

#[tokio::test]
async fn a_session_whose_end_overtakes_its_saving_ends_all_the_same() {
    let (hub, gated) = gated();
    let (alice, _) = member(&hub, "alice", &[]).await;
    let (saving, saved) = (hub.clone(), alice.clone());
    let saving = tokio::spawn(async move { saving.save_if_new(&saved).await });
    soon(|| *lock(&gated.asked) == 1).await;
    hub.disconnect(&alice);
    soon(|| *lock(&gated.noted) == ["ended"]).await;
    gated.gate.add_permits(1);
    saving.await.unwrap();
    soon(|| *lock(&gated.noted) == ["ended", "saved", "ended"]).await;
}

#[tokio::test]
async fn a_client_that_comes_back_while_its_new_session_is_being_stored_resumes_it() {
    let (hub, gated) = gated();
    let (alice, client) = member(&hub, "alice", &[]).await;
    let (saving, saved) = (hub.clone(), alice.clone());
    let saving = tokio::spawn(async move { saving.save_if_new(&saved).await });
    soon(|| *lock(&gated.asked) == 1).await;
    let named = resume_of(&alice, &client);
    let returning = hub.clone();
    let returning = tokio::spawn(async move { prepare(&returning, "alice", named).await.pid() });
    tokio::task::yield_now().await;
    gated.gate.add_permits(2);
    saving.await.unwrap();
    assert_eq!(returning.await.unwrap(), alice.pid());
    assert!(hub.sessions().unsaved().is_empty());
}

/// A client whose transport takes its time to say in which rooms of the application it is, the first time it is asked: what a
/// session stores has been read by halves then.
struct Interrupted {
    asked: AtomicBool,
    meanwhile: Box<dyn Fn() + Send + Sync>,
}

impl EventSink for Interrupted {
    fn push(&self, _: &OutgoingEvent) {}

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}

    fn rooms(&self) -> Vec<String> {
        if !self.asked.swap(true, Ordering::Relaxed) {
            (self.meanwhile)();
        }
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_room_that_is_joined_while_its_session_is_being_stored_is_in_the_stored_session() {
    let (hub, gated) = gated();
    gated.gate.add_permits(100);
    let prepared = prepare(&hub, "alice", ResumeRequest::NewSession).await;
    let (interrupted, joining) = std::sync::mpsc::sync_channel(1);
    let stored = gated.clone();
    let client = Interrupted {
        asked: AtomicBool::new(false),
        meanwhile: Box::new(move || {
            interrupted.send(()).unwrap();
            // Either the join is stored now, or it waits for its turn.
            let until = Instant::now() + Duration::from_millis(300);
            while *lock(&stored.asked) == 0 && Instant::now() < until {
                std::thread::yield_now();
            }
        }),
    };
    let alice = hub.connect(prepared, Arc::new(client), |_| {}).await;
    let (saving, saved) = (hub.clone(), alice.clone());
    let saving = tokio::spawn(async move { saving.save_if_new(&saved).await });
    tokio::task::block_in_place(|| joining.recv().unwrap());
    join(&hub, &alice, "a").await;
    saving.await.unwrap();
    let stored = gated.find(alice.pid().unwrap()).await.unwrap().unwrap();
    assert!(stored.rooms.iter().any(|(room, _)| *room == name("a")));
}

#[tokio::test]
async fn a_room_that_is_left_while_its_session_is_being_stored_is_not_in_the_stored_session() {
    let (hub, gated) = gated();
    gated.gate.add_permits(1);
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let (leaving, left) = (hub.clone(), alice.clone());
    let leaving = tokio::spawn(async move { leaving.leave(&left, &name("a")).await });
    soon(|| *lock(&gated.asked) == 2).await;
    let state = RawValue::from_string("{}".to_owned()).unwrap();
    alice.set_state(Some(state)).unwrap();
    let (saving, saved) = (hub.clone(), alice.clone());
    let saving = tokio::spawn(async move { saving.save_application(&saved).await });
    tokio::task::yield_now().await;
    gated.gate.add_permits(2);
    leaving.await.unwrap().unwrap();
    saving.await.unwrap();
    let stored = gated.find(alice.pid().unwrap()).await.unwrap().unwrap();
    assert!(stored.rooms.iter().all(|(room, _)| *room != name("a")));
    assert!(stored.application.is_some());
}

#[tokio::test]
async fn a_member_that_is_taken_over_before_its_join_was_stored_is_shown() {
    let (hub, gated) = gated();
    gated.gate.add_permits(1);
    let (alice, client) = member(&hub, "alice", &[]).await;
    hub.save_if_new(&alice).await;
    let (joining, joined) = (hub.clone(), alice.clone());
    let room = RoomName::parse("a").unwrap();
    let request = Join {
        room: room.clone(),
        replay: Replay::Nothing,
    };
    let joining = tokio::spawn(async move { joining.join(&joined, request).await.is_ok() });
    soon(|| alice.memberships().unwrap().contains_key(&room)).await;
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    joining.abort();
    assert!(joining.await.is_err());
    gated.gate.add_permits(1);
    let (again, _) = connect(&hub, prepared).await;
    let shown = hub.presence(&again, room, None, None).await.unwrap();
    assert_eq!(serde_json::to_value(shown).unwrap()["count"], 1);
}

#[tokio::test]
async fn a_node_that_goes_down_closes_who_comes_and_notes_the_end_of_no_session_that_its_store_ends_by_itself()
 {
    let (hub, gated) = gated();
    gated.gate.add_permits(100);
    let (before, _) = member(&hub, "before", &["a"]).await;
    let mut members = Vec::new();
    for number in 0..20 {
        members.push(member(&hub, &format!("user{number}"), &["a"]).await.0);
    }
    hub.disconnect(&before);
    soon(|| lock(&gated.noted).contains(&"ended")).await;
    let prepared = prepare(&hub, "late", ResumeRequest::NewSession).await;

    hub.close_new_connections();
    let (late, client) = connect(&hub, prepared).await;
    client.is_closed(CloseReason::Draining).await;
    hub.save_if_new(&late).await;
    let returning = resume_of(&late, &client);
    for one in members.iter().chain([&late]) {
        assert!(!hub.has_no_connections());
        hub.disconnect(one);
    }
    assert!(hub.has_no_connections());
    let noted = |what| lock(&gated.noted).iter().filter(|it| **it == what).count();
    assert_eq!(noted("ended"), 1, "that of the one who went before");
    let ResumeRequest::Session { pid, .. } = returning else {
        panic!("it has a session");
    };
    assert!(gated.find(pid).await.unwrap().is_some());
}
