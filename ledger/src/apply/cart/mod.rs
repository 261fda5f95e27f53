//! Carts over several shards: what the messages of the home protocol do. `crate::cart` says where each rule lives.

mod ask;
mod home;
mod open;
mod participant;

use super::Entry;
use crate::{
    cart::message::Message,
    command::{Command, Reserve},
    outcome::Outcome,
    types::ShardId,
};
pub(crate) use open::own_lines;

impl Entry<'_> {
    pub(super) fn cart(&mut self, command: &Command, message: &Message) -> Outcome {
        match message {
            Message::Prepare(prepare) => self.prepare(command, prepare),
            Message::Decide(decide) => self.decide(command, decide),
            Message::Answer(answer) => self.answer(answer),
            Message::Ask(ask) => self.ask(*ask),
            Message::Gone(gone) => self.gone(*gone),
            Message::Floor(floor) => {
                self.raise_floor(floor.home, floor.floor);
                self.noted()
            }
        }
    }
}

/// Whether a reserve has lines in other shards than `home`.
pub(crate) fn spans(reserve: &Reserve, home: ShardId) -> bool {
    reserve.shards.iter().any(|shard| *shard != home)
}
