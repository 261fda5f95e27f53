//! What some planted bugs need to show, added to the scenario of a seed: times and nodes are drawn from the seed too.
//!
//! A lease that is too long does harm only if somebody is elected within it; a lost vote only if the power goes within
//! milliseconds of it. In scenarios as they are drawn such things come together once in thousands of seeds.

use crate::{
    dice::Dice,
    scenario::{CLIENTS_ON_BOTH_SIDES, Fault, Kind, Scenario},
};
use earmark_ledger::planted::Bug;

/// By so much a right clock may be wrong, see [`Scenario::draw`].
const RIGHT_CLOCK_MS: i64 = 100;

/// Who is cut off with a leader and waits for longer for a node that can't be reached asks nothing while two lead.
const IMPATIENT_MS: u64 = 700;

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    None,
    /// All lose power now and then, and little else brings a sync.
    Power,
    /// Elections, and power that goes just after them.
    VotesInTheDark,
    /// Leases; one is cut off with some of the clients, the rest restart at once and elect another, whom new clients find.
    ForgottenLeases,
    /// Leases; one is cut off with some of the clients, and others are elected as soon as any of them may be helped.
    LongLeases,
    /// A node is cut off from the others, not from all clients, and killed before it has heard of them again, or after; there
    /// is little to be had.
    CutLeaders,
    /// One is cut off with some of the clients, and the rest restart and elect another before it has noticed: a leader without
    /// a majority gives up before those who heard of it stand for election. Many clients want the same few things.
    TwoSellers,
    /// The same, where those who are cut off with it only reserve, and units are freed on the other side: a leader that waits
    /// for an entry to be decided refuses nobody.
    LateRefusals,
    /// What a node and the others tell each other takes its time. Many clients only look.
    LateBeacons,
    /// Leadership changes all the time, disks are slow, and there is little to be had.
    Turnover,
    /// No log is kept behind checkpoints, they are small and frequent, and nodes are away for a while.
    Snapshots,
    /// Carts, and messages that come late, twice or never.
    Carts,
    /// Carts over several shards want the last units of a few SKUs, and messages between shards take their time: while one cart
    /// is being asked for, others are refused for its sake, and then it is refused as well.
    ScarceCarts,
    /// Everything is sold in carts of the same two SKUs, which may be cancelled, and there is little of it. Two nodes don't
    /// reach each other: each leads on, and does not hear what carts of the other came to. Clients reach both, and want at
    /// once what a cart gave back.
    UnheardHomes,
    /// One node after the other is cut off alone for long.
    Alone,
    /// The clock of one node is wild, and leadership changes before and after.
    WildClock,
    /// Clocks are right, clients have time, and there is little to be had.
    RightClocks,
    /// Messages of all nodes are lost again and again.
    Loss,
    /// Clients do not reach the node that leads, so others forward what they want of it; what it answers takes its time, and
    /// it is killed. Clients give up before another is elected.
    LostForwards,
    /// The same without the end: what one of the others forwards takes its time, the streams of its clients break meanwhile,
    /// and they ask by the third. There is little to be had, and it is held for seconds.
    LateForwards,
    /// Messages take their time, so that commits overtake reserves, and most of what clients send arrives twice.
    EarlyCommits,
    /// Clients miss answers, and before they have asked again nobody is there any more.
    UnheardAndGone,
    /// Nodes restart.
    Restarts,
    /// Disks lose what they had synced.
    LostTails,
}

/// What a bug needs.
pub fn of(bug: Bug) -> Hint {
    match bug {
        Bug::AckBeforeSync => Hint::Power,
        Bug::VoteNotSynced => Hint::VotesInTheDark,
        Bug::VoterForgetsLease => Hint::ForgottenLeases,
        Bug::LeaseWithoutMargin => Hint::LongLeases,
        Bug::ReplayUndecided | Bug::TruncateLate | Bug::ReadFromFollower => Hint::CutLeaders,
        Bug::ReadWithoutBarrier => Hint::TwoSellers,
        Bug::RefusalWithoutBarrier => Hint::LateRefusals,
        Bug::AgeFromArrival => Hint::LateBeacons,
        Bug::RefusalBeforeApplied => Hint::Turnover,
        Bug::HalfInstalled | Bug::SnapshotIntoLive | Bug::ApplyTwice => Hint::Snapshots,
        Bug::OldAnswerCounted | Bug::TombstoneForgotten | Bug::RowDropped | Bug::SentOnce => Hint::Carts,
        Bug::RowNotReplaced => Hint::Carts,
        Bug::UnsettledAsHeld | Bug::SettledEarly => Hint::UnheardHomes,
        Bug::UndecidedAsSold => Hint::ScarceCarts,
        Bug::CommitWhileOpen | Bug::PreparedHoldExpires => Hint::Carts,
        Bug::NoPreVote => Hint::Alone,
        Bug::StampOwnClock | Bug::StampWildClock | Bug::ClockGoesBack => Hint::WildClock,
        Bug::RefusalNotRemembered => Hint::RightClocks,
        Bug::WholeRefusalForgotten => Hint::EarlyCommits,
        Bug::LostTryAsRefusal => Hint::Loss,
        Bug::LostForwardAsRefusal => Hint::LostForwards,
        Bug::DoubtForgotten => Hint::UnheardAndGone,
        Bug::FreshKept => Hint::LateForwards,
        Bug::OperationNotRemembered | Bug::RetryUnderNewId | Bug::TimeoutAsRefusal => Hint::Loss,
        Bug::ForgetIdsAtRestart | Bug::CheckpointAhead | Bug::CheckpointKeepsDeleted => Hint::Restarts,
        Bug::PurgeAboveCheckpoint => Hint::Restarts,
        Bug::BehindMarkServes => Hint::LostTails,
        _ => Hint::None,
    }
}

impl Hint {
    /// Adds it to a scenario that was drawn.
    pub fn apply(self, scenario: &mut Scenario) {
        if self == Self::None {
            return;
        }
        let dice = &mut Dice::fork(scenario.seed, "hint");
        self.settings(scenario, dice);
        let mut at_ms = 2_000;
        while at_ms + 8_000 < scenario.seconds * 1_000 {
            let more = self.faults(scenario, at_ms, dice);
            scenario.faults.extend(more);
            at_ms += dice.range(5_000, 8_000);
        }
        let last_ms = scenario.seconds * 1_000;
        scenario.faults.retain(|fault| fault.at_ms + fault.for_ms <= last_ms);
        scenario.faults.sort_by_key(|fault| fault.at_ms);
    }

    /// What a run is like.
    fn settings(self, scenario: &mut Scenario, dice: &mut Dice) {
        let wild = |fault: &Fault| matches!(fault.kind, Kind::ClockJump | Kind::ClockDrift);
        match self {
            Self::Power => {
                scenario.shards = scenario.shards.min(2);
                (scenario.node.checkpoint_every_ms, scenario.node.checkpoint_bytes) = (3_000, 4 << 20);
            }
            Self::VotesInTheDark => {
                scenario.shards = scenario.shards.min(2);
                (scenario.sync_ms, scenario.node.checkpoint_every_ms) = ([5, 15], 3_000);
                scenario.pause_ms = [300, 1_500];
            }
            Self::ForgottenLeases | Self::LongLeases => {
                scenario.faults.clear();
                scenario.node.leases = true;
                (scenario.nodes, scenario.shards, scenario.skus) = (3, *dice.pick(&[1, 2]), 3);
                (scenario.pause_ms, scenario.carts_percent) = ([10, 250], 0);
                (scenario.workers, scenario.readers, scenario.timeout_ms) = (3, 4, IMPATIENT_MS);
                scenario.clocks_ms.truncate(3);
            }
            Self::CutLeaders => {
                (scenario.skus, scenario.stock, scenario.scarce) = (scenario.skus.min(4), dice.range(3, 10), true);
                (scenario.pause_ms, scenario.readers) = ([20, 700], 2);
            }
            Self::TwoSellers => {
                scenario.faults.clear();
                scenario.node.leases = false;
                (scenario.nodes, scenario.shards, scenario.skus) = (3, 1, 2);
                scenario.clocks_ms.truncate(3);
                (scenario.stock, scenario.scarce, scenario.carts_percent) = (dice.range(3, 6), true, 0);
                (scenario.workers, scenario.readers) = (8, 2);
                (scenario.timeout_ms, scenario.pause_ms) = (IMPATIENT_MS, [20, 400]);
            }
            Self::LateRefusals => {
                Self::TwoSellers.settings(scenario, dice);
                (scenario.skus, scenario.stock, scenario.first_only_reserves) = (1, dice.range(3, 6), true);
                (scenario.workers, scenario.readers, scenario.pause_ms) = (4, 0, [20, 300]);
                // A hold that is overdue is not refused for.
                scenario.ttl_ms = [20_000, 60_000];
            }
            Self::LateBeacons => {
                scenario.faults.clear();
                scenario.node.leases = false;
                (scenario.nodes, scenario.shards, scenario.skus) = (3, 2, 3);
                scenario.clocks_ms.truncate(3);
                (scenario.workers, scenario.readers, scenario.carts_percent) = (4, 6, 0);
                (scenario.timeout_ms, scenario.pause_ms) = (6_000, [10, 200]);
            }
            Self::Turnover => {
                (scenario.skus, scenario.carts_percent) = (3, 0);
                (scenario.stock, scenario.scarce) = (dice.range(3, 6), true);
                (scenario.pause_ms, scenario.readers) = ([20, 300], 4);
            }
            Self::Snapshots => {
                let node = &mut scenario.node;
                (node.log_kept, node.checkpoint_every_ms, node.snapshot_chunk_bytes) = (0, 300, 512);
            }
            Self::Carts => {
                (scenario.shards, scenario.carts_percent) = (scenario.shards.max(3), 90);
                scenario.skus = scenario.skus.max(6);
            }
            Self::ScarceCarts => {
                (scenario.nodes, scenario.shards, scenario.skus) = (3, 3, 5);
                scenario.clocks_ms.truncate(3);
                (scenario.stock, scenario.scarce, scenario.carts_percent) = (dice.range(4, 7), true, 60);
                (scenario.workers, scenario.readers, scenario.pause_ms) = (6, 1, [20, 400]);
                scenario.ttl_ms = [1_000, 3_000];
                scenario.faults.clear();
            }
            Self::UnheardHomes => {
                scenario.faults.clear();
                (scenario.nodes, scenario.shards, scenario.skus) = (3, 8, 2);
                scenario.clocks_ms.truncate(3);
                (scenario.stock, scenario.scarce) = (3, true);
                (scenario.carts_percent, scenario.ttl_ms) = (60, [4_000, 12_000]);
                // With more of them, or with operations that nobody knows the end of, a search explains anything or ends
                // undecided: there are two SKUs in all.
                (scenario.workers, scenario.readers, scenario.pause_ms) = (3, 0, [50, 400]);
                scenario.timeout_ms = 8_000;
            }
            Self::EarlyCommits => {
                scenario.faults.clear();
                (scenario.nodes, scenario.latency_ms_max, scenario.ttl_ms) = (3, 30, [20_000, 60_000]);
                scenario.clocks_ms.truncate(3);
                (scenario.workers, scenario.pause_ms, scenario.timeout_ms) = (5, [20, 400], 6_000);
            }
            Self::Alone => scenario.faults.retain(|fault| fault.kind != Kind::Pause),
            Self::WildClock => {
                scenario.faults.retain(|fault| !wild(fault));
                // As far apart as right clocks are, so that the median moves when one of them is wild.
                let off = [0, -RIGHT_CLOCK_MS, RIGHT_CLOCK_MS];
                scenario.clocks_ms = off.into_iter().cycle().take(scenario.clocks_ms.len()).collect();
            }
            Self::RightClocks => {
                scenario.faults.retain(|fault| !wild(fault));
                (scenario.stock, scenario.scarce) = (dice.range(3, 6), true);
                (scenario.timeout_ms, scenario.pause_ms) = (6_000, [20, 500]);
            }
            Self::LostForwards | Self::UnheardAndGone => {
                scenario.faults.clear();
                (scenario.nodes, scenario.shards, scenario.skus) = (3, 2, 3);
                scenario.clocks_ms.truncate(3);
                (scenario.workers, scenario.carts_percent, scenario.pause_ms) = (6, 0, [20, 300]);
                (scenario.timeout_ms, scenario.stock) = (1_000, 200);
            }
            Self::LateForwards => {
                Self::LostForwards.settings(scenario, dice);
                (scenario.skus, scenario.stock, scenario.scarce, scenario.workers) = (1, 3, true, 8);
                (scenario.first_only_reserves, scenario.pause_ms) = (true, [20, 200]);
                (scenario.timeout_ms, scenario.ttl_ms) = (6_000, [4_000, 12_000]);
            }
            Self::None | Self::Loss | Self::Restarts | Self::LostTails => {}
        }
    }

    /// What goes wrong from a moment on.
    fn faults(self, scenario: &Scenario, at_ms: u64, dice: &mut Dice) -> Vec<Fault> {
        let fault = |kind, after_ms: u64, for_ms, nodes: &[u32], amount| Fault {
            at_ms: at_ms + after_ms,
            for_ms,
            kind,
            nodes: nodes.to_vec(),
            amount,
        };
        let all: Vec<u32> = (1..=scenario.nodes).collect();
        let one = *dice.pick(&all);
        let others: Vec<u32> = all.iter().copied().filter(|node| *node != one).collect();
        let other = *dice.pick(&others);
        match self {
            Self::None | Self::RightClocks => Vec::new(),
            Self::Power => vec![fault(Kind::PowerLoss, 0, dice.range(300, 1_500), &all, 0)],
            Self::VotesInTheDark => {
                vec![fault(Kind::Election, 0, 200, &[one], 0), fault(Kind::PowerLoss, dice.range(10, 60), 500, &all, 0)]
            }
            // Whoever restarts is cut off before: it would hear of the leader again, and keep calm because of that.
            Self::ForgottenLeases | Self::TwoSellers | Self::LateRefusals => {
                let elected = dice.range(250, 450);
                vec![
                    fault(Kind::Partition, 0, 3_500, &[one], CLIENTS_ON_BOTH_SIDES),
                    fault(Kind::Crash, 10, 100, &others, 0),
                    fault(Kind::Election, elected, 200, &[other], 0),
                    fault(Kind::Election, elected + 150, 200, &[other], 0),
                    fault(Kind::Vanish, 20, elected, &[2], 0),
                ]
            }
            Self::LongLeases => {
                let elected = dice.range(1_420, 1_600);
                vec![
                    fault(Kind::Partition, 0, 3_500, &[one], CLIENTS_ON_BOTH_SIDES),
                    fault(Kind::Election, elected, 200, &[other], 0),
                    fault(Kind::Election, elected + 100, 200, &[other], 0),
                    fault(Kind::Vanish, 20, elected, &[2], 0),
                ]
            }
            Self::CutLeaders => {
                let killed = if dice.percent(50) { dice.range(3_500, 4_500) } else { dice.range(4_900, 5_400) };
                let clients = *dice.pick(&[0, CLIENTS_ON_BOTH_SIDES, CLIENTS_ON_BOTH_SIDES]);
                vec![
                    fault(Kind::Partition, 0, 4_800, &[one], clients),
                    // New clients find whoever leads by then; those that were there wait for the one that led.
                    fault(Kind::Vanish, 100, 2_000, &[2], 0),
                    fault(Kind::Crash, killed, 300, &[one], 0),
                ]
            }
            Self::LateBeacons => vec![fault(Kind::Lag, 0, 5_000, &[one], *dice.pick(&[700, 1_500, 2_500]))],
            Self::Turnover => vec![
                fault(Kind::SlowDisk, 0, 3_000, &others, 200),
                fault(Kind::Transfer, 600, 200, &all, 0),
                fault(Kind::Transfer, 1_600, 200, &all, 0),
                fault(Kind::Transfer, 2_600, 200, &all, 0),
                fault(Kind::Election, 3_500, 200, &[other], 0),
            ],
            Self::Snapshots => vec![fault(Kind::Crash, 0, dice.range(2_000, 4_000), &[one], 0)],
            Self::Carts => vec![match dice.range(0, 3) {
                0 => fault(Kind::Pause, 0, dice.range(2_200, 4_000), &[one], 0),
                1 => fault(Kind::Delay, 0, 3_000, &[one], *dice.pick(&[400, 1_500])),
                2 => fault(Kind::Loss, 0, 4_000, &all, 0),
                _ => fault(Kind::Transfer, 0, 200, &all, 0),
            }],
            Self::ScarceCarts => vec![fault(Kind::Delay, 0, 4_500, &[one], *dice.pick(&[50, 150, 400]))],
            Self::EarlyCommits => vec![fault(Kind::Duplicate, 0, 4_800, &[1, 2], 60)],
            Self::UnheardHomes => {
                let bridge = [one, other, *others.iter().find(|node| **node != other).expect("three nodes")];
                vec![fault(Kind::Bridge, 0, dice.range(2_500, 4_000), &bridge, 0)]
            }
            Self::Alone => vec![fault(Kind::Partition, 0, dice.range(6_500, 7_500), &[one], 1)],
            Self::WildClock => {
                let amount = if dice.percent(50) { 5_000 } else { -5_000 };
                // Always the same one: what others know of a clock is up to ten seconds old.
                vec![
                    fault(Kind::ClockJump, 0, 4_000, &all[..1], amount),
                    fault(Kind::Election, 500, 200, &all[..1], 0),
                    fault(Kind::Transfer, 1_000, 200, &all, 0),
                    fault(Kind::Transfer, 4_300, 200, &all, 0),
                    fault(Kind::Transfer, 4_600, 200, &all, 0),
                ]
            }
            Self::Loss => vec![
                fault(Kind::Loss, 0, 4_000, &all, 0),
                fault(Kind::Partition, 1_000, 2_500, &[one], i64::from(dice.percent(50))),
            ],
            Self::LostForwards => vec![
                fault(Kind::Unreached, 0, 4_800, &[one], 0),
                fault(Kind::Transfer, 200, 200, &others, 0),
                fault(Kind::Transfer, 900, 200, &others, 0),
                fault(Kind::Lag, 1_500, 3_000, &[one], 300),
                fault(Kind::Crash, dice.range(2_000, 3_000), 1_800, &[one], 0),
            ],
            Self::LateForwards => vec![
                fault(Kind::Unreached, 0, 4_800, &[one], 0),
                fault(Kind::Transfer, 200, 200, &others, 0),
                fault(Kind::Transfer, 900, 200, &others, 0),
                // The leader and the third go on at once.
                fault(Kind::Lag, 1_500, 3_300, &[other], *dice.pick(&[4_000, 8_000])),
                fault(Kind::Unheard, 1_600, 2_800, &[1, 2], 30),
            ],
            Self::UnheardAndGone => vec![
                fault(Kind::Unheard, 0, 900, &[1, 2], 50),
                fault(Kind::Crash, dice.range(300, 800), 1_800, &all, 0),
            ],
            Self::LostTails => vec![fault(Kind::LostTail, 0, dice.range(1_000, 4_000), &[one], 0)],
            Self::Restarts => {
                let nodes = if dice.percent(40) { &all[..] } else { std::slice::from_ref(&one) };
                vec![fault(Kind::Crash, 0, dice.range(300, 1_500), nodes, 0)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_drawn_from_the_seed_and_makes_a_scenario() {
        for bug in Bug::ALL {
            for seed in 0..20 {
                let scenario = super::super::scenario(*bug, seed);
                assert_eq!(scenario, super::super::scenario(*bug, seed));
                assert_eq!(crate::check::check(&scenario), Ok(()), "{}, seed {seed}", bug.name());
            }
        }
    }
}
