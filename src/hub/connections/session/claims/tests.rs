//! Several clients that name the same session.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_session_is_claimed_by_one_client_at_a_time() {
    let claims = Arc::<SessionClaims>::default();
    let pid = Pid::generate();
    let first = claims.claim(pid).await.unwrap();
    assert!(claims.claim(Pid::generate()).await.is_ok());
    let second = tokio::spawn({
        let claims = claims.clone();
        async move { claims.claim(pid).await }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    let second = second.await.unwrap().unwrap();
    let refused = claims.claim(pid).await;
    assert!(
        refused.is_err(),
        "it is claimed for longer than clients wait"
    );
    drop(second);
}
