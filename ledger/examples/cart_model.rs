//! Explores the cart protocol and prints what it found: `cargo run --release -p earmark-ledger --example cart_model`.
//! With `-- --write docs/carts.md` the report replaces the generated part of that file.
//!
//! For each world the number of states and whether its properties hold; for each rule left out the shortest way to harm.

#![allow(clippy::disallowed_methods, reason = "a command, not the ledger")]

#[path = "../tests/cart_model/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod cart_model;

use cart_model::{check, configurations, model::CartModel, mutations, report};
use std::{error::Error, fs, process::ExitCode};

const BEGIN: &str = "<!-- begin: written by `make cart-model` -->\n";
const END: &str = "<!-- end: written by `make cart-model` -->\n";

/// The report as it grows, printed at once: the large worlds take their time.
#[derive(Default)]
struct Report(String);

impl Report {
    fn add(&mut self, text: &str) {
        print!("{text}");
        self.0.push_str(text);
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--write", file] => Some(file.to_owned()),
        _ => {
            eprintln!("usage: cart_model [--write FILE]");
            return Ok(ExitCode::from(2));
        }
    };
    let mut report = Report::default();
    let sound = run(&mut report);
    if let Some(file) = target {
        let text = fs::read_to_string(&file)?;
        let (head, rest) = text.split_once(BEGIN).ok_or("the file has no generated part")?;
        let (_, tail) = rest.split_once(END).ok_or("the generated part has no end")?;
        fs::write(&file, format!("{head}{BEGIN}{}{END}{tail}", report.0))?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether all holds that should hold, and all fails that should fail.
fn run(report: &mut Report) -> bool {
    let mut sound = true;
    report.add("\n## Properties\n\n");
    report.add(&report::properties());
    report.add("\n## Worlds\n\n");
    report.add(report::WORLDS_HEAD);
    let mut failures = String::new();
    let mut states = 0;
    for configuration in configurations::all() {
        let checked = check::everything(CartModel::new(configuration.clone()));
        states += checked.states;
        report.add(&report::world(&configuration, &checked));
        failures += &report::failures(&checked);
    }
    sound &= failures.is_empty();
    report.add(&format!("\n{states} states in all.\n{failures}"));
    report.add("\n## Rules left out\n");
    for entry in &mutations::ALL {
        let text = report::mutation(entry);
        sound &= !text.contains("NO COUNTEREXAMPLE") && !text.contains("FAILS");
        report.add(&format!("\n{text}"));
    }
    report.add("\n");
    sound
}
