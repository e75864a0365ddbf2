//! Tries whether messages can be stored, where none are: the node says that it is not ready before a client has to find out.
//!
//! One task a lane. It writes by a script of its own, which does what storing a message does, to keys that Redis forgets. That a
//! message was stored lately is as good, and while storing fails it is tried soon again.

use std::sync::{Arc, Weak};

use futures_util::future::join_all;

use super::{
    Reads, Shared,
    keys::Part,
    lanes,
    line::{self, Lost},
    millis, scripts,
};
use crate::{
    backend::health::{HealthCheck, PROBE_IDLE, ProbeSchedule, ProbeThrottle},
    error::Result,
};

/// For whoever wants to know now.
pub(super) struct Probes {
    shared: Arc<Shared>,
    reads: Arc<Reads>,
    /// What is known of each lane, by the part that it is named after.
    lanes: Vec<(Part, Arc<HealthCheck>)>,
    asked: ProbeThrottle,
}

impl Probes {
    /// Probes of every lane; `writes` are what they note it in.
    pub(super) fn new(
        shared: &Arc<Shared>,
        reads: &Arc<Reads>,
        writes: impl IntoIterator<Item = Arc<HealthCheck>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: shared.clone(),
            reads: reads.clone(),
            lanes: lanes::parts(&shared.site).zip(writes).collect(),
            asked: ProbeThrottle::default(),
        })
    }

    /// Begins to try, for as long as somebody uses the log.
    pub(super) fn start(self: &Arc<Self>, used: &Weak<()>) {
        for (part, watch) in &self.lanes {
            let (probes, part, used) = (self.clone(), *part, used.clone());
            let mut pace = ProbeSchedule::of(watch.clone());
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(pace.rest()).await;
                    if used.strong_count() == 0 {
                        return;
                    }
                    if pace.is_due() {
                        probes.probe(part, pace.watch()).await;
                    }
                }
            });
        }
    }

    /// Tries all lanes, unless that was done a moment ago.
    pub(super) async fn look(&self) {
        let all = self.lanes.iter();
        let all = all.map(|(part, watch)| self.probe(*part, watch));
        self.asked.probe(async { drop(join_all(all).await) }).await;
    }

    async fn probe(&self, part: Part, watch: &HealthCheck) {
        match self.write(part).await {
            Ok(()) => watch.record_success(),
            Err(error) => watch.record_failure(line::reason(&error)),
        }
    }

    async fn write(&self, lane: Part) -> Result<()> {
        let (now, keys) = ((self.shared.clock)(), &self.shared.keys);
        let calls = self.shared.parts_of(lane).map(|part| {
            let mut probe = scripts::probe([
                &keys.offset(part),
                &keys.rooms(part),
                &keys.ended(part),
                &keys.live(part),
                &keys.nodes(part),
                &keys.incarnation(lane),
                &keys.forgotten(part),
                &keys.probe(part, "id"),
                &keys.probe(part, "hash"),
                &keys.probe(part, "set"),
                &keys.probe(part, "channel"),
            ]);
            probe
                .arg(self.shared.publish())
                .arg(now.now.0)
                .arg(millis(2 * PROBE_IDLE));
            probe
        });
        let calls: Vec<_> = calls.collect();
        for answer in self.reads.of(lane).run(&calls, Lost::Repeat).await? {
            // Some of the probe's keys do not exist, for which Redis refuses all of them while their slot migrates.
            if !line::is_migrating(&answer) {
                line::checked(answer)?;
            }
        }
        Ok(())
    }
}
