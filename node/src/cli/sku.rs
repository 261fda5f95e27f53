//! `earmark sku`: how a SKU is sold. Each change is made to the settings as they stand, and refused if somebody else
//! changed them meanwhile.

use super::parse::{self, All};
use super::views::SettingsView;
use super::{Failure, Global, connect};
use clap::{Args, Subcommand, ValueEnum};
use earmark_client::{Allocation, Client, Code, Deduct, SkuSettings, Strategy, TimeMs, UnitLimit};
use std::process::ExitCode;
use std::time::Duration;

/// What can be done with the settings of a SKU.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows the settings.
    Show(Named),
    /// Nothing of it can be reserved any more. What is held can still be committed.
    Freeze(Freeze),
    /// It can be reserved again.
    Unfreeze(Named),
    /// It can be reserved from now on, or from a moment on.
    Open(When),
    /// It can't be reserved any more, or not from a moment on.
    Close(When),
    /// How many units one owner may hold and buy within a time; `none` lifts the limit.
    Limit(Limit),
    /// Changes any of the settings; what is not named stays as it is.
    Set(Box<Change>),
}

/// Which SKU.
#[derive(Debug, Args)]
pub struct Named {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
}

/// Arguments of `earmark sku freeze`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  earmark sku freeze lamp-01 --reason 'recall 2026-14'")]
pub struct Freeze {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// Why; whoever tries to reserve it is told.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Arguments of `earmark sku open` and `earmark sku close`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --at the other bound stays as it is, and the change is refused unless the sale closes after it opens; `earmark sku \
set SKU --opens TIME --closes TIME` changes both. At once, `open` also lifts a closing time that has passed, and `close` an \
opening time that is still to come.

Examples:
  earmark sku open sneaker --at 2026-11-27T09:00:00Z
  earmark sku open sneaker
  earmark sku close sneaker --at +2h")]
pub struct When {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// When: a date and time, or +LENGTH from now; at once if it is not given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Arguments of `earmark sku limit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark sku limit sneaker 2 --per 30days
  earmark sku limit sneaker none")]
pub struct Limit {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// How many units, or `none`.
    #[arg(value_name = "UNITS")]
    units: String,
    /// How long a sale counts, from its commit.
    #[arg(long, default_value = "400days", value_name = "LENGTH")]
    per: String,
}

/// Arguments of `earmark sku set`.
#[derive(Debug, Args)]
#[command(after_help = "\
`none` takes a setting away.

Examples:
  earmark sku set lamp-01 --safety-stock 5 --hold-time 10m
  earmark sku set lamp-01 --allocation priority:berlin,hamburg --places 2
  earmark sku set lamp-01 --allocation nearest:berlin=1,hamburg=2,munich=8
  earmark sku set lamp-01 --owner-holds 3 --closes none")]
pub struct Change {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// When units leave the books. It can't change once a unit was held, committed or sold.
    #[arg(long, value_enum)]
    deduct: Option<Leaves>,
    /// Units of each pool that are not sold.
    #[arg(long, value_name = "UNITS", allow_hyphen_values = true)]
    safety_stock: Option<String>,
    /// How long a hold lasts whose request does not say, from 1s to 31days.
    #[arg(long, value_name = "LENGTH")]
    hold_time: Option<String>,
    /// How many live holds one owner may have, 1 to 1000.
    #[arg(long, value_name = "COUNT")]
    owner_holds: Option<String>,
    /// Nothing of it can be reserved before.
    #[arg(long, value_name = "TIME")]
    opens: Option<String>,
    /// Nothing of it can be reserved from then on.
    #[arg(long, value_name = "TIME")]
    closes: Option<String>,
    /// How long after a commit it can be cancelled.
    #[arg(long, value_name = "LENGTH")]
    cancel_window: Option<String>,
    /// How long after a sale units can be returned.
    #[arg(long, value_name = "LENGTH")]
    return_window: Option<String>,
    /// How lines without a location are dealt: most-stock, fewest-splits, priority:A,B or nearest:A=ZONE,B=ZONE.
    #[arg(long, value_name = "POLICY")]
    allocation: Option<String>,
    /// Over how many locations one line may be split, 1 to 16.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=16))]
    places: Option<u32>,
}

/// When units leave the books.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Leaves {
    /// A commit takes them off on hand, and the sale is over.
    OnCommit,
    /// A commit sets them apart as committed, until they are shipped.
    OnShip,
}

pub(super) async fn run(global: &Global, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Show(named) => {
            let sku = parse::sku(&named.sku)?;
            let read = connect(global).await?.settings(&*sku).send().await?;
            global.output.print(&SettingsView::read(sku, read))
        }
        Action::Freeze(freeze) => {
            let (sku, reason) = (parse::sku(&freeze.sku), parse::reason(&freeze.reason)).all()?;
            change(global, sku, |settings, _| settings.frozen = Some(reason)).await
        }
        Action::Unfreeze(named) => change(global, parse::sku(&named.sku)?, |settings, _| settings.frozen = None).await,
        Action::Open(when) => {
            let (sku, at) = when.read()?;
            change(global, sku, |settings, now| open(settings, at, now)).await
        }
        Action::Close(when) => {
            let (sku, at) = when.read()?;
            change(global, sku, |settings, now| close(settings, at, now)).await
        }
        Action::Limit(limit) => {
            let units = parse::or_none(&limit.units, |text| parse::pool_units("units", text));
            let (sku, units, window) = (parse::sku(&limit.sku), units, parse::length("per", &limit.per)).all()?;
            let limit_of = |units| UnitLimit { units, window: Duration::from_millis(window.0) };
            change(global, sku, |settings, _| settings.owner_units = units.map(limit_of)).await
        }
        Action::Set(asked) => {
            let (sku, wanted) = (parse::sku(&asked.sku), Wanted::read(*asked)).all()?;
            change(global, sku, |settings, now| wanted.put(settings, now)).await
        }
    }
}

impl When {
    fn read(self) -> Result<(String, Option<parse::Moment>), Failure> {
        let at = self.at.map(|text| parse::moment("at", &text)).transpose();
        (parse::sku(&self.sku), at).all()
    }
}

/// A sale that was over is not, if it is opened at once. Else nodes judge whether it closes after it opens.
fn open(settings: &mut SkuSettings, at: Option<parse::Moment>, now: TimeMs) {
    settings.opens = at.map(|at| at.by(now));
    if at.is_none() {
        settings.closes = settings.closes.filter(|closes| *closes > now);
    }
}

/// A sale that was to begin does not, if it is closed at once. Else nodes judge whether it closes after it opens.
fn close(settings: &mut SkuSettings, at: Option<parse::Moment>, now: TimeMs) {
    settings.closes = Some(at.map_or(now, |at| at.by(now)));
    if at.is_none() {
        settings.opens = settings.opens.filter(|opens| *opens < now);
    }
}

/// Reads the settings as they stand, changes them, and puts them back.
async fn change(
    global: &Global,
    sku: String,
    change: impl FnOnce(&mut SkuSettings, TimeMs),
) -> Result<ExitCode, Failure> {
    let client = connect(global).await?;
    let (version, mut settings) = read(&client, &sku).await?;
    change(&mut settings, client.server_time());
    let done = client.configure(&*sku, version, settings).send().await?;
    global.output.print(&SettingsView::changed(sku, done))
}

/// A SKU that is not there yet has no settings, and can be given some.
async fn read(client: &Client, sku: &str) -> Result<(u64, SkuSettings), Failure> {
    match client.settings(sku).send().await {
        Ok(read) => Ok((read.version, read.settings)),
        Err(error) if error.code() == Code::NotFound => Ok((0, SkuSettings::default())),
        Err(error) => Err(error.into()),
    }
}

/// What `earmark sku set` is to change. The outer option: it was named; the inner: not taken away.
struct Wanted {
    deduct: Option<Deduct>,
    safety_stock: Option<u64>,
    hold_time: Option<Option<Duration>>,
    owner_holds: Option<Option<u32>>,
    opens: Option<Option<parse::Moment>>,
    closes: Option<Option<parse::Moment>>,
    cancel_window: Option<Option<Duration>>,
    return_window: Option<Option<Duration>>,
    strategy: Option<Option<Strategy>>,
    places: Option<u32>,
}

/// An option that may be `none`.
fn optional<T>(
    text: Option<String>,
    read: impl FnOnce(&str) -> Result<T, Failure>,
) -> Result<Option<Option<T>>, Failure> {
    text.map(|text| parse::or_none(&text, read)).transpose()
}

impl Wanted {
    fn read(asked: Change) -> Result<Self, Failure> {
        let length = |field: &'static str| {
            move |text: &str| parse::length(field, text).map(|length| Duration::from_millis(length.0))
        };
        let holds = |text: &str| {
            let good = text.parse().ok().filter(|count| (1..=1_000).contains(count));
            good.ok_or_else(|| Failure::input("owner_holds", format!("must be 1 to 1000, or none, not {text:?}")))
        };
        let read = (
            asked.safety_stock.map(|text| parse::units_or_none("safety_stock", &text)).transpose(),
            optional(asked.hold_time, |text| parse::ttl_of("hold_time", text)),
            optional(asked.owner_holds, holds),
            optional(asked.opens, |text| parse::moment("opens", text)),
            optional(asked.closes, |text| parse::moment("closes", text)),
            optional(asked.cancel_window, length("cancel_window")),
            optional(asked.return_window, length("return_window")),
            optional(asked.allocation, parse::strategy),
        );
        let (safety_stock, hold_time, owner_holds, opens, closes, cancel_window, return_window, strategy) =
            read.all()?;
        let deduct = asked.deduct.map(|deduct| match deduct {
            Leaves::OnCommit => Deduct::OnCommit,
            Leaves::OnShip => Deduct::OnShip,
        });
        let places = asked.places;
        Ok(Self {
            deduct,
            safety_stock,
            hold_time,
            owner_holds,
            opens,
            closes,
            cancel_window,
            return_window,
            strategy,
            places,
        })
    }

    fn put(self, settings: &mut SkuSettings, now: TimeMs) {
        /// As many as any line may be split over.
        const PLACES_DEFAULT: u32 = 16;
        if let Some(deduct) = self.deduct {
            settings.deduct = deduct;
        }
        if let Some(units) = self.safety_stock {
            settings.safety_stock = units;
        }
        if let Some(time) = self.hold_time {
            settings.hold_time = time;
        }
        if let Some(holds) = self.owner_holds {
            settings.owner_holds = holds;
        }
        if let Some(opens) = self.opens {
            settings.opens = opens.map(|moment| moment.by(now));
        }
        if let Some(closes) = self.closes {
            settings.closes = closes.map(|moment| moment.by(now));
        }
        if let Some(window) = self.cancel_window {
            settings.cancel_window = window;
        }
        if let Some(window) = self.return_window {
            settings.return_window = window;
        }
        let places = settings.allocation.as_ref().map_or(PLACES_DEFAULT, |allocation| allocation.places);
        match self.strategy {
            Some(Some(strategy)) => settings.allocation = Some(Allocation { strategy, places }),
            Some(None) => settings.allocation = None,
            None => {}
        }
        if let Some(places) = self.places {
            let allocation = settings.allocation.take();
            let strategy = allocation.map_or(Strategy::MostStock, |allocation| allocation.strategy);
            settings.allocation = Some(Allocation { strategy, places });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_ledger::types::DurationMs;

    const NOW: TimeMs = TimeMs(1_000_000);

    fn sale(opens: u64, closes: u64) -> SkuSettings {
        SkuSettings { opens: Some(TimeMs(opens)), closes: Some(TimeMs(closes)), ..SkuSettings::default() }
    }

    fn after(
        change: fn(&mut SkuSettings, Option<parse::Moment>, TimeMs),
        mut settings: SkuSettings,
        at: Option<u64>,
    ) -> (Option<TimeMs>, Option<TimeMs>) {
        change(&mut settings, at.map(|length| parse::Moment::In(DurationMs(length))), NOW);
        (settings.opens, settings.closes)
    }

    #[test]
    fn a_bound_with_a_moment_leaves_the_other_where_it_is() {
        // Whether they agree is for the node to judge: else a sale would begin at once, or never end, unasked.
        assert_eq!(
            after(close, sale(1_000_200, 1_000_300), Some(100)),
            (Some(TimeMs(1_000_200)), Some(TimeMs(1_000_100)))
        );
        assert_eq!(
            after(open, sale(1_000_200, 1_000_300), Some(400)),
            (Some(TimeMs(1_000_400)), Some(TimeMs(1_000_300)))
        );
        assert_eq!(after(open, sale(1, 2), Some(400)), (Some(TimeMs(1_000_400)), Some(TimeMs(2))));
    }

    #[test]
    fn at_once_means_at_once() {
        assert_eq!(after(open, sale(1_000_200, 1_000_300), None), (None, Some(TimeMs(1_000_300))));
        assert_eq!(after(open, sale(1, 2), None), (None, None), "it was over");
        assert_eq!(after(close, sale(1, 1_000_300), None), (Some(TimeMs(1)), Some(NOW)));
        assert_eq!(after(close, sale(1_000_200, 1_000_300), None), (None, Some(NOW)), "it was still to begin");
    }
}
