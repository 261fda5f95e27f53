//! How many instructions the ledger takes for entries of 4,096 commands, as Valgrind counts them: the same on any machine, busy or not.

#![allow(missing_docs, reason = "the macros make public functions")]

#[path = "../../common/entries.rs"]
mod entries;

use bytes::Bytes;
use earmark_ledger::{Ledger, codec, command::Batch};
use entries::{SKUS, apply, commits, held, reserves, stocked};
use gungraun::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;

/// A shard with plenty of everything, and an entry of reserves.
fn plenty(skus: u64) -> (Ledger, Batch) {
    (stocked(1_000_000), reserves(1, skus))
}

/// A shard where an entry's reserves are held, and their commits.
fn reserved() -> (Ledger, Batch) {
    let (mut ledger, batch) = plenty(SKUS);
    apply(&mut ledger, 2, &batch);
    (ledger, commits(1))
}

/// A shard without the one SKU that everybody wants.
fn sold_out() -> (Ledger, Batch) {
    let mut ledger = stocked(1);
    apply(&mut ledger, 2, &reserves(1, 1));
    (ledger, reserves(1_000_000, 1))
}

#[library_benchmark]
#[bench::reserve(args = (SKUS), setup = plenty)]
#[bench::reserve_hot(args = (1), setup = plenty)]
#[bench::commit(setup = reserved)]
#[bench::refuse_sold_out(setup = sold_out)]
fn apply_4096((mut ledger, batch): (Ledger, Batch)) -> Ledger {
    apply(&mut ledger, 3, &batch);
    ledger
}

fn encoded() -> Bytes {
    codec::encode_batch(&reserves(1, SKUS))
}

#[library_benchmark]
#[bench::reserves(setup = encoded)]
fn decode_4096(bytes: Bytes) -> Batch {
    black_box(codec::decode_batch(bytes)).expect("it was encoded")
}

fn batch() -> Batch {
    reserves(1, SKUS)
}

#[library_benchmark]
#[bench::reserves(setup = batch)]
fn encode_4096(batch: Batch) -> Bytes {
    codec::encode_batch(black_box(&batch))
}

#[library_benchmark]
#[bench::holds(setup = held)]
fn checkpoint_100000(mut ledger: Ledger) -> Ledger {
    black_box(ledger.take_changes());
    ledger
}

library_benchmark_group!(name = ledger, benchmarks = [apply_4096, decode_4096, encode_4096, checkpoint_100000]);
main!(library_benchmark_groups = ledger);
