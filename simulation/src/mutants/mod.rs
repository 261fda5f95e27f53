//! Planted bugs, and whether anyone notices: each is run over seeds until one run is not clean.
//!
//! The bugs themselves are in the product, behind the cargo feature `planted` (`ledger/src/planted.rs`). Checkers are the
//! general ones. Some bugs show only where several things come together; for those [`hints`] adds such things to the
//! scenario of the seed, drawn from the seed all the same.

pub mod hints;
mod hunt;
pub mod table;

pub use hunt::{Caught, Hunt, Hunted, hunt};

use crate::scenario::Scenario;
use earmark_ledger::planted::Bug;

/// The bug of that name.
///
/// # Errors
/// For people: there is none.
pub fn named(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| format!("no planted bug is called {name}"))
}

/// The scenario in which a bug is looked for.
pub fn scenario(bug: Bug, seed: u64) -> Scenario {
    let mut scenario = Scenario::draw(seed);
    hints::of(bug).apply(&mut scenario);
    scenario
}
