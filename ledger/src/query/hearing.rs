//! What a shard has to hear from the homes of others' carts before it may refuse for their sake, and what a home has to
//! say then.
//!
//! A participant holds units until home tells otherwise, and home may have decided already: whoever was told that his
//! release is done must be able to rely on it, on any shard. So a refusal that needs such units is a plain one only under
//! [`Command::heard`]; the node sees to it with what is here.

use crate::{
    apply::cart::own_lines,
    cart::{Number, message::Message},
    command::{Body, Command, Line},
    state::{Ledger, PoolRef, Row, SkuEntry},
    types::{Namespace, Owner, ShardId},
};

/// Rows of an outbox that are looked at for one question.
const ROWS_SEEN: usize = 20_000;

/// Decisions of a home that a participant did not answer yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// To be proposed at the participant.
    pub decisions: Vec<Command>,
    /// There is nothing else that it may not know.
    pub all: bool,
}

impl Ledger {
    /// Whether this command might be refused for units that are held for carts of other homes. Errs on the side of asking,
    /// never on the other: one that it says no to is not refused for their sake at this position.
    pub fn wants_hearing(&self, command: &Command) -> bool {
        if command.heard || self.holding.is_empty() {
            return false;
        }
        let here = self.shard;
        match &command.body {
            Body::Reserve(reserve) => {
                let lines: Vec<&Line> =
                    own_lines(&reserve.lines, &reserve.shards, here).map(|(_, line)| line).collect();
                self.may_lack(&reserve.namespace, &reserve.owner, &lines)
            }
            Body::Replace(replace) => {
                let Some(found) = self.reservations.get(&replace.id) else { return false };
                let lines: Vec<&Line> =
                    own_lines(&replace.lines, &replace.shards, here).map(|(_, line)| line).collect();
                self.may_lack(&replace.namespace, &found.owner(), &lines)
            }
            Body::Cart(Message::Prepare(prepare)) => {
                let lines: Vec<&Line> = prepare.wanted.iter().map(|wanted| &wanted.line).collect();
                self.may_lack(&prepare.namespace, &prepare.owner, &lines)
            }
            Body::Commit(commit) if commit.revive => {
                let Some(found) = self.reservations.get(&commit.id) else { return false };
                found.lines.iter().any(|line| self.may_be_free(line.pool, u64::from(line.asked)))
                    || found.lines.iter().any(|line| {
                        let sku = self.stock.sku(self.stock.pool(line.pool).sku);
                        self.counts_elsewhere(sku, &found.owner())
                    })
            }
            _ => false,
        }
    }

    fn may_lack(&self, namespace: &Namespace, owner: &Owner, lines: &[&Line]) -> bool {
        lines.iter().any(|line| {
            let Some(sku) = self.stock.find_sku(namespace, &line.sku) else { return false };
            let same = lines.iter().filter(|other| other.sku == line.sku);
            let units = || same.clone().map(|line| line.quantity.units()).fold(0, u64::saturating_add);
            let of = |pool: &PoolRef| {
                let key = &self.stock.pool(*pool).key;
                key.kind == line.kind
                    && key.lot == line.lot
                    && line.location.as_ref().is_none_or(|at| *at == key.location)
            };
            sku.pools.iter().filter(|pool| of(pool)).any(|pool| self.may_be_free(*pool, units()))
                || self.counts_elsewhere(sku, owner)
        })
    }

    /// Whether a pool lacks some of so many units, and a home of what it holds may have decided about that.
    fn may_be_free(&self, pool: PoolRef, units: u64) -> bool {
        !self.stock.pool(pool).told.is_empty() && self.stock.sellable_at(pool, self.header.clock) < units
    }

    /// Whether a limit of that SKU counts what an owner's carts of other homes hold.
    fn counts_elsewhere(&self, sku: &SkuEntry, owner: &Owner) -> bool {
        sku.settings.limits_owners() && self.has_uses_elsewhere(sku, owner)
    }

    /// Homes of carts that hold units in this shard.
    pub fn homes_of_holds(&self) -> Vec<ShardId> {
        self.holding.homes().collect()
    }

    /// Whether this shard has obeyed that decision of another home already, or a later one.
    pub fn has_obeyed(&self, command: &Command) -> bool {
        let Body::Cart(Message::Decide(decide)) = &command.body else { return false };
        let from = &decide.from;
        let known = self.parts.get(&from.id).is_some_and(|part| part.number >= from.number);
        known || from.number < self.floor_of(from.home)
    }

    /// What this home has decided about carts that hold units at a participant, as far as that has not answered it.
    pub fn untold(&self, participant: ShardId, at_most: usize) -> Untold {
        // What is overdue and not swept yet is over, and no message says so.
        let swept = self.deadlines.first().is_none_or(|due| due.deadline() > self.header.clock);
        let mut untold = Untold { decisions: Vec::new(), all: swept };
        for (seen, (number, id)) in self.outbox(participant, Number::default()).enumerate() {
            let cart = self.reservations.get(&id).and_then(|found| found.cart.as_ref());
            let Some(to) = cart.and_then(|cart| cart.participant(participant)) else { continue };
            let decided = to.row == Some(Row::Decide);
            if seen == ROWS_SEEN || (decided && untold.decisions.len() == at_most) {
                untold.all = false;
                return untold;
            }
            if decided {
                untold.decisions.extend(self.message(id, participant));
            } else if to.oldest != number {
                // A decision was not answered before the cart was prepared anew, and its message is no more.
                untold.all = false;
            }
        }
        untold
    }
}
