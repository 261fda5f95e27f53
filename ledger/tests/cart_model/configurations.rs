//! Small worlds, each of which is explored to its last state.
//!
//! What bounds them stands in the plan of each cart: how often a caller tries, replaces, extends, revives and returns.
//! Nothing else is bounded: messages, deadlines, time-outs, refusals and restarts come as often as they can.

use super::state::{PerShard, SHARDS};

#[derive(Clone, Debug)]
pub struct Configuration {
    pub name: &'static str,
    pub about: &'static str,
    /// Units in each shard's pool.
    pub stock: PerShard,
    pub carts: Vec<Plan>,
    /// Participants ask after what is in doubt.
    pub asks: bool,
    /// Homes and participants forget what ended, and floors are told.
    pub forgets: bool,
    /// Leaders start anew.
    pub restarts: bool,
    /// Too many states for the tests; the command that prints the report explores it too.
    pub large: bool,
}

/// What the caller of one cart may do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub home: usize,
    pub lines: PerShard,
    pub replacement: Option<PerShard>,
    /// Best effort: so many units of a line need not be there.
    pub spare: PerShard,
    /// Times that reserve is asked: another try follows CONTENDED, or a refusal that home has forgotten.
    pub tries: u8,
    pub replaces: u8,
    pub extends: u8,
    /// Late commits of the expired cart.
    pub revives: u8,
    /// Units that come back after the sale.
    pub returns: u8,
    pub commit: bool,
    pub release: bool,
    /// Commit and release unit by unit, the rest kept.
    pub parts: bool,
    /// The id has no time of its own, so it may be used for a new cart once it is forgotten.
    pub anew: bool,
}

fn cart(home: usize, lines: PerShard) -> Plan {
    Plan {
        home,
        lines,
        replacement: None,
        spare: [0; SHARDS],
        tries: 1,
        replaces: 0,
        extends: 0,
        revives: 0,
        returns: 0,
        commit: true,
        release: true,
        parts: false,
        anew: false,
    }
}

fn configuration(name: &'static str, about: &'static str, stock: PerShard, carts: Vec<Plan>) -> Configuration {
    assert!(carts.iter().all(|plan| plan.home < SHARDS));
    Configuration { name, about, stock, carts, asks: false, forgets: false, restarts: false, large: false }
}

pub fn one() -> Configuration {
    let carts = vec![cart(0, [1, 1, 1])];
    configuration("one", "one cart; home owns a line too", [1, 1, 1], carts)
}

pub fn two_tries() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 1]) }, Plan { release: false, ..cart(0, [0, 1, 0]) }];
    configuration("two tries", "two carts of one home; the first is tried again", [0, 1, 1], carts)
}

pub fn conflict() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 1]) }, cart(0, [0, 1, 1])];
    let base = configuration("conflict", "two carts of one home want the same two units", [0, 1, 1], carts);
    Configuration { large: true, ..base }
}

pub fn crosswise() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [1, 1, 0]) }, Plan { tries: 2, ..cart(1, [1, 1, 0]) }];
    configuration("crosswise", "two carts, each other's home a participant", [1, 1, 0], carts)
}

pub fn two_homes() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 1]) }, cart(1, [0, 1, 1])];
    configuration("two homes", "two carts of two homes; a home is the other's participant", [0, 1, 1], carts)
}

pub fn restarts() -> Configuration {
    Configuration {
        restarts: true,
        ..configuration("restarts", "leaders start anew at any time", [0, 1, 1], vec![cart(0, [0, 1, 1])])
    }
}

pub fn parts_one() -> Configuration {
    let carts = vec![Plan { parts: true, ..cart(0, [0, 2, 1]) }];
    configuration("parts", "one cart is sold and released unit by unit", [0, 2, 1], carts)
}

pub fn parts_conflict() -> Configuration {
    let carts = vec![Plan { parts: true, ..cart(0, [0, 2, 1]) }, cart(1, [0, 1, 0])];
    configuration("parts, conflict", "the same beside a cart that wants one of the units", [0, 2, 1], carts)
}

pub fn extend_one() -> Configuration {
    let carts = vec![Plan { extends: 2, ..cart(0, [0, 1, 1]) }];
    configuration("extend", "a hold is extended twice", [0, 1, 1], carts)
}

pub fn replace_one() -> Configuration {
    let carts = vec![Plan { replaces: 2, replacement: Some([0, 2, 0]), ..cart(0, [0, 1, 1]) }];
    configuration("replace", "a cart's lines are replaced twice", [0, 2, 1], carts)
}

pub fn replace_conflict() -> Configuration {
    let carts = vec![
        Plan { replaces: 1, replacement: Some([0, 2, 0]), ..cart(0, [0, 1, 1]) },
        Plan { release: false, ..cart(0, [0, 1, 0]) },
    ];
    let about = "a replacement that another cart stands in the way of";
    Configuration { large: true, ..configuration("replace, conflict", about, [0, 2, 1], carts) }
}

pub fn revive_conflict() -> Configuration {
    let carts =
        vec![Plan { revives: 2, ..cart(0, [0, 1, 1]) }, Plan { release: false, commit: false, ..cart(0, [0, 1, 0]) }];
    configuration("late commit", "an expired cart is committed late; another wants a unit", [0, 1, 1], carts)
}

pub fn best_effort() -> Configuration {
    let carts = vec![
        Plan { spare: [0, 2, 0], ..cart(0, [0, 2, 1]) },
        Plan { parts: true, commit: false, release: false, ..cart(2, [0, 2, 0]) },
    ];
    configuration("best effort", "a cart takes what is there of one line, be it nothing", [0, 2, 1], carts)
}

pub fn best_effort_nothing() -> Configuration {
    let carts = vec![Plan { spare: [0, 1, 0], ..cart(0, [0, 1, 0]) }, cart(2, [0, 1, 0])];
    configuration("best effort, nothing", "a cart takes what is there of its only line", [0, 1, 0], carts)
}

pub fn asks() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 1]) }];
    let base = configuration("ask", "participants ask after what is in doubt; all forget", [0, 1, 1], carts);
    Configuration { asks: true, forgets: true, ..base }
}

pub fn forgets_refused() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 1]) }];
    let base = configuration("forget, refused", "the same with two participants", [0, 1, 1], carts);
    Configuration { forgets: true, restarts: true, ..base }
}

pub fn forgets_one() -> Configuration {
    let carts = vec![Plan { tries: 2, ..cart(0, [0, 1, 0]) }];
    let base = configuration("forget, one line", "a refused id is forgotten and tried again", [0, 1, 0], carts);
    Configuration { forgets: true, restarts: true, ..base }
}

pub fn forgets_conflict() -> Configuration {
    let carts = vec![cart(0, [0, 1, 0]), cart(0, [0, 1, 0])];
    let base = configuration("forget, conflict", "two carts of one home share its floor", [0, 1, 0], carts);
    Configuration { forgets: true, ..base }
}

pub fn forgets_sold() -> Configuration {
    let carts = vec![Plan { parts: true, ..cart(0, [0, 2, 1]) }];
    let base = configuration("forget, sold", "sold units are forgotten", [0, 2, 1], carts);
    Configuration { forgets: true, large: true, ..base }
}

pub fn returns() -> Configuration {
    let carts = vec![Plan { returns: 2, parts: true, release: false, ..cart(0, [0, 2, 0]) }];
    let base = configuration("return", "sold units come back, and all is forgotten", [0, 2, 0], carts);
    Configuration { forgets: true, ..base }
}

pub fn anew() -> Configuration {
    let carts = vec![Plan { anew: true, tries: 2, ..cart(0, [0, 1, 0]) }];
    let base = configuration("anew", "an id without a time is forgotten and used for a new cart", [0, 2, 0], carts);
    Configuration { forgets: true, asks: true, ..base }
}

pub fn everything() -> Configuration {
    let plan =
        Plan { replacement: Some([0, 2, 0]), replaces: 1, revives: 1, returns: 1, parts: true, ..cart(0, [0, 1, 1]) };
    let about = "one cart, all that may be asked of it but extend, and forgotten";
    let base = configuration("everything", about, [0, 2, 1], vec![plan]);
    Configuration { forgets: true, large: true, ..base }
}

/// All that are explored, the small ones first.
pub fn all() -> Vec<Configuration> {
    vec![
        one(),
        restarts(),
        extend_one(),
        parts_one(),
        replace_one(),
        best_effort(),
        best_effort_nothing(),
        two_tries(),
        crosswise(),
        two_homes(),
        parts_conflict(),
        replace_conflict(),
        revive_conflict(),
        conflict(),
        returns(),
        anew(),
        forgets_one(),
        forgets_refused(),
        forgets_sold(),
        forgets_conflict(),
        asks(),
        everything(),
    ]
}
