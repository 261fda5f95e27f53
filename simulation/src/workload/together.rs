//! Several operations in one call of the SDK's batch: each has an id, tries and an end of its own.

use super::perform::{self, Performed};
use crate::recorder;
use earmark_client::{Answer, Client, Error, Operation};
use earmark_jepsen::history::Action;

/// Whether this module can send it.
pub fn goes_by_batch(action: &Action) -> bool {
    matches!(
        action,
        Action::Reserve { .. }
            | Action::Commit { .. }
            | Action::Release { .. }
            | Action::Extend { .. }
            | Action::Receive { .. }
    )
}

/// Sends all of them and waits for their ends, which come in the order of the actions.
pub async fn perform(client: &Client, actions: &[Action]) -> Vec<Performed> {
    let operations = actions.iter().map(|action| operation(client, action).expect("the SDK takes what is drawn"));
    let answers = client.batch(operations.collect::<Vec<_>>()).await;
    actions.iter().zip(answers).map(|(action, answer)| performed(action, answer)).collect()
}

fn operation(client: &Client, action: &Action) -> Result<Operation, Error> {
    match action {
        Action::Reserve { .. } => perform::reserve(client, action).operation(),
        Action::Receive { .. } => perform::receive(client, action).operation(),
        Action::Commit { .. } => perform::identified!(action, perform::commit(client, action)).operation(),
        Action::Release { .. } => perform::identified!(action, perform::release(client, action)).operation(),
        Action::Extend { .. } => perform::identified!(action, perform::extend(client, action)).operation(),
        _ => unreachable!("{} does not go by batch", action.name()),
    }
}

fn performed(action: &Action, answer: Result<Answer, Error>) -> Performed {
    match (action, answer) {
        (Action::Reserve { lines, .. }, Ok(Answer::Reserved(reservation))) => {
            Performed::of_reserve(lines, Ok(reservation))
        }
        (Action::Reserve { lines, .. }, Err(error)) => Performed::of_reserve(lines, Err(error)),
        (Action::Receive { .. }, Ok(Answer::Stocked(change))) => recorder::stocked(Ok(change)).into(),
        (Action::Receive { .. }, Err(error)) => recorder::stocked(Err(error)).into(),
        (Action::Commit { .. } | Action::Release { .. } | Action::Extend { .. }, Ok(Answer::Changed(change))) => {
            recorder::changed(Ok(change)).into()
        }
        (_, Err(error)) => recorder::changed(Err(error)).into(),
        // It panics rather than to call that unknown: no answer to another operation may come here.
        (action, Ok(other)) => panic!("{} was answered by {other:?}", action.name()),
    }
}
