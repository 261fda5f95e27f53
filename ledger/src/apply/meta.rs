//! What only the meta shard does.

use super::{Effect, Entry};
use crate::{
    command::{Command, Form},
    outcome::{Done, Outcome, Refusal},
    state::{Mark, MetaState, equal_ranges},
    types::ShardId,
    validate::{bad_field, validate},
};

impl Entry<'_> {
    /// Forms the cluster, once. Naming the same cluster again is success.
    pub(super) fn form(&mut self, command: &Command, form: &Form) -> Outcome {
        let formed = self.ledger.meta().map(|meta| meta.cluster);
        if formed == Some(form.cluster) {
            return Outcome { replayed: true, ..self.outcome(Ok((Done::Noted, None))) };
        }
        let result = self.form_anew(command, form, formed.is_some());
        self.outcome(result)
    }

    fn form_anew(&mut self, command: &Command, form: &Form, formed: bool) -> Result<Effect, Refusal> {
        let mut bad = validate(command, self.clock());
        if formed {
            bad.push(bad_field("cluster", "there is a cluster already, and it is another one"));
        }
        if !bad.is_empty() {
            return Err(Refusal::InvalidArgument(bad));
        }
        if self.ledger.shard != ShardId::META {
            return Err(Refusal::WrongShard);
        }
        self.in_time(command)?;
        // Nothing can fail from here on.
        let mut nodes = form.nodes.clone();
        nodes.sort_by_key(|node| node.node);
        let ranges = equal_ranges(form.shards);
        let meta = MetaState { cluster: form.cluster, map_version: 1, ranges, nodes };
        self.ledger.meta = Some((meta, Mark::default()));
        self.ledger.dirty.meta = true;
        Ok((Done::Noted, None))
    }
}
