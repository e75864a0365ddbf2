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

const SHORT_REFRESH: Duration = Duration::from_millis(20);
const LONG_REFRESH: Duration = Duration::from_secs(3600);

/// An HTTP server that sends the same response to every request; the test may change it.
#[derive(Clone)]
struct KeyServer {
    address: SocketAddr,
    response: Arc<Mutex<Option<String>>>,
    delay: Duration,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(response: Option<String>) -> Self {
        Self::slow(response, Duration::ZERO).await
    }

    async fn slow(response: Option<String>, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            response: Arc::new(Mutex::new(response)),
            delay,
            requests: Arc::default(),
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
        self.requests.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        let body = self.response.lock().unwrap().clone();
        let (status, body) = body.map_or(("503 Busy", String::new()), |body| ("200 OK", body));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        // A client that stops reading because the body is too large is part of the tests.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }

    fn change(&self, response: Option<String>) {
        *self.response.lock().unwrap() = response;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
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
async fn tokens_of_each_kind_of_key_in_the_set_are_accepted() {
    let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
    let set = key_set(&[("r", &signers[0]), ("e", &signers[1]), ("d", &signers[2])]);
    let server = KeyServer::start(Some(set)).await;
    let authority = server.authority(LONG_REFRESH, LONG_REFRESH);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    for (signer, kid) in signers.iter().zip(["r", "e", "d"]) {
        assert_eq!(
            code(&authority, &signer.token(Some(kid), "alice")).await,
            None
        );
        assert_eq!(code(&authority, &signer.token(None, "alice")).await, None);
    }
    assert_eq!(server.requests(), 1);
    let forged = Signer::rsa().token(Some("r"), "alice");
    assert_eq!(code(&authority, &forged).await, Some(Code::Unauthorized));
    assert_eq!(server.requests(), 1);
    // A public key of the set is not accepted as an HMAC secret.
    let forged = Signer::secret(&signers[0].public_pem).token(Some("r"), "alice");
    assert_eq!(code(&authority, &forged).await, Some(Code::Unauthorized));
    assert_eq!(server.requests(), 1);
    stop.cancel();
}

#[tokio::test]
async fn after_a_rotation_both_keys_are_accepted_until_the_old_one_expires() {
    let (old, new) = (Signer::ed(), Signer::ec());
    let (old_token, new_token) = (old.token(Some("1"), "u"), new.token(Some("2"), "u"));
    let server = KeyServer::start(Some(key_set(&[("1", &old)]))).await;
    let keep = Duration::from_secs(2);
    let authority = server.authority(SHORT_REFRESH, keep);
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
    eventually("the old key is rejected", || async {
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
    let authority = authority(
        path.to_str().unwrap(),
        SHORT_REFRESH,
        Duration::from_millis(200),
    );
    // Accepted before `start`: a file is read at once.
    let old_token = old.token(Some("1"), "u");
    assert_eq!(code(&authority, &old_token).await, None);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;

    std::fs::write(&path, key_set(&[("2", &new)])).unwrap();
    eventually("the new key is accepted", || async {
        code(&authority, &new.token(Some("2"), "u")).await.is_none()
    })
    .await;
    eventually("the old key is rejected", || async {
        code(&authority, &old_token).await == Some(Code::Unauthorized)
    })
    .await;

    // An invalid or missing file does not remove the key.
    std::fs::write(&path, "{").unwrap();
    assert_eq!(code(&authority, &old_token).await, Some(Code::Unauthorized));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code(&authority, &old_token).await, Some(Code::Unauthorized));
    assert_eq!(code(&authority, &new.token(Some("2"), "u")).await, None);
    stop.cancel();
}

#[test]
fn a_key_file_that_is_invalid_at_startup_is_a_problem() {
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
async fn an_unknown_key_causes_one_refresh_for_all_requests() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let delay = Duration::from_millis(100);
    let server = KeyServer::slow(Some(key_set(&[("1", &old)])), delay).await;
    let authority = server.authority(LONG_REFRESH, LONG_REFRESH);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    server.change(Some(key_set(&[("1", &old), ("2", &new)])));

    let token = new.token(Some("2"), "u");
    // Cancelling the first request does not cancel the refresh.
    let cancelled = tokio::time::timeout(delay / 10, code(&authority, &token)).await;
    assert!(cancelled.is_err());
    let requests = (0..10).map(|_| code(&authority, &token));
    assert_eq!(futures_util::future::join_all(requests).await, [None; 10]);
    assert_eq!(server.requests(), 2);

    // Made-up key ids cause one more refresh, not one each.
    let made_up: Vec<_> = (0..10)
        .map(|n| new.token(Some(&format!("made-up-{n}")), "u"))
        .collect();
    let requests = made_up.iter().map(|token| code(&authority, token));
    let rejected = futures_util::future::join_all(requests).await;
    assert_eq!(rejected, [Some(Code::Unauthorized); 10]);
    assert_eq!(server.requests(), 3);
    stop.cancel();
}

#[tokio::test]
async fn made_up_keys_do_not_hide_a_new_key() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let server = KeyServer::start(Some(key_set(&[("1", &old)]))).await;
    let authority = server.authority(LONG_REFRESH, LONG_REFRESH);
    let made_up = new.token(Some("made-up"), "u");
    assert_eq!(code(&authority, &made_up).await, Some(Code::Unauthorized));

    server.change(Some(key_set(&[("1", &old), ("2", &new)])));
    assert_eq!(code(&authority, &new.token(Some("2"), "u")).await, None);
}

#[tokio::test]
async fn requests_that_waited_for_a_refresh_do_not_cause_another() {
    let delay = 5 * SHORT_REFRESH;
    let server = KeyServer::slow(Some(key_set(&[("1", &Signer::ed())])), delay).await;
    // Not started, so only unknown keys cause refreshes; and when one ends, the next is due.
    let authority = server.authority(SHORT_REFRESH, LONG_REFRESH);
    let token = Signer::ed().token(Some("2"), "u");
    let requests = (0..10).map(|_| code(&authority, &token));
    let rejected = futures_util::future::join_all(requests).await;
    assert_eq!(rejected, [Some(Code::Unauthorized); 10]);
    assert_eq!(server.requests(), 1);
    assert_eq!(code(&authority, &token).await, Some(Code::Unauthorized));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn while_the_set_is_unavailable_known_keys_stay_and_without_any_verification_is_unavailable()
{
    let signer = Signer::ed();
    let token = signer.token(Some("1"), "u");
    let server = KeyServer::start(None).await;
    let authority = server.authority(SHORT_REFRESH, SHORT_REFRESH);
    assert_eq!(code(&authority, &token).await, Some(Code::Unavailable));
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    assert_eq!(code(&authority, &token).await, Some(Code::Unavailable));
    // No key of a set could have signed such a token.
    let symmetric = Signer::secret("0123456789abcdef0123456789abcdef").token(None, "u");
    assert_eq!(code(&authority, &symmetric).await, Some(Code::Unauthorized));

    server.change(Some(key_set(&[("1", &signer)])));
    eventually("the key is known", || async {
        code(&authority, &token).await.is_none()
    })
    .await;

    for invalid in [None, Some("<html>".into()), Some(" ".repeat(300 * 1024))] {
        server.change(invalid);
        let requests = server.requests();
        eventually("a refresh has failed", || async {
            server.requests() > requests + 1
        })
        .await;
        assert_eq!(code(&authority, &token).await, None);
        let other = signer.token(Some("2"), "u");
        assert_eq!(code(&authority, &other).await, Some(Code::Unauthorized));
    }
    stop.cancel();
}

#[tokio::test]
async fn an_empty_set_removes_the_keys() {
    let signer = Signer::ed();
    let token = signer.token(Some("1"), "u");
    let server = KeyServer::start(Some(key_set(&[("1", &signer)]))).await;
    let authority = server.authority(SHORT_REFRESH, Duration::ZERO);
    let stop = CancellationToken::new();
    authority.start(stop.clone()).await;
    assert_eq!(code(&authority, &token).await, None);
    server.change(Some(key_set(&[])));
    eventually("the key is rejected", || async {
        code(&authority, &token).await == Some(Code::Unauthorized)
    })
    .await;
    stop.cancel();
}

#[tokio::test]
async fn refreshing_starts_once_and_ends_with_the_cancellation_token() {
    let server = KeyServer::start(Some(key_set(&[("1", &Signer::ed())]))).await;
    let authority = server.authority(SHORT_REFRESH, SHORT_REFRESH);
    let stop = CancellationToken::new();
    let task = authority.start(stop.clone()).await.expect("there is a set");
    assert!(authority.clone().start(stop.clone()).await.is_none());
    eventually("it is refreshed", || async { server.requests() > 2 }).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), task)
        .await
        .expect("the task ends")
        .expect("without a panic");
}
