//! A path through the model as sentences.

use super::{
    messages::{Body, cart_name},
    model::{Action, CartModel},
    properties,
    state::{Record, State},
};
use stateright::Path;
use std::fmt::Write;

/// Each step with what it changed, and at last how it comes to break the property where the last step does not tell.
pub fn steps(model: &CartModel, path: Path<State, Action>, breaks: &str) -> Vec<String> {
    let end = path.last_state().clone();
    let mut steps = Vec::new();
    let mut before: Option<(State, Option<Action>)> = None;
    for (state, action) in path.into_vec() {
        if let Some((before, Some(action))) = &before {
            steps.push(step(model, before, action, &state));
        }
        before = Some((state, action));
    }
    match breaks {
        properties::SETTLES => steps.extend(model.unsettled(&end)),
        properties::HEALS => steps.extend(model.unhealed(&end)),
        _ => {}
    }
    steps
}

fn step(model: &CartModel, before: &State, action: &Action, after: &State) -> String {
    let mut text = sentence(model, action);
    let mut changes = Vec::new();
    for cart in 0..after.carts.len() {
        let (was, is) = (&before.carts[cart], &after.carts[cart]);
        if was.phase != is.phase {
            changes.push(format!("home has {} {:?}", cart_name(cart), is.phase));
        }
        for participant in model.participants(cart) {
            let (was, is) = (before.records[cart][participant], after.records[cart][participant]);
            if was != is {
                changes.push(format!("shard {participant} has {}: {}", cart_name(cart), record(is)));
            }
        }
    }
    for message in after.sent.difference(&before.sent) {
        changes.push(format!("sent: {message}"));
    }
    if let Some(broken) = after.broken {
        changes.push(broken.to_string());
    }
    if !changes.is_empty() {
        let _ = write!(text, " -> {}", changes.join("; "));
    }
    text
}

fn record(record: Option<Record>) -> String {
    let Some(record) = record else {
        return "nothing".into();
    };
    let doubt = if record.undecided { ", undecided" } else { "" };
    format!("number {}, {} held{doubt}, {} committed", record.number, record.units(), record.committed)
}

fn sentence(model: &CartModel, action: &Action) -> String {
    let at_home = |cart: usize, what: &str| {
        format!("home (shard {}): {what} {}", model.configuration.carts[cart].home, cart_name(cart))
    };
    let in_part = |shard: usize| format!("one unit of shard {shard}, of");
    match *action {
        Action::Reserve { cart } => at_home(cart, "reserve"),
        Action::Extend { cart } => at_home(cart, "extend"),
        Action::Replace { cart } => at_home(cart, "replace the lines of"),
        Action::Commit { cart } => at_home(cart, "commit"),
        Action::CommitPart { cart, shard } => at_home(cart, &format!("commit {}", in_part(shard))),
        Action::ReleasePart { cart, shard } => at_home(cart, &format!("release {}", in_part(shard))),
        Action::Release { cart } => at_home(cart, "release"),
        Action::Revive { cart } => at_home(cart, "late commit of"),
        Action::Return { cart, shard } => at_home(cart, &format!("return {}", in_part(shard))),
        Action::PrepareTimeout { cart } => at_home(cart, "preparing takes too long; give up"),
        Action::DeadlinePasses { cart } => format!("a deadline of {} passes", cart_name(cart)),
        Action::Expire { cart } => at_home(cart, "sweep"),
        Action::WindowPasses { cart } => format!("the return window of {} passes", cart_name(cart)),
        Action::HomeForgets { cart } => at_home(cart, "forget"),
        Action::Deliver(message) if matches!(message.body, Body::Answer(_) | Body::Ask) => {
            format!("home (shard {}) gets {message}", model.configuration.carts[message.cart].home)
        }
        Action::Deliver(message) => format!("shard {} gets {message}", message.participant),
        Action::Ask { cart, shard } => format!("shard {shard} asks after {}", cart_name(cart)),
        Action::LearnFloor { home, shard, floor } => format!("shard {shard} learns floor {floor} of home {home}"),
        Action::ParticipantForgets { cart, shard } => format!("shard {shard} forgets {}", cart_name(cart)),
        Action::Restart { shard } => format!("the leader of shard {shard} starts anew"),
        Action::ParticipantExpires { cart, shard } => {
            format!("shard {shard} ends {} at the deadline that it knows", cart_name(cart))
        }
        Action::StaleLeaderAnswers(message) => format!("a leader that has not applied the cart gets {message}"),
        Action::PrepareSentBeforeDecided { cart } => {
            at_home(cart, "a leader sends what it proposes, and loses it with its term: a replace of")
        }
    }
}
