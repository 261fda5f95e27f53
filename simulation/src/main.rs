//! The simulation's commands.
//!
//! Only this binary has the machine's clock and randomness replaced (mad-turmoil does it for the whole process): libraries
//! below us ask for them where no door of ours leads. HTTP/2 forgets streams that were reset after a second of real time,
//! and with that went the order in which others were sent. Outside a run the replaced clock stands still, so nothing here
//! waits by it.

use clap::{Args, Parser, Subcommand, ValueEnum};
#[cfg(feature = "planted")]
use earmark_simulation::mutants;
use earmark_simulation::{
    check::check,
    kept::{BUILD, Kept},
    process::end_with_whoever_started,
    report::Report,
    run::run,
    scenario::Scenario,
    shrink::Shrink,
    sweep::{Ended, Plan, Swept, cpu_seconds, sweep},
    trace::Trace,
    twice::{Verdict, twice},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    fs::File,
    io::{IsTerminal, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs a whole Earmark cluster with its clients and faults in one process, as a seed says.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs the scenario of one seed, and tells what was broken.
    Run(Seed),
    /// Runs seeds twice and compares the traces byte by byte.
    Twice(Twice),
    /// Runs a scenario from a file.
    Replay(Replay),
    /// Shows the scenario of a seed as such a file.
    Show(Seed),
    /// Makes the scenario of a seed that fails smaller, as long as the same checker refuses it, and writes it as a file.
    Shrink(Smaller),
    /// Runs many seeds, each in a process of its own. Ends with 1 if a promise was broken, or if a class of faults, an
    /// operation or a kind of end never occurred.
    Sweep(Sweep),
    /// Runs every planted bug over seeds until one run is not clean. Ends with 1 if one was never noticed. Only in a build
    /// with the feature `planted`: `make mutants`.
    Mutants(Mutants),
}

/// A scenario by its seed.
#[derive(Args, Clone, Default)]
struct Seed {
    /// Which one.
    #[arg(long)]
    seed: u64,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Plants a bug, and adds to the scenario what it needs to show.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// The scenario in which that bug is looked for, without the bug.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME", conflicts_with = "planted")]
    as_planted: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Seeds, each to be run twice.
#[derive(Args)]
struct Twice {
    /// One seed.
    #[arg(long, required_unless_present = "seeds", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// A scenario that fails.
#[derive(Args)]
struct Smaller {
    /// Of which seed.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    seed: Option<u64>,
    /// Or from a file.
    file: Option<PathBuf>,
    /// Runs to try at most.
    #[arg(long, default_value_t = 200)]
    tries: u32,
    /// Where it is written; standard output if not said.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// With this bug planted; the scenario of a seed is the one in which it is looked for.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
}

impl Smaller {
    #[cfg(not(feature = "planted"))]
    fn drawn(&self, seed: u64) -> Result<Scenario, String> {
        Ok(Scenario::draw(seed))
    }

    #[cfg(not(feature = "planted"))]
    fn more(&self) -> Vec<String> {
        Vec::new()
    }

    #[cfg(feature = "planted")]
    fn drawn(&self, seed: u64) -> Result<Scenario, String> {
        match &self.planted {
            Some(name) => Ok(mutants::scenario(mutants::named(name)?, seed)),
            None => Ok(Scenario::draw(seed)),
        }
    }

    #[cfg(feature = "planted")]
    fn more(&self) -> Vec<String> {
        self.planted.iter().flat_map(|name| ["--planted".to_owned(), name.clone()]).collect()
    }
}

/// Many seeds.
#[derive(Args)]
struct Sweep {
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Range<u64>,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Runs at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Says nothing of what never occurred, nor of runs that were short or poor: for a few seeds.
    #[arg(long)]
    partial: bool,
    /// Keeps each seed that ended in this file. A second call runs only what is missing, and tells of all. Seeds that
    /// another build ran do not count.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Bugs, and seeds.
#[derive(Args)]
#[cfg_attr(not(feature = "planted"), allow(dead_code, reason = "there are none in this build"))]
struct Mutants {
    /// These bugs; without it all.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..200")]
    seeds: Range<u64>,
    /// Bugs looked for at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Writes the rows of these bugs into the table of this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let (first, last) = text.split_once("..").ok_or("must be A..B")?;
    Ok(number(first)?..number(last)?)
}

/// A scenario from a file.
#[derive(Args)]
struct Replay {
    /// In TOML.
    file: PathBuf,
    /// With this bug planted.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Replay {
    /// Plants the bug, if one is named; the command that does the same again.
    #[cfg(feature = "planted")]
    fn prepare(&self) -> Result<String, String> {
        let Some(name) = &self.planted else { return Ok(format!("replay {}", self.file.display())) };
        if !earmark_ledger::planted::plant(mutants::named(name)?) {
            return Err("another bug is planted already".to_owned());
        }
        Ok(format!("replay {} --planted {name}", self.file.display()))
    }

    #[cfg(not(feature = "planted"))]
    fn prepare(&self) -> Result<String, String> {
        Ok(format!("replay {}", self.file.display()))
    }
}

/// Where things are written.
#[derive(Args, Clone, Default)]
struct Output {
    /// Writes every event into this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Writes what clients tried and were told into this file: EDN if it ends so, else JSON lines.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Tells the result as JSON.
    #[arg(long)]
    json: bool,
    /// Has another search, by the crate porcupine-rs, judge the history as well.
    #[cfg(feature = "second-opinion")]
    #[arg(long)]
    second_opinion: bool,
}

impl Seed {
    fn scenario(&self) -> Result<Scenario, String> {
        let scenario = self.drawn()?;
        Ok(match self.seconds {
            Some(seconds) => scenario.shortened(seconds),
            None => scenario,
        })
    }

    #[cfg(not(feature = "planted"))]
    fn drawn(&self) -> Result<Scenario, String> {
        Ok(Scenario::draw(self.seed))
    }

    /// Plants the bug, if one is named.
    #[cfg(feature = "planted")]
    fn drawn(&self) -> Result<Scenario, String> {
        let Some(name) = self.planted.as_ref().or(self.as_planted.as_ref()) else {
            return Ok(Scenario::draw(self.seed));
        };
        let bug = mutants::named(name)?;
        if self.planted.is_some() && !earmark_ledger::planted::plant(bug) {
            return Err("another bug is planted already".to_owned());
        }
        Ok(mutants::scenario(bug, self.seed))
    }

    fn arguments(&self, command: &str) -> Vec<String> {
        let mut arguments = vec![command.to_owned(), "--seed".to_owned(), self.seed.to_string()];
        if let Some(seconds) = self.seconds {
            arguments.extend(["--seconds".to_owned(), seconds.to_string()]);
        }
        #[cfg(feature = "planted")]
        for (name, bug) in [("--planted", &self.planted), ("--as-planted", &self.as_planted)] {
            arguments.extend(bug.iter().flat_map(|bug| [name.to_owned(), bug.clone()]));
        }
        arguments
    }
}

fn main() -> ExitCode {
    end_with_whoever_started();
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let done = match Command::parse().what {
        What::Run(seed) => {
            seed.scenario().and_then(|scenario| play(&scenario, &seed.output, &seed.arguments("run").join(" ")))
        }
        What::Replay(replay) => read(&replay.file)
            .and_then(|scenario| replay.prepare().and_then(|again| play(&scenario, &replay.output, &again))),
        What::Twice(arguments) => run_twice(&arguments),
        What::Show(seed) => seed.scenario().and_then(|scenario| show(&scenario)),
        What::Shrink(arguments) => run_shrink(&arguments),
        What::Sweep(arguments) => run_sweep(&arguments),
        What::Mutants(arguments) => run_mutants(&arguments),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::from(2)
    })
}

fn read(file: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let scenario = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    check(&scenario).map_err(|problems| format!("{}:\n{problems}", file.display()))?;
    Ok(scenario)
}

fn show(scenario: &Scenario) -> Result<ExitCode, String> {
    print!("{}", toml::to_string(scenario).map_err(|error| error.to_string())?);
    Ok(ExitCode::SUCCESS)
}

fn play(scenario: &Scenario, output: &Output, again: &str) -> Result<ExitCode, String> {
    // Before the run: what it shows would be lost.
    let written = output.history.as_deref().map(create).transpose()?;
    let trace = match &output.trace {
        Some(path) => Trace::to_file(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => Trace::default(),
    };
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(scenario.seed));
    let clocks = mad_turmoil::time::SimClocksGuard::init();
    let (mut report, history) = run(scenario, &trace);
    drop(clocks);
    #[cfg(feature = "second-opinion")]
    if output.second_opinion {
        report.ask_again(&history);
    }
    report.cpu_seconds = cpu_seconds();
    trace.flush().map_err(|error| error.to_string())?;
    if let (Some(path), Some(mut file)) = (&output.history, written) {
        let text = if path.extension().is_some_and(|end| end == "edn") {
            earmark_jepsen::export::edn(&history)
        } else {
            earmark_jepsen::export::json_lines(&history)
        };
        file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if output.json {
        println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        tell(&report, again);
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report, again: &str) {
    println!(
        "seed {}: {:.0} virtual seconds, {} operations ({} unknown, {} carts), faults {:?}, trace {} over {} events",
        report.seed,
        report.virtual_seconds,
        report.operations,
        report.unknown,
        report.carts,
        report.faults,
        report.trace,
        report.events
    );
    for broken in &report.broken {
        println!("BROKEN {} ({}): {}", broken.promise, broken.checker, broken.what);
    }
    report.around.iter().for_each(|line| println!("  {line}"));
    if !report.broken.is_empty() {
        println!("again: {} {again}", called());
    }
}

/// How this program was called, for a command that can be given again.
fn called() -> String {
    std::env::args().next().unwrap_or_else(|| "simulation".to_owned())
}

/// How many seeds a range has, if it has any.
fn count(seeds: &Range<u64>) -> Result<u64, String> {
    match seeds.end.saturating_sub(seeds.start) {
        0 => Err(format!("no seed is in {}..{}", seeds.start, seeds.end)),
        count => Ok(count),
    }
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn run_twice(arguments: &Twice) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let one = arguments.seed.map(|seed| seed..seed.saturating_add(1));
    let seeds = arguments.seeds.clone().or(one).unwrap_or(0..0);
    let (mut same, mut events, total) = (0, 0, count(&seeds)?);
    for seed in seeds {
        let run = Seed { seed, seconds: arguments.seconds, ..Seed::default() };
        let verdict = twice(&program, &run.arguments("run"), &std::env::temp_dir());
        match verdict.map_err(|error| error.to_string())? {
            Verdict::Same(count) => {
                println!("seed {seed}: the same {count} events twice");
                same += 1;
                events += count;
            }
            Verdict::Differ { event, first, second } => {
                println!("seed {seed}: event {event} differs\n  {first:?}\n  {second:?}");
            }
        }
    }
    if total > 1 {
        println!("{same} of {total} seeds had the same events twice, {events} in all");
    }
    Ok(if same == total { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_shrink(arguments: &Smaller) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let written = arguments.into.as_deref().map(create).transpose()?;
    let scenario = match (&arguments.file, arguments.seed) {
        (Some(file), _) => read(file)?,
        (None, seed) => arguments.drawn(seed.unwrap_or_default())?,
    };
    let shrunk = Shrink::new(&program, arguments.tries, arguments.more()).shrink(&scenario, |line| eprintln!("{line}"));
    let Some(least) = shrunk.map_err(|error| error.to_string())? else {
        println!("nothing is broken in it");
        return Ok(ExitCode::SUCCESS);
    };
    let text = toml::to_string(&least).map_err(|error| error.to_string())?;
    match (&arguments.into, written) {
        (Some(path), Some(mut file)) => {
            file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
            println!("again: {} replay {}", called(), path.display());
        }
        _ => print!("{text}"),
    }
    Ok(ExitCode::FAILURE)
}

/// Lines of progress where nobody watches a terminal.
const TELL_EVERY: u64 = 25;

fn run_sweep(arguments: &Sweep) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let kept = match &arguments.state {
        Some(path) => {
            let kept = Kept::open(path, arguments.seconds);
            Some(kept.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    if let Some(others) = kept.as_ref().map(|kept| kept.others).filter(|others| *others > 0) {
        eprintln!("{others} lines are of other builds or lengths than {BUILD}, and do not count");
    }
    let total = count(&arguments.seeds)?;
    let tell = |ended: &Ended, swept: &Swept| {
        tell_ended(ended, arguments.seconds);
        tell_progress(swept, total);
    };
    let plan = Plan { program, seeds: arguments.seeds.clone(), seconds: arguments.seconds, jobs: arguments.jobs, kept };
    let mut swept = sweep(plan, tell).map_err(|error| error.to_string())?;
    if arguments.partial {
        swept.missing.clear();
        swept.small.clear();
    }
    match arguments.output {
        Form::Json => println!("{}", serde_json::to_string_pretty(&swept).map_err(|error| error.to_string())?),
        Form::Text => tell_swept(&swept),
    }
    Ok(if swept.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(not(feature = "planted"))]
fn run_mutants(_: &Mutants) -> Result<ExitCode, String> {
    Err("this build has no planted bugs: `make mutants` makes one that has".to_owned())
}

#[cfg(feature = "planted")]
fn run_mutants(arguments: &Mutants) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
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

/// On a terminal one line that changes; elsewhere a line now and then. Clocks stand still in this program, so it says
/// how far it is and not for how long.
fn tell_progress(swept: &Swept, total: u64) {
    let line = format!(
        "{} of {total} seeds, {} failed, {:.0} an hour of a processor",
        swept.seeds,
        swept.failed,
        swept.seeds_per_cpu_hour()
    );
    let over = swept.seeds == total;
    if std::io::stderr().is_terminal() {
        let end = if over { "\n" } else { "" };
        eprint!("\r{line}\x1b[K{end}");
    } else if over || swept.seeds.is_multiple_of(TELL_EVERY) {
        eprintln!("{line}");
    }
}

/// What went wrong goes to standard error at once, with the command that shows it again.
fn tell_ended(ended: &Ended, seconds: Option<u64>) {
    if ended.is_clean() {
        return;
    }
    let seconds = seconds.map(|seconds| format!(" --seconds {seconds}")).unwrap_or_default();
    match &ended.shown {
        Ok(report) => {
            for broken in &report.broken {
                eprintln!("seed {}: BROKEN {} ({}): {}", ended.seed, broken.promise, broken.checker, broken.what);
            }
            report.around.iter().for_each(|line| eprintln!("  {line}"));
        }
        Err(problem) => eprintln!("seed {}: the run broke down\n{problem}", ended.seed),
    }
    eprintln!("again: {} run --seed {}{seconds}", called(), ended.seed);
}

fn tell_swept(swept: &Swept) {
    if swept.kept > 0 {
        println!("{} of them an earlier call had run", swept.kept);
    }
    println!(
        "{} seeds, {} failed {:?}; {:.0} virtual seconds in {:.0} seconds of processors: {:.0} to 1, {:.0} seeds an hour",
        swept.seeds,
        swept.failed,
        swept.failed_seeds,
        swept.virtual_seconds,
        swept.cpu_seconds,
        swept.speed(),
        swept.seeds_per_cpu_hour()
    );
    println!("{} operations, {} unknown, {} carts", swept.operations, swept.unknown, swept.carts);
    println!("faults {:?}", swept.faults);
    println!("which led to {:?}", swept.met);
    println!("ends {:?}", swept.ends);
    println!("looked at {:?}, undecided {:?}", swept.checks, swept.undecided);
    if !swept.missing.is_empty() {
        println!("never occurred: {}", swept.missing.join(", "));
    }
    if !swept.small.is_empty() {
        println!("too short, with too few operations or faults: {:?}", swept.small);
    }
}
