//! The probe, frame by frame, and its effect on polls.

use futures_util::poll;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex, split};

use super::*;
use crate::transport::wire::testing;

/// A frame as clients send them, masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    let head = [first, 0x80 | payload.len() as u8];
    head.into_iter().chain(mask).chain(masked).collect()
}

fn text(payload: &[u8]) -> Vec<u8> {
    masked(0x81, payload)
}

/// A running probe: its session's upgrade and outbox, the client's end, and its outcome.
struct Running {
    upgrade: Arc<UpgradeState>,
    outbox: Arc<Outbox>,
    client: DuplexStream,
    outcome: tokio::task::JoinHandle<Option<(StreamReader, StreamWriter)>>,
}

fn running() -> Running {
    let (near, client) = duplex(1 << 12);
    let (reader, writer) = split(near);
    let (upgrade, outbox) = (Arc::<UpgradeState>::default(), testing::outbox());
    let probe = upgrade.start_probe().unwrap();
    let ends = outbox.clone();
    let outcome = tokio::spawn(async move {
        let within = Duration::from_secs(60);
        probe
            .run(Box::new(reader), Box::new(writer), &ends, within)
            .await
    });
    Running {
        upgrade,
        outbox,
        client,
        outcome,
    }
}

impl Running {
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self, expected: &[u8]) {
        let mut read = vec![0; expected.len()];
        self.client.read_exact(&mut read).await.unwrap();
        assert_eq!(read, expected);
    }

    /// The probe fails, its WebSocket is closed, and the session may try again.
    async fn fails(mut self) {
        self.receive(CLOSE_FRAME).await;
        assert_eq!(self.client.read(&mut [0]).await.unwrap(), 0);
        drop(self.client);
        assert!(self.outcome.await.unwrap().is_none());
        assert!(self.upgrade.start_probe().is_some());
    }
}

#[tokio::test]
async fn a_client_that_switches_is_not_read_beyond_its_last_probe_frame() {
    let mut it = running();
    it.send(&text(b"2probe")).await;
    it.receive(PROBE_REPLY).await;
    it.send(&[text(b"5"), b"the rest".to_vec()].concat()).await;
    let (mut reader, _writer) = it.outcome.await.unwrap().unwrap();
    let mut rest = [0; 8];
    reader.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"the rest");
    assert!(it.upgrade.is_done());
    assert!(
        it.upgrade.start_probe().is_none(),
        "a session is upgraded once"
    );
}

#[tokio::test]
async fn pings_are_answered_and_pongs_ignored() {
    let mut it = running();
    it.send(&masked(0x89, b"there?")).await;
    it.receive(b"\x8a\x06there?").await;
    it.send(&[masked(0x8a, b""), text(b"2probe")].concat())
        .await;
    it.receive(PROBE_REPLY).await;
    it.send(&text(b"5")).await;
    assert!(it.outcome.await.unwrap().is_some());
}

#[tokio::test]
async fn an_unexpected_frame_ends_the_probe_and_leaves_the_session_as_it_was() {
    for wrong in [
        text(b"42[\"message\"]"),
        text(b""),
        masked(0x82, b"5"),
        masked(0x88, b""),
        masked(0x01, b"2pro"),
        masked(0xc1, b"5"),
        b"\x81\x015".to_vec(),
        b"\x81\xfe\x01\x00".to_vec(),
    ] {
        let mut it = running();
        it.send(&text(b"2probe")).await;
        it.receive(PROBE_REPLY).await;
        it.send(&wrong).await;
        it.fails().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_times_out_after_a_few_seconds_without_a_frame() {
    running().fails().await;
    let mut it = running();
    it.send(&text(b"2probe")).await;
    it.receive(PROBE_REPLY).await;
    it.fails().await;
}

#[tokio::test(start_paused = true)]
async fn frames_do_not_prolong_a_probe_beyond_its_timeout() {
    let mut it = running();
    let begin = tokio::time::Instant::now();
    while it.client.write_all(&masked(0x8a, b"")).await.is_ok() {
        sleep(Duration::from_secs(1)).await;
        if it.outcome.is_finished() {
            break;
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(65));
    assert!(it.upgrade.start_probe().is_some());
}

#[tokio::test]
async fn a_probe_ends_with_its_session() {
    let mut it = running();
    it.send(&text(b"2probe")).await;
    it.receive(PROBE_REPLY).await;
    it.outbox.end();
    it.fails().await;
}

#[tokio::test]
async fn only_one_probe_runs_at_a_time() {
    let upgrade = Arc::<UpgradeState>::default();
    let probe = upgrade.start_probe().unwrap();
    assert!(upgrade.start_probe().is_none());
    drop(probe);
    assert!(upgrade.start_probe().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_polling_gets_noops_at_growing_intervals() {
    let upgrade = Arc::<UpgradeState>::default();
    let probe = upgrade.start_probe().unwrap();
    let mut first = Box::pin(upgrade.noop_due());
    assert!(
        poll!(&mut first).is_pending(),
        "its probe is not answered yet"
    );
    probe.set(UpgradeStage::Answered);
    let begin = tokio::time::Instant::now();
    first.await;
    let mut answered = 1;
    while begin.elapsed() < FRAME_TIMEOUT {
        upgrade.noop_due().await;
        answered += 1;
    }
    assert!(answered < 12, "{answered} polls in {FRAME_TIMEOUT:?}");
    drop(probe);
    let mut pending = Box::pin(upgrade.noop_due());
    sleep(FRAME_TIMEOUT).await;
    assert!(poll!(&mut pending).is_pending(), "no probe is running");
}

#[tokio::test(start_paused = true)]
async fn the_pending_poll_is_answered_at_once_when_the_client_has_switched() {
    let upgrade = Arc::<UpgradeState>::default();
    let probe = upgrade.start_probe().unwrap();
    probe.set(UpgradeStage::Answered);
    upgrade.noops.store(10, Ordering::Relaxed);
    let turn = upgrade.start_poll().unwrap();
    assert!(
        upgrade.start_poll().is_none(),
        "one poll is pending at a time"
    );
    let mut late = Box::pin(upgrade.noop_due());
    assert!(poll!(&mut late).is_pending());
    probe.set(UpgradeStage::Upgraded);
    late.await;
    drop(turn);
    upgrade.poll_finished().await;
}

proptest! {
    /// Hostile bytes never upgrade unless they are the frames of a probe, and always end it.
    #[test]
    fn bytes_that_are_no_probe_never_upgrade(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut it = running();
            let _ = it.client.write_all(&bytes).await;
            it.client.shutdown().await.unwrap();
            let mut end = Vec::new();
            it.client.read_to_end(&mut end).await.unwrap();
            assert!(it.outcome.await.unwrap().is_none());
            assert!(!it.upgrade.is_done());
        });
    }
}
