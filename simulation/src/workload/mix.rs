//! How often clients do what.

use super::{Worker, together};
use crate::dice::Dice;

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Every operation there is.
    Anything,
    /// It only reserves.
    Reserves,
    /// It changes nothing, so it never waits for a decision.
    Looks,
}

#[derive(Clone, Copy)]
enum Deed {
    Reserve,
    Commit,
    Release,
    Extend,
    MarkPaying,
    Replace,
    Revive,
    Ship,
    Cancel,
    Return,
    ReserveAgain,
    AskAgain,
    Receive,
    Correct,
    Count,
    SetApart,
    Transfer,
    Arrive,
    Expect,
    Configure,
    ReadStock,
    ReadReservation,
    SeeStock,
    SeeReservation,
    ReadSettings,
    DryRun,
    List,
    Together,
}

/// So many times of all.
const MIX: [(u64, Deed); 28] = [
    (36, Deed::Reserve),
    (15, Deed::Commit),
    (7, Deed::Release),
    (4, Deed::Extend),
    (4, Deed::MarkPaying),
    (7, Deed::Replace),
    (6, Deed::Revive),
    (6, Deed::Ship),
    (4, Deed::Cancel),
    (5, Deed::Return),
    (4, Deed::ReserveAgain),
    (4, Deed::AskAgain),
    (6, Deed::Receive),
    (4, Deed::Correct),
    (4, Deed::Count),
    (5, Deed::SetApart),
    (2, Deed::Transfer),
    (2, Deed::Arrive),
    (2, Deed::Expect),
    (3, Deed::Configure),
    (7, Deed::ReadStock),
    (5, Deed::ReadReservation),
    (5, Deed::SeeStock),
    (3, Deed::SeeReservation),
    (1, Deed::ReadSettings),
    (2, Deed::DryRun),
    (3, Deed::List),
    (3, Deed::Together),
];

/// What those do who only look.
const LOOKS: [(u64, Deed); 7] = [
    (8, Deed::ReadStock),
    (5, Deed::ReadReservation),
    (3, Deed::SeeStock),
    (1, Deed::SeeReservation),
    (1, Deed::ReadSettings),
    (1, Deed::DryRun),
    (1, Deed::List),
];

fn draw(mix: &[(u64, Deed)], dice: &mut Dice) -> Deed {
    let all = mix.iter().map(|(often, _)| often).sum::<u64>();
    let mut at = dice.range(0, all - 1);
    for (often, deed) in mix {
        if at < *often {
            return *deed;
        }
        at -= *often;
    }
    Deed::ReadStock
}

/// What goes by one call of the batch, from and to.
const TOGETHER: (u64, u64) = (2, 5);

impl Worker {
    /// Several things in one call.
    async fn several(&mut self, dice: &mut Dice) {
        let mut actions = Vec::new();
        for _ in 0..dice.range(TOGETHER.0, TOGETHER.1) {
            actions.extend(match dice.range(0, 5) {
                0 => self.commit(dice),
                1 => self.release(dice),
                2 => self.extend(dice),
                3 => self.again(dice).filter(together::goes_by_batch),
                4 => Some(self.receive(dice)).filter(together::goes_by_batch),
                _ => Some(self.reserve(dice)),
            });
        }
        self.tries_together(actions).await;
    }

    /// One thing, by chance.
    pub(super) async fn act(&mut self, dice: &mut Dice) {
        let mix = match self.role {
            Role::Anything => &MIX[..],
            Role::Reserves => &[(1, Deed::Reserve)],
            Role::Looks => &LOOKS,
        };
        let action = match draw(mix, dice) {
            Deed::Reserve => Some(self.reserve(dice)),
            Deed::Commit => self.commit(dice),
            Deed::Release => self.release(dice),
            Deed::Extend => self.extend(dice),
            Deed::MarkPaying => self.mark_paying(dice),
            Deed::Replace => self.replace(dice),
            Deed::Revive => self.revive(dice),
            Deed::Ship => self.ship(dice),
            Deed::Cancel => self.cancel(dice),
            Deed::Return => self.take_back(dice),
            Deed::ReserveAgain => self.crowd.any_cart(dice).map(|cart| cart.reserve),
            Deed::AskAgain => self.again(dice),
            Deed::Receive => Some(self.receive(dice)),
            Deed::Correct => Some(self.correct(dice)),
            Deed::Count => self.count(dice),
            Deed::SetApart => self.set_apart(dice),
            Deed::Transfer => self.transfer(dice),
            Deed::Arrive => self.arrive(dice),
            Deed::Expect => self.expect(dice),
            Deed::Configure => self.configure(dice),
            Deed::ReadStock => Some(self.read_stock(dice)),
            Deed::ReadReservation => self.read_reservation(dice),
            Deed::SeeStock => Some(self.see_stock(dice)),
            Deed::SeeReservation => self.see_reservation(dice),
            Deed::ReadSettings => Some(self.read_settings(dice)),
            Deed::DryRun => Some(self.dry_run(dice)),
            Deed::List => Some(self.list(dice)),
            Deed::Together => return self.several(dice).await,
        };
        if let Some(action) = action {
            let end = self.tries(action.clone()).await;
            if let Some(action) = self.wants_what_came_back(&action, &end, dice) {
                self.tries(action).await;
            }
            self.waits_until_settled(&action, &end).await;
        }
    }
}
