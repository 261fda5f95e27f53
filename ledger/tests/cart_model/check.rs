//! Runs the checker over one model, breadth first, so that what it finds is short.

use super::{
    describe,
    model::{Action, CartModel},
    state::State,
};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};
use std::collections::BTreeSet;

/// What one run found.
#[derive(Debug)]
pub struct Checked {
    /// Different states.
    pub states: usize,
    /// Steps from the first state to the farthest.
    pub depth: usize,
    pub always: Vec<&'static str>,
    pub sometimes: Vec<&'static str>,
    /// Properties that do not hold, each with the steps that show it.
    pub failed: Vec<(&'static str, Vec<String>)>,
    /// What should have been reached and was not.
    pub unreached: Vec<&'static str>,
}

/// Explores every state of the model.
pub fn everything(model: CartModel) -> Checked {
    let properties = model.properties();
    let of = |expectation: Expectation| -> Vec<&'static str> {
        properties.iter().filter(|property| property.expectation == expectation).map(|property| property.name).collect()
    };
    let (always, sometimes) = (of(Expectation::Always), of(Expectation::Sometimes));
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut found = checker.discoveries();
    let failed = always
        .iter()
        .filter_map(|name| found.remove(name).map(|path| (*name, describe::steps(checker.model(), path, name))))
        .collect();
    let unreached = sometimes.iter().filter(|name| !found.contains_key(*name)).copied().collect();
    Checked {
        states: checker.unique_state_count(),
        depth: checker.max_depth() - 1,
        always,
        sometimes,
        failed,
        unreached,
    }
}

/// The shortest way to a state in which the named property does not hold. None if it holds everywhere.
pub fn counterexample(model: &CartModel, property: &'static str) -> Option<Vec<String>> {
    let mut shortest = search(model, property, None)?;
    // The checker goes on for a while after a find and keeps the last one, which may be longer than the first.
    while let Some(shorter) = search(model, property, Some(shortest.clone().into_actions().len())) {
        shortest = shorter;
    }
    Some(describe::steps(model, shortest, property))
}

/// With a bound, only ways of fewer steps are tried.
fn search(model: &CartModel, property: &'static str, below: Option<usize>) -> Option<Path<State, Action>> {
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model.clone().checker().finish_when(wanted);
    let checker = match below {
        // The first state has depth one, and the checker leaves out states at the bound itself.
        Some(steps) => checker.target_max_depth(steps + 1),
        None => checker,
    };
    checker.spawn_bfs().join().discoveries().remove(property)
}
