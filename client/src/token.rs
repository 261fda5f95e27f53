//! What a client has seen: for each shard the highest position it was told of. A read of level "session" is answered
//! only by a replica that has applied as much.

use crate::wire::v1;
use earmark_ledger::types::{Epoch, LogIndex, Position, ShardId};
use std::collections::BTreeMap;

/// The highest position seen of each shard. Hand it to another process, and that process reads what this one wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token(BTreeMap<ShardId, (Epoch, LogIndex)>);

impl Token {
    /// Takes note of a position.
    pub fn observe(&mut self, position: Position) {
        let seen = self.0.entry(position.shard).or_default();
        *seen = (*seen).max((position.epoch, position.index));
    }

    /// Takes note of everything another client has seen.
    pub fn merge(&mut self, other: &Self) {
        for position in other.positions() {
            self.observe(position);
        }
    }

    /// What was seen, by shard.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().map(|(shard, (epoch, index))| Position {
            shard: *shard,
            epoch: *epoch,
            index: *index,
            ordinal: 0,
        })
    }

    pub(crate) fn to_wire(&self) -> v1::Token {
        let positions = self
            .positions()
            .map(|position| v1::Position {
                shard: position.shard.0,
                epoch: position.epoch.0,
                index: position.index.0,
                ordinal: 0,
            })
            .collect();
        v1::Token { positions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(shard: u32, epoch: u32, index: u64) -> Position {
        Position { shard: ShardId(shard), epoch: Epoch(epoch), index: LogIndex(index), ordinal: 0 }
    }

    #[test]
    fn it_keeps_the_highest_position_of_each_shard() {
        let mut token = Token::default();
        for position in [at(1, 1, 9), at(2, 1, 4), at(1, 1, 5), at(1, 2, 1)] {
            token.observe(position);
        }
        assert_eq!(token.positions().collect::<Vec<_>>(), [at(1, 2, 1), at(2, 1, 4)], "a new epoch is higher");
    }

    #[test]
    fn merged_it_has_seen_both() {
        let mut one = Token::default();
        one.observe(at(1, 1, 9));
        let mut other = Token::default();
        other.observe(at(1, 1, 5));
        other.observe(at(3, 1, 2));
        one.merge(&other);
        assert_eq!(one.positions().collect::<Vec<_>>(), [at(1, 1, 9), at(3, 1, 2)]);
    }
}
