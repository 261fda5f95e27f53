//! What came of commands, told to whoever waits for them.
//!
//! Whoever has many commands under way waits for all of them in one place. An entry answers hundreds at once: those of one
//! waiter that lie side by side in it are put there together, and wake it once, instead of one channel, one waker and one
//! timer for each.

use super::{
    admission::Passage,
    proposer::{Answer, Failure},
};
use earmark_ledger::planted::{self, Bug};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

/// What came of a command.
pub type Told = Result<Answer, Failure>;

/// Told, each with the number that whoever waits gave the command.
pub type Numbered = (u64, Told);

/// Where one waits for all its commands. Once it goes nobody waits for them any more.
#[derive(Debug, Default)]
pub struct Answers(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    /// As they were told together: those of a batch are thousands, and stay where they were put first.
    told: Mutex<Vec<Vec<Numbered>>>,
    news: Notify,
    gone: AtomicBool,
}

impl Place {
    fn put(&self, told: &mut Vec<Numbered>) {
        debug_assert!(!told.is_empty(), "whoever waits is woken for something");
        let first = {
            let mut waiting = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if self.gone.load(Ordering::Relaxed) {
                return told.clear();
            }
            let first = waiting.is_empty();
            match waiting.last_mut() {
                Some(last) if last.capacity() - last.len() >= told.len() => last.append(told),
                _ => waiting.push(std::mem::take(told)),
            }
            first
        };
        if first {
            self.news.notify_one();
        }
    }
}

impl Answers {
    /// What was told since it was last asked, at least one, in order. To be dropped at any moment without losing any.
    pub async fn next(&self) -> Vec<Vec<Numbered>> {
        loop {
            let told = std::mem::take(&mut *self.0.told.lock().unwrap_or_else(PoisonError::into_inner));
            if !told.is_empty() {
                return told;
            }
            self.0.news.notified().await;
        }
    }

    /// Tells one here and now, as of what could not even be begun.
    pub fn tell(&self, number: u64, told: Told) {
        self.0.put(&mut vec![(number, told)]);
    }

    /// What a command carries with it that goes by that number here.
    pub(super) fn reply(&self, number: u64, passage: Arc<Passage>) -> Reply {
        Reply { passage, place: Some(Arc::clone(&self.0)), number }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // Commands that are still on their way keep the place.
        let mut waiting = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.gone.store(true, Ordering::Relaxed);
        *waiting = Vec::new();
    }
}

/// The answer that is owed for one command. Dropped without one, it tells that there is none, if someone waits for it.
#[derive(Debug)]
pub(super) struct Reply {
    passage: Arc<Passage>,
    /// None once it was told.
    place: Option<Arc<Place>>,
    number: u64,
}

impl Reply {
    /// How far the command has come.
    pub(super) fn passage(&self) -> &Passage {
        &self.passage
    }

    /// Whether anyone waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        !self.passage.is_given_up() && self.place.as_ref().is_some_and(|place| !place.gone.load(Ordering::Relaxed))
    }

    /// It is told otherwise.
    pub(super) fn forget(mut self) {
        self.place = None;
    }

    /// Tells it, alone.
    pub(super) fn tell(self, told: Told) {
        tell_all([(self, told)].into_iter());
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if self.passage.is_given_up() {
            return;
        }
        // Whoever was to answer died with the command in its hands.
        let surely = self.passage.give_up() || planted::on(Bug::TimeoutAsRefusal);
        let failure = if surely { Failure::NoQuorum } else { Failure::Unknown };
        place.put(&mut vec![(self.number, Err(failure))]);
    }
}

/// Tells many: those who wait in one place are told together.
pub(super) fn tell_all(replies: impl Iterator<Item = (Reply, Told)>) {
    let mut telling = Telling { place: None, told: Vec::with_capacity(replies.size_hint().0) };
    replies.for_each(|(reply, told)| telling.tell(reply, told));
}

/// What is about to be told in one place.
#[derive(Debug, Default)]
struct Telling {
    place: Option<Arc<Place>>,
    told: Vec<Numbered>,
}

impl Telling {
    /// Tells one, by the end of this at the latest.
    fn tell(&mut self, mut reply: Reply, told: Told) {
        let Some(place) = reply.place.take() else { return };
        if !self.place.as_ref().is_some_and(|same| Arc::ptr_eq(same, &place)) {
            self.flush();
            self.place = Some(place);
        }
        self.told.push((reply.number, told));
    }

    fn flush(&mut self) {
        if let Some(place) = self.place.take() {
            place.put(&mut self.told);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::admission::{Caller, Pace},
        *,
    };
    use futures::FutureExt;

    fn caller() -> Caller {
        Pace::new(1).admission().let_pass()
    }

    fn reply(answers: &Answers, number: u64, caller: &Caller) -> Reply {
        answers.reply(number, Arc::clone(&caller.0))
    }

    #[tokio::test]
    async fn those_who_wait_in_one_place_are_told_together_and_each_its_own() {
        let (one, other, caller) = (Answers::default(), Answers::default(), caller());
        let mut telling = Telling::default();
        telling.tell(reply(&one, 7, &caller), Err(Failure::Late));
        telling.tell(reply(&one, 3, &caller), Err(Failure::Overloaded));
        assert!(one.next().now_or_never().is_none(), "until all are");
        telling.tell(reply(&other, 7, &caller), Err(Failure::Late));
        assert_eq!(one.next().await.concat(), [(7, Err(Failure::Late)), (3, Err(Failure::Overloaded))]);
        drop(telling);
        assert_eq!(other.next().await.concat(), [(7, Err(Failure::Late))]);
        assert!(one.next().now_or_never().is_none(), "each once");
    }

    #[tokio::test]
    async fn what_is_told_one_after_the_other_comes_in_that_order() {
        let (answers, caller) = (Answers::default(), caller());
        for numbers in [0..100, 100..101, 101..400, 400..402] {
            tell_all(numbers.map(|number| (reply(&answers, number, &caller), Err(Failure::Late))));
        }
        let told = answers.next().await.concat();
        assert!(told.iter().map(|(number, _)| *number).eq(0..402));
        assert!(answers.next().now_or_never().is_none(), "each once");
    }

    #[tokio::test]
    async fn what_nobody_answers_is_told_to_have_no_answer() {
        let (answers, queued, proposed) = (Answers::default(), caller(), caller());
        drop(reply(&answers, 1, &queued));
        assert!(proposed.0.propose());
        drop(reply(&answers, 2, &proposed));
        reply(&answers, 3, &queued).forget();
        assert_eq!(answers.next().await.concat(), [(1, Err(Failure::NoQuorum)), (2, Err(Failure::Unknown))]);
    }

    #[test]
    fn it_is_known_whether_anyone_waits() {
        let (answers, first, second, third) = (Answers::default(), caller(), caller(), caller());
        let [one, two, three] = [(1, &first), (2, &second), (3, &third)].map(|(at, by)| reply(&answers, at, by));
        assert!(one.is_awaited() && two.is_awaited() && three.is_awaited());
        assert!(first.give_up());
        drop(second);
        assert!(!one.is_awaited() && !two.is_awaited() && three.is_awaited());
        drop(answers);
        assert!(!three.is_awaited());
    }
}
