//! What clients try: every operation there is. They hold units, sell them, give them back, change their minds, pay late
//! or walk away, ask again with the same id, also for what others began, and read; others keep the stock and its settings.

mod carts;
mod keeping;
mod kind;
mod mix;
mod perform;
mod reading;
mod sale;
mod together;

pub use kind::{BACK, Kind};
pub use mix::Role;

use crate::{
    dice::Dice,
    recorder::{LOCATION, Recorder, Sent, place},
    scenario::Scenario,
};
use earmark_client::Client;
use earmark_jepsen::history::{Action, End, Line, Place, Told};
use perform::{Performed, perform};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// Reservations that clients still think of.
const THOUGHT_OF: usize = 40;

/// Reservations that were sold and that somebody may ship, cancel or return.
const SOLD: usize = 24;

/// Operations that somebody may ask for again.
const ASKED_AGAIN: usize = 20;

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
    /// Operations that went by batch.
    pub batched: Arc<AtomicU64>,
    thoughts: Arc<Mutex<Thoughts>>,
}

/// What somebody knows and everybody may act upon.
#[derive(Default)]
struct Thoughts {
    carts: VecDeque<Cart>,
    /// Those of them that were told to be sold.
    sold: VecDeque<Cart>,
    /// Those of them that somebody is changing now, by process.
    in_hand: BTreeMap<u64, Cart>,
    /// Operations with an id of their own, as they were sent.
    asked: VecDeque<Action>,
    /// Transfers that may be under way: id, SKU, units.
    transfers: VecDeque<(String, String, u64)>,
    /// Documents of announced receipts, with their pools and units.
    announced: VecDeque<(Line, String)>,
    /// Where a read of a pool stood, and what was on hand.
    books: BTreeMap<String, (Place, u64)>,
    /// Versions of settings.
    versions: BTreeMap<String, u64>,
    documents: u64,
}

/// A reserve that was sent, and what a client might do next.
#[derive(Clone, Debug)]
struct Cart {
    id: String,
    /// As it was first sent.
    reserve: Action,
    /// What it may hold by now.
    lines: Vec<Line>,
}

/// The name of a SKU by its number.
pub fn sku(number: u64) -> String {
    format!("sku-{number:02}")
}

/// Every pool that may have something in a scenario.
pub fn pools(scenario: &Scenario) -> Vec<(String, &'static str)> {
    let numbers = 0..u64::from(scenario.skus);
    let of = |number| {
        let back = (Kind::of(number) == Kind::Kept).then(|| (sku(number), BACK));
        [(sku(number), LOCATION)].into_iter().chain(back)
    };
    numbers.flat_map(of).collect()
}

impl Crowd {
    /// Nobody came yet.
    pub fn new(scenario: &Scenario, recorder: Recorder) -> Self {
        Self {
            scenario: Arc::new(scenario.clone()),
            recorder,
            over: Arc::default(),
            busy: Arc::default(),
            batched: Arc::default(),
            thoughts: Arc::default(),
        }
    }

    fn thoughts(&self) -> MutexGuard<'_, Thoughts> {
        self.thoughts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn think_of(&self, cart: Cart) {
        let mut thoughts = self.thoughts();
        push(&mut thoughts.carts, cart, THOUGHT_OF);
    }

    fn any_cart(&self, dice: &mut Dice) -> Option<Cart> {
        if let Some(cart) = self.disputed_cart(25, dice) {
            return Some(cart);
        }
        let thoughts = self.thoughts();
        let carts = &thoughts.carts;
        // Mostly the newest: the oldest are ended, and asking about those is what late clients do.
        let back = if carts.is_empty() { return None } else { dice.place(carts.len()).min(dice.place(carts.len())) };
        carts.get(carts.len() - 1 - back).cloned()
    }

    /// One that somebody else is changing at this moment, so many times of a hundred if there is one: two windows of one
    /// shop, or two who want the same.
    fn disputed_cart(&self, percent: u64, dice: &mut Dice) -> Option<Cart> {
        let thoughts = self.thoughts();
        let in_hand = &thoughts.in_hand;
        if in_hand.is_empty() || !dice.percent(percent) {
            return None;
        }
        in_hand.values().nth(dice.place(in_hand.len())).cloned()
    }

    /// Mostly one that was sold: few others have anything to ship, to cancel or to return.
    fn sold_cart(&self, dice: &mut Dice, fits: impl Fn(&Cart) -> bool) -> Option<Cart> {
        if dice.percent(75) {
            let thoughts = self.thoughts();
            let sold: Vec<&Cart> = thoughts.sold.iter().filter(|cart| fits(cart)).collect();
            if !sold.is_empty() {
                return Some(sold[dice.place(sold.len())].clone());
            }
        }
        self.any_cart(dice)
    }

    /// Mostly one that is over by now.
    fn old_cart(&self, dice: &mut Dice) -> Option<Cart> {
        let thoughts = self.thoughts();
        let carts = &thoughts.carts;
        let back = if carts.is_empty() { return None } else { dice.place(carts.len()).max(dice.place(carts.len())) };
        carts.get(carts.len() - 1 - back).cloned()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    queue.push_back(item);
    if queue.len() > most {
        queue.pop_front();
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

/// For as long as a client is at work at a reservation, or until it goes away.
struct InHand {
    crowd: Crowd,
    process: u64,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.crowd.thoughts().in_hand.remove(&self.process);
    }
}

/// Sets what is set for every SKU at the beginning, and receives its first stock, until it is there.
pub async fn stock_up(client: &Client, crowd: &Crowd) {
    let process = crowd.recorder.process();
    let mut worker = Worker { process, role: Role::Anything, client: client.clone(), crowd: crowd.clone() };
    for number in 0..u64::from(crowd.scenario.skus) {
        if let Some(settings) = kind::first_settings(number, crowd.scenario.stock) {
            let id = client.make_operation_id().to_string();
            worker.insist(&Action::Configure { id, sku: sku(number), version: 0, settings }).await;
        }
        let line = Line { sku: sku(number), units: crowd.scenario.stock };
        let id = client.make_operation_id().to_string();
        worker.insist(&Action::Receive { id, line }).await;
    }
}

/// One client: one thing after the other until the run is over.
pub async fn work(client: Client, crowd: Crowd, role: Role, mut dice: Dice) {
    let _busy = Busy::new(&crowd.busy);
    let mut worker = Worker { process: crowd.recorder.process(), role, client, crowd };
    while !worker.crowd.over.load(Ordering::Relaxed) {
        let [least, most] = worker.crowd.scenario.pause_ms;
        sleep(Duration::from_millis(dice.range(least, most))).await;
        worker.act(&mut dice).await;
    }
}

struct Worker {
    process: u64,
    role: Role,
    client: Client,
    crowd: Crowd,
}

impl Worker {
    /// Tries it and writes down how it ended.
    async fn tries(&mut self, action: Action) -> End {
        self.remember(&action);
        let _in_hand = self.takes_in_hand(&action);
        let sent = self.crowd.recorder.send(self.process, action.clone());
        let performed = perform(&self.client, &action).await;
        let (end, known) = self.ended(sent, &action, performed);
        // After an unknown end the process is another one.
        if !known {
            self.process = self.crowd.recorder.process();
        }
        end
    }

    /// Tries several at once, each as another process.
    async fn tries_together(&mut self, mut actions: Vec<Action>) {
        if actions.len() < 2 {
            if let Some(action) = actions.pop() {
                self.tries(action).await;
            }
            return;
        }
        self.crowd.batched.fetch_add(actions.len() as u64, Ordering::Relaxed);
        let sent = actions.iter().map(|action| {
            self.remember(action);
            self.crowd.recorder.send(self.crowd.recorder.process(), action.clone())
        });
        let sent: Vec<Sent> = sent.collect();
        let performed = together::perform(&self.client, &actions).await;
        for ((sent, action), performed) in sent.into_iter().zip(&actions).zip(performed) {
            self.ended(sent, action, performed);
        }
    }

    /// Writes down how something ended, and whether that is known.
    fn ended(&self, sent: Sent, action: &Action, performed: Performed) -> (End, bool) {
        if let Action::Reserve { id, lines, .. } = action
            && id.is_empty()
            && performed.open
            && let Some(id) = &performed.id
        {
            let mut reserve = action.clone();
            if let Action::Reserve { id: own, .. } = &mut reserve {
                own.clone_from(id);
            }
            self.crowd.think_of(Cart { id: id.clone(), reserve, lines: lines.clone() });
        }
        self.learn(action, &performed.end);
        let known = sent.end(performed.end.clone(), performed.id);
        (performed.end, known)
    }

    /// Tries it until it is done.
    async fn insist(&mut self, action: &Action) {
        while !matches!(self.tries(action.clone()).await, End::Done { .. }) {}
    }

    /// Somebody may ask for it again.
    fn remember(&self, action: &Action) {
        let reserve = matches!(action, Action::Reserve { .. });
        if !reserve && action.operation().is_some() {
            push(&mut self.crowd.thoughts().asked, action.clone(), ASKED_AGAIN);
        }
    }

    /// Others see at what this client is at work.
    fn takes_in_hand(&self, action: &Action) -> Option<InHand> {
        let id = action.reservation().filter(|_| action.is_effectful())?;
        let mut thoughts = self.crowd.thoughts();
        let cart = thoughts.carts.iter().find(|cart| cart.id == id).cloned()?;
        thoughts.in_hand.insert(self.process, cart);
        Some(InHand { crowd: self.crowd.clone(), process: self.process })
    }

    /// What an answer is good for later.
    fn learn(&self, action: &Action, end: &End) {
        let mut thoughts = self.crowd.thoughts();
        match (action, end) {
            (Action::ReadStock { sku }, End::Done { told: Told::Balance(balance), place, .. }) => {
                thoughts.books.insert(sku.clone(), (*place, balance.on_hand));
            }
            (
                Action::ReadSettings { sku } | Action::Configure { sku, .. },
                End::Done { told: Told::Settings { version, .. }, .. },
            ) => {
                thoughts.versions.insert(sku.clone(), *version);
            }
            (Action::Transfer { id, line, immediate: false, .. }, End::Done { .. } | End::Unknown { .. }) => {
                let sku = earmark_jepsen::history::article(&line.sku).to_owned();
                push(&mut thoughts.transfers, (id.clone(), sku, line.units), ASKED_AGAIN);
            }
            (Action::Commit { id, .. }, End::Done { told: Told::Reservation(_), .. }) => {
                let sold = thoughts.carts.iter().find(|cart| cart.id == *id).cloned();
                if let Some(cart) = sold.filter(|_| !thoughts.sold.iter().any(|sold| sold.id == *id)) {
                    push(&mut thoughts.sold, cart, SOLD);
                }
            }
            (Action::Replace { id, lines, .. }, End::Done { .. } | End::Unknown { .. }) => {
                for cart in thoughts.carts.iter_mut().filter(|cart| cart.id == *id) {
                    cart.lines.clone_from(lines);
                }
            }
            _ => {}
        }
    }

    /// What this client has seen of each shard.
    fn seen(&self) -> Vec<Place> {
        self.client.token().positions().map(place).collect()
    }

    fn operation(&self) -> String {
        self.client.make_operation_id().to_string()
    }
}
