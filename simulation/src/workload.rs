//! What clients try: reserve, sell, give back, extend, count on it or walk away, ask again with the same id, and read.

use crate::{
    dice::Dice,
    recorder::{self, LOCATION, Recorder},
    scenario::Scenario,
};
use earmark_client::{Client, OperationId, Part, ReservationId};
use earmark_jepsen::history::{Action, Line};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// Reservations that clients still think of.
const THOUGHT_OF: usize = 40;

/// What the clients of a run share.
#[derive(Clone)]
pub struct Crowd {
    /// What the run is like.
    pub scenario: Arc<Scenario>,
    /// Where everything is written down.
    pub recorder: Recorder,
    /// Nobody begins anything any more.
    pub over: Arc<AtomicBool>,
    /// Clients that have not gone home.
    pub busy: Arc<AtomicUsize>,
    carts: Arc<Mutex<VecDeque<Cart>>>,
}

/// A reserve that was sent, and what a client might do next.
#[derive(Clone, Debug)]
struct Cart {
    id: ReservationId,
    lines: Vec<Line>,
    ttl_ms: u64,
}

/// The name of a SKU by its number.
pub fn sku(number: u64) -> String {
    format!("sku-{number:02}")
}

impl Crowd {
    /// Nobody came yet.
    pub fn new(scenario: &Scenario, recorder: Recorder) -> Self {
        Self {
            scenario: Arc::new(scenario.clone()),
            recorder,
            over: Arc::default(),
            busy: Arc::default(),
            carts: Arc::default(),
        }
    }

    fn carts(&self) -> MutexGuard<'_, VecDeque<Cart>> {
        self.carts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn think_of(&self, cart: Cart) {
        let mut carts = self.carts();
        carts.push_back(cart);
        if carts.len() > THOUGHT_OF {
            carts.pop_front();
        }
    }

    fn any_cart(&self, dice: &mut Dice) -> Option<Cart> {
        let carts = self.carts();
        // Mostly the newest: the oldest are ended, and asking about those is what late clients do.
        let back = if carts.is_empty() { return None } else { dice.place(carts.len()).min(dice.place(carts.len())) };
        carts.get(carts.len() - 1 - back).cloned()
    }
}

/// Counts a client for as long as it lives.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Receives the first stock of every SKU, until it is there.
pub async fn stock_up(client: &Client, crowd: &Crowd) {
    let process = crowd.recorder.process();
    for number in 0..u64::from(crowd.scenario.skus) {
        let id = client.make_operation_id();
        let line = Line { sku: sku(number), units: crowd.scenario.stock };
        loop {
            let receive = client.receive(&line.sku, LOCATION, line.units).id(id);
            let sent = crowd.recorder.send(process, Action::Receive { id: id.to_string(), line: line.clone() });
            let answer = receive.send().await;
            let done = answer.is_ok();
            sent.end(recorder::stocked(answer), None);
            if done {
                break;
            }
        }
    }
}

/// One client: one thing after the other until the run is over.
pub async fn work(client: Client, crowd: Crowd, mut dice: Dice) {
    let _busy = Busy::new(&crowd.busy);
    let mut worker = Worker { process: crowd.recorder.process(), client, crowd };
    while !worker.crowd.over.load(Ordering::Relaxed) {
        let [least, most] = worker.crowd.scenario.pause_ms;
        sleep(Duration::from_millis(dice.range(least, most))).await;
        worker.act(&mut dice).await;
    }
}

struct Worker {
    process: u64,
    client: Client,
    crowd: Crowd,
}

impl Worker {
    async fn act(&mut self, dice: &mut Dice) {
        match dice.range(0, 99) {
            0..=39 => self.reserve(dice).await,
            40..=56 => self.commit(dice).await,
            57..=65 => self.release(dice).await,
            66..=70 => self.extend(dice).await,
            71..=75 => self.again(dice).await,
            76..=81 => self.receive(dice).await,
            82..=84 => self.adjust(dice).await,
            85..=93 => self.read_stock(dice).await,
            _ => self.read_reservation(dice).await,
        }
    }

    fn sku(&self, dice: &mut Dice) -> String {
        let others = u64::from(self.crowd.scenario.skus);
        sku(if dice.percent(50) { 0 } else { dice.range(0, others - 1) })
    }

    fn lines(&self, dice: &mut Dice) -> Vec<Line> {
        let most = (self.crowd.scenario.stock / 3).max(1);
        let kinds = if dice.percent(self.crowd.scenario.carts_percent) { dice.range(2, 5) } else { 1 };
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..kinds {
            let sku = self.sku(dice);
            if !lines.iter().any(|line| line.sku == sku) {
                lines.push(Line { sku, units: dice.range(1, most) });
            }
        }
        lines
    }

    async fn reserve(&mut self, dice: &mut Dice) {
        let lines = self.lines(dice);
        let [least, most] = self.crowd.scenario.ttl_ms;
        let ttl_ms = dice.range(least, most);
        // With an id of the client's own it may ask again; without one the SDK marks the first sending as fresh.
        let own = if dice.percent(40) { self.client.make_id(&lines[0].sku).ok() } else { None };
        self.send_reserve(own, lines, ttl_ms).await;
    }

    /// A second sending of a reserve, maybe while the first is on its way.
    async fn again(&mut self, dice: &mut Dice) {
        if let Some(cart) = self.crowd.any_cart(dice) {
            self.send_reserve(Some(cart.id), cart.lines, cart.ttl_ms).await;
        }
    }

    async fn send_reserve(&mut self, own: Option<ReservationId>, lines: Vec<Line>, ttl_ms: u64) {
        let mut reserve = self.client.reserve().ttl(Duration::from_millis(ttl_ms));
        for line in &lines {
            reserve = reserve.line(&line.sku, LOCATION, line.units);
        }
        if let Some(id) = own {
            reserve = reserve.id(id);
            self.crowd.think_of(Cart { id, lines: lines.clone(), ttl_ms });
        }
        let id = own.map(|id| id.to_string()).unwrap_or_default();
        let sent = self.sent(Action::Reserve { id, lines: lines.clone(), ttl_ms });
        let (end, known, open) = recorder::reserved(&lines, reserve.send().await);
        if own.is_none()
            && let Some(id) = open
        {
            self.crowd.think_of(Cart { id, lines, ttl_ms });
        }
        self.ended(sent.end(end, known));
    }

    async fn commit(&mut self, dice: &mut Dice) {
        let Some(cart) = self.crowd.any_cart(dice) else { return };
        let parts = parts(&cart, dice, 25);
        let operation = (!parts.is_empty()).then(|| self.client.make_operation_id());
        let keep_rest = operation.is_some() && dice.percent(50);
        let mut commit = self.client.commit(cart.id).parts(wire(&parts));
        if keep_rest {
            commit = commit.keep_rest();
        }
        if let Some(operation) = operation {
            commit = commit.operation_id(operation);
        }
        let (id, operation) = (cart.id.to_string(), operation.map(|id| id.to_string()));
        let sent = self.sent(Action::Commit { id, operation, parts, keep_rest });
        let end = recorder::changed(commit.send().await);
        self.ended(sent.end(end, None));
    }

    async fn release(&mut self, dice: &mut Dice) {
        let Some(cart) = self.crowd.any_cart(dice) else { return };
        let parts = parts(&cart, dice, 25);
        let operation = (!parts.is_empty()).then(|| self.client.make_operation_id());
        let mut release = self.client.release(cart.id).parts(wire(&parts));
        if let Some(operation) = operation {
            release = release.operation_id(operation);
        }
        let (id, operation) = (cart.id.to_string(), operation.map(|id| id.to_string()));
        let sent = self.sent(Action::Release { id, operation, parts });
        let end = recorder::changed(release.send().await);
        self.ended(sent.end(end, None));
    }

    async fn extend(&mut self, dice: &mut Dice) {
        let Some(cart) = self.crowd.any_cart(dice) else { return };
        let [least, most] = self.crowd.scenario.ttl_ms;
        let ttl_ms = dice.range(least, most);
        let operation = self.client.make_operation_id();
        let extend = self.client.extend(cart.id, Duration::from_millis(ttl_ms)).operation_id(operation);
        let (id, operation) = (cart.id.to_string(), Some(operation.to_string()));
        let sent = self.sent(Action::Extend { id, operation, ttl_ms });
        let end = recorder::changed(extend.send().await);
        self.ended(sent.end(end, None));
    }

    async fn receive(&mut self, dice: &mut Dice) {
        let line = Line { sku: self.sku(dice), units: dice.range(1, (self.crowd.scenario.stock / 2).max(1)) };
        let id: OperationId = self.client.make_operation_id();
        let receive = self.client.receive(&line.sku, LOCATION, line.units).id(id);
        let sent = self.sent(Action::Receive { id: id.to_string(), line });
        let end = recorder::stocked(receive.send().await);
        self.ended(sent.end(end, None));
    }

    async fn adjust(&mut self, dice: &mut Dice) {
        // Only up: below zero an adjustment tells of a reality below the books, which scripts of the ledger test.
        let (sku, delta) = (self.sku(dice), i64::try_from(dice.range(1, 3)).expect("small"));
        let id = self.client.make_operation_id();
        let adjust = self.client.adjust(&sku, LOCATION, delta, "found").id(id);
        let sent = self.sent(Action::Adjust { id: id.to_string(), sku, delta });
        let end = recorder::stocked(adjust.send().await);
        self.ended(sent.end(end, None));
    }

    async fn read_stock(&mut self, dice: &mut Dice) {
        let sku = self.sku(dice);
        let sent = self.sent(Action::ReadStock { sku: sku.clone() });
        let end = recorder::stock(self.client.stock(sku).location(LOCATION).send().await);
        self.ended(sent.end(end, None));
    }

    async fn read_reservation(&mut self, dice: &mut Dice) {
        let Some(cart) = self.crowd.any_cart(dice) else { return };
        let sent = self.sent(Action::ReadReservation { id: cart.id.to_string() });
        let end = recorder::read(self.client.reservation(cart.id).send().await);
        self.ended(sent.end(end, None));
    }

    fn sent(&self, action: Action) -> recorder::Sent {
        self.crowd.recorder.send(self.process, action)
    }

    /// After an unknown end the process is another one.
    fn ended(&mut self, goes_on: bool) {
        if !goes_on {
            self.process = self.crowd.recorder.process();
        }
    }
}

/// Some units of some lines of a cart, so many times of a hundred; else none, which means all.
fn parts(cart: &Cart, dice: &mut Dice, percent: u64) -> Vec<Line> {
    if !dice.percent(percent) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for line in &cart.lines {
        if parts.is_empty() || dice.percent(50) {
            parts.push(Line { sku: line.sku.clone(), units: dice.range(1, line.units) });
        }
    }
    parts
}

fn wire(parts: &[Line]) -> Vec<Part> {
    parts.iter().map(|part| Part::new(&part.sku, LOCATION, part.units)).collect()
}
