//! Moments as people read them.

use earmark_ledger::types::TimeMs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the year 9999: RFC 3339 can write no later moment, and humantime panics over one.
const LAST: TimeMs = TimeMs(253_402_300_799_999);

/// The moment, if it can be written as a date.
pub fn writable(time: TimeMs) -> Option<SystemTime> {
    (time <= LAST).then(|| UNIX_EPOCH + Duration::from_millis(time.0))
}
