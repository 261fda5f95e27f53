//! What a reserve would be answered. Each shard of a cart judges the lines that live there, as it would when it is asked to
//! hold them; what they say is put together as the cart's home would.

use super::{
    decode, encode, error,
    gather::{Facts, Wanted, ask},
    operation::{Sender, place},
    read::{Source, other_than_asked},
};
use crate::router::Router;
use earmark_client::wire::v1::{self, operation::Body as Asked, operation_result::Body as Answered};
use earmark_ledger::{
    command::{Body, Command},
    limits::LINES_MAX,
    outcome::{Done, Verdict},
    types::ShardId,
};

/// Codes of refusals in the order of precedence.
const PRECEDENCE: [v1::Code; 11] = [
    v1::Code::InvalidArgument,
    v1::Code::WrongShard,
    v1::Code::Late,
    v1::Code::NotFound,
    v1::Code::SkuFrozen,
    v1::Code::SaleNotOpen,
    v1::Code::SaleClosed,
    v1::Code::LimitExceeded,
    v1::Code::PolicyUnsatisfiable,
    v1::Code::InsufficientStock,
    v1::Code::Contended,
];

/// A dry run.
///
/// # Errors
/// As told to the client; that it would be refused is none.
pub async fn dry_run(
    router: &Router,
    request: v1::DryRunRequest,
    only: Option<ShardId>,
) -> Result<v1::DryRunResponse, v1::Error> {
    let random = || router.node().environment().random.next_u64();
    let arrival = decode::Arrival { now: router.server_time(), random: &random };
    let (decoded, level) = decode::dry_run(&request, &arrival)?;
    let mut command = decoded.command;
    let home = place(&*router.map()?, &mut command.body, decoded.bucket, &Sender { direct: false, map_version: 0 })?;
    let Body::Reserve(reserve) = &command.body else {
        return Err(error::refused(v1::Code::InvalidArgument, "only a reserve can be tried"));
    };
    let shards = if reserve.shards.is_empty() { vec![home] } else { reserve.shards.clone() };
    let wanted = Wanted { level, token: request.token.as_ref() };
    let asked = Asked::DryRun(Box::new(request.clone()));
    let here = |source: &Source| judge(source, &command);
    let there = |answered| match answered {
        Answered::DryRun(response) => Ok(*response),
        other => Err(other_than_asked(other)),
    };
    let parts = ask(router, shards, only, &wanted, &asked, (here, there)).await?;
    let lines = request.reserve.map(|reserve| reserve.lines).unwrap_or_default();
    Ok(if only.is_some() { parts.into_iter().next().unwrap_or_default() } else { together(parts, &lines) })
}

/// What one shard says of the lines that live there.
fn judge(source: &Source, command: &Command) -> v1::DryRunResponse {
    let hot = source.replica.hot();
    let mut command = command.clone();
    if let Body::Reserve(reserve) = &mut command.body
        && reserve.ttl_chosen
    {
        let shard = source.replica.shard();
        let lives_here = |at: usize| reserve.shards.get(at).is_none_or(|lives| *lives == shard);
        let own = reserve.lines.iter().enumerate().filter(|(at, _)| lives_here(*at)).map(|(_, line)| &line.sku);
        reserve.ttl = hot.ledger.hold_time(&reserve.namespace, own);
    }
    let Facts { level, positions, as_of_ms, age_ms } = Facts::of(source, &hot);
    let told = v1::DryRunResponse { level, positions, as_of_ms, age_ms, ..Default::default() };
    match hot.ledger.dry_run(&command) {
        Verdict::Done(Done::Reserved(reserved)) => v1::DryRunResponse {
            extent: extent(reserved.all).into(),
            lines: reserved.lines.iter().map(encode::line).collect(),
            deadline_ms: reserved.deadline.0,
            ..told
        },
        Verdict::Refused(refusal) => v1::DryRunResponse { refusal: Some(error::refusal(&refusal, false)), ..told },
        Verdict::Done(other) => {
            let bug = format!("the ledger answered a dry run with {other:?}; please report this");
            v1::DryRunResponse { refusal: Some(error::refused(v1::Code::OutcomeUnknown, bug)), ..told }
        }
    }
}

fn extent(all: bool) -> v1::Extent {
    if all { v1::Extent::All } else { v1::Extent::Partial }
}

/// One shard's word stands as it is. Of several each must agree, and not all of them may have nothing.
fn together(mut parts: Vec<v1::DryRunResponse>, asked: &[v1::Line]) -> v1::DryRunResponse {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let facts = parts.iter_mut().map(|part| Facts {
        level: part.level,
        positions: std::mem::take(&mut part.positions),
        as_of_ms: part.as_of_ms,
        age_ms: part.age_ms,
    });
    let Facts { level, positions, as_of_ms, age_ms } = Facts::merge(facts);
    let told = v1::DryRunResponse { level, positions, as_of_ms, age_ms, ..Default::default() };
    let refusals: Vec<v1::Error> = parts.iter_mut().filter_map(|part| part.refusal.take()).collect();
    if let Some(refusal) = first_of(refusals) {
        return v1::DryRunResponse { refusal: Some(refusal), ..told };
    }
    let deadline_ms = parts.iter().map(|part| part.deadline_ms).min().unwrap_or_default();
    let mut lines: Vec<_> = parts.into_iter().flat_map(|part| part.lines).collect();
    let mention = |line: &v1::LineResult| asked.iter().position(|asked| asked.sku == line.sku);
    lines.sort_by_key(mention);
    if lines.len() > LINES_MAX {
        let message = "the policies would split the cart into more than 500 lines";
        let refusal = error::refused(v1::Code::PolicyUnsatisfiable, message);
        return v1::DryRunResponse { refusal: Some(refusal), ..told };
    }
    if lines.iter().all(|line| line.got == 0) {
        return v1::DryRunResponse { refusal: Some(nothing(asked)), ..told };
    }
    let all = lines.iter().all(|line| line.got == line.asked);
    v1::DryRunResponse { extent: extent(all).into(), lines, deadline_ms, ..told }
}

/// The one that comes first, with what every shard lacks.
fn first_of(refusals: Vec<v1::Error>) -> Option<v1::Error> {
    let rank = |error: &v1::Error| PRECEDENCE.iter().position(|code| *code == error.code()).unwrap_or(0);
    let first = refusals.iter().map(rank).min()?;
    let mut same = refusals.into_iter().filter(|error| rank(error) == first);
    let mut told = same.next()?;
    told.shortages.extend(same.flat_map(|error| error.shortages));
    if told.code() == v1::Code::InsufficientStock {
        told.shortages.sort_by_key(|short| short.line);
        told.message = error::lacking(&told.shortages);
    }
    Some(told)
}

/// With best effort each shard may have nothing, and all together then refuse.
fn nothing(asked: &[v1::Line]) -> v1::Error {
    let line = |(at, line): (usize, &v1::Line)| v1::Shortage {
        line: u32::try_from(at).unwrap_or(u32::MAX),
        asked: line.quantity,
        ..Default::default()
    };
    let shortages: Vec<_> = asked.iter().enumerate().map(line).collect();
    v1::Error { message: error::lacking(&shortages), shortages, ..error::refused(v1::Code::InsufficientStock, "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: v1::Code, lines: &[u32]) -> v1::DryRunResponse {
        let short = |line: &u32| v1::Shortage { line: *line, asked: 2, sellable: 1, earliest_ms: 0 };
        let shortages = lines.iter().map(short).collect();
        v1::DryRunResponse {
            refusal: Some(v1::Error { shortages, ..error::refused(code, "no") }),
            ..Default::default()
        }
    }

    fn held(sku: &str, got: i64) -> v1::DryRunResponse {
        let line = v1::LineResult { sku: sku.to_owned(), asked: 2, got, ..Default::default() };
        v1::DryRunResponse { lines: vec![line], extent: extent(got == 2).into(), deadline_ms: 9, ..Default::default() }
    }

    fn asked() -> Vec<v1::Line> {
        let line = |sku: &str| v1::Line { sku: sku.to_owned(), quantity: 2, ..Default::default() };
        vec![line("b"), line("a")]
    }

    #[test]
    fn of_several_refusals_the_first_in_precedence_is_told_with_every_lack() {
        let all = vec![
            refused(v1::Code::InsufficientStock, &[4]),
            refused(v1::Code::Contended, &[]),
            refused(v1::Code::InsufficientStock, &[1]),
        ];
        let told = together(all, &asked()).refusal.expect("refused");
        assert_eq!(told.code(), v1::Code::InsufficientStock);
        assert_eq!(told.shortages.iter().map(|short| short.line).collect::<Vec<_>>(), [1, 4]);
        let all = vec![refused(v1::Code::InsufficientStock, &[0]), refused(v1::Code::SkuFrozen, &[])];
        assert_eq!(together(all, &asked()).refusal.expect("refused").code(), v1::Code::SkuFrozen);
    }

    #[test]
    fn lines_stand_as_they_were_asked_and_nothing_at_all_is_refused() {
        let told = together(vec![held("a", 2), held("b", 1)], &asked());
        assert_eq!(told.lines.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(told.extent(), v1::Extent::Partial);
        let told = together(vec![held("a", 0), held("b", 0)], &asked()).refusal.expect("refused");
        assert_eq!((told.code(), told.shortages.len()), (v1::Code::InsufficientStock, 2));
    }
}
