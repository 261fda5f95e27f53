//! Bad input of every kind by every road: each gets an answer that names the field, changes nothing, and the node goes on.

mod all_fields;
mod frames;
mod keeping;
mod lists;
mod operator;
mod orders;
mod reads;
mod repeats;
mod reservations;
mod roads;
mod shapes;
mod stock;
mod world;
