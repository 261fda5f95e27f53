//! `simulation mutants`: whether anyone notices the planted bugs.

#[cfg(feature = "planted")]
use super::count;
use super::{Form, at_least_one, range};
use clap::Args;
#[cfg(feature = "planted")]
use earmark_simulation::mutants;
#[cfg(feature = "planted")]
use std::path::Path;
use std::{ops::Range, path::PathBuf, process::ExitCode};

/// Bugs, and seeds.
#[derive(Args)]
#[cfg_attr(not(feature = "planted"), allow(dead_code, reason = "there are none in this build"))]
pub struct Mutants {
    /// These bugs; without it all.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..200")]
    seeds: Range<u64>,
    /// Bugs looked for at once.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    jobs: usize,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Writes the rows of these bugs into the table of this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Has nothing to look for.
#[cfg(not(feature = "planted"))]
pub fn run_mutants(_: &Mutants) -> Result<ExitCode, String> {
    Err("this build has no planted bugs: `make mutants` makes one that has".to_owned())
}

/// Looks for the bugs, tells each as it is caught or was not, and in the end how many were never noticed.
#[cfg(feature = "planted")]
pub fn run_mutants(arguments: &Mutants) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    count(&arguments.seeds)?;
    let bugs = match arguments.only.is_empty() {
        true => earmark_ledger::planted::Bug::ALL.to_vec(),
        false => arguments.only.iter().map(|name| mutants::named(name)).collect::<Result<_, _>>()?,
    };
    let hunt = mutants::Hunt { bugs, seeds: arguments.seeds.clone(), jobs: arguments.jobs };
    // Written as they come: whoever ends it half-way keeps what was found.
    let mut problem = None;
    let hunted = mutants::hunt(&program, &hunt, |found| {
        tell_hunted(found);
        if let Some(file) = &arguments.write {
            problem = write_table(file, found).err().or(problem.take());
        }
    });
    let hunted = hunted.map_err(|error| error.to_string())?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    let missed = hunted.iter().filter(|found| found.caught.is_none()).count();
    let unsound = hunted.iter().any(|found| !found.unsound.is_empty());
    match arguments.output {
        Form::Json => println!("{}", serde_json::to_string_pretty(&hunted).map_err(|error| error.to_string())?),
        Form::Text => println!("{} bugs, {missed} of them never noticed", hunted.len()),
    }
    Ok(if missed == 0 && !unsound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(feature = "planted")]
fn write_table(file: &Path, found: &mutants::Hunted) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(problem)?;
    let text = mutants::table::write(&text, std::slice::from_ref(found))?;
    std::fs::write(file, text).map_err(problem)
}

/// Characters shown of what a checker said of a planted bug.
#[cfg(feature = "planted")]
const SAID_MAX: usize = 300;

#[cfg(feature = "planted")]
fn tell_hunted(found: &mutants::Hunted) {
    if !found.unsound.is_empty() {
        eprintln!("{}: seeds {:?} are not clean without it either", found.bug, found.unsound);
    }
    match &found.caught {
        Some(caught) => {
            let said: String = caught.said.chars().take(SAID_MAX).collect();
            eprintln!("{}: {} seeds, {} ({said})", found.bug, found.seeds, caught.by.join(", "));
        }
        None => eprintln!("{}: {} seeds, NEVER NOTICED", found.bug, found.seeds),
    }
}
