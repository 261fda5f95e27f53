//! Makes a case of a history.

use super::{
    Case, ClockBound, Step,
    act::{Act, Judged},
    shelf::Units,
};
use crate::history::{Action, End, Held, History, LineState, Operation, Told};
use std::collections::{BTreeMap, BTreeSet};

/// Makes a case of a history.
pub(super) struct Builder<'a> {
    history: &'a History,
    skus: BTreeMap<&'a str, u16>,
    bound: ClockBound,
    /// Reservations with a line in the case, and whether all their lines are.
    reservations: BTreeMap<&'a str, (u32, bool)>,
    operations: BTreeMap<&'a str, u32>,
    /// Reservations whose deadline somebody tried to move.
    extended: BTreeSet<&'a str>,
    /// The earliest deadline that anyone was told, by reservation.
    first_told: BTreeMap<&'a str, u64>,
    /// SKUs that no cart of several touches: only their balances are those of one moment.
    exact: BTreeSet<u16>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(history: &'a History, skus: &'a BTreeSet<String>, bound: ClockBound) -> Self {
        let skus: BTreeMap<&str, u16> = skus.iter().map(String::as_str).zip(0..).collect();
        let mut builder = Self {
            history,
            exact: skus.values().copied().collect(),
            skus,
            bound,
            reservations: BTreeMap::new(),
            operations: BTreeMap::new(),
            extended: BTreeSet::new(),
            first_told: BTreeMap::new(),
        };
        for operation in &history.operations {
            if let Action::Extend { id, .. } = &operation.action {
                builder.extended.insert(id);
            }
            if let (Some(id), Some(Told::Reservation(view))) = (operation.action.reservation(), operation.told())
                && !matches!(view.state.as_str(), "open" | "rejected")
            {
                let first = builder.first_told.entry(id).or_insert(view.deadline_ms);
                *first = view.deadline_ms.min(*first);
            }
            let Action::Reserve { id, lines, .. } = &operation.action else { continue };
            let inside: Vec<u16> = lines.iter().filter_map(|line| builder.sku(&line.sku)).collect();
            if inside.is_empty() {
                continue;
            }
            let next = u32::try_from(builder.reservations.len()).expect("a history in memory");
            builder.reservations.entry(id).or_insert((next, inside.len() == lines.len()));
            if lines.len() > 1 {
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
        let (number, _) = self.reservations.get(operation.action.reservation()?)?;
        Some(*number)
    }

    fn sku(&self, name: &str) -> Option<u16> {
        self.skus.get(name).copied()
    }

    fn operation(&mut self, id: &'a str) -> u32 {
        let next = u32::try_from(self.operations.len()).expect("a history in memory");
        *self.operations.entry(id).or_insert(next)
    }

    fn parts(&self, lines: &[crate::history::Line]) -> Vec<(u16, u64)> {
        lines.iter().filter_map(|line| Some((self.sku(&line.sku)?, line.units))).collect()
    }

    /// The operation as the case sees it; none if it is not about it, or says nothing.
    fn judge(&mut self, operation: &'a Operation) -> Option<(Act, Judged)> {
        match &operation.action {
            Action::Receive { id, line } => {
                let sku = self.sku(&line.sku)?;
                let act = Act::Stock { id: self.operation(id), sku, delta: i64::try_from(line.units).ok()? };
                Some((act, self.balance(sku, &operation.end)?))
            }
            Action::Adjust { id, sku, delta } => {
                let sku = self.sku(sku)?;
                let act = Act::Stock { id: self.operation(id), sku, delta: *delta };
                Some((act, self.balance(sku, &operation.end)?))
            }
            Action::Reserve { id, lines, ttl_ms } => {
                let (number, _) = *self.reservations.get(id.as_str())?;
                let end = self.reserved(id, lines, &operation.end)?;
                Some((
                    Act::Reserve { id: number, lines: self.parts(lines), ttl_ms: *ttl_ms, cart: lines.len() > 1 },
                    end,
                ))
            }
            Action::Commit { id, operation: own, parts, keep_rest } => {
                let (number, _) = *self.reservations.get(id.as_str())?;
                let end = self.reservation(id, &operation.end, |line| line.committed)?;
                let own = own.as_deref().map(|own| self.operation(own));
                let (lines, whole) = (self.parts(parts), parts.is_empty());
                let act = Act::Commit { id: number, operation: own, parts: lines, whole, keep_rest: *keep_rest };
                Some((act, end))
            }
            Action::Release { id, operation: own, parts } => {
                let (number, _) = *self.reservations.get(id.as_str())?;
                let end = self.reservation(id, &operation.end, |line| line.released)?;
                let own = own.as_deref().map(|own| self.operation(own));
                let (lines, whole) = (self.parts(parts), parts.is_empty());
                Some((Act::Release { id: number, operation: own, parts: lines, whole }, end))
            }
            Action::Extend { id, operation: own, ttl_ms } => {
                let (number, _) = *self.reservations.get(id.as_str())?;
                let end = match operation.told() {
                    // A repeat is told the answer of its first sending, so either shows the new deadline.
                    Some(Told::Reservation(held)) => self.view(held),
                    _ => self.reservation(id, &operation.end, |line| line.asked)?,
                };
                let own = own.as_deref().map(|own| self.operation(own));
                Some((Act::Extend { id: number, operation: own, ttl_ms: *ttl_ms }, end))
            }
            Action::ReadStock { sku } => {
                let sku = self.sku(sku)?;
                let end = self.balance(sku, &operation.end)?;
                let says = matches!(end, Judged::Balance(..) | Judged::NotHeld);
                says.then_some((Act::ReadStock { sku }, end))
            }
            Action::ReadReservation { id } => {
                let (number, _) = *self.reservations.get(id.as_str())?;
                let end = self.reservation(id, &operation.end, |line| line.asked)?;
                let says = matches!(end, Judged::Reservation { .. } | Judged::NotHeld);
                says.then_some((Act::ReadReservation { id: number }, end))
            }
        }
    }

    fn balance(&self, sku: u16, end: &End) -> Option<Judged> {
        match end {
            End::Unknown { .. } => Some(Judged::Unknown),
            End::Refused { code, .. } => (code == "NOT_FOUND").then_some(Judged::NotHeld),
            // The answer to an earlier sending shows an earlier moment.
            End::Done { told: Told::Balance(told), replayed: false, .. } if self.exact.contains(&sku) => {
                Some(Judged::Balance(told.on_hand, told.held))
            }
            End::Done { .. } => Some(Judged::Done),
        }
    }

    fn reserved(&self, id: &str, lines: &[crate::history::Line], end: &End) -> Option<Judged> {
        match end {
            End::Unknown { .. } => match self.read_after(id) {
                Some(None) => None,
                // It happened, and nobody moved its deadline.
                Some(Some(held)) if !self.extended.contains(id) => Some(Judged::Until(held.deadline_ms)),
                Some(Some(_)) => Some(self.first_told.get(id).map_or(Judged::Unknown, |told| Judged::Before(*told))),
                None => Some(Judged::Unknown),
            },
            End::Done { told: Told::Reserved { deadline_ms, .. }, .. } => Some(Judged::Until(*deadline_ms)),
            End::Done { .. } => None,
            End::Refused { code, short, logged, .. } if code == "INSUFFICIENT_STOCK" => {
                let all = short.iter().all(|line| self.sku(&line.sku).is_some());
                let told: Vec<u16> = self.parts(short).into_iter().map(|(sku, _)| sku).collect();
                // With lines of other SKUs short too, these may have been enough.
                let sure = all && !told.is_empty() && lines.iter().any(|line| self.sku(&line.sku).is_some());
                sure.then_some(Judged::Short { skus: told, logged: *logged })
            }
            End::Refused { .. } => None,
        }
    }

    /// What was read in the end under this id, if it was: none if nothing was ever held.
    fn read_after(&self, id: &str) -> Option<Option<&'a Held>> {
        let read = self.history.after.as_ref()?.reservations.get(id)?;
        Some(read.as_ref().filter(|held| held.state != "rejected"))
    }

    fn reservation(&self, id: &str, end: &End, did: impl Fn(&LineState) -> u64) -> Option<Judged> {
        match end {
            // What never shows did not happen.
            End::Unknown { .. } => match self.read_after(id) {
                Some(None) => None,
                Some(Some(held)) => held.lines.iter().any(|line| did(line) > 0).then_some(Judged::Unknown),
                None => Some(Judged::Unknown),
            },
            End::Done { told: Told::Reservation(held), replayed, .. } => {
                if held.state == "rejected" || held.state == "open" {
                    return (held.state == "rejected").then_some(Judged::NotHeld);
                }
                Some(if *replayed { Judged::Done } else { self.view(held) })
            }
            End::Done { .. } => None,
            End::Refused { code, .. } => {
                let (_, whole) = self.reservations.get(id).copied()?;
                match code.as_str() {
                    "NOT_FOUND" => Some(Judged::NotHeld),
                    "RESERVATION_EXPIRED" if whole => Some(Judged::Over),
                    _ => None,
                }
            }
        }
    }

    fn view(&self, held: &Held) -> Judged {
        let lines = held.lines.iter().filter_map(|line| {
            Some(Units {
                sku: self.sku(&line.sku)?,
                held: line.held,
                committed: line.committed,
                released: line.released,
                expired: line.expired,
                late: 0,
            })
        });
        let mut lines: Vec<Units> = lines.collect();
        lines.sort_by_key(|line| line.sku);
        Judged::Reservation { deadline_ms: held.deadline_ms, lines }
    }
}
