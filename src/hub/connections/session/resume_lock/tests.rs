//! Several clients that name the same session.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_session_is_locked_by_one_client_at_a_time() {
    let locks = Arc::<ResumeLocks>::default();
    let pid = Pid::generate();
    let first = locks.acquire(pid).await.unwrap();
    assert!(locks.acquire(Pid::generate()).await.is_ok());
    let second = tokio::spawn({
        let locks = locks.clone();
        async move { locks.acquire(pid).await }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    let second = second.await.unwrap().unwrap();
    let refused = locks.acquire(pid).await;
    assert!(
        refused.is_err(),
        "it is locked for longer than clients wait"
    );
    drop(second);
}
