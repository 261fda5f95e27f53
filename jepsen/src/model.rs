//! What a shelf does, as a client understands it: naive, small, and written apart from the ledger.
//!
//! A state has some SKUs and the reservations that touch them. An operation with its answer is a step from one state to the
//! states it may lead to: none if no correct ledger could have answered so. Holds end by themselves, and when exactly
//! nobody is told; so a hold whose deadline is near may be over or not, and a step may lead to several states.

use crate::history::{Action, End, Held, History, LineState, Operation, Told};
use std::collections::{BTreeMap, BTreeSet};

/// By how much the servers' clock may differ from the true time of a history, in milliseconds. Whoever records a
/// history knows how wrong its clocks are; with right clocks it is `limits.clock_bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockBound(pub u64);

/// More holds than this near their deadline at once are not told apart: the case is undecided.
const NEAR_MAX: usize = 10;

/// States that may be told apart at a time. Answers rule most of them out again.
const STATES_MAX: usize = 512;

/// Some SKUs and reservations at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf {
    /// On hand, by SKU; absent if it was never received.
    on_hand: BTreeMap<u16, u64>,
    holds: BTreeMap<u32, Hold>,
    /// Operations with an id of their own that were done.
    done: BTreeSet<u32>,
    /// Reserves that were refused through the log: a repeat is told so again for a while, whatever is there by then.
    refused: BTreeSet<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Hold {
    /// The deadline lies between these; they are equal once it was told.
    deadline_ms: [u64; 2],
    lines: Vec<Units>,
    /// A cart of several SKUs, whose shards may carry out a decision one after the other.
    cart: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Units {
    sku: u16,
    held: u64,
    committed: u64,
    released: u64,
    expired: u64,
    /// Of the released ones of a cart: nobody was told that its shards have carried that out. Until they have, the
    /// units can't be had, and who asks for them may be refused.
    late: u64,
}

/// An operation as a case sees it: numbers instead of names, and only what the case is about.
#[derive(Clone, Debug)]
pub struct Step {
    /// Place in the history.
    pub place: usize,
    /// When it was sent.
    pub invoked_ns: u64,
    /// When its end was known; none if it never was.
    pub ended_ns: Option<u64>,
    invoked_ms: u64,
    effect_ms_max: u64,
    act: Act,
    end: Judged,
    /// The answer says that every shard of this reservation has carried out what was decided.
    settled: Option<u32>,
}

#[derive(Clone, Debug)]
enum Act {
    /// On hand changes.
    Stock {
        id: u32,
        sku: u16,
        delta: i64,
    },
    Reserve {
        id: u32,
        lines: Vec<(u16, u64)>,
        ttl_ms: u64,
        cart: bool,
    },
    /// Parts of the case's SKUs; `whole` means all that is held.
    Commit {
        id: u32,
        operation: Option<u32>,
        parts: Vec<(u16, u64)>,
        whole: bool,
        keep_rest: bool,
    },
    Release {
        id: u32,
        operation: Option<u32>,
        parts: Vec<(u16, u64)>,
        whole: bool,
    },
    Extend {
        id: u32,
        operation: Option<u32>,
        ttl_ms: u64,
    },
    ReadStock {
        sku: u16,
    },
    ReadReservation {
        id: u32,
    },
}

#[derive(Clone, Debug)]
enum Judged {
    /// On hand and held.
    Balance(u64, u64),
    /// Done, with a balance that carts in other shards make inexact, or an answer that says nothing more.
    Done,
    Until(u64),
    /// A reserve that happened, whose first deadline nobody was told: this is the earliest that anyone was told later.
    Before(u64),
    Reservation {
        deadline_ms: u64,
        lines: Vec<Units>,
    },
    /// One of these SKUs at least had fewer units than asked for.
    Short {
        skus: Vec<u16>,
        logged: bool,
    },
    /// There is no such reservation, or none that was ever held.
    NotHeld,
    /// The hold was over.
    Over,
    Unknown,
}

/// Operations that have to be explained by one order.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its SKUs, by name.
    pub skus: Vec<String>,
    /// In the order in which they were sent.
    pub steps: Vec<Step>,
    bound: ClockBound,
}

/// A case can't be decided by this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecidable;

impl Case {
    /// The part of a history that touches these SKUs.
    pub fn new(history: &History, skus: &BTreeSet<String>, bound: ClockBound) -> Self {
        Builder::new(history, skus, bound).build()
    }

    /// The state before anything happened.
    pub fn first(&self) -> Vec<Shelf> {
        vec![Shelf::default()]
    }

    /// Where a step may lead from any of these states; empty if it can't have happened there.
    ///
    /// # Errors
    /// [`Undecidable`] if too many holds are near their deadline.
    pub fn step(&self, states: &[Shelf], step: &Step) -> Result<Vec<Shelf>, Undecidable> {
        let mut next = BTreeSet::new();
        for state in states {
            for mut aged in state.aged(step, self.bound)? {
                if aged.take(step, self.bound) {
                    aged.settle(step.settled);
                    next.insert(aged);
                }
            }
            if next.len() > STATES_MAX {
                return Err(Undecidable);
            }
        }
        Ok(next.into_iter().collect())
    }
}

impl Step {
    /// Whether it makes a difference to the step that this hold is over. Where it makes none, that is left open.
    fn minds(&self, id: u32, hold: &Hold) -> bool {
        let on = |sku: u16| hold.lines.iter().any(|line| line.sku == sku);
        match &self.act {
            Act::Stock { sku, .. } | Act::ReadStock { sku } => matches!(self.end, Judged::Balance(..)) && on(*sku),
            Act::Reserve { id: other, lines, .. } => *other != id && lines.iter().any(|(sku, _)| on(*sku)),
            Act::Commit { id: other, .. }
            | Act::Release { id: other, .. }
            | Act::Extend { id: other, .. }
            | Act::ReadReservation { id: other } => *other == id,
        }
    }
}

impl Shelf {
    /// This state with the holds over that must be over by then, and with and without those that may be.
    fn aged(&self, step: &Step, bound: ClockBound) -> Result<Vec<Self>, Undecidable> {
        let mut state = self.clone();
        let mut near = Vec::new();
        for (id, hold) in &mut state.holds {
            if hold.lines.iter().all(|line| line.held == 0) {
                continue;
            }
            if step.invoked_ms >= hold.deadline_ms[1].saturating_add(bound.0) {
                hold.expire();
            } else if step.effect_ms_max.saturating_add(bound.0) >= hold.deadline_ms[0] && step.minds(*id, hold) {
                near.push(*id);
            }
        }
        if near.len() > NEAR_MAX {
            return Err(Undecidable);
        }
        let mut states = vec![state];
        for id in near {
            let over: Vec<Self> = states
                .iter()
                .cloned()
                .map(|mut state| {
                    state.holds.get_mut(&id).into_iter().for_each(Hold::expire);
                    state
                })
                .collect();
            states.extend(over);
        }
        Ok(states)
    }

    fn held(&self, sku: u16) -> u64 {
        let lines = self.holds.values().flat_map(|hold| &hold.lines);
        lines.filter(|line| line.sku == sku).map(|line| line.held).sum()
    }

    fn settle(&mut self, id: Option<u32>) {
        let hold = id.and_then(|id| self.holds.get_mut(&id));
        hold.into_iter().flat_map(|hold| &mut hold.lines).for_each(|line| line.late = 0);
    }

    fn late(&self, sku: u16) -> u64 {
        let lines = self.holds.values().flat_map(|hold| &hold.lines);
        lines.filter(|line| line.sku == sku).map(|line| line.late).sum()
    }

    fn available(&self, sku: u16) -> u64 {
        self.on_hand.get(&sku).copied().unwrap_or(0).saturating_sub(self.held(sku))
    }

    /// Does what a step did. False if it can't have been answered so here.
    fn take(&mut self, step: &Step, bound: ClockBound) -> bool {
        match &step.act {
            Act::Stock { id, sku, delta } => self.stock(*id, *sku, *delta, &step.end),
            Act::Reserve { id, lines, ttl_ms, cart } => self.reserve(*id, lines, *ttl_ms, *cart, step, bound),
            Act::Commit { id, operation, parts, whole, keep_rest } => self.change(*id, *operation, &step.end, |line| {
                let wanted = part(parts, line.sku);
                let sold = if *whole { line.held } else { wanted };
                let rest = line.held.checked_sub(sold)?;
                line.committed += sold;
                let kept = if *keep_rest { rest } else { 0 };
                line.released += rest - kept;
                line.held = kept;
                Some(sold)
            }),
            Act::Release { id, operation, parts, whole } => self.change(*id, *operation, &step.end, |line| {
                let given = if *whole { line.held } else { part(parts, line.sku) };
                line.held = line.held.checked_sub(given)?;
                line.released += given;
                Some(0)
            }),
            Act::Extend { id, operation, ttl_ms } => self.extend(*id, *operation, *ttl_ms, step),
            Act::ReadStock { sku } => match &step.end {
                Judged::NotHeld => !self.on_hand.contains_key(sku),
                end => self.shows(*sku, end),
            },
            Act::ReadReservation { id } => match &step.end {
                Judged::NotHeld => !self.holds.contains_key(id),
                end => self.tells(*id, end),
            },
        }
    }

    fn shows(&self, sku: u16, end: &Judged) -> bool {
        match end {
            Judged::Balance(on_hand, held) => self.on_hand.get(&sku) == Some(on_hand) && self.held(sku) == *held,
            _ => true,
        }
    }

    fn tells(&self, id: u32, end: &Judged) -> bool {
        let Judged::Reservation { deadline_ms, lines } = end else { return true };
        let Some(hold) = self.holds.get(&id) else { return false };
        let [earliest, latest] = hold.deadline_ms;
        let shown: Vec<Units> = hold.lines.iter().map(|line| Units { late: 0, ..*line }).collect();
        shown == *lines && (earliest..=latest).contains(deadline_ms)
    }

    fn stock(&mut self, id: u32, sku: u16, delta: i64, end: &Judged) -> bool {
        if matches!(end, Judged::NotHeld) {
            return true;
        }
        if !self.done.insert(id) {
            return true;
        }
        let on_hand = self.on_hand.entry(sku).or_default();
        let Some(changed) = on_hand.checked_add_signed(delta) else { return false };
        *on_hand = changed;
        self.shows(sku, end)
    }

    fn reserve(
        &mut self,
        id: u32,
        lines: &[(u16, u64)],
        ttl_ms: u64,
        cart: bool,
        step: &Step,
        bound: ClockBound,
    ) -> bool {
        let deadline_ms = match &step.end {
            Judged::Short { skus, logged } => {
                if self.refused.contains(&id) {
                    return true;
                }
                let short = skus.iter().any(|sku| part(lines, *sku) + self.late(*sku) > self.available(*sku));
                if short && *logged {
                    self.refused.insert(id);
                }
                return short;
            }
            Judged::Until(deadline_ms) => [*deadline_ms; 2],
            Judged::Unknown => [(step.invoked_ms + ttl_ms).saturating_sub(bound.0), step.effect_ms_max + ttl_ms],
            Judged::Before(latest_ms) => {
                let first_ms = (step.invoked_ms + ttl_ms).saturating_sub(bound.0);
                [first_ms.min(*latest_ms), *latest_ms]
            }
            _ => return true,
        };
        if self.holds.contains_key(&id) {
            return true;
        }
        if lines.iter().any(|(sku, units)| *units > self.available(*sku)) {
            return false;
        }
        let lines = lines.iter().map(|(sku, units)| Units { sku: *sku, held: *units, ..Units::default() });
        let mut lines: Vec<Units> = lines.collect();
        lines.sort_by_key(|line| line.sku);
        self.holds.insert(id, Hold { deadline_ms, lines, cart });
        true
    }

    /// A commit or a release: `apply` moves the units of a line and gives how many were sold of them.
    fn change(
        &mut self,
        id: u32,
        operation: Option<u32>,
        end: &Judged,
        apply: impl Fn(&mut Units) -> Option<u64>,
    ) -> bool {
        match end {
            Judged::Over => return self.holds.get(&id).is_none_or(|hold| hold.lines.iter().all(|line| line.held == 0)),
            Judged::NotHeld => return !self.holds.contains_key(&id),
            Judged::Reservation { .. } | Judged::Done | Judged::Unknown => {}
            _ => return true,
        }
        if operation.is_some_and(|operation| !self.done.insert(operation)) {
            // The first answer again, whatever became of the reservation since.
            return true;
        }
        let Some(hold) = self.holds.get_mut(&id) else { return false };
        for line in &mut hold.lines {
            let before = line.released;
            let Some(sold) = apply(line) else { return false };
            if hold.cart {
                line.late += line.released - before;
            }
            let on_hand = self.on_hand.entry(line.sku).or_default();
            let Some(left) = on_hand.checked_sub(sold) else { return false };
            *on_hand = left;
        }
        self.tells(id, end)
    }

    fn extend(&mut self, id: u32, operation: Option<u32>, ttl_ms: u64, step: &Step) -> bool {
        match &step.end {
            Judged::Over => return self.holds.get(&id).is_none_or(|hold| hold.lines.iter().all(|line| line.held == 0)),
            Judged::NotHeld => return !self.holds.contains_key(&id),
            Judged::Reservation { .. } | Judged::Unknown => {}
            _ => return true,
        }
        if operation.is_some_and(|operation| !self.done.insert(operation)) {
            return true;
        }
        let Some(hold) = self.holds.get_mut(&id) else { return false };
        if let Judged::Reservation { deadline_ms, .. } = &step.end {
            if *deadline_ms < hold.deadline_ms[0] {
                return false;
            }
            hold.deadline_ms = [*deadline_ms; 2];
        } else {
            hold.deadline_ms[1] = hold.deadline_ms[1].max(step.effect_ms_max + ttl_ms);
        }
        self.tells(id, &step.end)
    }
}

impl Hold {
    fn expire(&mut self) {
        for line in &mut self.lines {
            line.expired += line.held;
            line.held = 0;
        }
    }
}

fn part(parts: &[(u16, u64)], sku: u16) -> u64 {
    parts.iter().filter(|(other, _)| *other == sku).map(|(_, units)| units).sum()
}

/// Makes a case of a history.
struct Builder<'a> {
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
    fn new(history: &'a History, skus: &'a BTreeSet<String>, bound: ClockBound) -> Self {
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

    fn build(mut self) -> Case {
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
