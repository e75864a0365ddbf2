//! Key sets that change, end to end: an authority against a real file and a real HTTP server.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        Authority, AuthorityConfig,
        testing::{Signer, key_set},
    },
    error::Code,
    model::Timestamp,
};

const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_secs(3600);

/// An HTTP server that answers every request with the same text, which the test may change.
#[derive(Clone)]
struct KeyServer {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    delay: Duration,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(answer: Option<String>) -> Self {
        Self::slow(answer, Duration::ZERO).await
    }

    async fn slow(answer: Option<String>, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            delay,
            asked: Arc::default(),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        let answer = self.answer.lock().unwrap().clone();
        let (status, body) = answer.map_or(("503 Busy", String::new()), |body| ("200 OK", body));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        // A client that stops reading because the body is too large is part of the tests.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }

    fn change(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn authority(&self, refresh: Duration, keep: Duration) -> Authority {
        authority(&format!("http://{}/jwks", self.address), refresh, keep)
    }
}

fn authority(jwks: &str, refresh: Duration, keep: Duration) -> Authority {
    Authority::new(AuthorityConfig {
        jwks: Some(jwks.into()),
        jwks_refresh: refresh,
        jwks_keep: keep,
        ..AuthorityConfig::default()
    })
    .unwrap()
}

async fn code(authority: &Authority, token: &str) -> Option<Code> {
    let verified = authority.verify(token, Timestamp::now()).await;
    verified.err().map(|error| error.code())
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_in_the_set_are_good() {
    let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
    let set = key_set(&[("r", &signers[0]), ("e", &signers[1]), ("d", &signers[2])]);
    let server = KeyServer::start(Some(set)).await;
    let authority = server.authority(SELDOM, SELDOM);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    for (signer, kid) in signers.iter().zip(["r", "e", "d"]) {
        assert_eq!(
            code(&authority, &signer.token(Some(kid), "alice")).await,
            None
        );
        assert_eq!(code(&authority, &signer.token(None, "alice")).await, None);
    }
    assert_eq!(server.asked(), 1);
    let forged = Signer::rsa().token(Some("r"), "alice");
    assert_eq!(code(&authority, &forged).await, Some(Code::Unauthorized));
    assert_eq!(server.asked(), 1);
    // The set's public key is no secret that a token could be signed with.
    let forged = Signer::secret(&signers[0].public_pem).token(Some("r"), "alice");
    assert_eq!(code(&authority, &forged).await, Some(Code::Unauthorized));
    assert_eq!(server.asked(), 1);
    stop.cancel();
}

#[tokio::test]
async fn after_a_rotation_both_keys_are_good_for_a_while_and_then_only_the_new_one() {
    let (old, new) = (Signer::ed(), Signer::ec());
    let (old_token, new_token) = (old.token(Some("1"), "u"), new.token(Some("2"), "u"));
    let server = KeyServer::start(Some(key_set(&[("1", &old)]))).await;
    let keep = Duration::from_secs(2);
    let authority = server.authority(OFTEN, keep);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    assert_eq!(code(&authority, &old_token).await, None);

    let rotated = Instant::now();
    server.change(Some(key_set(&[("2", &new)])));
    eventually("the new key is accepted", || async {
        code(&authority, &new_token).await.is_none()
    })
    .await;
    let meanwhile = code(&authority, &old_token).await;
    if rotated.elapsed() < keep {
        assert_eq!(meanwhile, None);
    }
    eventually("the old key is refused", || async {
        code(&authority, &old_token).await == Some(Code::Unauthorized)
    })
    .await;
    assert!(rotated.elapsed() >= keep);
    assert_eq!(code(&authority, &new_token).await, None);
    stop.cancel();
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, key_set(&[("1", &old)])).unwrap();
    let authority = authority(path.to_str().unwrap(), OFTEN, Duration::from_millis(200));
    // Good before `start`: a file is read at once.
    let old_token = old.token(Some("1"), "u");
    assert_eq!(code(&authority, &old_token).await, None);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;

    std::fs::write(&path, key_set(&[("2", &new)])).unwrap();
    eventually("the new key is accepted", || async {
        code(&authority, &new.token(Some("2"), "u")).await.is_none()
    })
    .await;
    eventually("the old key is refused", || async {
        code(&authority, &old_token).await == Some(Code::Unauthorized)
    })
    .await;

    // Broken and even gone, it does not take the key away.
    std::fs::write(&path, "{").unwrap();
    assert_eq!(code(&authority, &old_token).await, Some(Code::Unauthorized));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code(&authority, &old_token).await, Some(Code::Unauthorized));
    assert_eq!(code(&authority, &new.token(Some("2"), "u")).await, None);
    stop.cancel();
}

#[test]
fn a_key_file_that_is_broken_at_the_start_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    for (text, expected) in [
        ("{", "not a JSON Web Key Set"),
        (r#"{"keys":[]}"#, "no usable key"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "no usable key"),
    ] {
        std::fs::write(&path, text).unwrap();
        let problems = Authority::new(AuthorityConfig {
            jwks: Some(path.display().to_string().into()),
            ..AuthorityConfig::default()
        })
        .unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains(expected), "{problems:?}");
    }
}

#[tokio::test]
async fn an_unknown_key_has_the_set_read_once_for_all_who_ask() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let delay = Duration::from_millis(100);
    let server = KeyServer::slow(Some(key_set(&[("1", &old)])), delay).await;
    let authority = server.authority(SELDOM, SELDOM);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    server.change(Some(key_set(&[("1", &old), ("2", &new)])));

    let token = new.token(Some("2"), "u");
    // Whoever asks first and goes away does not spoil it for the others.
    let impatient = tokio::time::timeout(delay / 10, code(&authority, &token)).await;
    assert!(impatient.is_err());
    let asking = (0..10).map(|_| code(&authority, &token));
    assert_eq!(futures_util::future::join_all(asking).await, [None; 10]);
    assert_eq!(server.asked(), 2);

    // Made-up key ids do not make it be read again and again.
    let made_up: Vec<_> = (0..10)
        .map(|n| new.token(Some(&format!("made-up-{n}")), "u"))
        .collect();
    let asking = made_up.iter().map(|token| code(&authority, token));
    let refused = futures_util::future::join_all(asking).await;
    assert_eq!(refused, [Some(Code::Unauthorized); 10]);
    assert_eq!(server.asked(), 3);
    stop.cancel();
}

#[tokio::test]
async fn made_up_keys_do_not_keep_a_new_key_from_being_found() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let server = KeyServer::start(Some(key_set(&[("1", &old)]))).await;
    let authority = server.authority(SELDOM, SELDOM);
    let made_up = new.token(Some("made-up"), "u");
    assert_eq!(code(&authority, &made_up).await, Some(Code::Unauthorized));

    server.change(Some(key_set(&[("1", &old), ("2", &new)])));
    assert_eq!(code(&authority, &new.token(Some("2"), "u")).await, None);
}

#[tokio::test]
async fn those_who_waited_for_a_reading_in_vain_do_not_cause_another() {
    let delay = 5 * OFTEN;
    let server = KeyServer::slow(Some(key_set(&[("1", &Signer::ed())])), delay).await;
    // Not started, so that nothing but unknown keys has the set read; and when the reading ends, the next is due.
    let authority = server.authority(OFTEN, SELDOM);
    let token = Signer::ed().token(Some("2"), "u");
    let asking = (0..10).map(|_| code(&authority, &token));
    let refused = futures_util::future::join_all(asking).await;
    assert_eq!(refused, [Some(Code::Unauthorized); 10]);
    assert_eq!(server.asked(), 1);
    assert_eq!(code(&authority, &token).await, Some(Code::Unauthorized));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn while_the_set_cannot_be_read_the_known_keys_stay_and_none_is_unavailable() {
    let signer = Signer::ed();
    let token = signer.token(Some("1"), "u");
    let server = KeyServer::start(None).await;
    let authority = server.authority(OFTEN, OFTEN);
    assert_eq!(code(&authority, &token).await, Some(Code::Unavailable));
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    assert_eq!(code(&authority, &token).await, Some(Code::Unavailable));
    // Nothing that is in the set could make such a token good.
    let symmetric = Signer::secret("0123456789abcdef0123456789abcdef").token(None, "u");
    assert_eq!(code(&authority, &symmetric).await, Some(Code::Unauthorized));

    server.change(Some(key_set(&[("1", &signer)])));
    eventually("the key is known", || async {
        code(&authority, &token).await.is_none()
    })
    .await;

    for broken in [None, Some("<html>".into()), Some(" ".repeat(300 * 1024))] {
        server.change(broken);
        let asked = server.asked();
        eventually("it was read in vain", || async {
            server.asked() > asked + 1
        })
        .await;
        assert_eq!(code(&authority, &token).await, None);
        let other = signer.token(Some("2"), "u");
        assert_eq!(code(&authority, &other).await, Some(Code::Unauthorized));
    }
    stop.cancel();
}

#[tokio::test]
async fn an_empty_set_takes_the_keys_away() {
    let signer = Signer::ed();
    let token = signer.token(Some("1"), "u");
    let server = KeyServer::start(Some(key_set(&[("1", &signer)]))).await;
    let authority = server.authority(OFTEN, Duration::ZERO);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    assert_eq!(code(&authority, &token).await, None);
    server.change(Some(key_set(&[])));
    eventually("the key is refused", || async {
        code(&authority, &token).await == Some(Code::Unauthorized)
    })
    .await;
    stop.cancel();
}

#[tokio::test]
async fn reading_ends_with_the_token_and_is_started_once() {
    let server = KeyServer::start(Some(key_set(&[("1", &Signer::ed())]))).await;
    let authority = server.authority(OFTEN, OFTEN);
    let stop = CancellationToken::new();
    let task = authority.start(stop.clone()).await.expect("there is a set");
    assert!(authority.clone().start(stop.clone()).await.is_none());
    eventually("it is read again", || async { server.asked() > 2 }).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), task)
        .await
        .expect("the task ends")
        .expect("without a panic");
}
