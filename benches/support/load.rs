//! The cost of a load for a server, and a counter of what has come out of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::serve::ListenerExt;
use socketioxide::layer::SocketIoLayer;
use tokio::{net::TcpListener, sync::Notify};

use super::{client::Client, process::Result};

/// The cost of a load for the server.
pub struct Load {
    pub cpu: Duration,
    pub count: u64,
    pub took: Duration,
}

impl Load {
    /// CPU time for each, in µs.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self.cpu_each();
        let rate = self.count as f64 / self.took.as_secs_f64();
        write!(f, "{each:>8.2} {rate:>10.0}")
    }
}

/// Counts the packets with this prefix until the connection ends.
pub async fn count(mut client: Client, prefix: &str, counter: Arc<Counter>) {
    while client.wait_for(prefix).await.is_ok() {
        counter.add();
    }
}

/// Counts the messages that the members of a room have received.
pub struct Counter {
    members: u64,
    received: AtomicU64,
    changed: Notify,
}

impl Counter {
    pub fn new(members: u64) -> Self {
        Self {
            members,
            received: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    fn add(&self) {
        let received = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        if received.is_multiple_of(self.members) {
            self.changed.notify_one();
        }
    }

    /// Waits until all members have received so many messages. One task waits at a time.
    pub async fn wait_for(&self, messages: u64) {
        while self.received.load(Ordering::Relaxed) < messages * self.members {
            self.changed.notified().await;
        }
    }
}

/// Serves socketioxide alone on a free port, which is printed behind `name`.
pub async fn serve_alone(name: &str, layer: SocketIoLayer) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{name}: http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, axum::Router::new().layer(layer)).await?)
}
