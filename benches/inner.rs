//! Inner loops, without sockets: what is done for every message, or every token. `cargo bench --bench inner`.
//!
//! Only what is part of the API is reached from here. What a message costs with its fan-out and its sockets is in `fanout`.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::value::RawValue;
use switchboard::{
    auth::{Authority, AuthorityConfig, Grants, Permission, TokenClaims, issue},
    backend::{
        Draft, MessageEntries,
        memory::{self, MemoryConfig},
    },
    model::{
        EventName, Message, MessageId, Namespace, Offset, RoomKey, RoomName, Sender, Seq,
        Timestamp, UserId,
    },
};

const SECRET: &str = "a secret for benchmarks, long enough";

/// A message's data: 128 bytes of JSON.
fn data() -> Arc<RawValue> {
    let text = format!("\"{}\"", "x".repeat(126));
    RawValue::from_string(text)
        .expect("a string is JSON")
        .into()
}

fn room() -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse("room-1").expect("the name is valid"),
    }
}

fn sender() -> Sender {
    Sender {
        user: UserId::parse("alice").expect("the name is valid"),
        name: None,
    }
}

/// As it is written once for all members of a room.
fn encode(criterion: &mut Criterion) {
    let message = Message {
        room: room(),
        id: MessageId::generate(),
        seq: Seq(42),
        offset: Offset(4242),
        event: EventName::message(),
        from: Some(sender()),
        data: data(),
        ts: Timestamp::now(),
        except: None,
    };
    criterion.bench_function("a message as JSON", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&message)));
    });
}

/// What every request is checked for: its names, and whether its sender may do that there.
fn check(criterion: &mut Criterion) {
    criterion.bench_function("a room's name", |bencher| {
        bencher.iter(|| RoomName::parse(black_box("room-1")));
    });
    let rules = "team-*=join,publish; user-alice=join; room-*=join,publish";
    let grants = Grants::parse(rules).expect("the rules are valid");
    let room = room().room;
    criterion.bench_function("a permission by the third of three rules", |bencher| {
        bencher.iter(|| grants.allow(Permission::Publish, black_box(&room)));
    });
}

/// Numbering a message, keeping it, and handing it to the node's rooms.
fn append(criterion: &mut Criterion) {
    let runtime = runtime();
    let (backend, mut deliveries) =
        runtime.block_on(async { memory::open(MemoryConfig::default()) });
    let draft = Draft {
        room: room(),
        id: None,
        event: EventName::message(),
        from: Some(sender()),
        data: data(),
        except: None,
        entries: MessageEntries::default(),
    };
    criterion.bench_function("a message to the log in memory", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let receipt = backend.log.append(draft.clone()).await?;
                let appended = receipt.wait().await?;
                while deliveries.try_recv().is_ok() {}
                Ok::<_, switchboard::Error>(appended)
            })
        });
    });
}

/// A client's token, when it connects.
fn verify(criterion: &mut Criterion) {
    let config = AuthorityConfig {
        hmac_secret: Some(SECRET.into()),
        ..AuthorityConfig::default()
    };
    let authority = Authority::new(config).expect("the secret is long enough");
    let claims = TokenClaims::for_user(sender().user);
    let now = Timestamp::now();
    let token = issue(SECRET, &claims, now).expect("the secret is long enough");
    let runtime = runtime();
    criterion.bench_function("a token (HS256)", |bencher| {
        bencher.iter(|| runtime.block_on(authority.verify(black_box(&token), now)));
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("the system has a runtime")
}

criterion_group!(loops, encode, check, append, verify);
criterion_main!(loops);
