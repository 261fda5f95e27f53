//! Carts over several shards: what the messages of the home protocol do. `crate::cart` says where each rule lives.

mod ask;
mod home;
mod open;
mod participant;
mod round;

use super::Entry;
use crate::{cart::message::Message, command::Command, outcome::Outcome, types::ShardId};
pub(crate) use open::own_lines;
pub(super) use open::wanted;
pub(super) use round::Beginning;

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

/// Whether a request whose lines live in these shards has some in others than `home`.
pub(crate) fn spans(shards: &[ShardId], home: ShardId) -> bool {
    shards.iter().any(|shard| *shard != home)
}
