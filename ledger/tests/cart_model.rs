//! The cart protocol, explored to the last state of small worlds; and each of its rules left out in turn.
//!
//! What is found here stands in `docs/carts.md` too, and these tests see that it does.

#[path = "cart_model/mod.rs"]
mod cart_model;

use cart_model::{
    check, configurations,
    messages::{Body, Message},
    model::CartModel,
    mutations, properties, report,
    state::{Broken, Record, State},
};
use stateright::{Expectation, Model};
use std::collections::HashSet;

const DOCS: &str = include_str!("../../docs/carts.md");

#[test]
fn small_worlds_hold() {
    assert!(DOCS.contains(&report::properties()) && DOCS.contains(report::WORLDS_HEAD));
    for configuration in configurations::all().into_iter().filter(|configuration| !configuration.large) {
        let checked = check::everything(CartModel::new(configuration.clone()));
        let failures = report::failures(&checked);
        assert!(failures.is_empty(), "{}: {failures}", configuration.name);
        assert_eq!(checked.always, properties::SAFE);
        let row = report::world(&configuration, &checked);
        assert!(DOCS.contains(&row), "docs/carts.md is behind, `make cart-model` writes it: {row}");
    }
}

#[test]
fn each_rule_left_out_does_its_harm() {
    for entry in &mutations::ALL {
        let text = report::mutation(entry);
        match entry.breaks {
            Some(_) => assert!(!text.contains("NO COUNTEREXAMPLE"), "{text}"),
            None => assert!(text.contains("All properties hold"), "{text}"),
        }
        assert!(DOCS.contains(&text), "docs/carts.md is behind, `make cart-model` writes it: {text}");
    }
}

/// The checker is no better than its properties: each of them must be able to fail.
#[test]
fn properties_are_broken_by_a_bad_state() {
    let model = CartModel::new(configurations::one());
    let start = State::new(1);
    let breaks = |name: &str, change: &dyn Fn(&mut State)| {
        let property = model.property(properties::SAFE.into_iter().find(|safe| *safe == name).expect("is listed"));
        assert_eq!(property.expectation, Expectation::Always);
        assert!((property.condition)(&model, &start));
        let mut bad = start.clone();
        change(&mut bad);
        assert!(!(property.condition)(&model, &bad), "{name}");
    };
    breaks(properties::OVERSELL, &|state| state.pools[0][1].committed = 2);
    breaks(properties::WHOLE, &|state| state.decided[0][1].committed = 1);
    breaks(properties::BEYOND, &|state| state.pools[0][1].committed = 1);
    breaks(properties::TOTALS, &|state| state.breaks(Broken::TotalFell));
    breaks(properties::UNITS, &|state| state.breaks(Broken::UnitsMissing));
    breaks(properties::LIVE, &|state| state.breaks(Broken::LiveAfterDeadline));
    breaks(properties::NUMBERS, &|state| state.reused = true);
    breaks(properties::FLOORS, &|state| {
        let body = Body::Prepare { base: None, new: 1, least: 1 };
        state.carts[0].rows[1] = Some(Message { cart: 0, participant: 1, number: 1, body });
        state.carts[0].oldest[1] = 1;
        state.floors[1][0] = 2;
    });
    breaks(properties::ONCE, &|state| state.callers[0].held_times = 2);
    breaks(properties::SETTLES, &|state| state.records[0][1] = Some(Record { undecided: true, ..Record::default() }));
    breaks(properties::HEALS, &|state| state.records[0][2] = Some(Record { base: 1, ..Record::default() }));
}

/// Messages that can have no effect are dropped to save states. Here nothing is dropped, and the same worlds come out.
#[test]
fn dropping_obsolete_messages_loses_nothing() {
    for configuration in [configurations::one(), configurations::forgets_one(), configurations::returns()] {
        let dropping = CartModel::new(configuration);
        let keeping = CartModel { keep_all_messages: true, ..dropping.clone() };
        assert_eq!(worlds(&dropping), worlds(&keeping), "{}", dropping.configuration.name);
    }
}

/// All that shards can come to, whatever is on its way between them.
fn worlds(model: &CartModel) -> HashSet<State> {
    let mut seen: HashSet<State> = model.init_states().into_iter().collect();
    let mut next: Vec<State> = seen.iter().cloned().collect();
    while let Some(state) = next.pop() {
        for after in model.next_states(&state) {
            if seen.insert(after.clone()) {
                next.push(after);
            }
        }
    }
    seen.into_iter().map(|state| State { sent: Default::default(), ..state }).collect()
}
