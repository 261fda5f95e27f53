//! Why a command was not done: what is printed about it, for people or programs, and the exit code.

use super::output::Output;
use super::parse::Place;
use earmark_client::{Code, Error, ReservationState, Retry, Subject};
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Exit codes, by what may be concluded from them.
const REFUSED: u8 = 1;
const BAD_INPUT: u8 = 2;
const UNAVAILABLE: u8 = 3;
const UNKNOWN: u8 = 4;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// Arguments or a file make no sense: everything that is wrong with them, so that nobody has to find out one by one.
    Input(Vec<BadField>),
    /// The cluster refused, could not be reached, or left it open.
    Cluster {
        /// What it told.
        error: Box<Error>,
        /// The lines that were asked for, as far as they were named one by one.
        lines: Vec<Place>,
    },
    /// This machine did not play along: a file that can't be written, a runtime that can't be started.
    Local(String),
    /// It may be done, but its result could not be printed.
    Untold(String),
}

/// An argument, a file or a key of the configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Which one. Of many lines it is a path as on the wire: `lines[3].quantity`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The same for programs. The keys are stable.
#[derive(Debug, Serialize)]
struct Told<'a> {
    code: &'a str,
    message: String,
    /// `none` or `unknown`.
    effect: &'a str,
    /// `never`, `same_id` or `new_intent`.
    retry: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shortages: Vec<Shortage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_since_ms: Option<u64>,
    /// The shopper has paid for what can't be had: pay it back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    refund: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Field<'a> {
    field: &'a str,
    problem: &'a str,
}

#[derive(Debug, Serialize)]
struct Shortage<'a> {
    line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    /// None where the SKU's policy was to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    asked: i64,
    sellable: i64,
    /// When enough will be there, as far as receipts are announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Envelope<'a> {
    error: Told<'a>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of_lines(error, Vec::new())
    }
}

impl Failure {
    /// A configuration that makes no sense. The message names its key.
    pub fn config(error: earmark_node::config::ConfigError) -> Self {
        use earmark_node::config::ConfigError;
        match error {
            ConfigError::Value { key, problem } => Self::input(key, problem),
            ConfigError::Form(problem) => Self::input("config", problem),
        }
    }

    /// A node that can't start with this configuration or folder.
    pub fn start(error: earmark_node::startup::StartError) -> Self {
        use earmark_node::startup::StartError;
        match error {
            StartError::Listen { key, address, error } => {
                Self::input(key, format!("can't listen on {address}: {error}"))
            }
            StartError::Data(problem) => Self::input("data", problem),
        }
    }

    /// A refusal of a request with these lines. Nodes tell only which one it is about, not what stands in it.
    pub(super) fn of_lines(error: Error, lines: Vec<Place>) -> Self {
        Self::Cluster { error: Box::new(error), lines }
    }

    /// A bad argument.
    pub fn input(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input(vec![BadField { field: field.into(), problem: problem.into() }])
    }

    /// All of them as one. What is no bad input goes before the rest: it was not looked at further.
    pub(super) fn together(failures: impl IntoIterator<Item = Self>) -> Self {
        let mut every = Vec::new();
        for failure in failures {
            match failure {
                Self::Input(fields) => every.extend(fields),
                other => return other,
            }
        }
        Self::Input(every)
    }

    /// The same of a part of the input, which is told with its place and as it was written.
    pub(super) fn within(self, place: &str, written: &str) -> Self {
        let Self::Input(fields) = self else { return self };
        let inner = |bad: BadField| BadField {
            field: if bad.field.is_empty() { place.to_owned() } else { format!("{place}.{}", bad.field) },
            problem: format!("{} (in {written:?})", bad.problem),
        };
        Self::Input(fields.into_iter().map(inner).collect())
    }

    /// Something on this machine.
    pub fn local(message: impl Into<String>) -> Self {
        Self::Local(message.into())
    }

    /// The cluster has answered, and the answer can't be printed: what was asked for may be done.
    pub(super) fn untold(error: &std::io::Error) -> Self {
        Self::Untold(format!("stdout: {error}"))
    }

    /// Arguments that clap could not read.
    pub(super) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let problem = text.strip_prefix("error: ").unwrap_or(&text).trim().to_owned();
        Self::input("arguments", problem)
    }

    /// The bad field, where there is one.
    #[cfg(test)]
    pub(super) fn only(self) -> BadField {
        match self {
            Self::Input(mut fields) if fields.len() == 1 => fields.remove(0),
            other => panic!("{other:?} should be one bad field"),
        }
    }

    /// What may be concluded, as a number.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => BAD_INPUT,
            Self::Local(_) => UNAVAILABLE,
            Self::Untold(_) => UNKNOWN,
            Self::Cluster { error, .. } => code_of(error),
        }
    }

    /// Prints it to standard error and gives the exit code.
    pub fn report(&self, output: Output) -> ExitCode {
        match output {
            Output::Table => eprintln!("{}", self.text()),
            Output::Json => eprintln!("{}", self.json()),
        }
        ExitCode::from(self.exit_code())
    }

    fn text(&self) -> String {
        match self {
            Self::Input(fields) => format!("bad input:{}", fields_text(pairs(fields))),
            Self::Local(message) => format!("not done: {message}"),
            Self::Untold(message) => format!("it was answered, but the answer can't be printed: {message}"),
            Self::Cluster { error, lines } => cluster_text(error, lines),
        }
    }

    /// What is wrong, on one line and without what may be concluded from it.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Input(fields) => told(pairs(fields)).join("; "),
            Self::Local(message) | Self::Untold(message) => message.clone(),
            Self::Cluster { error, .. } => error.to_string(),
        }
    }

    fn json(&self) -> String {
        let error = match self {
            Self::Input(fields) => Told {
                fields: pairs(fields).map(|(field, problem)| Field { field, problem }).collect(),
                ..Told::plain("INVALID_ARGUMENT", self.message())
            },
            Self::Local(_) => Told::plain("LOCAL", self.message()),
            Self::Untold(_) => Told { effect: "unknown", ..Told::plain("LOCAL", self.message()) },
            Self::Cluster { error, lines } => Told::of(error, lines),
        };
        serde_json::to_string(&Envelope { error }).expect("texts and numbers can be written as JSON")
    }
}

fn pairs(fields: &[BadField]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|bad| (bad.field.as_str(), bad.problem.as_str()))
}

fn told<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    fields.map(|(field, problem)| format!("{field}: {problem}")).collect()
}

/// Bad fields for people, behind a colon: one on the same line, several each on a line of its own.
fn fields_text<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    match told(fields).as_slice() {
        [one] => format!(" {one}"),
        several => format!("\n  {}", several.join("\n  ")),
    }
}

impl<'a> Told<'a> {
    fn plain(code: &'a str, message: String) -> Self {
        Self {
            code,
            message,
            effect: "none",
            retry: "never",
            retry_after_ms: None,
            fields: Vec::new(),
            shortages: Vec::new(),
            state: None,
            state_since_ms: None,
            refund: false,
            reservation_id: None,
            operation_id: None,
        }
    }

    fn of(error: &'a Error, lines: &'a [Place]) -> Self {
        let (retry, after) = match error.retry() {
            Retry::Never => ("never", None),
            Retry::SameIdAfter(after) => ("same_id", Some(after)),
            Retry::NewIntent => ("new_intent", None),
        };
        let state = error.state();
        let fields = error.fields().iter().map(|bad| Field { field: &bad.field, problem: &bad.description });
        let shortages = error.shortages().iter().map(|short| (short, line_of(lines, short.line)));
        Self {
            effect: if error.is_unknown() { "unknown" } else { "none" },
            retry,
            retry_after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            fields: fields.collect(),
            shortages: shortages
                .map(|(short, place)| Shortage {
                    line: short.line,
                    sku: place.map(|place| place.sku.as_str()),
                    location: place.map(|place| place.location.as_str()).filter(|location| !location.is_empty()),
                    asked: short.asked,
                    sellable: short.sellable,
                    earliest_ms: Some(short.earliest_ms).filter(|date| *date > 0),
                })
                .collect(),
            state: state.map(|(state, _)| super::views::state_name(state)),
            state_since_ms: state.map(|(_, since)| since.0),
            refund: error.is_refund(),
            reservation_id: error.reservation_id().map(|id| id.to_string()),
            operation_id: match error.subject() {
                Some(Subject::Operation(id)) => Some(id.to_string()),
                _ => None,
            },
            ..Self::plain(error.name(), error.message().to_owned())
        }
    }
}

/// What may be concluded from an error of the cluster, as an exit code.
pub(super) fn code_of(error: &Error) -> u8 {
    if error.is_unknown() {
        return UNKNOWN;
    }
    match error.code() {
        Code::InvalidArgument | Code::IdempotencyConflict | Code::IdempotencyTooOld => BAD_INPUT,
        Code::RateLimited
        | Code::Overloaded
        | Code::NotLeader
        | Code::WrongShard
        | Code::NoQuorum
        | Code::StoreDamaged
        | Code::Late => UNAVAILABLE,
        _ => REFUSED,
    }
}

fn line_of(lines: &[Place], line: u32) -> Option<&Place> {
    lines.get(usize::try_from(line).ok()?)
}

fn cluster_text(error: &Error, lines: &[Place]) -> String {
    let verdict = match code_of(error) {
        UNKNOWN => "unknown whether it was done",
        UNAVAILABLE => "not done",
        BAD_INPUT => "bad input",
        _ => "refused",
    };
    // The short lines are told below, counted as people count.
    let mut text = if error.code() == Code::InsufficientStock && !error.shortages().is_empty() {
        format!("{verdict}: {}", error.name())
    } else if error.code() == Code::InvalidArgument && !error.fields().is_empty() {
        let fields = error.fields().iter().map(|bad| (bad.field.as_str(), bad.description.as_str()));
        format!("{verdict}: {}:{}", error.name(), fields_text(fields))
    } else {
        format!("{verdict}: {error}")
    };
    for short in error.shortages() {
        let named = line_of(lines, short.line).map(|place| format!(", {place}")).unwrap_or_default();
        let (line, asked, sellable) = (short.line + 1, short.asked, short.sellable);
        let _ = write!(text, "\n  line {line}{named}: {asked} asked, {sellable} can be had");
        if short.earliest_ms > 0 {
            let date = super::views::time_text(earmark_client::TimeMs(short.earliest_ms));
            let _ = write!(text, "; enough is announced for {date}");
        }
    }
    if let Some((state, since)) = error.state() {
        let (name, since) = (super::views::state_name(state), super::views::time_text(since));
        let _ = write!(text, "\n  the reservation is {name} since {since}: {}", possible(state));
    }
    if let Some(advice) = advice(error.code()) {
        let _ = write!(text, "\n  {advice}");
    }
    if error.is_refund() {
        text.push_str("\n  the shopper has paid for what can't be had: pay it back");
    }
    if error.is_unknown() {
        let _ = match error.subject() {
            Some(Subject::Reservation(id)) => write!(text, "\n  its id is {id}"),
            Some(Subject::Operation(id)) => write!(text, "\n  its id is {id}"),
            None => Ok(()),
        };
    }
    text
}

/// What can be done with a reservation in that state. Nodes say which state it is in, not what is missing for the rest.
fn possible(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Open => "its cart is being prepared; ask again, or release it as a whole",
        ReservationState::Rejected => "nothing is held; reserve anew",
        ReservationState::Held => "it can be committed, released, extended, replaced, and marked as paying once",
        ReservationState::PartlyCommitted => "what is still held can be committed, released and extended",
        ReservationState::Committed => {
            "it can be returned within the return window of its SKUs, cancelled within their cancel window or until it \
             is shipped, and shipped where its SKUs deduct on ship"
        }
        ReservationState::Released => "nothing is held; reserve anew",
        ReservationState::Expired => "nothing is held; reserve anew, or sell it all the same with `commit --revive`",
    }
}

/// What to do about it.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::InsufficientStock => "ask for less; `earmark stock SKU` and `earmark show ID` tell what there is",
        Code::Contended => "others are busy with the same units; try again",
        Code::LimitExceeded => {
            "ask for less: with it the owner would have more than one may have; `earmark sku show SKU` tells the limit, \
             `earmark reservations --owner OWNER` what is held"
        }
        Code::SaleNotOpen => "`earmark sku show SKU` tells when it opens",
        Code::SaleClosed => "`earmark sku show SKU` tells since when it is closed",
        Code::ExtensionLimit => "a hold can't live longer; commit it, or release it and reserve again",
        Code::ReservationState | Code::ReservationExpired => "`earmark show ID` tells what became of it",
        Code::VersionStale => "read the stock again and decide anew",
        Code::IdempotencyConflict => {
            "this id was used for another request; take a new one (`earmark id SKU`, of an operation `earmark id`)"
        }
        Code::IdempotencyTooOld => {
            "the id is too old to be told from a repeat; take a new one (`earmark id SKU`, of an operation `earmark id`)"
        }
        Code::RateLimited | Code::Overloaded => "the cluster is busy; try again in a moment",
        Code::NoQuorum => "check `--endpoints`, that nodes are running, and `earmark status`",
        Code::StoreDamaged => "`earmark status` tells which node; `earmark admin reseed NODE` mends it",
        Code::OutcomeUnknown => {
            "ask again with the same id (`--id`, `--operation`, or `earmark show ID`): it is done at most once"
        }
        Code::Late => "it took too long and was dropped; try again",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_client::wire::v1;

    fn cluster(code: Code) -> Failure {
        Failure::from(sample(code))
    }

    /// Errors have no public constructor; one comes out of a status as from a node.
    fn sample(code: Code) -> Error {
        let told = v1::Error {
            code: code.into(),
            message: "why".to_owned(),
            shortages: vec![v1::Shortage { line: 0, asked: 5, sellable: 2, earliest_ms: 0 }],
            ..Default::default()
        };
        Error::from(told)
    }

    #[test]
    fn the_exit_code_says_what_may_be_concluded() {
        for (code, expected) in [
            (Code::InsufficientStock, 1),
            (Code::Contended, 1),
            (Code::NotFound, 1),
            (Code::PermissionDenied, 1),
            (Code::InvalidArgument, 2),
            (Code::IdempotencyConflict, 2),
            (Code::NoQuorum, 3),
            (Code::Overloaded, 3),
            (Code::Late, 3),
            (Code::OutcomeUnknown, 4),
        ] {
            assert_eq!(cluster(code).exit_code(), expected, "{code:?}");
        }
        assert_eq!(Failure::input("sku", "is bad").exit_code(), 2);
        let used = earmark_node::startup::StartError::Data("the folder is in use by another process".to_owned());
        assert_eq!(Failure::start(used).text(), "bad input: data: the folder is in use by another process");
    }

    #[test]
    fn people_are_told_once_what_was_short_and_what_to_do() {
        let text = cluster(Code::InsufficientStock).text();
        let told = "refused: INSUFFICIENT_STOCK\n  line 1: 5 asked, 2 can be had\n  ask for less; `earmark stock SKU` ";
        assert_eq!(text, format!("{told}and `earmark show ID` tell what there is"));
    }

    #[test]
    fn a_short_line_is_told_with_what_it_names() {
        let lines = vec![super::super::parse::place("tea@berlin").expect("a place")];
        let failure = Failure::of_lines(sample(Code::InsufficientStock), lines);
        assert!(failure.text().contains("line 1, tea@berlin: 5 asked, 2 can be had"), "{}", failure.text());
        let json: serde_json::Value = serde_json::from_str(&failure.json()).expect("JSON");
        let short = &json["error"]["shortages"][0];
        assert_eq!((&short["line"], &short["sku"], &short["location"]), (&0.into(), &"tea".into(), &"berlin".into()));
    }

    #[test]
    fn a_state_that_stands_in_the_way_is_told_with_what_it_allows() {
        let told = v1::Error {
            code: Code::ReservationState.into(),
            state: v1::ReservationState::Held.into(),
            ..Default::default()
        };
        let text = Failure::from(Error::from(told)).text();
        assert!(text.contains("is held since 1970-01-01T00:00:00Z: it can be committed"), "{text}");
    }

    #[test]
    fn fields_that_a_node_calls_bad_are_told_as_ours_are() {
        let bad = v1::FieldViolation { field: "on_hand".to_owned(), description: "must be less".to_owned() };
        let told = v1::Error { code: Code::InvalidArgument.into(), fields: vec![bad], ..Default::default() };
        let text = Failure::from(Error::from(told)).text();
        assert_eq!(text, "bad input: INVALID_ARGUMENT: on_hand: must be less");
    }

    #[test]
    fn every_bad_field_is_told_at_once() {
        let bad = Failure::input("quantity", "is bad").within("lines[2]", "tea=0");
        let failure = Failure::together([bad, Failure::input("owner", "is long")]);
        let told = "bad input:\n  lines[2].quantity: is bad (in \"tea=0\")\n  owner: is long";
        assert_eq!((failure.text().as_str(), failure.exit_code()), (told, 2));
        let json: serde_json::Value = serde_json::from_str(&failure.json()).expect("JSON");
        assert_eq!(json["error"]["fields"][0]["field"], "lines[2].quantity");
        assert_eq!(json["error"]["fields"][1]["field"], "owner");
    }

    #[test]
    fn programs_are_told_the_same_under_stable_keys() {
        let json: serde_json::Value = serde_json::from_str(&cluster(Code::InsufficientStock).json()).expect("JSON");
        assert_eq!(json["error"]["code"], "INSUFFICIENT_STOCK");
        assert_eq!(json["error"]["effect"], "none");
        assert_eq!(json["error"]["retry"], "new_intent");
        assert_eq!(json["error"]["shortages"][0]["sellable"], 2);
        let bad: serde_json::Value = serde_json::from_str(&Failure::input("sku", "is bad").json()).expect("JSON");
        assert_eq!(bad["error"]["fields"][0]["field"], "sku");
    }
}
