//! Follows the journal of one shard: the chain of blocks, the sums of movements, and the links back.

use earmark_ledger::{
    BlockHash,
    journal::Block,
    movement::{Delta, Movement, MovementKind},
    types::*,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Journal {
    last: BlockHash,
    /// on_hand, available, held, committed, unavailable, short.
    pub sums: BTreeMap<PoolKey, [i64; 6]>,
    of_pool: BTreeMap<PoolKey, Position>,
    of_reservation: BTreeMap<ReservationId, Position>,
    pub movements: Vec<Movement>,
}

impl Journal {
    pub fn follow(&mut self, block: &bytes::Bytes) {
        let block = Block::decode(block).expect("was written here");
        assert_eq!(block.previous(), self.last);
        self.last = block.hash();
        for movement in block.movements() {
            let movement = movement.expect("was written here");
            assert_eq!(movement.previous_of_pool, self.of_pool.insert(movement.pool.clone(), movement.position));
            if let Some(id) = movement.reservation {
                let before = self.of_reservation.insert(id, movement.position);
                // What was rejected, and a hashed id that was forgotten, begins anew.
                let begins = matches!(movement.kind, MovementKind::Reserve | MovementKind::Prepare);
                let anew = movement.previous_of_reservation.is_none() && begins;
                assert!(movement.previous_of_reservation == before || anew, "{before:?} is skipped: {movement:#?}");
            }
            let Delta { on_hand, available, held, committed, unavailable, short, in_transit } = movement.delta;
            let sum = self.sums.entry(movement.pool.clone()).or_default();
            for (sum, delta) in
                sum.iter_mut().zip([on_hand, available, held, committed, unavailable, short, in_transit])
            {
                *sum += delta;
            }
            self.movements.push(movement);
        }
    }
}
