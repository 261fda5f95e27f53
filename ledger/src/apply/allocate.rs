//! Lines that name no location: the SKU's policy puts them on pools, by what the pools can give at that moment.

use super::reserve::{Granting, Want, quantity};
use crate::{
    allocation::{Candidate, Demand, Lack, allocate, default_policy},
    command::Line,
    limits::LINES_MAX,
    outcome::{Missing, Refusal, Shortage},
    state::{Map, PoolRef, SkuRef, Stock},
    types::{Lot, Namespace, PoolKind, Quantity, TimeMs},
};

/// A line that names no location, after such lines of the same SKU, kind and lot were summed.
pub(crate) struct Open {
    pub(crate) sku: SkuRef,
    kind: PoolKind,
    lot: Lot,
    /// Index in the request of the first of them.
    pub(crate) line: u32,
    pub(crate) asked: u32,
    /// All of it, or the minimum with best effort.
    required: u32,
}

impl Open {
    fn pools<'a>(&'a self, stock: &'a Stock) -> impl Iterator<Item = PoolRef> + 'a {
        let same = |at: &PoolRef| {
            let texts = stock.pool(*at).texts();
            texts.kind == self.kind && texts.lot == self.lot.as_bytes()
        };
        stock.sku(self.sku).pools.iter().copied().filter(same)
    }
}

/// Notes a line that names no location. The SKU must have a pool of that kind and lot somewhere.
pub(crate) fn note(
    stock: &Stock,
    namespace: &Namespace,
    open: &mut Vec<Open>,
    (at, line): (u32, &Line),
    (asked, required): (u32, u32),
) -> Result<(), Missing> {
    let missing = || Missing::Sku(line.sku.detached());
    let sku = stock.find_sku_ref(namespace, &line.sku).ok_or_else(missing)?;
    let before = open.iter_mut().find(|open| open.sku == sku && open.kind == line.kind && open.lot == line.lot);
    if let Some(before) = before {
        before.asked = before.asked.saturating_add(asked);
        before.required = before.required.saturating_add(required);
        return Ok(());
    }
    let new = Open { sku, kind: line.kind, lot: line.lot.clone(), line: at, asked, required };
    if new.pools(stock).next().is_none() {
        return Err(missing());
    }
    open.push(new);
    Ok(())
}

/// What lines that name no location lack.
pub(crate) struct Lacking {
    pub(crate) shortages: Vec<Shortage>,
    /// There are units for a line, but not where or how its policy allows it.
    pub(crate) policy: bool,
    /// None of it would be lacking if other shards gave back what they may give back any moment.
    pub(crate) would_do: bool,
}

impl Default for Lacking {
    fn default() -> Self {
        Self { shortages: Vec::new(), policy: false, would_do: true }
    }
}

impl Lacking {
    pub(crate) fn any(&self) -> bool {
        self.policy || !self.shortages.is_empty()
    }
}

/// Adds what the policies choose to `wants`, and returns what is lacking. Lines that name their location come first.
pub(crate) fn place(
    stock: &Stock,
    wants: &mut Vec<Want>,
    open: &[Open],
    granting: &Granting<'_>,
    now: TimeMs,
) -> Result<Lacking, Refusal> {
    // Lines that name no location never meet each other in a pool: they differ in SKU, kind or lot.
    let named: Map<PoolRef, usize> = wants.iter().enumerate().map(|(at, want)| (want.pool, at)).collect();
    let mut lacking = Lacking::default();
    for line in open {
        let pools: Vec<PoolRef> = line.pools(stock).collect();
        let taken = |pool: &PoolRef| named.get(pool).map_or(0, |at| u64::from(wants[*at].asked));
        let candidates = |sellable: &dyn Fn(PoolRef) -> u64| -> Vec<Candidate<'_>> {
            let candidate = |pool: &PoolRef| Candidate {
                location: stock.pool(*pool).texts().location,
                free: sellable(*pool).saturating_add(u64::from(granting.mine(*pool))).saturating_sub(taken(pool)),
            };
            pools.iter().map(candidate).collect()
        };
        let free = candidates(&|pool| stock.sellable_at(pool, now));
        let settings = stock.sku(line.sku).settings();
        let default = default_policy();
        let policy = settings.rest.as_ref().and_then(|rest| rest.allocation.as_ref()).unwrap_or(&default);
        let demand = Demand { asked: u64::from(line.asked), required: u64::from(line.required), zone: granting.zone };
        match allocate(policy, &free, demand) {
            Err(lack) => {
                match lack {
                    Lack::Policy => lacking.policy = true,
                    Lack::Units(most) => lacking.shortages.push(Shortage {
                        line: line.line,
                        asked: quantity(line.asked),
                        sellable: Quantity::most(most),
                        earliest: earliest(stock, &pools, &free, line, now),
                    }),
                }
                let loose_by = granting.loose_by(now);
                let could = candidates(&|pool| stock.sellable_with_loose(pool, now, loose_by));
                if allocate(policy, &could, demand).is_err() {
                    lacking.would_do = false;
                    if lack == Lack::Policy {
                        return Err(Refusal::PolicyUnsatisfiable);
                    }
                }
            }
            Ok(shares) => {
                let shares = shares.into_iter().map(|(at, units)| (pools[at], u32::try_from(units).unwrap_or(0)));
                add(wants, &named, line, &shares.collect::<Vec<_>>(), settings.version.saturating_add(1));
            }
        }
    }
    if wants.len() > LINES_MAX {
        return Err(Refusal::PolicyUnsatisfiable);
    }
    Ok(lacking)
}

fn add(wants: &mut Vec<Want>, named: &Map<PoolRef, usize>, line: &Open, shares: &[(PoolRef, u32)], policy: u64) {
    let mut left = line.asked;
    for (at, (pool, units)) in shares.iter().enumerate() {
        // With best effort, what nobody can give is asked of the last.
        let asked = if at + 1 == shares.len() { left } else { *units };
        left = left.saturating_sub(asked);
        // A minimum was judged over all pools; what is required in all is required of each.
        let required = if line.required == line.asked { *units } else { 0 };
        match named.get(pool) {
            Some(before) => {
                let want = &mut wants[*before];
                want.asked = want.asked.saturating_add(asked);
                want.required = want.required.saturating_add(required);
                want.policy = policy;
            }
            None => wants.push(Want { pool: *pool, line: line.line, asked, required, grant: 0, policy }),
        }
    }
}

/// The first day on which what is lacking in all will have come to one of the pools.
fn earliest(
    stock: &Stock,
    pools: &[PoolRef],
    candidates: &[Candidate<'_>],
    line: &Open,
    now: TimeMs,
) -> Option<TimeMs> {
    let free = candidates.iter().fold(0_u64, |sum, candidate| sum.saturating_add(candidate.free));
    let lacking = u64::from(line.asked).saturating_sub(free);
    let of_pool = |(pool, candidate): (&PoolRef, &Candidate<'_>)| {
        stock.earliest(*pool, candidate.free.saturating_add(lacking), candidate.free, now)
    };
    pools.iter().zip(candidates).filter_map(of_pool).min()
}
