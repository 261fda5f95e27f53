//! Why a command was not done: what is printed about it, for people or programs, and the exit code.

use super::output::Output;
use earmark_client::{Code, Error, Retry, Subject};
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
    /// An argument or a file makes no sense.
    Input {
        /// Which one.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The cluster refused, could not be reached, or left it open.
    Cluster(Box<Error>),
    /// This machine did not play along: a file that can't be written, a runtime that can't be started.
    Local(String),
    /// It may be done, but its result could not be printed.
    Untold(String),
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
    shortages: Vec<Shortage>,
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
struct Shortage {
    line: u32,
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
        Self::Cluster(Box::new(error))
    }
}

impl Failure {
    /// A configuration that makes no sense. The message names its key.
    pub fn config(error: earmark_node::config::ConfigError) -> Self {
        use earmark_node::config::ConfigError;
        match error {
            ConfigError::Value { key, problem } => Self::Input { field: key, problem },
            ConfigError::Form(problem) => Self::Input { field: "config".to_owned(), problem },
        }
    }

    /// A node that can't start with this configuration or folder.
    pub fn start(error: earmark_node::startup::StartError) -> Self {
        use earmark_node::startup::StartError;
        match error {
            StartError::Listen { key, address, error } => {
                Self::Input { field: key.to_owned(), problem: format!("can't listen on {address}: {error}") }
            }
            StartError::Data(problem) => Self::Input { field: "data".to_owned(), problem },
        }
    }

    /// A bad argument.
    pub fn input(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input { field: field.into(), problem: problem.into() }
    }

    /// Something on this machine.
    pub fn local(message: impl Into<String>) -> Self {
        Self::Local(message.into())
    }

    /// Arguments that clap could not read.
    /// The cluster has answered, and the answer can't be printed: what was asked for may be done.
    pub(super) fn untold(error: &std::io::Error) -> Self {
        Self::Untold(format!("stdout: {error}"))
    }

    pub(super) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let problem = text.strip_prefix("error: ").unwrap_or(&text).trim().to_owned();
        Self::input("arguments", problem)
    }

    /// What may be concluded, as a number.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } => BAD_INPUT,
            Self::Local(_) => UNAVAILABLE,
            Self::Untold(_) => UNKNOWN,
            Self::Cluster(error) => code_of(error),
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
            Self::Input { field, problem } => format!("bad input: {field}: {problem}"),
            Self::Local(message) => format!("not done: {message}"),
            Self::Untold(message) => format!("it was answered, but the answer can't be printed: {message}"),
            Self::Cluster(error) => cluster_text(error),
        }
    }

    fn json(&self) -> String {
        let error = match self {
            Self::Input { field, problem } => Told {
                fields: vec![Field { field, problem }],
                ..Told::plain("INVALID_ARGUMENT", format!("{field}: {problem}"))
            },
            Self::Local(message) => Told::plain("LOCAL", message.clone()),
            Self::Untold(message) => Told { effect: "unknown", ..Told::plain("LOCAL", message.clone()) },
            Self::Cluster(error) => Told::of(error),
        };
        serde_json::to_string(&Envelope { error }).expect("texts and numbers can be written as JSON")
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

    fn of(error: &'a Error) -> Self {
        let (retry, after) = match error.retry() {
            Retry::Never => ("never", None),
            Retry::SameIdAfter(after) => ("same_id", Some(after)),
            Retry::NewIntent => ("new_intent", None),
        };
        let state = error.state();
        let fields = error.fields().iter().map(|bad| Field { field: &bad.field, problem: &bad.description });
        let shortages = error.shortages().iter();
        Self {
            effect: if error.is_unknown() { "unknown" } else { "none" },
            retry,
            retry_after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            fields: fields.collect(),
            shortages: shortages
                .map(|short| Shortage {
                    line: short.line,
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

fn cluster_text(error: &Error) -> String {
    let verdict = match code_of(error) {
        UNKNOWN => "unknown whether it was done",
        UNAVAILABLE => "not done",
        BAD_INPUT => "bad input",
        _ => "refused",
    };
    // The short lines are told below, counted as people count.
    let mut text = if error.code() == Code::InsufficientStock && !error.shortages().is_empty() {
        format!("{verdict}: {}", error.name())
    } else {
        format!("{verdict}: {error}")
    };
    for short in error.shortages() {
        let _ = write!(text, "\n  line {}: {} asked, {} can be had", short.line + 1, short.asked, short.sellable);
        if short.earliest_ms > 0 {
            let date = super::views::time_text(earmark_client::TimeMs(short.earliest_ms));
            let _ = write!(text, "; enough is announced for {date}");
        }
    }
    if let Some((state, since)) = error.state() {
        let (state, since) = (super::views::state_name(state), super::views::time_text(since));
        let _ = write!(text, "\n  the reservation is {state} since {since}");
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

/// What to do about it.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::InsufficientStock => "ask for less; `earmark stock SKU` and `earmark show ID` tell what there is",
        Code::Contended => "others are busy with the same units; try again",
        Code::LimitExceeded => "the owner has as much of it as allowed",
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
