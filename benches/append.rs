//! Appends a second, by backend, durability, and number of concurrent senders. Each case runs for half a second; `cargo bench --bench append`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use switchboard::{
    backend::{
        Backend, Deliveries, Draft, Log, MessageEntries, Synchronous,
        memory::{self, MemoryConfig},
        sqlite::{self, SqliteConfig},
    },
    model::{EventName, Namespace, RoomKey, RoomName},
};

const CASE_DURATION: Duration = Duration::from_millis(500);
const ROOMS: usize = 16;

fn draft(sender: usize) -> Result<Draft, Box<dyn std::error::Error>> {
    Ok(Draft {
        room: RoomKey {
            namespace: Namespace::root(),
            room: RoomName::parse(&format!("room-{}", sender % ROOMS))?,
        },
        id: None,
        event: EventName::message(),
        from: None,
        data: RawValue::from_string(format!("\"{}\"", "x".repeat(126)))?.into(),
        except: None,
        entries: MessageEntries::default(),
    })
}

/// Appends until `end`, one message at a time.
async fn send(log: Arc<dyn Log>, draft: Draft, end: Instant) -> u64 {
    let mut sent = 0;
    while Instant::now() < end {
        let Ok(receipt) = log.append(draft.clone()).await else {
            break;
        };
        if receipt.wait().await.is_err() {
            break;
        }
        sent += 1;
    }
    sent
}

async fn measure(
    name: &str,
    (backend, mut deliveries): (Backend, Deliveries),
) -> Result<(), Box<dyn std::error::Error>> {
    let drain = tokio::spawn(async move { while deliveries.recv().await.is_some() {} });
    for senders in [1, 64, 1024] {
        let started = Instant::now();
        let mut tasks = Vec::new();
        for sender in 0..senders {
            let draft = draft(sender)?;
            tasks.push(tokio::spawn(send(
                backend.log.clone(),
                draft,
                started + CASE_DURATION,
            )));
        }
        let mut sent = 0;
        for task in tasks {
            sent += task.await?;
        }
        let rate = sent as f64 / started.elapsed().as_secs_f64();
        println!("{name:<14} {senders:>5} senders {rate:>10.0} appends/s");
    }
    backend.log.close().await;
    drain.abort();
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    measure("memory", memory::open(MemoryConfig::default())).await?;
    for (name, synchronous) in [
        ("sqlite full", Synchronous::Full),
        ("sqlite normal", Synchronous::Normal),
    ] {
        let folder = tempfile::tempdir()?;
        let config = SqliteConfig {
            synchronous,
            ..SqliteConfig::new(folder.path())
        };
        measure(name, sqlite::open(config)?).await?;
    }
    Ok(())
}
