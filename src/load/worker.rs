//! Runs the clients of one thread.

use std::{io, rc::Rc, sync::Arc};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::oneshot,
    time::{Duration, Instant, sleep_until},
};

use super::{
    checker::Checker, client, counters::Counters, plan::Ramp, recorder::Recorder, shard::Shard,
    shared::Shared,
};

/// What a thread has found out.
pub(super) struct Found {
    pub(super) recorder: Recorder,
    /// The clients that joined, and what each received.
    pub(super) checkers: Vec<(usize, Checker)>,
}

/// Runs every `threads`th client, from the client `first` on, until `stop`.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn run(
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    first: usize,
    stop: oneshot::Receiver<()>,
) -> io::Result<Found> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let shard = Rc::new(Shard::new(shared, counters));
    runtime.block_on(async {
        tokio::task::spawn_local(ramp_up(shard.clone(), first));
        // Whether it is told to stop or the conductor is gone.
        let _ = stop.await;
    });
    shard.finish();
    // Tasks hold the shard: it is emptied, not taken apart.
    let recorder = shard.recorder.replace(Recorder::new());
    let checkers = shard.checkers.take();
    drop(runtime);
    let threads = shard.shared.plan.threads;
    let joined = checkers.into_iter().enumerate();
    let joined = joined.filter_map(|(at, checker)| Some((first + at * threads, checker?)));
    Ok(Found {
        recorder,
        checkers: joined.collect(),
    })
}

/// Starts the clients, each when its time has come.
async fn ramp_up(shard: Rc<Shard>, first: usize) {
    let plan = &shard.shared.plan;
    let began = Instant::now();
    for client in (first..plan.clients()).step_by(plan.threads) {
        if let Ramp::PerSecond(rate) = plan.ramp {
            sleep_until(began + Duration::from_secs_f64(client as f64 / rate)).await;
        }
        tokio::task::spawn_local(client::run(shard.clone(), client));
    }
}
