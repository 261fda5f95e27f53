//! Bugs that are planted on purpose, so that the simulation can show that its checkers would notice them.
//!
//! Each is a line or two at the real place, behind [`on`]. Without the cargo feature `planted` that is a constant
//! `false`, and the compiler removes the place with it: a normal build has none of them. With the feature at most one is
//! on in a process, set once at its start. That it belongs to the process and not to a ledger is what lets every layer,
//! from the ledger up to the SDK, ask without being handed anything; `apply` stays a function of its input in any one
//! run, because the value never changes in it.

use crate::types::DurationMs;

macro_rules! bugs {
    ($($bug:ident $name:literal $promise:literal $what:literal)+) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $what] $bug,)+
        }

        #[cfg(feature = "planted")]
        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Self] = &[$(Self::$bug,)+];

            /// As it is called on the command line and in the docs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)+ }
            }

            /// The promise it breaks first.
            pub fn promise(self) -> &'static str {
                match self { $(Self::$bug => $promise,)+ }
            }

            /// What it does.
            pub fn what(self) -> &'static str {
                match self { $(Self::$bug => $what,)+ }
            }
        }
    };
}

bugs! {
    // The store and the log.
    AckBeforeSync "ack-before-sync" "P5" "Entries are acknowledged when they are written, not when they are synced."
    VoteNotSynced "vote-not-synced" "P3" "A vote is answered before it is synced."
    TruncateLate "truncate-late" "P5" "A truncation is answered at once and reaches the disk later, behind the entries that follow it."
    ReplayUndecided "replay-undecided" "P3" "After a restart every entry of the log is applied, decided or not."
    BehindMarkServes "behind-mark-serves" "P5" "A store that lost what its marks say it had synced votes and serves."
    PurgeAboveCheckpoint "purge-above-checkpoint" "P5" "The log is purged up to what is applied, not to what the checkpoint covers."
    CheckpointAhead "checkpoint-ahead" "P5" "A checkpoint names one entry more than its records hold."
    CheckpointKeepsDeleted "checkpoint-keeps-deleted" "P6" "A checkpoint does not delete the records that are gone."
    ApplyTwice "apply-twice-after-snapshot" "P9" "A snapshot names an older entry than its records hold, so that the last ones are applied once more."
    HalfInstalled "half-installed-snapshot" "P9" "A snapshot goes live without its last part, and nobody counts or compares."
    SnapshotIntoLive "snapshot-into-live" "P9" "A snapshot is written into the live generation."
    JournalBlockLost "journal-block-lost" "P8" "A checkpoint leaves out some blocks of the journal."
    // Leading, voting, reading.
    NoPreVote "no-pre-vote" "liveness" "A replica that is cut off stands for election again and again, and raises its term."
    VoterForgetsLease "voter-forgets-lease" "P3" "With leases on, a restarted voter votes at once."
    LeaseWithoutMargin "lease-without-margin" "P3" "The lease lasts longer than others wait before they help to elect."
    ReadWithoutBarrier "read-without-barrier" "P3" "A linearizable read is answered by whoever believes it leads."
    ReadFromFollower "read-from-follower" "P3" "A linearizable read is answered by a follower."
    RefusalWithoutBarrier "refusal-without-barrier" "P3" "A fresh reserve is refused off the applied state before leadership is confirmed."
    RefusalBeforeApplied "refusal-before-applied" "P3" "A read index counts before it is applied."
    AgeFromArrival "age-from-arrival" "P3" "The age of a bounded read counts from when an answer came in, not from when it was asked for."
    // Time.
    StampOwnClock "expiry-by-own-clock" "P7" "Entries carry the leader's own clock, so holds end by it."
    StampWildClock "stamp-from-wild-clock" "P7" "The anchor is the latest of the known clocks, not the median."
    ClockGoesBack "clock-goes-back" "P7" "The ledger's clock follows each entry's stamp, back too."
    ExpiryEarly "expiry-early" "P7" "Holds are swept two seconds before their deadline."
    ExpiryLate "expiry-late" "P7" "Holds count as live for two seconds beyond their deadline."
    TtlHalved "ttl-halved" "P7" "A hold lasts for half as long as was asked for, and so it is told."
    DeadlineToldLate "deadline-told-late" "P7" "A reserve is told a deadline two seconds later than the one that is kept."
    ExtendShortens "extend-shortens" "P7" "An extension may bring the deadline nearer."
    // Ids.
    ForgetIdsAtRestart "forget-ids-at-restart" "P6" "What is ended or done is not loaded after a restart, so its ids are new again."
    OperationNotRemembered "operation-not-remembered" "P6" "Outcomes of operations are not remembered."
    RefusalNotRemembered "refusal-not-remembered" "P6" "Refusals are not remembered: a delayed first try, or the same id again, may still take effect."
    WholeRefusalForgotten "whole-refusal-forgotten" "P10" "Refusals of commits and releases of all that is held are not remembered: the same message may still take effect."
    RetentionTooShort "retention-too-short" "P6" "Ended reservations and operations are forgotten after ten seconds."
    // Stock.
    LastUnitRefused "last-unit-refused" "P3" "The last unit of a pool is not sold: off by one."
    OneUnitMore "one-unit-more" "P2" "A receipt of several units books one more."
    OverdueFreeTwice "overdue-free-twice" "P2" "Units of overdue holds that are not swept yet are counted as free twice."
    SumAfterCheck "sum-after-check" "P2" "Lines of one pool are checked one by one, not by their sum."
    UnsettledAsHeld "unsettled-as-held" "P3" "A refusal counts on holds of other homes' carts as they were last told, without asking the homes."
    UndecidedAsSold "undecided-as-sold" "P3" "A refusal that needs undecided units is a plain shortage."
    RestStaysHeld "rest-stays-held" "P3" "What a commit in part leaves over stays held, asked for or not."
    SoldAndKept "sold-and-kept" "P1" "A commit sells units and puts them back on the shelf."
    DigestIgnoresField "digest-ignores-field" "P9" "The digest leaves out the end of each pool's record."
    // Carts, at home.
    CommitWhileOpen "commit-while-open" "P4" "A cart can be committed while its participants are still being asked."
    CommitWithoutHome "commit-without-home" "P4" "A commit of a cart sells its lines in other shards and gives those in its home shard back."
    DecisionNotTold "decision-not-told" "P4" "A decision about held units is not told to the other shards."
    HeldOnFirstAnswer "held-on-first-answer" "P4" "A cart is held as soon as the first participant agrees."
    HalfACart "half-a-cart" "P4" "A participant that refuses is left out, and the rest of the cart is held."
    OwnLinesExpire "own-lines-expire" "P4" "When a cart expires, only its lines in its home shard do."
    RowNotReplaced "row-not-replaced" "P4" "While a message is not answered, a newer one for the same participant is left out."
    OldAnswerCounted "old-answer-counted" "P4" "An answer to an older number closes the row of a newer one."
    NumberReused "number-reused" "P4" "A decision has the number of the one before it."
    SettledEarly "settled-early" "P3" "A change of a cart is told as settled before its shards have carried it out."
    // Carts, at participants and between.
    PreparedHoldExpires "prepared-hold-expires" "P4" "A participant gives up by itself what is undecided for 300 ms."
    PreparedNotHeld "prepared-not-held" "P4" "A participant agrees without holding the units."
    DecideAsDelta "decide-as-delta" "P4" "A participant adds what a decision states to what it knows."
    TombstoneForgotten "tombstone-forgotten" "P4" "A participant forgets ended parts above the floor, so a late duplicate is new to it."
    RowDropped "row-dropped-unanswered" "P4" "A decision that could not be delivered counts as answered."
    SentOnce "sent-once" "P4" "Messages between shards are sent once."
    WrongShard "wrong-shard" "P4" "A message that is handed to another node is applied on the next shard."
    // Answers.
    WrongWaiter "wrong-waiter" "P6" "The outcomes of an entry go to the wrong waiters."
    TimeoutAsRefusal "timeout-as-refusal" "P10" "A proposal that is not answered within 300 ms, or was lost with its leader, is told as surely not done."
    LostForwardAsRefusal "lost-forward-as-refusal" "P10" "A forwarded request without an answer is told as surely not done."
    LostTryAsRefusal "lost-try-as-refusal" "P10" "SDK: a try without an answer counts as surely not done."
    DoubtForgotten "doubt-forgotten" "P10" "SDK: the last try's refusal speaks for an earlier one that was never answered."
    FreshKept "fresh-kept" "P10" "SDK and node: a second sending is still marked as fresh and taken as such, and its refusal is believed."
    RetryUnderNewId "retry-under-new-id" "P6" "SDK: a receipt is sent again under another id."
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Plants a bug in this process, for good. False if another one is planted.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) -> bool {
    *PLANTED.get_or_init(|| bug) == bug
}

/// The bug that is planted in this process.
#[cfg(feature = "planted")]
pub fn planted() -> Option<Bug> {
    PLANTED.get().copied()
}

/// Whether that bug is planted.
#[cfg(feature = "planted")]
pub fn on(bug: Bug) -> bool {
    planted() == Some(bug)
}

/// Whether that bug is planted: none is in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn on(_: Bug) -> bool {
    false
}

/// By how much holds are swept after their deadline: nothing, but with two of the bugs.
pub(crate) fn sweep_lag() -> DurationMs {
    if on(Bug::ExpiryLate) {
        DurationMs::seconds(2)
    } else if on(Bug::OverdueFreeTwice) {
        DurationMs::seconds(1)
    } else {
        DurationMs(0)
    }
}
