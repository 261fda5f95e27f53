//! Places at which a test can kill or hold a node: each step of a cart over several shards, as its gateway, its home
//! leader and its participants come by it.
//!
//! Only builds with debug assertions have them; elsewhere [`hit`] is nothing. There a node looks at each step at the file
//! that the environment variable `EARMARK_FAIL_POINT_FILE` names, if it does. `kill NAME` in it kills the process by
//! SIGKILL at the step of that name; `hold NAME` keeps whoever comes by there until the test lets go of it. The file is
//! removed first, so it works once.

use earmark_ledger::{
    cart::message::Message,
    command::{Body, Command},
};

/// Who comes by a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The node a client sent its request to.
    Gateway,
    /// The leader of the cart's home shard.
    Home,
    /// The leader of another shard of the cart.
    Participant,
}

macro_rules! steps {
    ($($(#[$doc:meta])+ $step:ident = $name:literal by $role:ident;)+) => {
        /// A step of a cart. A test goes through [`Step::ALL`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])+ $step,)+ }

        impl Step {
            /// Every step there is.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$step),+];

            /// What the file calls it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$step => $name,)+ }
            }

            /// Who comes by it.
            pub fn role(self) -> Role {
                match self { $(Self::$step => Role::$role,)+ }
            }
        }
    };
}

steps! {
    /// A request of a client was read.
    GatewayReceived = "gateway.received" by Gateway;
    /// It was decided, and its client was not told yet.
    GatewayDecided = "gateway.decided" by Gateway;
    /// The reserve is noted, and nobody was asked for its other lines yet.
    HomeOpened = "home.opened" by Home;
    /// Prepares are about to be sent.
    HomePrepareSending = "home.prepare.sending" by Home;
    /// Answers to prepares came, and are not in the log.
    HomePrepareAnswered = "home.prepare.answered" by Home;
    /// Answers to prepares are applied.
    HomePrepareRecorded = "home.prepare.recorded" by Home;
    /// What a client asked for is decided, and nobody was told.
    HomeDecided = "home.decided" by Home;
    /// A deadline passed in the log.
    HomeExpired = "home.expired" by Home;
    /// Decisions are about to be sent.
    HomeDecideSending = "home.decide.sending" by Home;
    /// Answers to decisions came, and are not in the log.
    HomeDecideAnswered = "home.decide.answered" by Home;
    /// Answers to decisions are applied.
    HomeDecideRecorded = "home.decide.recorded" by Home;
    /// A prepare arrived.
    ParticipantPrepareReceived = "participant.prepare.received" by Participant;
    /// A prepare is applied, and not answered.
    ParticipantPrepareApplied = "participant.prepare.applied" by Participant;
    /// A decision arrived.
    ParticipantDecideReceived = "participant.decide.received" by Participant;
    /// A decision is applied, and not answered.
    ParticipantDecideApplied = "participant.decide.applied" by Participant;
}

/// Someone comes by this step.
#[inline]
pub fn hit(step: Step) {
    #[cfg(debug_assertions)]
    armed::hit(step);
    #[cfg(not(debug_assertions))]
    let _ = step;
}

/// The steps before and after a command is proposed.
pub fn around(body: &Body) -> (Option<Step>, Option<Step>) {
    match body {
        Body::Commit(_)
        | Body::Release(_)
        | Body::Replace(_)
        | Body::MarkPaying(_)
        | Body::Ship(_)
        | Body::Cancel(_)
        | Body::Return(_) => (None, Some(Step::HomeDecided)),
        Body::Cart(Message::Prepare(_)) => {
            (Some(Step::ParticipantPrepareReceived), Some(Step::ParticipantPrepareApplied))
        }
        Body::Cart(Message::Decide(_)) => (Some(Step::ParticipantDecideReceived), Some(Step::ParticipantDecideApplied)),
        _ => (None, None),
    }
}

/// The steps of a frame: before it is sent, once its answers came, and once they are applied.
pub fn of_frame(commands: &[Command]) -> impl Iterator<Item = [Step; 3]> + use<> {
    let any = |wanted: fn(&Message) -> bool| {
        commands.iter().any(|command| matches!(&command.body, Body::Cart(message) if wanted(message)))
    };
    let prepares = [Step::HomePrepareSending, Step::HomePrepareAnswered, Step::HomePrepareRecorded];
    let decides = [Step::HomeDecideSending, Step::HomeDecideAnswered, Step::HomeDecideRecorded];
    let prepares = any(|message| matches!(message, Message::Prepare(_))).then_some(prepares);
    let decides = any(|message| matches!(message, Message::Decide(_))).then_some(decides);
    prepares.into_iter().chain(decides)
}

#[cfg(debug_assertions)]
mod armed {
    use super::Step;
    use std::{
        ffi::OsString,
        fs,
        path::{Path, PathBuf},
        process::Command,
        sync::{
            OnceLock,
            atomic::{AtomicBool, Ordering},
        },
        thread,
        time::{Duration, Instant},
    };

    /// A test that does not let go in this time has failed.
    const HELD_MAX: Duration = Duration::from_secs(10);

    pub(super) fn hit(step: Step) {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        static DYING: AtomicBool = AtomicBool::new(false);
        let file = FILE.get_or_init(|| std::env::var_os("EARMARK_FAIL_POINT_FILE").map(PathBuf::from));
        let Some(file) = file else { return };
        while DYING.load(Ordering::SeqCst) {
            // No other step is reached on the way to the end.
            thread::park();
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        match text.trim().split_once(' ') {
            Some(("kill", name)) if name == step.name() => {
                DYING.store(true, Ordering::SeqCst);
                // Of two that come by at once one finds it gone, and waits with the other.
                fs::remove_file(file).ok();
                let killed = Command::new("kill").arg("-KILL").arg(std::process::id().to_string()).status();
                tracing::error!(?killed, step = step.name(), "still alive");
                loop {
                    thread::park();
                }
            }
            Some(("hold", name)) if name == step.name() => hold(file),
            _ => {}
        }
    }

    /// The file's other name tells the test that someone is held; removing that lets go.
    fn hold(file: &Path) {
        let mut held = OsString::from(file);
        held.push(".held");
        if fs::rename(file, &held).is_err() {
            return;
        }
        let deadline = Instant::now() + HELD_MAX;
        while Path::new(&held).exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_steps_have_the_same_name() {
        let names: std::collections::BTreeSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
