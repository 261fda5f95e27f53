//! Makes a case of a history: which operations are about its pools, under numbers instead of names.

mod judge;
mod known;

use super::{
    Case, ClockBound, Step,
    act::{Act, After, Judged, Parts, Reserve, Way},
};
use crate::history::{Action, End, Held, History, Line, Operation, Told, article};
use known::Known;
use std::collections::{BTreeMap, BTreeSet};

/// Makes a case of a history.
pub(super) struct Builder<'a> {
    history: &'a History,
    skus: BTreeMap<&'a str, u16>,
    bound: ClockBound,
    known: Known<'a>,
    /// Reservations with a line in the case, and whether all their lines are.
    reservations: BTreeMap<&'a str, (u32, bool)>,
    operations: BTreeMap<&'a str, u32>,
    documents: BTreeMap<&'a str, u32>,
    owners: BTreeMap<&'a str, u32>,
    /// Pools that no cart of several SKUs touches: only their balances are those of one moment.
    exact: BTreeSet<u16>,
}

/// The number of a name, a new one if it is new.
fn number<'a>(names: &mut BTreeMap<&'a str, u32>, name: &'a str) -> u32 {
    let next = u32::try_from(names.len()).expect("a history in memory");
    *names.entry(name).or_insert(next)
}

impl<'a> Builder<'a> {
    pub(super) fn new(history: &'a History, skus: &'a BTreeSet<String>, bound: ClockBound) -> Self {
        let skus: BTreeMap<&str, u16> = skus.iter().map(String::as_str).zip(0..).collect();
        let mut builder = Self {
            history,
            exact: skus.values().copied().collect(),
            skus,
            bound,
            known: Known::new(history),
            reservations: BTreeMap::new(),
            operations: BTreeMap::new(),
            documents: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for (id, pools) in &builder.known.pools {
            let inside: Vec<u16> = pools.iter().filter_map(|pool| builder.skus.get(pool).copied()).collect();
            if inside.is_empty() {
                continue;
            }
            let next = u32::try_from(builder.reservations.len()).expect("a history in memory");
            builder.reservations.insert(id, (next, inside.len() == pools.len()));
            if is_cart(pools) {
                builder.exact.retain(|sku| !inside.contains(sku));
            }
        }
        builder
    }

    pub(super) fn build(mut self) -> Case {
        let history = self.history;
        let mut steps: Vec<Step> = Vec::new();
        for (place, operation) in history.operations.iter().enumerate() {
            let Some((act, end)) = self.judge(operation) else { continue };
            let unknown = operation.is_unknown();
            let invoked_ms = history.unix_ms(operation.invoked_ns);
            steps.push(Step {
                place,
                invoked_ns: operation.invoked_ns,
                ended_ns: (!unknown).then_some(operation.ended_ns),
                invoked_ms,
                effect_ms_max: if unknown {
                    invoked_ms + history.effect_ms_max
                } else {
                    history.unix_ms(operation.ended_ns)
                },
                act,
                end,
                settled: self.settled(operation),
            });
        }
        steps.sort_by_key(|step| (step.invoked_ns, step.place));
        Case { skus: self.skus.keys().map(|sku| (*sku).to_owned()).collect(), steps, bound: self.bound }
    }

    fn settled(&self, operation: &Operation) -> Option<u32> {
        let Some(Told::Reservation(Held { settled: true, .. })) = operation.told() else { return None };
        self.reservation(operation.action.reservation()?)
    }

    fn sku(&self, name: &str) -> Option<u16> {
        self.skus.get(name).copied()
    }

    /// Every pool of that SKU.
    fn pools_of(&self, sku: &str) -> Vec<u16> {
        self.skus.iter().filter(|(pool, _)| article(pool) == sku).map(|(_, number)| *number).collect()
    }

    fn reservation(&self, id: &str) -> Option<u32> {
        self.reservations.get(id).map(|(number, _)| *number)
    }

    fn operation(&mut self, id: &'a str) -> u32 {
        number(&mut self.operations, id)
    }

    fn owner(&mut self, name: &'a str) -> u32 {
        number(&mut self.owners, name)
    }

    fn parts(&self, lines: &[Line]) -> Parts {
        lines.iter().filter_map(|line| Some((self.sku(&line.sku)?, line.units))).collect()
    }

    fn are_exact(&self, parts: &Parts) -> bool {
        parts.iter().all(|(sku, _)| self.exact.contains(sku))
    }

    /// The operation as the case sees it; none if it is not about it, or says nothing.
    fn judge(&mut self, operation: &'a Operation) -> Option<(Act, Judged)> {
        match &operation.action {
            Action::Reserve { .. }
            | Action::Replace { .. }
            | Action::Commit { .. }
            | Action::Release { .. }
            | Action::Extend { .. }
            | Action::MarkPaying { .. }
            | Action::Ship { .. }
            | Action::Cancel { .. }
            | Action::Return { .. }
            | Action::ReadReservation { .. } => self.of_reservation(operation),
            action if action.is_effectful() => self.of_keeper(operation),
            _ => self.of_reader(operation),
        }
    }

    fn of_keeper(&mut self, operation: &'a Operation) -> Option<(Act, Judged)> {
        let end = &operation.end;
        let (act, pools) = match &operation.action {
            Action::Receive { id, line } => {
                let (sku, delta) = (self.sku(&line.sku)?, i64::try_from(line.units).ok()?);
                (Act::Stock { id: self.operation(id), sku, delta, expected: None, document: None }, vec![sku])
            }
            Action::ReceiveExpected { id, line, document } => {
                let (sku, delta) = (self.sku(&line.sku)?, i64::try_from(line.units).ok()?);
                let document = Some(number(&mut self.documents, document));
                (Act::Stock { id: self.operation(id), sku, delta, expected: None, document }, vec![sku])
            }
            Action::Adjust { id, sku, delta, expected } => {
                let (sku, delta, expected) = (self.sku(sku)?, *delta, *expected);
                (Act::Stock { id: self.operation(id), sku, delta, expected, document: None }, vec![sku])
            }
            Action::Expect { id, line, document, .. } => {
                let (sku, document) = (self.sku(&line.sku)?, number(&mut self.documents, document));
                (Act::Expect { id: self.operation(id), sku, units: line.units, document }, vec![sku])
            }
            Action::Set { id, sku, units, expected } => {
                let sku = self.sku(sku)?;
                (Act::Set { id: self.operation(id), sku, units: *units, expected: *expected }, vec![sku])
            }
            Action::Count { id, sku, units, seen } => {
                let sku = self.sku(sku)?;
                (Act::Count { id: self.operation(id), sku, units: *units, now: seen.is_none() }, vec![sku])
            }
            Action::Quarantine { id, line } => self.aside(id, line, Way::Apart)?,
            Action::Unquarantine { id, line } => self.aside(id, line, Way::Back)?,
            Action::WriteOff { id, line } => self.aside(id, line, Way::Off)?,
            Action::Transfer { id, line, to, immediate } => {
                let (from, to, id) = (self.sku(&line.sku)?, self.sku(to)?, self.operation(id));
                (Act::Transfer { id, from, to, units: line.units, immediate: *immediate }, vec![from, to])
            }
            Action::Arrive { id, transfer, sku, received, lost } => {
                let pools = self.pools_of(sku);
                let first = *pools.first()?;
                let (id, transfer) = (self.operation(id), self.operation(transfer));
                (Act::Arrive { id, transfer, received: *received, lost: *lost }, vec![first])
            }
            Action::Configure { id, sku, version, settings } => {
                let pools = self.pools_of(sku);
                let first = *pools.first()?;
                let (version, settings) = (*version, settings.clone());
                (Act::Configure { id: self.operation(id), pools, version, settings }, vec![first])
            }
            _ => return None,
        };
        Some((act, self.kept(&pools, end)?))
    }

    fn aside(&mut self, id: &'a str, line: &Line, way: Way) -> Option<(Act, Vec<u16>)> {
        let sku = self.sku(&line.sku)?;
        Some((Act::Aside { id: self.operation(id), sku, units: line.units, way }, vec![sku]))
    }

    fn of_reservation(&mut self, operation: &'a Operation) -> Option<(Act, Judged)> {
        let (action, end) = (&operation.action, &operation.end);
        let name = action.reservation()?;
        let id = self.reservation(name)?;
        let own = action.operation().filter(|_| !matches!(action, Action::Reserve { .. }));
        let own = own.map(|own| self.operation(own));
        let known = &self.known;
        let found_nothing = action.operation().is_some_and(|own| known.found_nothing.contains(own));
        let judged = match action {
            // It shows nowhere but in what its repeats are told.
            action if !matches!(action, Action::Reserve { .. }) && operation.is_unknown() && found_nothing => {
                Judged::Unknown
            }
            Action::Reserve { lines, .. } => self.reserved(name, lines, end)?,
            Action::Replace { lines, .. } => self.replaced(name, lines, end)?,
            Action::Commit { .. } => self.changed(name, end, |line| line.committed)?,
            Action::Release { .. } if known.replaced.contains(name) => self.changed(name, end, |_| 1)?,
            Action::Release { .. } => self.changed(name, end, |line| line.released)?,
            Action::Ship { .. } => self.changed(name, end, |line| line.shipped)?,
            Action::Cancel { .. } => self.changed(name, end, |line| line.cancelled)?,
            Action::Return { .. } => self.changed(name, end, |line| line.returned + line.apart)?,
            Action::Extend { .. } => self.extended(name, operation)?,
            _ => self.changed(name, end, |_| 1)?,
        };
        if matches!(judged, Judged::NotHeld) && self.may_lack(name, action) || self.sold_elsewhere(operation) {
            return None;
        }
        let parts = |lines: &[Line]| (self.parts(lines), lines.is_empty());
        let after = |lines: &[Line], what| {
            let (parts, whole) = parts(lines);
            Some(Act::After { id, operation: own?, parts, whole, what })
        };
        let act = match action {
            Action::Reserve { lines, least, ttl_ms, owner, .. } => {
                let asked = self.parts(lines);
                let got = known.got(name, operation).map(|got| self.parts(&got));
                let least = least.as_ref().map(|least| self.parts(least));
                let (exact, cart) = (self.are_exact(&asked), known.pools.get(name).is_some_and(is_cart));
                let owner = self.owner(owner);
                Act::Reserve(Reserve { id, asked, got, least, exact, ttl_ms: *ttl_ms, cart, owner })
            }
            Action::Replace { lines, .. } => {
                let whole = self.reservations.get(name).is_some_and(|(_, whole)| *whole);
                Act::Replace { id, operation: own?, lines: self.parts(lines), whole }
            }
            Action::Commit { parts: lines, keep_rest, revive, .. } => {
                let (parts, whole) = parts(lines);
                let pools = known.pools.get(name).into_iter().flatten().filter_map(|pool| self.sku(pool));
                let revive = revive.then(|| pools.collect());
                Act::Commit { id, operation: own, parts, whole, keep_rest: *keep_rest, revive }
            }
            Action::Release { parts: lines, .. } => {
                let (parts, whole) = parts(lines);
                Act::Release { id, operation: own, parts, whole }
            }
            Action::Extend { ttl_ms, .. } => Act::Extend { id, operation: own, ttl_ms: *ttl_ms },
            Action::MarkPaying { grace_ms, .. } => Act::MarkPaying { id, operation: own?, grace_ms: *grace_ms },
            Action::Ship { parts, .. } => after(parts, After::Ship)?,
            Action::Cancel { parts, .. } => after(parts, After::Cancel)?,
            Action::Return { parts, fit, .. } => after(parts, After::Return { fit: *fit })?,
            _ => {
                let says = matches!(judged, Judged::Reservation { .. } | Judged::NotHeld);
                return says.then_some((Act::ReadReservation { id }, judged));
            }
        };
        Some((act, judged))
    }

    /// Whether a late commit of all there is found its end reached by lines that are not in the case: of those that are it sold
    /// nothing, then or before. One of parts is told again because it was done itself.
    fn sold_elsewhere(&self, operation: &Operation) -> bool {
        match (&operation.action, &operation.end) {
            (
                Action::Commit { revive: true, parts, .. },
                End::Done { told: Told::Reservation(held), replayed: true, .. },
            ) if parts.is_empty() => held.lines.iter().all(|line| line.committed == 0 || self.sku(&line.sku).is_none()),
            _ => false,
        }
    }

    /// Whether an action names a part that its reservation may not have (any more): then what was not found may be that line.
    fn may_lack(&self, name: &str, action: &Action) -> bool {
        let parts = match action {
            Action::Commit { parts, .. }
            | Action::Release { parts, .. }
            | Action::Ship { parts, .. }
            | Action::Cancel { parts, .. }
            | Action::Return { parts, .. } => parts,
            _ => return false,
        };
        let has = |part: &Line| self.known.pools.get(name).is_some_and(|pools| pools.contains(part.sku.as_str()));
        parts.iter().any(|part| self.known.replaced.contains(name) || !has(part))
    }

    fn of_reader(&mut self, operation: &'a Operation) -> Option<(Act, Judged)> {
        match &operation.action {
            Action::ReadStock { sku } => {
                let sku = self.sku(sku)?;
                let end = self.kept(&[sku], &operation.end)?;
                let says = matches!(end, Judged::Balances(..) | Judged::NotHeld);
                says.then_some((Act::ReadStock { sku }, end))
            }
            Action::ReadSettings { sku } => {
                let pools = self.pools_of(sku);
                let Some(Told::Settings { version, settings }) = operation.told() else { return None };
                let says = !pools.is_empty();
                says.then(|| (Act::ReadSettings { pools }, Judged::Settings(*version, settings.clone())))
            }
            Action::ListInTransit { sku } => {
                // The list is that of one SKU, so only a case of one SKU can tell.
                let alone = self.skus.keys().all(|pool| article(pool) == sku);
                let Some(Told::InTransit(told)) = operation.told() else { return None };
                let mut told: Vec<(u32, u64)> = told.iter().map(|(id, left)| (self.operation(id), *left)).collect();
                told.sort_unstable();
                alone.then_some((Act::ReadTransfers, Judged::Transfers(told)))
            }
            Action::DryRun { lines, owner } => {
                let parts = self.parts(lines);
                let Some(Told::Tried(tried)) = operation.told() else { return None };
                let says = parts.len() == lines.len() && self.are_exact(&parts);
                let owner = self.owner(owner);
                let end = self.tried(tried)?;
                says.then_some((Act::DryRun { lines: parts, owner }, end))
            }
            _ => None,
        }
    }
}

/// Whether these pools are of several SKUs, so that it takes several shards to agree.
fn is_cart(pools: &BTreeSet<&str>) -> bool {
    let articles: BTreeSet<&str> = pools.iter().map(|pool| article(pool)).collect();
    articles.len() > 1
}
