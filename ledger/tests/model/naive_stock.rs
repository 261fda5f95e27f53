//! The naive ledger's stock side: counting, moving, setting apart, announcing, settings, limits and allocation.

use super::{Naive, Pool, Transit, q};
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};

type Told = Result<(Done, Option<Position>), Refusal>;

/// What a reserve wants of one pool.
pub struct Wanted {
    pub pool: PoolKey,
    line: u32,
    pub asked: i128,
    required: i128,
    policy: Option<u64>,
}

fn units(quantity: Quantity) -> i128 {
    i128::from(quantity.units())
}

fn bad(field: &str, problem: impl ToString) -> Refusal {
    Refusal::InvalidArgument(vec![BadField { field: field.to_owned(), problem: problem.to_string() }])
}

fn lacking(asked: i128, there: i128) -> Refusal {
    Refusal::InsufficientStock(vec![Shortage { line: 0, asked: q(asked), sellable: q(there), earliest: None }])
}

fn roomy(pool: Option<&Pool>, more: i128, field: &str) -> Result<(), Refusal> {
    let left = (1 << 53) - pool.map_or(0, |pool| pool.inflow);
    if more <= left {
        return Ok(());
    }
    Err(bad(field, format!("no more than {left} units can come into this pool, 2^53 in all its life")))
}

impl Naive {
    pub fn settings_of(&self, sku: &Sku) -> Settings {
        self.settings.iter().find(|(known, ..)| known == sku).map_or(Settings::default(), |(.., found)| found.clone())
    }

    pub fn version_of(&self, sku: &Sku) -> u64 {
        self.settings.iter().find(|(known, ..)| known == sku).map_or(0, |(_, version, _)| *version)
    }

    pub fn knows(&self, sku: &Sku) -> bool {
        self.pools.iter().any(|pool| pool.key.sku == *sku) || self.version_of(sku) > 0
    }

    /// Units a pool can give.
    pub fn free(&self, pool: &Pool) -> i128 {
        (pool.available - units(self.settings_of(&pool.key.sku).safety_stock)).max(0)
    }

    /// Units a pool can give to what is being judged, which may have some of them already.
    pub(super) fn can_give(&self, pool: &Pool) -> i128 {
        let own = self.own.iter().flat_map(|(_, own)| own).find(|(key, _)| *key == pool.key);
        self.free(pool) + own.map_or(0, |(_, units)| *units)
    }

    pub(super) fn stocked(&self, key: &PoolKey) -> Result<usize, Refusal> {
        self.pool(key).ok_or_else(|| {
            Refusal::NotFound(match self.knows(&key.sku) {
                true => Missing::Pool(Box::new(key.clone())),
                false => Missing::Sku(key.sku.clone()),
            })
        })
    }

    pub(super) fn vanish(&mut self, at: usize, units: i128) -> Position {
        let pool = &mut self.pools[at];
        pool.on_hand -= units;
        let taken = pool.available.min(units);
        pool.available -= taken;
        pool.short += units - taken;
        self.moved_in(at)
    }

    fn changed(&self, at: usize, before: i128, beyond: i128, position: Position) -> Told {
        let pool = &self.pools[at];
        let change = StockChange {
            pool: self.pool_view(pool),
            delta: i64::try_from(pool.on_hand - before).expect("below 2^53"),
            beyond: q(beyond),
            shortage: self.shortage(pool),
        };
        Ok((Done::Stock(Box::new(change)), Some(position)))
    }

    pub fn shortage(&self, pool: &Pool) -> Option<ShortageView> {
        let (since, by) = pool.short_since?;
        let mut holds: Vec<(Position, ReservationId, i128)> = Vec::new();
        for hold in &self.holds {
            let of_pool = hold.lines.iter().filter(|line| line.pool == pool.key && line.held > 0);
            holds.extend(of_pool.map(|line| (hold.reserved_at, hold.id, line.held)));
        }
        holds.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut newest = Vec::new();
        let mut covered = 0;
        for (_, reservation, held) in holds {
            if covered < pool.short && newest.len() < 20 {
                newest.push(AtRisk { reservation, held: q(held) });
            }
            covered += held;
        }
        let at_risk = pool.short.min(pool.held + pool.committed);
        let (key, since) = (pool.key.clone(), TimeMs(since));
        Some(ShortageView { pool: key, units: q(pool.short), since, by, at_risk: q(at_risk), newest })
    }

    pub(super) fn stockkeeping(&mut self, asked: &Stockkeeping) -> Told {
        match asked {
            Stockkeeping::Set(set) => {
                let at = self.stocked(&set.pool)?;
                let (before, after) = (self.pools[at].on_hand, units(set.on_hand));
                roomy(Some(&self.pools[at]), after - before, "on_hand")?;
                if set.expected_on_hand.is_some_and(|expected| units(expected) != before) {
                    return Err(Refusal::VersionStale { on_hand: q(before) });
                }
                let position = self.becomes(at, after - before);
                self.changed(at, before, 0, position)
            }
            Stockkeeping::Count(count) => {
                let at = self.stocked(&count.pool)?;
                let before = self.pools[at].on_hand;
                let then = count.observed.map_or(before, |observed| units(observed.on_hand));
                if then > self.pools[at].inflow {
                    return Err(bad("observed.on_hand", "is more than ever came into this pool"));
                }
                let now = (self.clock, self.pools[at].counted.1);
                let seen = match count.observed {
                    None => Some(now),
                    Some(observed) => observed.seen.map(|seen| (seen.moment.0, seen.counts)),
                };
                if seen.is_some_and(|(_, counts)| counts != self.pools[at].counted.1) {
                    return Err(Refusal::Contended);
                }
                // An earlier moment than that of the newest count tells nothing new.
                let late = seen.is_some_and(|(moment, _)| moment < self.pools[at].counted.0);
                let delta = if late { 0 } else { units(count.counted) - then };
                roomy(Some(&self.pools[at]), delta, "counted")?;
                if let Some((moment, counts)) = seen.filter(|_| !late) {
                    self.pools[at].counted = (moment, counts + 1);
                }
                let beyond = (-delta - before).max(0);
                let position = self.becomes(at, delta + beyond);
                self.changed(at, before, beyond, position)
            }
            Stockkeeping::Quarantine(quarantine) => self.quarantine(quarantine),
            Stockkeeping::Transfer(transfer) => self.transfer(transfer),
            Stockkeeping::Arrive(arrive) => self.arrive_transfer(arrive),
            Stockkeeping::Expect(expect) => {
                let (before, units) = (self.pool(&expect.pool), units(expect.quantity));
                let known = before.map_or(&[][..], |at| &self.pools[at].expected);
                if units > 0 && known.len() >= 32 && known.iter().all(|(document, ..)| *document != expect.document) {
                    return Err(bad("document", "32 receipts are expected in this pool, no more can be"));
                }
                let at = self.pool_or_new(&expect.pool);
                self.pools[at].expected.retain(|(document, ..)| *document != expect.document);
                if units > 0 {
                    self.pools[at].expected.push((expect.document.clone(), expect.date.0, units));
                    self.pools[at].expected.sort();
                }
                let position = self.moved_in(at);
                Ok((Done::Pool(Box::new(self.pool_view(&self.pools[at]))), Some(position)))
            }
            Stockkeeping::Configure(configure) => self.configure(configure),
        }
    }

    fn becomes(&mut self, at: usize, delta: i128) -> Position {
        if delta > 0 { self.arrive(at, delta) } else { self.vanish(at, -delta) }
    }

    fn quarantine(&mut self, quarantine: &Quarantine) -> Told {
        let at = self.stocked(&quarantine.pool)?;
        let asked = units(quarantine.quantity);
        let pool = &mut self.pools[at];
        let before = pool.on_hand;
        let there = match quarantine.step {
            QuarantineStep::SetApart => (pool.on_hand - pool.unavailable).max(0),
            _ => pool.unavailable,
        };
        if asked > there {
            return Err(lacking(asked, there));
        }
        match quarantine.step {
            QuarantineStep::SetApart => {
                let taken = pool.available.min(asked);
                pool.available -= taken;
                pool.short += asked - taken;
                pool.unavailable += asked;
            }
            QuarantineStep::Back => {
                let paid = pool.short.min(asked);
                pool.short -= paid;
                pool.available += asked - paid;
                pool.unavailable -= asked;
            }
            QuarantineStep::WriteOff => {
                let gone = pool.on_hand.min(asked);
                pool.on_hand -= gone;
                pool.short -= asked - gone;
                pool.unavailable -= asked;
            }
        }
        let position = self.moved_in(at);
        self.changed(at, before, 0, position)
    }

    fn transfer(&mut self, transfer: &Transfer) -> Told {
        let from = self.stocked(&transfer.from)?;
        let to = PoolKey { location: transfer.to.clone(), ..transfer.from.clone() };
        let asked = units(transfer.quantity);
        roomy(self.pool(&to).map(|at| &self.pools[at]), asked, "quantity")?;
        if asked > self.pools[from].available {
            return Err(lacking(asked, self.pools[from].available));
        }
        self.pools[from].available -= asked;
        self.pools[from].on_hand -= asked;
        self.moved_in(from);
        let at = self.pool_or_new(&to);
        let position = if transfer.immediate {
            self.arrive(at, asked)
        } else {
            self.pools[at].in_transit += asked;
            self.pools[at].inflow += asked;
            self.moved_in(at)
        };
        let transit = Transit {
            id: transfer.operation,
            from: transfer.from.clone(),
            to,
            sent: asked,
            received: if transfer.immediate { asked } else { 0 },
            lost: 0,
            since: self.clock,
            document: transfer.document.clone(),
        };
        let told = self.transferred(&transit);
        self.transits.push(transit);
        self.transits.retain(|transit| transit.sent > transit.received + transit.lost);
        Ok((told, Some(position)))
    }

    fn arrive_transfer(&mut self, arrive: &Arrive) -> Told {
        if !self.knows(&arrive.sku) {
            return Err(Refusal::NotFound(Missing::Sku(arrive.sku.clone())));
        }
        let found = |transit: &&mut Transit| transit.id == arrive.transfer && transit.to.sku == arrive.sku;
        let Some(transit) = self.transits.iter_mut().find(found) else {
            return Err(Refusal::NotFound(Missing::Transfer(arrive.transfer)));
        };
        let (received, lost) = (units(arrive.received), units(arrive.lost));
        let left = transit.sent - transit.received - transit.lost;
        if received + lost > left {
            return Err(lacking(received + lost, left));
        }
        transit.received += received;
        transit.lost += lost;
        let transit = transit.clone();
        let at = self.pool(&transit.to).expect("transfers make their pools");
        let mut position = None;
        if received > 0 {
            self.pools[at].in_transit -= received;
            self.pools[at].inflow -= received;
            position = Some(self.arrive(at, received));
        }
        if lost > 0 {
            self.pools[at].in_transit -= lost;
            position = Some(self.moved_in(at));
        }
        let told = self.transferred(&transit);
        self.transits.retain(|transit| transit.sent > transit.received + transit.lost);
        Ok((told, position))
    }

    pub fn transit_view(transit: &Transit) -> TransferView {
        TransferView {
            id: transit.id,
            from: transit.from.clone(),
            to: transit.to.clone(),
            sent: q(transit.sent),
            received: q(transit.received),
            lost: q(transit.lost),
            since: TimeMs(transit.since),
            document: transit.document.clone(),
        }
    }

    fn transferred(&self, transit: &Transit) -> Done {
        let view = |key: &PoolKey| self.pool_view(&self.pools[self.pool(key).expect("transfers make their pools")]);
        let (from, to) = (view(&transit.from), view(&transit.to));
        Done::Transfer(Box::new(Transferred { transfer: Self::transit_view(transit), from, to }))
    }

    fn configure(&mut self, configure: &Configure) -> Told {
        let before = self.settings_of(&configure.sku);
        let mut of_sku = self.pools.iter().filter(|pool| pool.key.sku == configure.sku);
        let promised = of_sku.any(|pool| pool.held > 0 || pool.committed > 0 || pool.sold > 0)
            || self.sold_short.contains(&configure.sku);
        if before.deduct != configure.settings.deduct && self.knows(&configure.sku) && promised {
            let problem = "can't change any more: units of this SKU are held, committed or sold";
            return Err(bad("settings.deduct", problem));
        }
        let version = self.version_of(&configure.sku);
        if version != configure.expected_version {
            return Err(Refusal::SettingsStale { version });
        }
        self.settings.retain(|(sku, ..)| *sku != configure.sku);
        self.settings.push((configure.sku.clone(), version + 1, (*configure.settings).clone()));
        let view = SettingsView { version: version + 1, settings: (*configure.settings).clone() };
        Ok((Done::Settings(Box::new(view)), None))
    }

    /// SKUs of a reserve whose limits it counts for from now on.
    pub(super) fn counted_skus(&self, reserve: &Reserve) -> Vec<(Sku, i128, u64)> {
        let mut counted: Vec<(Sku, i128, u64)> = Vec::new();
        for line in &reserve.lines {
            let limited = self.settings_of(&line.sku).limits_owners();
            if limited && counted.iter().all(|(sku, ..)| *sku != line.sku) {
                counted.push((line.sku.clone(), 0, 0));
            }
        }
        counted
    }

    /// Units and live holds an owner has of a SKU that count.
    fn used(&self, owner: &Owner, sku: &Sku) -> (i128, i128) {
        let (mut of_units, mut of_holds) = (0, 0);
        let own = self.own.as_ref().map(|(id, _)| *id);
        let others = self.holds.iter().filter(|hold| hold.request.owner == *owner && Some(hold.id) != own);
        for hold in others {
            for (_, sold, until) in hold.counted.iter().filter(|(counted, ..)| counted == sku) {
                let held: i128 = hold.lines.iter().filter(|line| line.pool.sku == *sku).map(|line| line.held).sum();
                of_units += held + if *until > self.clock { *sold } else { 0 };
                of_holds += i128::from(held > 0);
            }
        }
        (of_units, of_holds)
    }

    fn rules(&self, reserve: &Reserve) -> Result<(), Refusal> {
        let all: Vec<Settings> = reserve.lines.iter().map(|line| self.settings_of(&line.sku)).collect();
        if let Some(reason) = all.iter().find_map(|settings| settings.frozen.clone()) {
            return Err(Refusal::SkuFrozen { reason });
        }
        if let Some(opens) = all.iter().filter_map(|settings| settings.opens).filter(|opens| opens.0 > self.clock).max()
        {
            return Err(Refusal::SaleNotOpen { opens });
        }
        if all.iter().any(|settings| settings.closes.is_some_and(|closes| closes.0 <= self.clock)) {
            return Err(Refusal::SaleClosed);
        }
        for (line, (at, settings)) in (0_u32..).zip(reserve.lines.iter().zip(&all)) {
            let (used, holds) = self.used(&reserve.owner, &at.sku);
            let same = reserve.lines.iter().filter(|other| other.sku == at.sku);
            let asked: i128 = same.map(|other| units(other.quantity)).sum();
            if let Some(limit) = settings.owner_units
                && used + asked > units(limit.units)
            {
                let (kind, limit, window) = (LimitKind::Units, limit.units, limit.window);
                return Err(Refusal::LimitExceeded(LimitExceeded { line, kind, limit, window, used: q(used) }));
            }
            if let Some(limit) = settings.owner_holds
                && holds >= i128::from(limit)
            {
                let (kind, limit, window) = (LimitKind::Holds, q(i128::from(limit)), DurationMs(0));
                return Err(Refusal::LimitExceeded(LimitExceeded { line, kind, limit, window, used: q(holds) }));
            }
        }
        Ok(())
    }

    /// What a reserve would take of which pools, or why it takes nothing.
    pub(super) fn wanted(&self, reserve: &Reserve) -> Result<Vec<Wanted>, Refusal> {
        for line in &reserve.lines {
            if reserve.owner.is_empty() && self.settings_of(&line.sku).limits_owners() {
                return Err(bad("owner", format!("is required: SKU `{}` limits what an owner may have", line.sku)));
            }
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut open: Vec<(u32, Sku, i128, i128)> = Vec::new();
        for (index, line) in (0_u32..).zip(&reserve.lines) {
            let asked = units(line.quantity);
            let required = if reserve.best_effort { units(line.minimum) } else { asked };
            let Some(location) = &line.location else {
                if !self.pools.iter().any(|pool| pool.key.sku == line.sku) {
                    return Err(Refusal::NotFound(Missing::Sku(line.sku.clone())));
                }
                match open.iter_mut().find(|(_, sku, ..)| *sku == line.sku) {
                    Some(before) => {
                        before.2 += asked;
                        before.3 += required;
                    }
                    None => open.push((index, line.sku.clone(), asked, required)),
                }
                continue;
            };
            let pool = pool_of(&reserve.namespace, &line.sku, location, line.kind, &line.lot);
            self.stocked(&pool)?;
            match wanted.iter_mut().find(|other| other.pool == pool) {
                Some(before) => {
                    before.asked += asked;
                    before.required += required;
                }
                None => wanted.push(Wanted { pool, line: index, asked, required, policy: None }),
            }
        }
        self.rules(reserve)?;
        let mut short = Vec::new();
        let named: Vec<(PoolKey, i128)> = wanted.iter().map(|wanted| (wanted.pool.clone(), wanted.asked)).collect();
        for line in open {
            short.extend(self.deal(reserve, &named, &mut wanted, line)?);
        }
        let free = |wanted: &Wanted| self.can_give(&self.pools[self.pool(&wanted.pool).expect("was found before")]);
        let nothing = wanted.iter().all(|wanted| free(wanted).min(wanted.asked) == 0);
        for line in &wanted {
            if free(line) < line.required.max(i128::from(nothing)) {
                let pool = &self.pools[self.pool(&line.pool).expect("was found before")];
                let earliest = self.earliest(pool, line.asked);
                short.push(Shortage { line: line.line, asked: q(line.asked), sellable: q(free(line)), earliest });
            }
        }
        short.sort_by_key(|short| short.line);
        if short.is_empty() { Ok(wanted) } else { Err(Refusal::InsufficientStock(short)) }
    }

    pub(super) fn lines_told(&self, wanted: &[Wanted]) -> Vec<LineGot> {
        let line = |wanted: &Wanted| {
            let free = self.free(&self.pools[self.pool(&wanted.pool).expect("was found before")]);
            let got = q(free.min(wanted.asked));
            LineGot { pool: wanted.pool.clone().into(), asked: q(wanted.asked), got, policy: wanted.policy }
        };
        wanted.iter().map(line).collect()
    }

    /// The first day on which a pool could give so many: as if everything announced up to then had come.
    fn earliest(&self, pool: &Pool, wanted: i128) -> Option<TimeMs> {
        let mut dates: Vec<u64> = pool.expected.iter().map(|(_, date, _)| *date).collect();
        dates.sort();
        let then = |date: &u64| {
            let come: i128 = pool.expected.iter().filter(|(_, day, _)| day <= date).map(|(.., units)| units).sum();
            let available = pool.available + (come - pool.short).max(0);
            self.can_give(&Pool { available, ..pool.clone() }) >= wanted
        };
        dates.into_iter().find(then).map(TimeMs)
    }

    /// Deals a line without a location: tries every set of locations.
    fn deal(
        &self,
        reserve: &Reserve,
        named: &[(PoolKey, i128)],
        wanted: &mut Vec<Wanted>,
        (line, sku, asked, required): (u32, Sku, i128, i128),
    ) -> Result<Option<Shortage>, Refusal> {
        let default = Allocation { strategy: Strategy::MostStock, places: 16 };
        let policy = self.settings_of(&sku).allocation.unwrap_or(default);
        let mut pools: Vec<(&Pool, i128)> = Vec::new();
        for pool in self.pools.iter().filter(|pool| pool.key.sku == sku) {
            let taken: i128 = named.iter().filter(|(key, _)| *key == pool.key).map(|(_, asked)| asked).sum();
            pools.push((pool, (self.can_give(pool) - taken).max(0)));
        }
        pools.sort_by(|a, b| a.0.key.location.cmp(&b.0.key.location));
        let anywhere: i128 = pools.iter().map(|(_, free)| free).sum();
        let all = pools.clone();
        match &policy.strategy {
            Strategy::Priority(list) => {
                let listed = list.iter().filter_map(|name| pools.iter().find(|(pool, _)| pool.key.location == *name));
                pools = listed.copied().collect();
            }
            Strategy::MostStock | Strategy::FewestSplits => pools.sort_by_key(|(_, free)| -free),
            Strategy::NearestZone(zones) => {
                let zone =
                    |pool: &Pool| zones.iter().find(|(name, _)| *name == pool.key.location).map(|(_, zone)| *zone);
                pools.retain(|(pool, _)| zone(pool).is_some());
                pools.sort_by_key(|(pool, _)| zone(pool).expect("is listed").abs_diff(reserve.zone));
            }
        }
        if pools.is_empty() {
            return Err(Refusal::PolicyUnsatisfiable);
        }
        let places = usize::try_from(policy.places).expect("small");
        let sets = (0_u32..1 << pools.len()).map(|set| {
            let inside = |at: &usize| set >> at & 1 == 1 && pools[*at].1 > 0;
            (0..pools.len()).filter(inside).collect::<Vec<usize>>()
        });
        let sets: Vec<Vec<usize>> = sets.filter(|set| set.len() <= places).collect();
        let sum = |set: &[usize]| set.iter().map(|at| pools[*at].1).sum::<i128>();
        let most = sets.iter().map(|set| sum(set)).max().expect("the empty set is one");
        if most < required {
            if anywhere >= required {
                return Err(Refusal::PolicyUnsatisfiable);
            }
            let dates = all.iter().filter_map(|(pool, _)| self.earliest(pool, self.can_give(pool) + asked - anywhere));
            return Ok(Some(Shortage { line, asked: q(asked), sellable: q(most), earliest: dates.min() }));
        }
        let target = most.min(asked);
        let enough = sets.into_iter().filter(|set| sum(set) >= target);
        let best = match policy.strategy {
            // The fewest places; as many units as can be from the largest, and the rest from the smallest that has it.
            Strategy::FewestSplits => enough.min_by_key(|set| {
                let largest = set.split_last().map_or(&[][..], |(_, before)| before).to_vec();
                (set.len(), largest, set.last().map(|at| (pools[*at].1, *at)))
            }),
            // Whatever stands first is left out only if it must be.
            _ => enough.max_by_key(|set| (0..pools.len()).map(|at| set.contains(&at)).collect::<Vec<bool>>()),
        };
        let mut left = target;
        let mut shares: Vec<(usize, i128)> = Vec::new();
        for at in best.expect("there is one") {
            let share = left.min(pools[at].1);
            left -= share;
            if share > 0 {
                shares.push((at, share));
            }
        }
        if shares.is_empty() {
            shares.push((0, 0));
        }
        let last = shares.len() - 1;
        for (place, (at, share)) in shares.into_iter().enumerate() {
            let pool = pools[at].0.key.clone();
            let more = if place == last { share + asked - target } else { share };
            let required = if required == asked { share } else { 0 };
            let policy = Some(self.version_of(&sku));
            match wanted.iter_mut().find(|other| other.pool == pool) {
                Some(before) => {
                    before.asked += more;
                    before.required += required;
                    before.policy = policy;
                }
                None => wanted.push(Wanted { pool, line, asked: more, required, policy }),
            }
        }
        Ok(None)
    }
}
