//! Starting the log's threads.

use std::thread::{Builder, JoinHandle};

use super::schema::OpenError;

pub(super) fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(OpenError::Threads)
}
