//! Changing who keeps a shard, as far as re-seeding a replica needs it.

use super::{Replica, proposer::Raft, raft::ReplicaId};
use crate::storage::Mark;
use earmark_ledger::types::ShardId;
use openraft::{
    ChangeMembers,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
    impls::BasicNode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long one membership change may take to be decided.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long an empty replica may take to catch up with a whole state.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(3_600);

/// Between two looks for a change that nobody finishes.
const FINISH_EVERY: Duration = Duration::from_secs(1);

/// Finishes what another leader began: a change of voters takes two entries, and whoever dies between them leaves a shard
/// that needs a majority of the voters before as well as of those after. With a voter of each gone it could decide nothing
/// any more, and nobody could change that.
pub(super) async fn finish_changes(raft: Raft) {
    use openraft::async_runtime::watch::WatchReceiver;
    let mut seen = None;
    loop {
        tokio::time::sleep(FINISH_EVERY).await;
        let joint = {
            let receiver = raft.metrics();
            let metrics = receiver.borrow_watched();
            let membership = &metrics.membership_config;
            (membership.membership().get_joint_config().len() > 1).then(|| *membership.log_id())
        };
        // Whoever makes a change here finishes it as a rule before the second look.
        if joint.is_some() && joint == seen && raft.as_leader().is_ok() {
            // No voter more: openraft goes on to the newer set alone.
            let rest = raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new()), true);
            match tokio::time::timeout(CHANGE_PATIENCE, rest).await {
                Ok(Ok(_)) => tracing::info!("a change of voters that another leader had begun is finished"),
                Ok(Err(error)) => tracing::debug!(%error, "a change of voters is not finished yet"),
                Err(_) => tracing::debug!("a change of voters was not finished in time"),
            }
        }
        seen = joint;
    }
}

impl Replica {
    /// The incarnation under which `node` is a member of this shard, if it is.
    pub fn incarnation_of(&self, node: u32) -> Option<u32> {
        let hot = self.hot();
        let members = hot.membership.membership().nodes();
        members.map(|(id, _)| ReplicaId::from_raft_id(*id)).filter(|id| id.node == node).map(|id| id.incarnation).max()
    }

    /// The incarnation the next replica of `node` gets: one above any it ever had, as far as this leader's log and this
    /// node's memory of what that one synced can tell. A change that is not decided yet counts too: the replica may
    /// already have taken entries under it.
    pub fn next_incarnation_of(&self, node: u32, remembered: &[(ShardId, Mark)]) -> u32 {
        use openraft::async_runtime::watch::WatchReceiver;
        let receiver = self.raft().metrics();
        let metrics = receiver.borrow_watched();
        let members = metrics.membership_config.membership().nodes().map(|(id, _)| ReplicaId::from_raft_id(*id));
        let named = members.filter(|id| id.node == node).map(|id| id.incarnation);
        let synced = remembered.iter().filter(|(shard, _)| *shard == self.shard()).map(|(_, mark)| mark.incarnation);
        named.chain(synced).max().unwrap_or(0) + 1
    }

    /// Takes the vote of every incarnation of `node`; they stay members that only learn. Only the leader can.
    ///
    /// # Errors
    /// For people.
    pub async fn take_vote(&self, node: u32) -> Result<(), String> {
        let voters: BTreeSet<u64> =
            self.standing().voters.iter().filter(|id| id.node == node).map(|id| id.raft_id()).collect();
        if !voters.is_empty() {
            self.change(ChangeMembers::RemoveVoters(voters), true).await?;
        }
        Ok(())
    }

    /// Removes what is left of the node's incarnations before that one.
    ///
    /// # Errors
    /// For people.
    pub async fn remove_below(&self, keep: ReplicaId) -> Result<(), String> {
        let rest: BTreeSet<u64> = {
            let hot = self.hot();
            let members = hot.membership.membership().nodes().map(|(id, _)| ReplicaId::from_raft_id(*id));
            let below = members.filter(|id| id.node == keep.node && id.incarnation < keep.incarnation);
            below.map(ReplicaId::raft_id).collect()
        };
        if !rest.is_empty() {
            self.change(ChangeMembers::RemoveNodes(rest), false).await?;
        }
        Ok(())
    }

    /// Adds an empty replica that only learns.
    ///
    /// # Errors
    /// For people.
    pub async fn add_learner(&self, id: ReplicaId, endpoint: &str) -> Result<(), String> {
        let nodes: BTreeMap<u64, BasicNode> = [(id.raft_id(), BasicNode::new(endpoint))].into();
        self.change(ChangeMembers::AddNodes(nodes), true).await
    }

    /// Waits until the learner has nearly everything this leader has.
    ///
    /// # Errors
    /// For people, if it does not within an hour or leadership ends.
    pub async fn wait_caught_up(&self, id: ReplicaId) -> Result<(), String> {
        use openraft::async_runtime::watch::WatchReceiver;
        // Within this many entries the rest comes along with the live stream.
        const NEAR: u64 = 64;
        let caught_up = async {
            loop {
                {
                    let receiver = self.raft().metrics();
                    let metrics = receiver.borrow_watched();
                    let Some(replication) = &metrics.replication else {
                        return Err("leadership ended while the replica was catching up".to_owned());
                    };
                    if metrics.membership_config.membership().get_node(&id.raft_id()).is_none() {
                        return Err(format!("replica {id} was removed; a later re-seed took its place"));
                    }
                    let last = metrics.last_log_index.unwrap_or(0);
                    let reached = replication.get(&id.raft_id()).copied().flatten().map_or(0, |at| at.index);
                    if reached > 0 && reached + NEAR >= last {
                        return Ok(());
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(CATCH_UP_PATIENCE, caught_up)
            .await
            .map_err(|_| "the replica did not catch up within an hour".to_owned())?
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// For people.
    pub async fn promote(&self, id: ReplicaId) -> Result<(), String> {
        self.change(ChangeMembers::AddVoterIds([id.raft_id()].into()), true).await
    }

    async fn change(&self, change: ChangeMembers<u64, BasicNode>, retain: bool) -> Result<(), String> {
        let decided = async {
            loop {
                match self.raft().change_membership(change.clone(), retain).await {
                    Ok(_) => return Ok(()),
                    // One at a time: an attempt before this one may have left its last change on its way.
                    Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                        ChangeMembershipError::InProgress(_),
                    ))) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        let decided = tokio::time::timeout(CHANGE_PATIENCE, decided).await;
        decided.map_err(|_| "the membership change was not decided within 30 s".to_owned())?
    }
}
