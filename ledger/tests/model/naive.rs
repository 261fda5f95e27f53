//! A ledger as plain as can be: lists that are searched from the front. It was written from the semantics and shares
//! only plain values with the real one. It knows no memory, no disk, no bytes and no bound on sweeping.

#[path = "naive_sale.rs"]
mod sale;
#[path = "naive_stock.rs"]
mod stock;

use earmark_ledger::{command::*, outcome::*, settings::*, types::*};
use sale::Sold;
use stock::Wanted;

const DAY: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug)]
pub struct Pool {
    pub key: PoolKey,
    pub on_hand: i128,
    pub available: i128,
    pub held: i128,
    pub short: i128,
    pub received: i128,
    pub sold: i128,
    /// Units that ever came in, or were sent here.
    pub inflow: i128,
    pub committed: i128,
    pub unavailable: i128,
    pub in_transit: i128,
    /// Units back on hand that had been sold.
    pub returned: i128,
    /// Units sold beyond on hand that did not come back.
    pub owed: i128,
    pub expected: Vec<(Document, u64, i128)>,
    /// Moment of the newest count, and how many there were.
    pub counted: (u64, u64),
    /// When the pool became short, and by what.
    pub short_since: Option<(u64, Position)>,
}

/// Units on their way.
#[derive(Clone, Debug)]
pub struct Transit {
    pub id: OperationId,
    pub from: PoolKey,
    pub to: PoolKey,
    pub sent: i128,
    pub received: i128,
    pub lost: i128,
    pub since: u64,
    pub document: Document,
}

#[derive(Clone, Debug)]
pub struct Hold {
    id: ReservationId,
    request: Reserve,
    lines: Vec<HoldLine>,
    answer: Outcome,
    created: u64,
    deadline: u64,
    since: u64,
    /// What ended it: 'c', 'r' or 'x'.
    ended: Option<char>,
    /// Some units are committed and the rest is still held.
    partly: bool,
    last: Position,
    reserved_at: Position,
    /// SKUs whose limits it counts for: units sold, and until when they count.
    counted: Vec<(Sku, i128, u64)>,
    revision: u32,
    paying: bool,
    grace: u64,
}

#[derive(Clone, Debug)]
struct HoldLine {
    pool: PoolKey,
    asked: i128,
    held: i128,
    committed: i128,
    released: i128,
    expired: i128,
    sold: Sold,
}

#[derive(Clone)]
struct Refused {
    body: Body,
    outcome: Outcome,
    attempt: u32,
    until: u64,
}

#[derive(Clone, Default)]
pub struct Naive {
    pub clock: u64,
    pub pools: Vec<Pool>,
    pub holds: Vec<Hold>,
    pub transits: Vec<Transit>,
    pub settings: Vec<(Sku, u64, Settings)>,
    /// SKUs of which units were ever sold beyond on hand.
    sold_short: Vec<Sku>,
    /// The hold that is being judged, and its units: they are not counted against it.
    own: Option<(ReservationId, Vec<(PoolKey, i128)>)>,
    operations: Vec<(OperationId, Body, Outcome)>,
    refused: Vec<Refused>,
    index: u64,
    ordinal: u32,
}

fn q(units: i128) -> Quantity {
    Quantity::new(u64::try_from(units).expect("not negative")).expect("at most 2^53")
}

/// The request without what the policy chose.
fn canonical(body: &Body) -> Body {
    match body {
        Body::Reserve(reserve) if reserve.ttl_chosen => {
            Body::Reserve(Reserve { ttl: DurationMs(0), ..reserve.clone() })
        }
        Body::Stockkeeping(Stockkeeping::Count(count)) => {
            let observed = count.observed.map(|observed| Observed { on_hand: Quantity::ZERO, seen: None, ..observed });
            Body::Stockkeeping(Stockkeeping::Count(Count { observed, ..count.clone() }))
        }
        other => other.clone(),
    }
}

fn operation_of(body: &Body) -> Option<OperationId> {
    match body {
        Body::Receive(receive) => Some(receive.operation),
        Body::Adjust(adjust) => Some(adjust.operation),
        Body::Extend(extend) => Some(extend.operation),
        Body::Stockkeeping(asked) => Some(asked.operation()),
        Body::Commit(commit) if commit.revive || !commit.parts.is_empty() => commit.operation,
        Body::Release(release) if !release.parts.is_empty() => release.operation,
        Body::Replace(replace) => Some(replace.operation),
        Body::MarkPaying(paying) => Some(paying.operation),
        Body::Ship(ship) => Some(ship.operation),
        Body::Cancel(cancel) => Some(cancel.operation),
        Body::Return(back) => Some(back.operation),
        _ => None,
    }
}

/// Under which id a refusal is found. Reservations, operations, and commits or releases of all that is held are
/// different things, so an id of one is never that of another.
#[derive(PartialEq)]
enum Intent {
    Reserve(ReservationId),
    Operation(OperationId),
    Whole(OperationId),
}

fn intent(body: &Body) -> Option<Intent> {
    match body {
        Body::Reserve(reserve) => Some(Intent::Reserve(reserve.id)),
        Body::Commit(Commit { operation: Some(id), parts, revive: false, .. })
        | Body::Release(Release { operation: Some(id), parts, .. })
            if parts.is_empty() =>
        {
            Some(Intent::Whole(*id))
        }
        other => operation_of(other).map(Intent::Operation),
    }
}

fn same_intent(a: &Body, b: &Body) -> bool {
    intent(a).is_some() && intent(a) == intent(b)
}

impl Naive {
    pub fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Outcome> {
        self.index = index;
        self.ordinal = 0;
        self.clock = self.clock.max(batch.time.0);
        let mut due: Vec<(u64, ReservationId)> = self
            .holds
            .iter()
            .filter(|hold| hold.ended.is_none() && hold.deadline <= self.clock)
            .map(|hold| (hold.deadline, hold.id))
            .collect();
        due.sort();
        for (_, id) in due {
            let at = self.hold(id).expect("was just seen");
            self.expire(at);
        }
        batch.commands.iter().map(|command| self.command(command)).collect()
    }

    fn hold(&self, id: ReservationId) -> Option<usize> {
        self.holds.iter().position(|hold| hold.id == id)
    }

    fn pool(&self, key: &PoolKey) -> Option<usize> {
        self.pools.iter().position(|pool| pool.key == *key)
    }

    fn entry_position(&self) -> Position {
        Position { shard: crate::support::SHARD, epoch: Epoch(1), index: LogIndex(self.index), ordinal: 0 }
    }

    fn moved(&mut self) -> Position {
        let position = Position { ordinal: self.ordinal, ..self.entry_position() };
        self.ordinal += 1;
        position
    }

    /// A movement of that pool, after its accounts changed.
    fn moved_in(&mut self, at: usize) -> Position {
        let position = self.moved();
        let clock = self.clock;
        let pool = &mut self.pools[at];
        if pool.short == 0 {
            pool.short_since = None;
        } else if pool.short_since.is_none() {
            pool.short_since = Some((clock, position));
        }
        position
    }

    fn pool_or_new(&mut self, key: &PoolKey) -> usize {
        self.pool(key).unwrap_or_else(|| {
            self.pools.push(Pool {
                key: key.clone(),
                on_hand: 0,
                available: 0,
                held: 0,
                short: 0,
                received: 0,
                sold: 0,
                inflow: 0,
                committed: 0,
                unavailable: 0,
                in_transit: 0,
                returned: 0,
                owed: 0,
                counted: (0, 0),
                expected: Vec::new(),
                short_since: None,
            });
            self.pools.len() - 1
        })
    }

    fn answer(&self, result: Result<(Done, Option<Position>), Refusal>) -> Outcome {
        let time = TimeMs(self.clock);
        let (verdict, position) = match result {
            Ok((done, position)) => (Verdict::Done(done), position.unwrap_or(self.entry_position())),
            Err(refusal) => (Verdict::Refused(refusal), self.entry_position()),
        };
        Outcome { verdict, replayed: false, position, time }
    }

    fn command(&mut self, command: &Command) -> Outcome {
        if let Body::Forget(forget) = &command.body {
            return self.forget(forget);
        }
        if let Some(known) = self.known(command) {
            return known;
        }
        let reached = self.reached_before(&command.body);
        let result = self.judge(command);
        let mut outcome = self.answer(result.clone());
        outcome.replayed = reached && result.is_ok();
        match (&outcome.verdict, &command.body) {
            (Verdict::Done(_), Body::Reserve(reserve)) => {
                let at = self.hold(reserve.id).expect("was just held");
                self.holds[at].answer = outcome.clone();
                self.drop_refused(&command.body);
            }
            (Verdict::Done(_), body) => {
                if let Some(id) = operation_of(body) {
                    self.operations.push((id, canonical(body), outcome.clone()));
                }
                self.drop_refused(&command.body);
            }
            (Verdict::Refused(Refusal::Late | Refusal::IdempotencyTooOld), _) => {}
            (Verdict::Refused(_), body) if intent(body).is_some() => {
                let mut until = command.not_after.0.saturating_add(500);
                if let Some(before) = self.refused.iter().find(|refused| same_intent(&refused.body, body)) {
                    until = until.max(before.until);
                }
                self.drop_refused(body);
                let outcome = outcome.clone();
                self.refused.push(Refused { body: canonical(body), outcome, attempt: command.attempt, until });
            }
            _ => {}
        }
        outcome
    }

    /// Whether a whole cancel, or a whole late commit, finds its end reached.
    fn reached_before(&self, body: &Body) -> bool {
        match body {
            Body::Cancel(cancel) if cancel.parts.is_empty() => {
                self.hold(cancel.id).is_some_and(|at| self.cancelled_before(&self.holds[at]))
            }
            Body::Commit(commit) if commit.revive && commit.parts.is_empty() => {
                self.hold(commit.id).is_some_and(|at| self.holds[at].ended == Some('c'))
            }
            _ => false,
        }
    }

    fn drop_refused(&mut self, body: &Body) {
        self.refused.retain(|refused| !same_intent(&refused.body, body));
    }

    fn known(&mut self, command: &Command) -> Option<Outcome> {
        let body = canonical(&command.body);
        let conflict = Some(self.answer(Err(Refusal::IdempotencyConflict)));
        let again = |outcome: &Outcome| Some(Outcome { replayed: true, ..outcome.clone() });
        match &body {
            Body::Reserve(reserve) => {
                if let Some(at) = self.hold(reserve.id) {
                    let same = canonical(&Body::Reserve(self.holds[at].request.clone())) == body;
                    return if same { again(&self.holds[at].answer) } else { conflict };
                }
            }
            Body::Commit(Commit { id, parts, revive: false, .. }) | Body::Release(Release { id, parts, .. })
                if parts.is_empty() =>
            {
                let by = if matches!(body, Body::Commit(_)) { 'c' } else { 'r' };
                if let Some(hold) = self.hold(*id).map(|at| &self.holds[at]).filter(|hold| hold.ended == Some(by)) {
                    return Some(Outcome {
                        verdict: Verdict::Done(Done::Reservation(Box::new(self.view(hold)))),
                        replayed: true,
                        position: hold.last,
                        time: TimeMs(hold.since),
                    });
                }
            }
            other => {
                let id = operation_of(other)?;
                if let Some((_, before, outcome)) = self.operations.iter().find(|(known, ..)| *known == id) {
                    return if *before == body { again(outcome) } else { conflict };
                }
            }
        }
        let clock = self.clock;
        let refused = self.refused.iter_mut().find(|refused| same_intent(&refused.body, &body))?;
        if refused.until < clock {
            return None;
        }
        if refused.body != body {
            return conflict;
        }
        if refused.outcome.verdict == Verdict::Refused(Refusal::Contended) && command.attempt > refused.attempt {
            return None;
        }
        refused.until = refused.until.max(command.not_after.0.saturating_add(500));
        again(&refused.outcome)
    }

    fn too_old(&self, id_time: TimeMs) -> bool {
        id_time.0 + 7 * DAY < self.clock
    }

    pub fn judge(&mut self, command: &Command) -> Result<(Done, Option<Position>), Refusal> {
        if let Some(id) = operation_of(&command.body)
            && self.too_old(id.time())
        {
            return Err(Refusal::IdempotencyTooOld);
        }
        let named = match &command.body {
            Body::Reserve(reserve) => Some(reserve.id),
            Body::Commit(commit) => Some(commit.id),
            Body::Release(release) => Some(release.id),
            Body::Extend(extend) => Some(extend.id),
            Body::Replace(replace) => Some(replace.id),
            Body::MarkPaying(paying) => Some(paying.id),
            Body::Ship(ship) => Some(ship.id),
            Body::Cancel(cancel) => Some(cancel.id),
            Body::Return(back) => Some(back.id),
            _ => None,
        };
        let absent = named.filter(|id| self.hold(*id).is_none());
        if let Some(id) = absent
            && id.kind() == IdKind::Timed
            && self.too_old(id.time())
        {
            return Err(Refusal::IdempotencyTooOld);
        }
        // Well-formedness is one list, tested by itself.
        let bad = earmark_ledger::validate(command, TimeMs(self.clock));
        if !bad.is_empty() {
            return Err(Refusal::InvalidArgument(bad));
        }
        if command.not_after.0 < self.clock {
            return Err(Refusal::Late);
        }
        match &command.body {
            Body::Reserve(reserve) => self.reserve(command, reserve),
            Body::Receive(receive) => {
                let at = self.pool_or_new(&receive.pool);
                self.pools[at].received += i128::from(receive.quantity.units());
                let position = self.arrive(at, i128::from(receive.quantity.units()));
                for (document, _, units) in &mut self.pools[at].expected {
                    if *document == receive.document {
                        *units -= i128::from(receive.quantity.units());
                    }
                }
                self.pools[at].expected.retain(|(.., units)| *units > 0);
                Ok((Done::Pool(Box::new(self.pool_view(&self.pools[at]))), Some(position)))
            }
            Body::Adjust(adjust) => self.adjust(adjust),
            Body::Stockkeeping(asked) => self.stockkeeping(asked),
            _ => {
                let at = match absent {
                    Some(id) => return Err(Refusal::NotFound(Missing::Reservation(id))),
                    None => self.hold(named.expect("all others name one")).expect("was found before"),
                };
                self.end(command, at)
            }
        }
    }

    fn arrive(&mut self, at: usize, units: i128) -> Position {
        let pool = &mut self.pools[at];
        pool.inflow += units;
        pool.on_hand += units;
        let paid = pool.short.min(units);
        pool.short -= paid;
        pool.available += units - paid;
        self.moved_in(at)
    }

    fn adjust(&mut self, adjust: &Adjust) -> Result<(Done, Option<Position>), Refusal> {
        let at = self.stocked(&adjust.pool)?;
        let on_hand = self.pools[at].on_hand;
        if adjust.expected_on_hand.is_some_and(|expected| i128::from(expected.units()) != on_hand) {
            return Err(Refusal::VersionStale { on_hand: q(on_hand) });
        }
        let delta = i128::from(adjust.delta);
        let position = if delta > 0 {
            self.arrive(at, delta)
        } else {
            if -delta > on_hand {
                let shortage = Shortage { line: 0, asked: q(-delta), sellable: q(on_hand), earliest: None };
                return Err(Refusal::InsufficientStock(vec![shortage]));
            }
            self.vanish(at, -delta)
        };
        Ok((Done::Pool(Box::new(self.pool_view(&self.pools[at]))), Some(position)))
    }

    fn reserve(&mut self, _: &Command, reserve: &Reserve) -> Result<(Done, Option<Position>), Refusal> {
        let wanted = self.wanted(reserve)?;
        let deadline = self.clock + reserve.ttl.0;
        let mut lines = Vec::new();
        let mut last = self.entry_position();
        let told = self.lines_told(&wanted);
        for Wanted { pool: key, asked, .. } in wanted {
            let at = self.pool(&key).expect("was found before");
            let got = self.free(&self.pools[at]).min(asked);
            self.pools[at].available -= got;
            self.pools[at].held += got;
            if got > 0 {
                last = self.moved_in(at);
            }
            let sold = Sold::promised(&self.settings_of(&key.sku));
            lines.push(HoldLine { pool: key, asked, held: got, committed: 0, released: 0, expired: 0, sold });
        }
        let told = Reserved {
            id: reserve.id,
            lines: told,
            all: lines.iter().all(|line| line.asked == line.held),
            deadline: TimeMs(deadline),
        };
        self.holds.push(Hold {
            id: reserve.id,
            request: reserve.clone(),
            lines,
            answer: self.answer(Ok((Done::Noted, None))),
            created: self.clock,
            deadline,
            since: self.clock,
            ended: None,
            partly: false,
            last,
            reserved_at: last,
            counted: self.counted_skus(reserve),
            revision: 1,
            paying: false,
            grace: 0,
        });
        Ok((Done::Reserved(told), Some(last)))
    }

    /// Commit, release and extend of a hold that is there.
    fn end(&mut self, command: &Command, at: usize) -> Result<(Done, Option<Position>), Refusal> {
        match &command.body {
            Body::Replace(replace) => return self.replace(replace, at),
            Body::MarkPaying(paying) => return self.mark_paying(paying, at),
            Body::Ship(ship) => return self.ship(ship, at),
            Body::Cancel(cancel) => return self.cancel(cancel, at),
            Body::Return(back) => return self.take_return(back, at),
            Body::Commit(_) if self.reached_before(&command.body) => return Ok((self.told(at), None)),
            Body::Commit(commit) if commit.revive && self.view(&self.holds[at]).state == ReservationState::Expired => {
                return self.revive(commit, at);
            }
            _ => {}
        }
        let hold = &self.holds[at];
        if let Some(by) = hold.ended {
            let since = TimeMs(hold.since);
            let expired = self.view(hold).state == ReservationState::Expired;
            if by == 'x' && expired && !matches!(command.body, Body::Release(_)) {
                return Err(Refusal::ReservationExpired { since });
            }
            return Err(Refusal::ReservationState { state: self.view(hold).state, since });
        }
        match &command.body {
            Body::Extend(extend) => {
                let first = hold.request.ttl.0.max(60 * 60 * 1_000);
                let latest = hold.created + first;
                let wanted = self.clock + extend.ttl.0;
                if wanted > latest {
                    return Err(Refusal::ExtensionLimit { latest: TimeMs(latest) });
                }
                let mut last = None;
                let wanted = wanted + hold.grace;
                if wanted > hold.deadline {
                    self.holds[at].deadline = wanted;
                    for line in 0..self.holds[at].lines.len() {
                        if self.holds[at].lines[line].held > 0 {
                            last = Some(self.moved());
                        }
                    }
                }
                self.holds[at].last = last.unwrap_or(self.holds[at].last);
                Ok((self.told(at), last))
            }
            Body::Commit(Commit { parts, keep_rest, .. }) => {
                let named = self.named(at, parts)?;
                let mut last = None;
                for line in 0..self.holds[at].lines.len() {
                    let held = self.holds[at].lines[line].held;
                    let units = named.as_ref().map_or(held, |named| named[line]);
                    last = self.sell(at, line, units).or(last);
                    if !keep_rest {
                        last = self.give_back(at, line, held - units, 'r').or(last);
                    }
                }
                self.close(at, 'c', last);
                Ok((self.told(at), last))
            }
            Body::Release(Release { parts, .. }) => {
                let named = self.named(at, parts)?;
                let mut last = None;
                for line in 0..self.holds[at].lines.len() {
                    let held = self.holds[at].lines[line].held;
                    let units = named.as_ref().map_or(held, |named| named[line]);
                    last = self.give_back(at, line, units, 'r').or(last);
                }
                self.close(at, 'r', last);
                Ok((self.told(at), last))
            }
            other => unreachable!("{other:?} names no hold"),
        }
    }

    fn named(&self, at: usize, parts: &[Part]) -> Result<Option<Vec<i128>>, Refusal> {
        if parts.is_empty() {
            return Ok(None);
        }
        let hold = &self.holds[at];
        let mut named = vec![0_i128; hold.lines.len()];
        let mut first = vec![None; hold.lines.len()];
        for (index, part) in (0_u32..).zip(parts) {
            let key = pool_of(&hold.request.namespace, &part.sku, &part.location, part.kind, &part.lot);
            match hold.lines.iter().position(|line| line.pool == key) {
                Some(line) => {
                    named[line] += i128::from(part.quantity.units());
                    first[line] = first[line].or(Some(index));
                }
                None => return Err(Refusal::NotFound(Missing::Line(Box::new(key)))),
            }
        }
        let mut short = Vec::new();
        for (line, held) in hold.lines.iter().enumerate() {
            if named[line] > held.held {
                let line_of_request = first[line].expect("more than nothing was named");
                short.push(Shortage {
                    line: line_of_request,
                    asked: q(named[line]),
                    sellable: q(held.held),
                    earliest: None,
                });
            }
        }
        if short.is_empty() { Ok(Some(named)) } else { Err(Refusal::InsufficientStock(short)) }
    }

    fn sell(&mut self, at: usize, line: usize, units: i128) -> Option<Position> {
        if units == 0 {
            return None;
        }
        let held = &mut self.holds[at].lines[line];
        held.held -= units;
        held.committed += units;
        let key = held.pool.clone();
        let settings = self.settings_of(&key.sku);
        let clock = self.clock;
        for (sku, sold, until) in &mut self.holds[at].counted {
            if *sku == key.sku {
                *sold += units;
                *until = settings.owner_units.map_or(*until, |limit| (*until).max(clock + limit.window.0));
            }
        }
        let at = self.pool(&key).expect("holds are of pools");
        let pool = &mut self.pools[at];
        pool.held -= units;
        if settings.deduct == Deduct::OnShip {
            pool.committed += units;
        } else {
            // What is set apart stays on hand.
            let there = (pool.on_hand - pool.unavailable).max(0).min(units);
            pool.on_hand -= there;
            pool.sold += there;
            pool.short -= units - there;
            pool.owed += units - there;
            if units > there {
                self.sold_short.push(key.sku.clone());
            }
        }
        Some(self.moved_in(at))
    }

    fn give_back(&mut self, at: usize, line: usize, units: i128, why: char) -> Option<Position> {
        if units == 0 {
            return None;
        }
        let held = &mut self.holds[at].lines[line];
        held.held -= units;
        if why == 'x' {
            held.expired += units;
        } else {
            held.released += units;
        }
        let key = held.pool.clone();
        let at = self.pool(&key).expect("holds are of pools");
        let pool = &mut self.pools[at];
        pool.held -= units;
        let paid = pool.short.min(units);
        pool.short -= paid;
        pool.available += units - paid;
        Some(self.moved_in(at))
    }

    fn close(&mut self, at: usize, by: char, last: Option<Position>) {
        let clock = self.clock;
        let hold = &mut self.holds[at];
        hold.last = last.unwrap_or(hold.last);
        if hold.lines.iter().all(|line| line.held == 0) {
            hold.ended = Some(by);
            hold.since = if by == 'x' { hold.deadline } else { clock };
        } else if by == 'c' && !hold.partly {
            hold.partly = true;
            hold.since = clock;
        }
    }

    fn expire(&mut self, at: usize) {
        let mut last = None;
        for line in 0..self.holds[at].lines.len() {
            let held = self.holds[at].lines[line].held;
            last = self.give_back(at, line, held, 'x').or(last);
        }
        self.close(at, 'x', last);
    }

    fn forget(&mut self, forget: &Forget) -> Outcome {
        let clock = self.clock;
        self.holds.retain(|hold| {
            let sold = hold.lines.iter().any(|line| line.committed > 0);
            let stays = if sold { 400 * DAY } else { 7 * DAY };
            let waits = hold.lines.iter().any(|line| line.unshipped() > 0);
            let over =
                hold.ended.is_some() && !waits && hold.id.time().0 + 7 * DAY < clock && hold.since + stays < clock;
            !(over && forget.reservations.contains(&hold.id))
        });
        self.operations.retain(|(id, ..)| !(id.time().0 + 7 * DAY < clock && forget.operations.contains(id)));
        self.answer(Ok((Done::Noted, None)))
    }

    /// Live reservations of an owner, by id. Nobody has none.
    pub fn live_of(&self, owner: &Owner) -> Vec<ReservationView> {
        let live = self.holds.iter().filter(|hold| hold.ended.is_none() && hold.request.owner == *owner);
        let mut live: Vec<_> = live.map(|hold| self.view(hold)).collect();
        live.sort_by_key(|view| view.id);
        if owner.is_empty() { Vec::new() } else { live }
    }

    /// Live holds by deadline.
    pub fn due(&self) -> Vec<(TimeMs, ReservationId)> {
        let live = self.holds.iter().filter(|hold| hold.ended.is_none());
        let mut due: Vec<_> = live.map(|hold| (TimeMs(hold.deadline), hold.id)).collect();
        due.sort();
        due
    }

    fn told(&self, at: usize) -> Done {
        Done::Reservation(Box::new(self.view(&self.holds[at])))
    }

    pub fn view_of(&self, id: ReservationId) -> Option<ReservationView> {
        self.hold(id).map(|at| self.view(&self.holds[at]))
    }

    fn view(&self, hold: &Hold) -> ReservationView {
        let committed = hold.lines.iter().any(|line| line.committed > 0);
        let state = match (hold.ended, committed) {
            (None, false) => ReservationState::Held,
            (None, true) => ReservationState::PartlyCommitted,
            (Some(_), true) => ReservationState::Committed,
            (Some('x'), false) => ReservationState::Expired,
            (Some(_), false) => ReservationState::Released,
        };
        let line = |line: &HoldLine| LineView {
            pool: line.pool.clone(),
            asked: q(line.asked),
            held: q(line.held),
            committed: q(line.committed),
            released: q(line.released),
            expired: q(line.expired),
            shipped: q(line.sold.shipped),
            cancelled: q(line.sold.cancelled),
            returned: q(line.sold.returned),
            returned_unavailable: q(line.sold.apart),
        };
        ReservationView {
            id: hold.id,
            namespace: hold.request.namespace.clone(),
            owner: hold.request.owner.clone(),
            state,
            lines: hold.lines.iter().map(line).collect(),
            created: TimeMs(hold.created),
            deadline: TimeMs(hold.deadline),
            since: TimeMs(hold.since),
            settled: true,
            paying: hold.paying,
            revision: hold.revision,
        }
    }

    pub fn pool_view(&self, pool: &Pool) -> PoolView {
        PoolView {
            key: pool.key.clone(),
            on_hand: q(pool.on_hand),
            available: q(pool.available),
            held: q(pool.held),
            committed: q(pool.committed),
            unavailable: q(pool.unavailable),
            short: q(pool.short),
            sellable: q(self.free(pool)),
            received_total: q(pool.received),
            sold_total: q(pool.sold),
            returned_total: q(pool.returned),
            in_transit: q(pool.in_transit),
            expected: q(pool.expected.iter().map(|(.., units)| units).sum()),
            expected_date: pool.expected.iter().map(|(_, date, _)| TimeMs(*date)).min(),
        }
    }
}
