//! What the books said at a moment that is past: a count names when it was counted, and the ledger wants to know how many
//! units were on hand by the books then.
//!
//! Each movement names the one before it of the same pool, so the way back is a walk over the journal from the newest
//! movement on, in memory and on disk, that takes every change of on hand back. The past does not change but for what
//! other counts correct of it, so it may be walked before the count is proposed: the count notes which counts it knows of,
//! and the ledger answers CONTENDED if there are others by then.

use super::{Replica, machine::Core, proposer::Failure};
use bytes::Bytes;
use earmark_ledger::{
    Remembered,
    command::{Body, Command, Observed, ObservedAt, Seen, Stockkeeping},
    journal::Block,
    movement::{Movement, MovementKind},
    types::{Epoch, LogIndex, OperationId, PoolKey, Position, Quantity, ReservationId, TimeMs},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// Movements of a pool that are walked at most: some seconds of work.
const MOVEMENTS_MAX: usize = 1_000_000;

/// Blocks that are read before others get their turn.
const BLOCKS_PER_TURN: usize = 16;

/// Walks at the same time on a node; the others wait, as long as they have time.
static WALKING: Semaphore = Semaphore::const_new(2);

/// Walks that may wait.
static WAITING: Semaphore = Semaphore::const_new(256);

/// Why it can't be told what the books said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The moment is still to come; the field that names it.
    Ahead(&'static str),
    /// The journal does not reach back so far.
    Gone,
    /// More movements lie between than are walked.
    TooMuch,
    /// A later count found less than came in since that moment.
    Counted,
    /// The pool was not stocked yet at that moment; the field that names it.
    Unstocked(&'static str),
}

/// A moment that is past.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After everything that happened up to then.
    Time(TimeMs),
    /// After that entry.
    Entry(Epoch, LogIndex),
}

impl Replica {
    /// Notes in a count what the books said when it was counted. Any other command is left as it is.
    ///
    /// # Errors
    /// [`Failure`]; nothing was proposed.
    pub(super) async fn look_back(&self, command: &mut Command, deadline: Instant) -> Result<(), Failure> {
        let Body::Stockkeeping(Stockkeeping::Count(count)) = &mut command.body else { return Ok(()) };
        let Some(observed) = count.observed else { return Ok(()) };
        let _waits = WAITING.try_acquire().map_err(|_| Failure::Overloaded)?;
        // The newest state there is, or a moment that is past would be taken for one to come.
        self.reads.barrier(deadline).await?;
        let seen = match self.past(observed.at, deadline).await {
            Ok(moment) => {
                let turn = tokio::time::timeout_at(deadline, WALKING.acquire()).await;
                let _walks = turn.map_err(|_| Failure::Late)?.map_err(|_| Failure::Overloaded)?;
                books_at(&self.core, &count.pool, moment, deadline).await
            }
            Err(failure) => Err(failure),
        };
        match seen {
            // The ledger says that there is no such pool.
            Ok(None) => {}
            Ok(Some((on_hand, seen))) => count.observed = Some(Observed { on_hand, seen: Some(seen), ..observed }),
            // Of what was done already the first answer is told, and that does not ask the books.
            Err(Failure::Unseen(_)) if done(&self.core, count.operation)? => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// The moment, once nothing more can happen up to then.
    async fn past(&self, at: ObservedAt, deadline: Instant) -> Result<Moment, Failure> {
        let time = match at {
            ObservedAt::Position(index) => {
                let hot = self.hot();
                let reached = hot.last.map_or(0, |last| last.index);
                let moment = Moment::Entry(hot.epoch(), index);
                return if index.0 <= reached {
                    Ok(moment)
                } else {
                    Err(Failure::Unseen(Unseen::Ahead("observed_position")))
                };
            }
            ObservedAt::Time(time) => time,
        };
        loop {
            let clock = self.hot().clock();
            if time < clock {
                return Ok(Moment::Time(time));
            }
            let now = self.clocks.median().ok_or(Failure::NoQuorum)?;
            if time > now.max(clock) {
                return Err(Failure::Unseen(Unseen::Ahead("observed_time_ms")));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Late);
            }
            // The ledger's clock stands until an entry moves it beyond that moment.
            self.proposer.tick(false, deadline).await?;
            if self.hot().clock() <= time {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

/// Whether an operation is remembered to have had an effect.
fn done(core: &Core, id: OperationId) -> Result<bool, Failure> {
    let remembered = core.hot().ledger.operation(id);
    match remembered {
        Remembered::Done => Ok(true),
        Remembered::Absent => Ok(false),
        Remembered::Cold(key) => core.read_cold(&key).map(|found| found.is_some()).map_err(|_| Failure::Damaged),
    }
}

/// On hand of a pool by the books at that moment, and what was looked at; none if it was never stocked.
async fn books_at(
    core: &Core,
    pool: &PoolKey,
    moment: Moment,
    deadline: Instant,
) -> Result<Option<(Quantity, Seen)>, Failure> {
    let Some(now) = core.hot().ledger.last_movement(pool) else { return Ok(None) };
    let mut back = Back { on_hand: i128::from(now.on_hand.units()), counts: 0, withdrawn: BTreeMap::new() };
    let (mut at, mut walked, mut blocks) = (now.at, 0, 0);
    let mut read: Option<Block> = None;
    let reached = loop {
        let Some(spot) = at else { return Err(Failure::Unseen(Unseen::Unstocked(moment.field()))) };
        if let Moment::Entry(epoch, index) = moment
            && (spot.epoch, spot.index) <= (epoch, index)
        {
            let known = read.take().filter(|block| same_entry(block.position(), spot));
            break match known {
                Some(block) => Some(block.time()),
                None => block_of(core, spot)?.map(|block| block.time()),
            };
        }
        let known = read.take().filter(|block| same_entry(block.position(), spot));
        let block = match known {
            Some(block) => block,
            None => {
                blocks += 1;
                if blocks % BLOCKS_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                    if Instant::now() >= deadline {
                        return Err(Failure::Late);
                    }
                }
                match block_of(core, spot)? {
                    Some(block) => block,
                    None if passed(core, moment)? => break None,
                    None => return Err(Failure::Unseen(Unseen::Gone)),
                }
            }
        };
        if let Moment::Time(time) = moment
            && block.time() <= time
        {
            break None;
        }
        if walked == MOVEMENTS_MAX {
            return Err(Failure::Unseen(Unseen::TooMuch));
        }
        walked += 1;
        let movement = block.movement(spot.ordinal).ok().flatten().filter(|movement| movement.pool == *pool);
        let Some(movement) = movement else {
            tracing::error!(shard = %core.store().shard(), ?spot, "the journal has no movement where one is named");
            return Err(Failure::Damaged);
        };
        back.over(&movement);
        at = movement.previous_of_pool;
        read = Some(block);
    };
    let moment = match moment {
        Moment::Time(time) => time,
        // Its own time is not kept. Where the block is kept no more either, it is no older than the counts before it.
        Moment::Entry(..) => reached.unwrap_or(if back.counts == 0 { now.counted_at } else { TimeMs(0) }),
    };
    Ok(Some((back.on_hand()?, Seen { moment, counts: now.counts })))
}

/// On hand, on the way back.
struct Back {
    on_hand: i128,
    /// Counts that were passed.
    counts: u64,
    /// Units that were on their way out of the house and came back, by reservation: they had never left it.
    withdrawn: BTreeMap<ReservationId, i64>,
}

impl Back {
    /// Takes a movement back.
    fn over(&mut self, movement: &Movement) {
        let delta = movement.delta.on_hand;
        match (movement.kind, movement.reservation) {
            // What another count corrected was not there before either: corrected twice it would be wrong.
            (MovementKind::Count, _) => return self.counts += 1,
            (MovementKind::Withdraw, Some(id)) if delta > 0 => return *self.withdrawn.entry(id).or_default() += delta,
            (MovementKind::Prepare, Some(id)) if delta < 0 => {
                if let Some(stayed) = self.withdrawn.get_mut(&id).filter(|stayed| **stayed > 0) {
                    return *stayed += delta;
                }
            }
            _ => {}
        }
        self.on_hand -= i128::from(delta);
    }

    fn on_hand(&self) -> Result<Quantity, Failure> {
        if self.on_hand < 0 {
            return Err(Failure::Unseen(Unseen::Counted));
        }
        u64::try_from(self.on_hand).ok().and_then(Quantity::new).ok_or(Failure::Damaged)
    }
}

impl Moment {
    /// The field of a request that names it.
    fn field(self) -> &'static str {
        match self {
            Self::Time(_) => "observed_time_ms",
            Self::Entry(..) => "observed_position",
        }
    }
}

fn block_of(core: &Core, spot: Position) -> Result<Option<Block>, Failure> {
    let found = core.journal_block(spot.epoch, spot.index).map_err(|_| Failure::Damaged)?;
    found.map(|bytes| decode(core, &bytes)).transpose()
}

fn same_entry(one: Position, other: Position) -> bool {
    (one.epoch, one.index) == (other.epoch, other.index)
}

fn decode(core: &Core, bytes: &Bytes) -> Result<Block, Failure> {
    Block::decode(bytes).map_err(|corrupt| {
        tracing::error!(shard = %core.store().shard(), %corrupt, "a journal block can't be read");
        Failure::Damaged
    })
}

/// Whether a block that is kept no more is surely not after that moment: the oldest one that is kept is not.
fn passed(core: &Core, moment: Moment) -> Result<bool, Failure> {
    let Moment::Time(time) = moment else { return Ok(false) };
    match core.journal_oldest().map_err(|_| Failure::Damaged)? {
        Some(oldest) => Ok(decode(core, &oldest)?.time() <= time),
        None => Ok(false),
    }
}
