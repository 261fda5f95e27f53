//! A model of the protocol that keeps carts over several shards whole, for the model checker stateright.
//!
//! The model is the protocol and nothing else: no codec, no Raft, no store. A shard is one sequential state machine,
//! since its log makes it one. A message that was sent may arrive at any later time, any number of times, in any
//! order, or never; so sending it again adds nothing, and a crash of the one who sent or got it is a loss. A step is
//! one decision of one shard, one arrival, or time that passes.
//!
//! It does not call the ledger's code, and it is not the ledger's specification of outcomes: it says which rules of
//! `docs/carts.md` are needed so that carts stay whole, and shows what happens when one of them is left out.

pub mod check;
pub mod configurations;
pub mod describe;
pub mod heal;
pub mod home;
pub mod messages;
pub mod model;
pub mod mutations;
pub mod network;
pub mod participant;
pub mod properties;
pub mod report;
pub mod state;
