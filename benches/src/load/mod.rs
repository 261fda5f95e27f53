//! Load: what is asked ([`shape`]), of which SKUs ([`keys`]), by whom ([`worker`]), how fast ([`drive`]), and how it went
//! ([`measured`]).

pub mod drive;
pub mod keys;
pub mod measure;
pub mod measured;
pub mod shape;
pub mod worker;
