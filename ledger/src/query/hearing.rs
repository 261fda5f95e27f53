//! What a shard has to hear from the homes of others' carts before it may refuse for their sake, and what a home has to
//! say then.
//!
//! A participant holds units until home tells otherwise, and home may have decided already: whoever was told that his
//! release is done must be able to rely on it, on any shard. So a refusal that needs such units is a plain one only under
//! [`Command::heard`]; the node sees to it with what is here.

use crate::{
    apply::cart::own_lines,
    cart::{Number, message::Message},
    command::{Body, Command, Line, Stockkeeping},
    state::{EndedBy, Intent, Ledger, Pool, PoolRef, Row, SkuEntry},
    types::{Namespace, Owner, ReservationId, ShardId, TimeMs},
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
                !self.is_answered(reserve.id, command.attempt)
                    && self.may_lack(
                        &reserve.namespace,
                        &reserve.owner,
                        own_lines(&reserve.lines, &reserve.shards, here),
                    )
            }
            Body::Replace(replace) => self.reservations.get(&replace.id).is_some_and(|found| {
                let lines = own_lines(&replace.lines, &replace.shards, here);
                self.may_lack(&replace.namespace, &found.owner(), lines)
            }),
            Body::Cart(Message::Prepare(prepare)) => {
                let lines = prepare.wanted.iter().map(|wanted| (wanted.at, &wanted.line));
                self.may_lack(&prepare.namespace, &prepare.owner, lines)
            }
            Body::Commit(commit) if commit.revive => self.reservations.get(&commit.id).is_some_and(|found| {
                found.lines.iter().any(|line| {
                    let sku = self.stock.sku(self.stock.pool(line.pool).sku);
                    let lacks = self.told_in(line.pool) && self.lacks(line.pool, u64::from(line.asked));
                    lacks || self.counts_elsewhere(sku, &found.owner())
                })
            }),
            Body::Stockkeeping(Stockkeeping::Transfer(transfer)) => {
                let pool = self.stock.find_key(&transfer.from);
                pool.is_some_and(|pool| self.told_in(pool) && self.lacks(pool, transfer.quantity.units()))
            }
            _ => false,
        }
    }

    /// Whether that reserve will be told what it was told before.
    fn is_answered(&self, id: ReservationId, attempt: u32) -> bool {
        let refused = self.refusals.get(&Intent::Reserve(id));
        let known = self.reservations.get(&id).is_some_and(|found| found.ended != Some(EndedBy::Rejection));
        known || refused.is_some_and(|refused| !(refused.contended() && attempt > refused.attempt))
    }

    fn may_lack<'a>(
        &self,
        namespace: &Namespace,
        owner: &Owner,
        lines: impl Iterator<Item = (u32, &'a Line)> + Clone,
    ) -> bool {
        let sum = |of: &dyn Fn(&Line) -> bool| {
            lines
                .clone()
                .filter(|(_, line)| of(line))
                .fold(0_u64, |sum, (_, line)| sum.saturating_add(line.quantity.units()))
        };
        let mut all = None;
        lines.clone().any(|(_, line)| {
            let Some(sku) = self.stock.find_sku(namespace, &line.sku) else { return false };
            if self.counts_elsewhere(sku, owner) {
                return true;
            }
            // Most pools have nothing of others, or enough for a whole cart.
            let mut lacks = |pool: PoolRef| {
                self.lacks(pool, *all.get_or_insert_with(|| sum(&|_| true)))
                    && self.lacks(pool, sum(&|other| other.sku == line.sku))
            };
            let Some(location) = &line.location else {
                let chosen = |pool: &Pool| {
                    let texts = pool.texts();
                    texts.kind == line.kind && texts.lot == line.lot.as_bytes()
                };
                let pools = || sku.pools.iter().copied().filter(|pool| chosen(self.stock.pool(*pool)));
                return pools().any(|pool| self.told_in(pool)) && pools().any(lacks);
            };
            let pool = self.stock.find(namespace, &line.sku, location, line.kind, &line.lot);
            pool.is_some_and(|pool| self.told_in(pool) && lacks(pool))
        })
    }

    /// Whether a pool holds units for carts of other homes, as far as their homes have told so.
    fn told_in(&self, pool: PoolRef) -> bool {
        !self.stock.pool(pool).told().is_empty()
    }

    fn lacks(&self, pool: PoolRef, units: u64) -> bool {
        self.stock.sellable_at(pool, self.header.clock) < units
    }

    /// Whether it makes a difference to the limits of that SKU that an owner's carts of other homes hold units.
    fn counts_elsewhere(&self, sku: &SkuEntry, owner: &Owner) -> bool {
        let used = |firm_after| self.used_of(sku, owner, self.header.clock, None, firm_after);
        sku.settings().limits_owners() && used(None) != used(Some(TimeMs::MAX))
    }

    /// Homes of carts that hold units in this shard, decided or not.
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

    /// What this home has decided about carts that hold units at a participant, as far as that has not answered it: at most
    /// so many lines of them.
    pub fn untold(&self, participant: ShardId, lines_max: usize) -> Untold {
        // What is overdue and not swept yet is over, and no message says so.
        let swept = self.deadlines.first().is_none_or(|due| due.deadline() > self.header.clock);
        let mut untold = Untold { decisions: Vec::new(), all: swept };
        let mut lines = 0;
        for (seen, (number, id)) in self.outbox(participant, Number::default()).enumerate() {
            if seen == ROWS_SEEN {
                untold.all = false;
                break;
            }
            let cart = self.reservations.get(&id).and_then(|found| found.cart.as_ref());
            let Some((cart, to)) = cart.and_then(|cart| Some((cart, cart.participant(participant)?))) else { continue };
            if to.row == Some(Row::Decide) {
                let Some(message) = self.message(id, participant) else { continue };
                if let Body::Cart(Message::Decide(decide)) = &message.body {
                    lines += decide.lines.len().max(1);
                }
                if lines > lines_max {
                    untold.all = false;
                    break;
                }
                untold.decisions.push(message);
            } else if to.oldest != number && !cart.opening() {
                // A decision was not answered before the cart was prepared anew, and its message is no more. (Before a
                // reserve is held, all that was ever decided is that it is not; what is prepared of it is in doubt anyway.)
                untold.all = false;
            }
        }
        untold
    }
}
