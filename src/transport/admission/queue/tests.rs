//! Order, rate and bounds of waiting connections.

use super::*;
use crate::{error::Code, model::UserId};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);

fn queue(per_second: u32, burst: u32, most: Duration) -> Arc<AdmissionQueue> {
    Arc::new(AdmissionQueue::new(Rate::new(per_second, burst), most))
}

fn user(name: &str) -> Holder {
    Holder::User(UserId::parse(name).unwrap())
}

fn waiting(queue: &AdmissionQueue) -> usize {
    let lanes = [&queue.within_share, &queue.over_share];
    lanes
        .map(|lane| lane.waiting.load(Ordering::Relaxed))
        .iter()
        .sum()
}

#[tokio::test]
async fn early_connections_are_admitted_in_order_at_the_rate() {
    let queue = queue(100, 5, 10 * SECOND);
    let (began, order) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = Vec::new();
    for number in 0..25 {
        let (queue, order) = (queue.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            queue.wait(&user(&number.to_string())).await.unwrap();
            lock(&order).push(number);
        }));
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(*lock(&order), (0..25).collect::<Vec<_>>());
    assert_eq!(waiting(&queue), 0);
}

#[tokio::test]
async fn a_single_address_gets_nearly_the_whole_rate() {
    let queue = queue(100, 6, 10 * SECOND);
    let began = Instant::now();
    let all = (0..25).map(|_| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.wait(&user("proxy")).await })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(190));
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test]
async fn nobody_waits_behind_a_client_that_floods() {
    let queue = queue(10, 20, 60 * SECOND);
    let flood: Vec<_> = (0..500)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.wait(&user("flood")).await })
        })
        .collect();
    while waiting(&queue) < 480 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    for number in 0..10 {
        queue.wait(&user(&number.to_string())).await.unwrap();
    }
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_client_over_its_share_waits_a_bounded_time() {
    let queue = queue(1, 1, SECOND);
    queue.wait(&user("flood")).await.unwrap();
    let late = tokio::spawn({
        let queue = queue.clone();
        async move { queue.wait(&user("flood")).await }
    });
    while waiting(&queue) < 1 {
        tokio::task::yield_now().await;
    }
    // The bucket goes by another clock than the paused one, so it has nothing for it.
    let error = late.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(waiting(&queue), 0);
}

#[tokio::test]
async fn a_connection_that_would_wait_too_long_is_refused_at_once() {
    for users in [["a"; 4], ["a", "b", "c", "d"]] {
        let queue = queue(1, 1, SECOND);
        queue.wait(&user(users[0])).await.unwrap();
        let held: Vec<_> = (1..3)
            .map(|at| {
                let (queue, user) = (queue.clone(), user(users[at]));
                tokio::spawn(async move { queue.wait(&user).await })
            })
            .collect();
        while waiting(&queue) < 2 {
            tokio::task::yield_now().await;
        }
        let error = queue.wait(&user(users[3])).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.retry_after_ms().unwrap() >= 2_000);
        held.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_delays_nobody() {
    let queue = queue(10, 1, 60 * SECOND);
    queue.wait(&user("first")).await.unwrap();
    let began = Instant::now();
    let gone: Vec<_> = (0..100)
        .map(|number| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.wait(&user(&number.to_string())).await })
        })
        .collect();
    while waiting(&queue) < 100 {
        tokio::task::yield_now().await;
    }
    let last = tokio::spawn({
        let queue = queue.clone();
        async move { queue.wait(&user("last")).await }
    });
    gone.iter().for_each(tokio::task::JoinHandle::abort);
    last.await.unwrap().unwrap();
    assert!(began.elapsed() < 5 * SECOND);
    assert_eq!(waiting(&queue), 0);
}

#[tokio::test]
async fn without_a_rate_nobody_waits() {
    let queue = queue(0, 0, Duration::ZERO);
    for _ in 0..100 {
        queue.wait(&user("a")).await.unwrap();
    }
}
