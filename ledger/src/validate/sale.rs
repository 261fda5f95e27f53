//! Bad fields of what becomes of a reservation beside commit, release and extend.

use super::Fields;
use crate::{
    command::{Cancel, Commit, MarkPaying, Replace, Return, Ship},
    limits::{PAYING_GRACE_MAX, TTL_MIN},
    types::TimeMs,
};

impl Fields {
    pub(super) fn commit(&mut self, commit: &Commit, now: TimeMs) {
        self.parts(&commit.parts, commit.operation, now);
        if commit.revive && commit.parts.is_empty() {
            match commit.operation {
                Some(id) => self.operation(id, now),
                None => self.bad("operation_id", "is required for a late commit"),
            }
        }
        if commit.revive && commit.keep_rest {
            self.bad("keep_rest", "can't be asked for with a late commit: nothing is held any more");
        }
    }

    pub(super) fn replace(&mut self, replace: &Replace, now: TimeMs) {
        self.operation(replace.operation, now);
        self.lines(&replace.lines, &replace.shards, replace.best_effort);
    }

    pub(super) fn paying(&mut self, paying: &MarkPaying, now: TimeMs) {
        self.operation(paying.operation, now);
        if paying.grace < TTL_MIN || paying.grace > PAYING_GRACE_MAX {
            self.bad("grace_ms", format_args!("must be {} to {}", TTL_MIN.0, PAYING_GRACE_MAX.0));
        }
    }

    pub(super) fn ship(&mut self, ship: &Ship, now: TimeMs) {
        self.operation(ship.operation, now);
        self.named(&ship.parts);
    }

    pub(super) fn cancel(&mut self, cancel: &Cancel, now: TimeMs) {
        self.operation(cancel.operation, now);
        self.named(&cancel.parts);
    }

    pub(super) fn take_return(&mut self, back: &Return, now: TimeMs) {
        self.operation(back.operation, now);
        self.named(&back.parts);
    }
}
