//! What shards say to each other about a cart. Each message states the whole truth for one cart and one participant.

use std::fmt;

/// The number of a home's decision: a counter in the state of the home shard, never used twice.
pub type Number = u8;

/// Units of one line.
pub type Units = u8;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Message {
    /// Which cart, by its place in the configuration.
    pub cart: usize,
    /// The participant that it is to or from. The other end is the cart's home.
    pub participant: usize,
    pub number: Number,
    pub body: Body,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Body {
    /// Home to participant: hold `new`, or what there is of it but not less than `least`; and keep `base`, which is
    /// still valid, meanwhile.
    Prepare { base: Option<Line>, new: Units, least: Units },
    /// Home to participant: this is how it stands. A line that is not named is not held, and has no counts.
    Decide(Option<Line>),
    /// Home to participant: nothing is known of what was asked about.
    Gone,
    /// Participant to home.
    Answer(Verdict),
    /// Participant to home: what became of this?
    Ask,
}

/// A line as a message names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Line {
    /// As home last decided.
    pub now: Truth,
    /// As the participant last acknowledged: what it begins with if it has forgotten the cart. Without the deadline.
    pub was: Truth,
}

/// What home decided for one participant. The totals never fall.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Truth {
    pub held: Units,
    pub committed: Units,
    pub returned: Units,
    /// Which of the cart's deadlines, counted from 1; 0 if nothing is held.
    pub deadline: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Verdict {
    /// A Decide was carried out.
    #[default]
    Settled,
    /// A Prepare was: so many units are held.
    Granted(Units),
    /// The units are not there.
    Short,
    /// They are not there now, but some are in doubt or overdue.
    Contended,
}

/// The name of a cart in texts.
pub fn cart_name(cart: usize) -> char {
    char::from(b'A' + u8::try_from(cart).expect("few carts"))
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held {}, committed {}", self.held, self.committed)?;
        if self.returned > 0 {
            write!(f, ", returned {}", self.returned)?;
        }
        if self.deadline > 0 {
            write!(f, ", deadline {}", self.deadline)?;
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, was } = self;
        write!(f, "{now}")?;
        if *was == (Truth { deadline: 0, ..*now }) { Ok(()) } else { write!(f, "; was {was}") }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { participant, number, .. } = self;
        let cart = cart_name(self.cart);
        match self.body {
            Body::Prepare { base, new, least } => {
                write!(f, "Prepare {number} of {cart} to shard {participant} (new {new}")?;
                if least < new {
                    write!(f, ", at least {least}")?;
                }
                base.map_or(Ok(()), |base| write!(f, "; base {base}"))?;
                f.write_str(")")
            }
            Body::Decide(Some(line)) => write!(f, "Decide {number} of {cart} to shard {participant} ({line})"),
            Body::Decide(None) => write!(f, "Decide {number} of {cart} to shard {participant} (nothing)"),
            Body::Gone => write!(f, "Gone {number} of {cart} to shard {participant}"),
            Body::Answer(verdict) => {
                let verdict = match verdict {
                    Verdict::Settled => "settled".to_owned(),
                    Verdict::Granted(units) => format!("granted {units}"),
                    Verdict::Short => "short".to_owned(),
                    Verdict::Contended => "contended".to_owned(),
                };
                write!(f, "Answer {number} of {cart} from shard {participant} ({verdict})")
            }
            Body::Ask => write!(f, "Ask {number} of {cart} from shard {participant}"),
        }
    }
}
