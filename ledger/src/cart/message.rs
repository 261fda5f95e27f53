//! What home and participants say to each other, through the log of whoever is told.
//!
//! Each message states the whole truth for one reservation at one participant, never a change, so it does no harm
//! late, twice or out of order.

use super::Number;
use crate::{
    command::Line,
    outcome::Refusal,
    settings::Terms,
    types::{Namespace, Owner, PoolKey, Position, ReservationId, ShardId, TimeMs},
};

/// Any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Home to participant: hold these too, if you can.
    Prepare(Prepare),
    /// Home to participant: this is how it stands.
    Decide(Decide),
    /// Participant to home: what came of a message.
    Answer(Answer),
    /// Participant to home: I hold something undecided since long.
    Ask(Ask),
    /// Home to participant, if asked: I know nothing of it.
    Gone(Gone),
    /// Home to participant: nothing below this number will ever be sent again.
    Floor(Floor),
}

/// Units of one line: where each of them is. They are totals of the reservation's whole life; what was committed never
/// falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Held now.
    pub held: u32,
    /// Committed in all.
    pub committed: u32,
    /// Given back by the caller.
    pub released: u32,
    /// Given back by time. Falls when an expired cart is revived.
    pub expired: u32,
    /// What became of those committed.
    pub after: After,
}

/// What became of committed units. Totals of the reservation's whole life, which never fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Left the house.
    pub shipped: u32,
    /// Taken back before they left it.
    pub cancelled: u32,
    /// Came back from the customer, fit for sale.
    pub returned: u32,
    /// Came back from the customer, and were set apart.
    pub returned_unavailable: u32,
}

impl After {
    /// What all of them are together, if that makes sense.
    pub fn total(&self) -> Option<u32> {
        let back = self.returned.checked_add(self.returned_unavailable)?;
        self.shipped.checked_add(self.cancelled)?.checked_add(back)
    }
}

/// The truth about one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTruth {
    /// Which pool.
    pub pool: PoolKey,
    /// As home last decided.
    pub now: Truth,
    /// As the participant last acknowledged: what it begins with if it has forgotten the reservation.
    pub was: Truth,
}

/// A line to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its index in the request, for the answer.
    pub at: u32,
    /// What is wanted, with the minimum.
    pub line: Line,
}

/// Where a message to a participant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct From {
    /// Which reservation.
    pub id: ReservationId,
    /// Of this decision.
    pub number: Number,
    /// The home shard.
    pub home: ShardId,
    /// Every message below this number was answered.
    pub floor: Number,
    /// The reservation's last movement at the participant, as far as home knows.
    pub last: Option<Position>,
}

/// Hold max(base, wanted) of each line until it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// Where it comes from.
    pub from: From,
    /// Tenant of every line.
    pub namespace: Namespace,
    /// For whom.
    pub owner: Owner,
    /// Take what is there, as long as it is the minimum.
    pub best_effort: bool,
    /// Zone of whoever asks, for policies that go by it.
    pub zone: u32,
    /// The whole new set of lines at this participant.
    pub wanted: Vec<Wanted>,
    /// Committed units that are to leave the house.
    pub ships: Vec<Shipping>,
    /// Lines that are valid whatever comes of this.
    pub base: Vec<LineTruth>,
    /// The effective deadline of what they hold; 0 if they hold nothing yet.
    pub deadline: TimeMs,
}

/// Committed units of a line that are to leave the house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipping {
    /// Index in the request of the part that names the pool, for the answer.
    pub at: u32,
    /// From which pool.
    pub pool: PoolKey,
    /// How many, at least 1.
    pub units: u32,
}

/// This is how the reservation stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decide {
    /// Where it comes from.
    pub from: From,
    /// For whom.
    pub owner: Owner,
    /// The effective deadline of what is held. Only told: a participant ends nothing by it.
    pub deadline: TimeMs,
    /// All lines that were ever held here. A line of an undecided prepare that is not among them is not held.
    pub lines: Vec<LineTruth>,
}

/// What a participant did with the message of that number. The same number has the same answer for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which reservation.
    pub id: ReservationId,
    /// Of the message answered.
    pub number: Number,
    /// The participant.
    pub from: ShardId,
    /// For a prepare what was granted; for a decision nothing.
    pub result: Result<Vec<Granted>, Refusal>,
    /// The reservation's last movement here.
    pub last: Option<Position>,
}

/// Units of a wanted line that are held now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The wanted line's index in the request.
    pub at: u32,
    /// From which pool.
    pub pool: PoolKey,
    /// How many, perhaps 0 with best effort.
    pub units: u32,
    /// Fewer than wanted, and units that another shard may give back any moment stood in the way.
    pub contended: bool,
    /// The SKU's policy chose the pool; the request named it if there is none.
    pub chosen: Option<Chosen>,
    /// What is promised with them.
    pub terms: Terms,
}

/// What a policy made of a line that names no location. One such line may be granted from several pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Units that are asked of that pool: what it gives, and of the line's last pool also what nobody could give. Where
    /// another line names the same pool, what that one asks is part of it.
    pub asked: u32,
    /// Version of the settings that had the policy.
    pub policy: u64,
}

/// Is this still to be decided?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which reservation.
    pub id: ReservationId,
    /// Of the prepare that is undecided.
    pub number: Number,
    /// The participant.
    pub from: ShardId,
}

/// What home says to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Asked {
    /// It is still being decided, or its message is on the way: keep what you hold.
    Keep = 1,
    /// Home never heard of it, or has forgotten it: obey [`Gone`].
    Gone = 2,
}

/// Home knows nothing of that reservation: give back what that very prepare holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Which reservation.
    pub id: ReservationId,
    /// As asked.
    pub number: Number,
    /// The home shard.
    pub home: ShardId,
}

/// Nothing below this number is open any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The home shard.
    pub home: ShardId,
    /// The smallest number that is not answered, or the next one.
    pub floor: Number,
}
