//! Commands under way that one waits for together: those of a batch, or of a session.
//!
//! Most of what is asked needs nothing but the log of a shard that is led here, and is answered with the entry it went into,
//! hundreds at a time. So it is put into the queue of its shard at once, and waited for in one place (`shard::answers`): no
//! task, waker or timer for each.

use super::{
    encode,
    operation::{Prepared, encoded},
};
use crate::{
    failpoint::{self, Step},
    router::{Leader, Router},
    shard::{
        self, Begun, Replica,
        answers::{Answers, Told},
        proposer::{self, Answer, Failure},
    },
};
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::types::ShardId;
use slab::Slab;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Once it was looked whose time is up it is not looked again sooner: it is a look at all that is under way.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who leads each shard, asked once for all that came together.
#[derive(Default)]
pub(super) struct Leaders(BTreeMap<ShardId, Leader>);

impl Leaders {
    fn of(&mut self, router: &Router, shard: ShardId) -> Option<&Arc<Replica>> {
        match self.0.entry(shard).or_insert_with(|| router.leader(shard)) {
            Leader::Here(replica) => Some(replica),
            Leader::There(_) => None,
        }
    }
}

/// What is waited for, each until its time is up.
struct Table<T> {
    answers: Answers,
    /// So many were kept so far.
    count: u32,
    under_way: Slab<UnderWay<T>>,
    /// When to look whose time is up; about when the first is.
    look_at: Option<Instant>,
}

struct UnderWay<T> {
    /// Its place in the low half, and how many were kept before it in the high one. So no number comes again before four thousand million
    /// others: what is answered too late is nobody's.
    number: u64,
    until: Instant,
    what: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { answers: Answers::default(), count: 0, under_way: Slab::new(), look_at: None }
    }
}

impl<T> Table<T> {
    /// The place to be told in, and the number to be told under, of what is [kept](Self::keep) next.
    fn next_number(&mut self) -> (&Answers, u64) {
        self.count = self.count.wrapping_add(1);
        (&self.answers, self.number())
    }

    fn number(&self) -> u64 {
        u64::from(self.count) << 32 | self.under_way.vacant_key() as u64
    }

    fn keep(&mut self, until: Instant, what: T) {
        let number = self.number();
        self.under_way.insert(UnderWay { number, until, what });
        self.look_at = Some(self.look_at.map_or(until, |look_at| look_at.min(until)));
    }

    /// Those that came to their end since it was last asked, in the order of their answers; those whose time was up have none,
    /// and come last. Waits until there are some. To be dropped at any moment without losing any.
    async fn next(&mut self) -> Vec<(T, Option<Told>)> {
        loop {
            let look_at = self.look_at.unwrap_or_else(|| Instant::now() + LOOK_EVERY);
            let told = tokio::time::timeout_at(look_at, self.answers.next()).await.unwrap_or_default();
            let mut ended = Vec::with_capacity(told.iter().map(Vec::len).sum());
            for (number, told) in told.into_iter().flatten() {
                let place = usize::try_from(number & u64::from(u32::MAX)).expect("a place has 32 bits");
                if self.under_way.get(place).is_some_and(|under_way| under_way.number == number) {
                    ended.push((self.under_way.remove(place).what, Some(told)));
                }
            }
            // Also where answers never cease.
            let now = Instant::now();
            if self.look_at.is_some_and(|look_at| look_at <= now) {
                ended.extend(self.overdue(now));
            }
            if self.under_way.is_empty() {
                self.look_at = None;
            }
            if !ended.is_empty() {
                return ended;
            }
        }
    }

    fn overdue(&mut self, now: Instant) -> impl Iterator<Item = (T, Option<Told>)> + use<T> {
        let mut overdue: Vec<_> =
            self.under_way.iter().filter(|(_, one)| one.until <= now).map(|(place, _)| place).collect();
        overdue.sort_unstable_by_key(|place| self.under_way[*place].number);
        let overdue: Vec<_> = overdue.into_iter().map(|place| self.under_way.remove(place)).collect();
        let next = self.under_way.iter().map(|(_, one)| one.until).min();
        self.look_at = next.map(|next| next.max(now + LOOK_EVERY));
        if self.under_way.is_empty() {
            // Whoever still answers one of these would have it kept until something else is asked.
            self.answers = Answers::default();
        }
        overdue.into_iter().map(|one| (one.what, None))
    }
}

/// All that is under way, each by the name that whoever asked gave it.
#[derive(Default)]
pub(super) struct Awaited(Table<Waiting>);

struct Waiting {
    name: u64,
    /// None if it could not be begun; then it is told why.
    begun: Option<Begun>,
    owed: Owed,
}

/// To whom an answer is owed, and how it is told.
struct Owed {
    replica: Arc<Replica>,
    asked: encode::Asked,
    refund: bool,
    deadline: Instant,
}

impl Awaited {
    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.0.under_way.len()
    }

    /// Whether none is.
    pub(super) fn is_empty(&self) -> bool {
        self.0.under_way.is_empty()
    }

    /// Puts a command into the queue of its shard, if that is all there is to do.
    ///
    /// # Errors
    /// The command, if it needs more than that.
    pub(super) fn begin(
        &mut self,
        router: &Router,
        leaders: &mut Leaders,
        name: u64,
        prepared: Prepared,
    ) -> Result<(), Prepared> {
        if !shard::is_plain(&prepared.command.body) {
            return Err(prepared);
        }
        let Some(replica) = leaders.of(router, prepared.shard) else { return Err(prepared) };
        let Prepared { command, asked, fresh, refund, deadline, .. } = prepared;
        failpoint::hit(Step::GatewayReceived);
        let (answers, number) = self.0.next_number();
        let begun = replica.begin(command, fresh, answers, number);
        let begun = begun.map_err(|failure| answers.tell(number, Err(failure))).ok();
        let owed = Owed { replica: Arc::clone(replica), asked, refund, deadline };
        self.0.keep(proposer::patience(deadline), Waiting { name, begun, owed });
        Ok(())
    }

    /// Those that came to their end since it was last asked; waits until there are some. To be dropped at any moment
    /// without losing any.
    pub(super) async fn next<'a>(&mut self, router: &'a Router) -> impl Iterator<Item = Decided> + use<'a> {
        self.0.next().await.into_iter().map(|(Waiting { name, begun, owed }, told)| {
            let answer = match told {
                Some(Ok(answer)) => {
                    begun.into_iter().for_each(Begun::decided);
                    Ok(answer)
                }
                Some(Err(failure)) => Err(router.failure(failure)),
                None => Err(router.failure(begun.map_or(Failure::Unknown, Begun::unanswered))),
            };
            Decided { name, answer, owed }
        })
    }
}

/// A command that came to its end.
pub(super) struct Decided {
    name: u64,
    answer: Result<Answer, v1::Error>,
    owed: Owed,
}

impl Decided {
    /// Whether all shards have carried it out, as far as that is told.
    pub(super) fn is_settled(&self) -> bool {
        self.answer.as_ref().map_or(true, Answer::is_settled)
    }

    /// Waits a while for that.
    pub(super) async fn settled(self) -> Self {
        let answer = match self.answer {
            Ok(answer) => Ok(self.owed.replica.settled(answer, self.owed.deadline).await),
            failed => failed,
        };
        Self { answer, ..self }
    }

    /// Its name, and what whoever asked is told, encoded.
    pub(super) fn told(self) -> (u64, Bytes) {
        if self.answer.is_ok() {
            failpoint::hit(Step::GatewayDecided);
        }
        (self.name, encoded(self.owed.asked, self.owed.refund, self.answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// What is kept, by its number.
    fn keep(table: &mut Table<&'static str>, after_ms: u64, what: &'static str) -> u64 {
        let (_, number) = table.next_number();
        table.keep(Instant::now() + Duration::from_millis(after_ms), what);
        number
    }

    fn late() -> Told {
        Err(Failure::Late)
    }

    #[tokio::test(start_paused = true)]
    async fn each_gets_its_own_answer_once() {
        let mut table = Table::default();
        let [one, two] = [keep(&mut table, 1_000, "one"), keep(&mut table, 1_000, "two")];
        assert!(table.next().now_or_never().is_none());
        table.answers.tell(two, Err(Failure::Overloaded));
        table.answers.tell(one, late());
        table.answers.tell(two, late());
        table.answers.tell(99, late());
        assert_eq!(table.next().await, [("two", Some(Err(Failure::Overloaded))), ("one", Some(late()))]);
        assert!(table.under_way.is_empty() && table.look_at.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whose_time_is_up_has_none_and_a_late_answer_is_nobodys() {
        let mut table = Table::default();
        let begun = Instant::now();
        let [one, two] = [keep(&mut table, 50, "one"), keep(&mut table, 55, "two")];
        let three = keep(&mut table, 500, "three");
        assert_eq!(table.next().await, [("one", None)]);
        assert_eq!(begun.elapsed(), Duration::from_millis(50));
        assert_eq!(table.next().await, [("two", None)]);
        assert_eq!(begun.elapsed(), Duration::from_millis(60), "not looked again at once");
        for number in [one, two, three] {
            table.answers.tell(number, late());
        }
        assert_eq!(table.next().await, [("three", Some(late()))]);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_never_cease_keep_nobody_waiting_whose_time_is_up() {
        let mut table = Table::default();
        keep(&mut table, 20, "waits");
        let mut seen = Vec::new();
        for _ in 0..5 {
            let other = keep(&mut table, 1_000, "other");
            table.answers.tell(other, late());
            tokio::time::advance(Duration::from_millis(10)).await;
            seen.extend(table.next().await.into_iter().map(|(what, _)| what));
        }
        assert_eq!(seen.iter().position(|what| *what == "waits"), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_has_gone_the_next_is_answered() {
        let mut table = Table::default();
        let only = keep(&mut table, 50, "only");
        assert_eq!(table.next().await, [("only", None)]);
        table.answers.tell(only, late());
        assert!(table.next().now_or_never().is_none(), "it is nobody's");
        let next = keep(&mut table, 50, "next");
        table.answers.tell(next, late());
        assert_eq!(table.next().await, [("next", Some(late()))]);
    }

    /// Told to whoever has the place now, it would be the outcome of another command.
    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_not_that_of_the_next_in_its_place() {
        let mut table = Table::default();
        let first = keep(&mut table, 10, "first");
        keep(&mut table, 1_000, "stays");
        assert_eq!(table.next().await, [("first", None)]);
        let second = keep(&mut table, 1_000, "second");
        assert_eq!(first & u64::from(u32::MAX), second & u64::from(u32::MAX), "they have one place");
        table.answers.tell(first, Err(Failure::Overloaded));
        assert!(table.next().now_or_never().is_none(), "it is nobody's");
        table.answers.tell(second, late());
        assert_eq!(table.next().await, [("second", Some(late()))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let mut table = Table::default();
        let one = keep(&mut table, 1_000, "one");
        for _ in 0..3 {
            assert!(table.next().now_or_never().is_none());
        }
        table.answers.tell(one, late());
        assert_eq!(table.next().await, [("one", Some(late()))]);
    }
}
