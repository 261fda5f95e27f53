//! Whether the books balance: what was read back against what was told on the way.
//!
//! Pure arithmetic over one pool at a time. It uses neither the servers' own checks nor their sums: a checker that asks
//! the system under test proves only that the system agrees with itself.

use super::play::Tally;
use super::stock::Balance;

/// Everything known of one pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PoolBooks {
    /// Before anything was received.
    pub(super) before: Balance,
    /// Received by this replay.
    pub(super) received: u64,
    /// What the cluster told of its lines.
    pub(super) told: Tally,
    /// After the last line.
    pub(super) after: Balance,
}

/// What the books say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Units sold or held that were not there.
    pub(super) oversold_units: u64,
    /// By pool; none if every pool balances.
    pub(super) problems: Vec<(usize, String)>,
}

impl Verdict {
    /// No unit came from nowhere, and none went away.
    pub(super) fn conserved(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Looks at every pool.
pub(super) fn judge(pools: impl IntoIterator<Item = PoolBooks>) -> Verdict {
    let mut verdict = Verdict::default();
    for (index, pool) in pools.into_iter().enumerate() {
        verdict.oversold_units += oversold(&pool);
        if let Some(problem) = imbalance(&pool) {
            verdict.problems.push((index, problem));
        }
    }
    verdict
}

/// Units acknowledged as sold beyond what was there to sell, and units held or sold beyond what is on hand.
fn oversold(pool: &PoolBooks) -> u64 {
    let taken_before = pool.before.committed + pool.before.unavailable + pool.before.short;
    let there = (pool.before.on_hand + pool.received).saturating_sub(taken_before);
    let beyond_received = pool.told.committed.saturating_sub(there);
    let promised = pool.after.held + pool.after.committed + pool.after.unavailable;
    let beyond_on_hand = promised.saturating_sub(pool.after.on_hand + pool.after.short);
    beyond_received + beyond_on_hand
}

/// The first equation that does not hold. What is unknown may or may not have been done, so it widens a range.
fn imbalance(pool: &PoolBooks) -> Option<String> {
    let PoolBooks { before, received, told, after } = pool;
    let now_received = signed(after.received_total) - signed(before.received_total);
    if now_received != signed(*received) {
        return Some(format!("{received} were received, the books say {now_received}"));
    }
    let gone = |balance: &Balance| signed(balance.sold_total) + signed(balance.committed);
    let sold = gone(after) - gone(before);
    let (least, most) = (signed(told.committed), signed(told.committed + told.unknown));
    if !(least..=most).contains(&sold) {
        return Some(format!("{least} to {most} were sold, the books say {sold}"));
    }
    let on_hand = |balance: &Balance| signed(balance.on_hand) - signed(balance.short);
    let shipped = signed(after.sold_total) - signed(before.sold_total);
    let moved = on_hand(after) - on_hand(before);
    if moved != signed(*received) - shipped {
        return Some(format!("{received} came and {shipped} went, but on hand changed by {moved}"));
    }
    if after.held > before.held + told.unknown {
        return Some(format!("{} are held, at most {} can be", after.held, before.held + told.unknown));
    }
    let parts = after.available + after.held + after.committed + after.unavailable;
    if after.on_hand + after.short != parts {
        return Some(format!("{} on hand and {} short, but the parts are {parts}", after.on_hand, after.short));
    }
    None
}

/// Units are at most 2^53.
fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(on_hand: u64, held: u64, received_total: u64, sold_total: u64) -> Balance {
        Balance { on_hand, available: on_hand - held, held, received_total, sold_total, ..Balance::default() }
    }

    /// A pool that had 5 of 10 received, 5 sold; then 20 came, 12 were sold, 3 released, 2 refused.
    fn sound() -> PoolBooks {
        PoolBooks {
            before: balance(5, 0, 10, 5),
            received: 20,
            told: Tally { committed: 12, released: 3, refused: 2, unknown: 0 },
            after: balance(13, 0, 30, 17),
        }
    }

    fn problem(pool: PoolBooks) -> String {
        let verdict = judge([sound(), pool]);
        assert!(!verdict.conserved());
        assert_eq!(verdict.problems[0].0, 1, "it names the pool");
        verdict.problems[0].1.clone()
    }

    #[test]
    fn sound_books_balance_whatever_the_pool_had_before() {
        assert_eq!(judge([sound(), PoolBooks::default()]), Verdict::default());
    }

    #[test]
    fn a_lost_unit_is_found() {
        let pool = PoolBooks { after: balance(12, 0, 30, 17), ..sound() };
        assert!(problem(pool).contains("on hand changed by 7"));
    }

    #[test]
    fn a_sale_that_was_told_and_is_not_in_the_books_is_found() {
        let pool = PoolBooks { after: balance(14, 0, 30, 16), ..sound() };
        assert!(problem(pool).contains("12 to 12 were sold, the books say 11"));
    }

    #[test]
    fn a_receipt_that_was_done_twice_is_found() {
        let pool = PoolBooks { after: balance(33, 0, 50, 17), ..sound() };
        assert!(problem(pool).contains("20 were received, the books say 40"));
    }

    #[test]
    fn a_hold_that_nobody_made_is_found() {
        let pool = PoolBooks { after: balance(13, 2, 30, 17), ..sound() };
        assert!(problem(pool).contains("2 are held"));
    }

    #[test]
    fn parts_that_do_not_sum_up_are_found() {
        let pool = PoolBooks { after: Balance { available: 14, ..balance(13, 0, 30, 17) }, ..sound() };
        assert!(problem(pool).contains("the parts are 14"));
    }

    #[test]
    fn what_is_unknown_may_be_either() {
        let told = Tally { unknown: 2, ..sound().told };
        for (after, fine) in [
            (balance(13, 0, 30, 17), true),
            (balance(13, 2, 30, 17), true),
            (balance(11, 0, 30, 19), true),
            (balance(10, 0, 30, 20), false),
        ] {
            assert_eq!(judge([PoolBooks { told, after, ..sound() }]).conserved(), fine, "{after:?}");
        }
    }

    #[test]
    fn selling_more_than_was_there_is_oversold() {
        let told = Tally { committed: 27, ..Tally::default() };
        // 5 before and 20 received: 25 could be sold.
        assert_eq!(judge([PoolBooks { told, ..sound() }]).oversold_units, 2);
    }

    #[test]
    fn promising_more_than_is_on_hand_is_oversold() {
        let after = Balance { held: 10, committed: 6, available: 0, ..balance(13, 0, 30, 17) };
        assert_eq!(judge([PoolBooks { after, ..sound() }]).oversold_units, 3);
    }
}
