//! What the keepers of the stock ask, on three nodes through the SDK: its effect, its refusals, its repetition.

mod corrections;
mod world;
