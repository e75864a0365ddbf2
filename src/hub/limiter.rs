//! Limits on single requests: the length of names, the size and depth of data, the size of pages, bytes in flight.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{LimitSettings, PageLimits};
use crate::{
    backend::PageSize,
    error::{Code, Error, Limit, Result},
    limits::{Pool, exceeds_depth},
};

/// The configured limits, and the node's budget of bytes in flight.
pub(super) struct Limiter {
    settings: LimitSettings,
    pages: PageLimits,
    memory: Arc<Pool>,
}

impl Limiter {
    pub(super) fn new(settings: LimitSettings, pages: PageLimits, memory: Arc<Pool>) -> Self {
        Self {
            settings,
            pages,
            memory,
        }
    }

    pub(super) fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Bytes in flight.
    pub(super) fn memory(&self) -> &Arc<Pool> {
        &self.memory
    }

    /// The size of a page for which a client has asked for `limit` messages.
    pub(super) fn page_size(&self, limit: Option<usize>) -> PageSize {
        PageSize {
            messages: limit.unwrap_or(usize::MAX).min(self.pages.messages),
            bytes: self.pages.bytes,
        }
    }

    /// Rejects a name longer than configured; names longer than the protocol allows do not get here.
    pub(super) fn check_name(&self, bytes: usize) -> Result<()> {
        let max = self.settings.name_bytes;
        if bytes <= max {
            return Ok(());
        }
        let message = format!("a name may have {max} bytes here, this one has {bytes}");
        Err(Error::bad_request(message).for_limit(Limit::NameBytes))
    }

    /// Rejects data that is larger or deeper than configured, or larger than `max` if there is one.
    pub(super) fn check_data_within(&self, data: &RawValue, max: Option<usize>) -> Result<()> {
        match max {
            Some(max) => self.check_bytes_within(data.get().len(), max)?,
            None => self.check_data_bytes(data.get().len())?,
        }
        self.check_nesting(data)
    }

    pub(super) fn check_data_bytes(&self, bytes: usize) -> Result<()> {
        self.check_bytes_within(bytes, self.settings.message_bytes.bytes())
    }

    pub(super) fn check_bytes_within(&self, bytes: usize, max: usize) -> Result<()> {
        if bytes <= max {
            return Ok(());
        }
        let message = format!("the data of a message may have {max} bytes, this one has {bytes}");
        Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes))
    }

    pub(super) fn check_nesting(&self, data: &RawValue) -> Result<()> {
        let levels = self.settings.nesting;
        if !exceeds_depth(data.get(), levels) {
            return Ok(());
        }
        let message = format!("the data of a message may nest {levels} arrays and objects");
        Err(Error::new(Code::TooLarge, message).for_limit(Limit::Nesting))
    }
}

/// More than a configured number.
pub(super) fn limit_reached(limit: Limit, message: String) -> Error {
    Error::new(Code::LimitReached, message).for_limit(limit)
}

/// Faster than a configured rate; a permit is free after `wait`.
pub(super) fn rate_exceeded(limit: Limit, wait: Duration) -> Error {
    let message = format!("too fast: limits.{} is reached", limit.name());
    Error::new(Code::RateLimited, message)
        .for_limit(limit)
        .retry_after(wait)
}
