//! Close codes of WebSockets, on every transport that has WebSockets.

use super::wire::Frame;
use crate::{error::Code, hub::CloseReason};

pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const PROTOCOL: u16 = 1002;
pub(super) const NOT_UTF8: u16 = 1007;
pub(super) const TRY_AGAIN: u16 = 1011;
pub(super) const UNAUTHORIZED: u16 = 4001;
pub(super) const FORBIDDEN: u16 = 4003;
pub(super) const SLOW: u16 = 4008;
pub(super) const TOO_LARGE: u16 = 4009;
pub(super) const RATE_LIMITED: u16 = 4029;

/// The close frame for a reason.
pub(super) fn close_frame(reason: CloseReason) -> Frame {
    Frame::close(close_code(reason), reason.as_str())
}

/// The close code for a reason.
pub(super) fn close_code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Slow => SLOW,
        CloseReason::Draining => GOING_AWAY,
        CloseReason::Expired | CloseReason::Refused(Code::TokenExpired) => UNAUTHORIZED,
        CloseReason::Removed => FORBIDDEN,
        CloseReason::Flooding | CloseReason::Refused(Code::RateLimited) => RATE_LIMITED,
        CloseReason::Malformed => PROTOCOL,
        CloseReason::TooLarge => TOO_LARGE,
        CloseReason::Unavailable
        | CloseReason::Failed
        | CloseReason::Replaced
        | CloseReason::Refused(_) => TRY_AGAIN,
    }
}
