//! Who owns a bucket and who leads it, as far as this client knows.
//!
//! A map is learnt from any node; redirects correct it in between. Nothing here is trusted: a wrong map costs a redirect,
//! never a wrong answer, because nodes check what they are sent.

use crate::link::{Link, LinkSettings};
use crate::wire::v1::{self, GetRoutingResponse};
use earmark_ledger::types::{BUCKETS, Bucket};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

/// Shard 0 is the meta shard, so 0 stands for "no owner known".
const NO_SHARD: u32 = 0;

/// A leader as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leader {
    node: u32,
    term: u64,
}

/// The map of the cluster, without connections.
#[derive(Debug, Default)]
struct Map {
    cluster: String,
    version: u64,
    /// By bucket.
    owners: Vec<u32>,
    leaders: BTreeMap<u32, Leader>,
    /// Endpoint of each node.
    nodes: BTreeMap<u32, String>,
}

impl Map {
    fn shard_of(&self, bucket: Bucket) -> Option<u32> {
        self.owners.get(usize::from(bucket.number())).copied().filter(|shard| *shard != NO_SHARD)
    }

    fn leader_endpoint(&self, bucket: Bucket) -> Option<&str> {
        let leader = self.leaders.get(&self.shard_of(bucket)?)?;
        self.nodes.get(&leader.node).map(String::as_str)
    }

    /// Takes over what a node told, unless it is older than what is known.
    fn learn(&mut self, told: &GetRoutingResponse) {
        if told.cluster_id != self.cluster {
            // Formed just now, or another cluster at the same address: nothing known before is of use.
            *self = Self { cluster: told.cluster_id.clone(), ..Self::default() };
        }
        if told.map_version < self.version {
            return;
        }
        self.version = told.map_version;
        self.owners = owners(&told.ranges);
        self.nodes = told.nodes.iter().map(|node| (node.node, node.endpoint.clone())).collect();
        for leader in &told.leaders {
            self.learn_leader(leader);
        }
    }

    /// A leader of a higher term is newer. Within one term only "not known" is less than what is known: a hint may have
    /// told of a newer leader without its term.
    fn learn_leader(&mut self, told: &v1::ShardLeader) {
        if told.node == 0 {
            return;
        }
        let known = self.leaders.get(&told.shard);
        if known.is_none_or(|known| told.term > known.term) {
            self.leaders.insert(told.shard, Leader { node: told.node, term: told.term });
        }
    }

    /// A node that should lead the bucket named another one.
    fn hint(&mut self, bucket: Bucket, endpoint: &str) {
        let node = self.nodes.iter().find(|(_, known)| *known == endpoint).map(|(node, _)| *node);
        let (Some(shard), Some(node)) = (self.shard_of(bucket), node) else { return };
        let term = self.leaders.get(&shard).map_or(0, |leader| leader.term);
        self.leaders.insert(shard, Leader { node, term });
    }
}

fn owners(ranges: &[v1::BucketRange]) -> Vec<u32> {
    let mut owners = vec![NO_SHARD; usize::from(BUCKETS)];
    for range in ranges {
        let first = usize::try_from(range.first).unwrap_or(usize::MAX);
        let last = usize::try_from(range.last).unwrap_or(usize::MAX).min(owners.len() - 1);
        if first <= last {
            owners[first..=last].fill(range.shard);
        }
    }
    owners
}

/// Where to send.
pub(crate) struct Target {
    pub(crate) link: Arc<Link>,
    /// It is thought to lead the bucket, so it shall answer itself; else it shall forward.
    pub(crate) direct: bool,
    /// Nobody is known to lead the bucket.
    pub(crate) leaderless: bool,
    pub(crate) map_version: u64,
}

/// The map with a link to each node that was needed so far.
pub(crate) struct Routing {
    settings: Arc<LinkSettings>,
    /// Addresses the client was opened with.
    seeds: Vec<String>,
    map: RwLock<Map>,
    links: RwLock<BTreeMap<String, Arc<Link>>>,
}

impl Routing {
    pub(crate) fn new(seeds: Vec<String>, settings: Arc<LinkSettings>) -> Self {
        Self { settings, seeds, map: RwLock::default(), links: RwLock::default() }
    }

    /// Where a mutation or linearizable read of that bucket goes: its leader; if that is down or not known, any other
    /// node, which forwards.
    pub(crate) fn leader(&self, bucket: Bucket, hint: Option<&str>, random: u64) -> Target {
        let (leader, map_version) = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            (hint.or_else(|| map.leader_endpoint(bucket)).map(|endpoint| self.link(endpoint)), map.version)
        };
        if let Some(link) = &leader
            && !link.is_down()
        {
            return Target { link: Arc::clone(link), direct: true, leaderless: false, map_version };
        }
        match (self.any(random), leader) {
            (any, Some(link)) if any.is_down() => Target { link, direct: true, leaderless: false, map_version },
            (link, leader) => Target { link, direct: false, leaderless: leader.is_none(), map_version },
        }
    }

    /// Where a read goes that any replica may answer. A node without one forwards.
    pub(crate) fn replica(&self, random: u64) -> Target {
        let map_version = self.map.read().unwrap_or_else(PoisonError::into_inner).version;
        Target { link: self.any(random), direct: false, leaderless: false, map_version }
    }

    /// Every node, those that are up first, each group from a random place on.
    pub(crate) fn all(&self, random: u64) -> Vec<Arc<Link>> {
        let mut links: Vec<Arc<Link>> = self.endpoints().iter().map(|endpoint| self.link(endpoint)).collect();
        let start = usize::try_from(random % links.len().max(1) as u64).expect("below a length");
        links.rotate_left(start);
        links.sort_by_key(|link| link.is_down());
        links
    }

    pub(crate) fn hint(&self, bucket: Bucket, endpoint: &str) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).hint(bucket, endpoint);
    }

    /// Takes over a map and drops links that are no longer needed.
    pub(crate) fn learn(&self, told: &GetRoutingResponse) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).learn(told);
        let used: BTreeSet<String> = self.endpoints().into_iter().chain(self.seeds.iter().cloned()).collect();
        self.links.write().unwrap_or_else(PoisonError::into_inner).retain(|endpoint, _| used.contains(endpoint));
        self.settings.time.keep_only(|endpoint| used.contains(endpoint));
    }

    /// The nodes of the map. The seeds only while there is no map, or none of its nodes is up: an address from outside
    /// may be the only one that leads in.
    fn endpoints(&self) -> Vec<String> {
        let mut endpoints: Vec<String> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.nodes.values().filter(|endpoint| !endpoint.is_empty()).cloned().collect()
        };
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let up = |endpoint: &String| links.get(endpoint).is_none_or(|link| !link.is_down());
        if !endpoints.iter().any(up) {
            for seed in &self.seeds {
                if !endpoints.contains(seed) {
                    endpoints.push(seed.clone());
                }
            }
        }
        endpoints
    }

    fn any(&self, random: u64) -> Arc<Link> {
        let mut links = self.all(random);
        links.swap_remove(0)
    }

    fn link(&self, endpoint: &str) -> Arc<Link> {
        if let Some(link) = self.links.read().unwrap_or_else(PoisonError::into_inner).get(endpoint) {
            return Arc::clone(link);
        }
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry(endpoint.to_owned()).or_insert_with(|| Arc::new(Link::start(endpoint, &self.settings)));
        Arc::clone(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: u64, leaders: &[(u32, u32, u64)]) -> GetRoutingResponse {
        GetRoutingResponse {
            cluster_id: "c".to_owned(),
            map_version: version,
            ranges: vec![
                v1::BucketRange { first: 0, last: 8_191, shard: 1 },
                v1::BucketRange { first: 8_192, last: 16_383, shard: 2 },
            ],
            leaders: leaders
                .iter()
                .map(|(shard, node, term)| v1::ShardLeader { shard: *shard, node: *node, term: *term })
                .collect(),
            nodes: (1..=3)
                .map(|node| v1::NodeEndpoint { node, endpoint: format!("n{node}:1"), ..Default::default() })
                .collect(),
            server_time_ms: 1,
        }
    }

    fn bucket(number: u16) -> Bucket {
        Bucket::new(number).expect("a bucket")
    }

    #[test]
    fn a_bucket_leads_to_the_endpoint_of_its_leader() {
        let mut map = Map::default();
        map.learn(&told(1, &[(1, 2, 5), (2, 3, 5)]));
        assert_eq!(map.leader_endpoint(bucket(8_191)), Some("n2:1"));
        assert_eq!(map.leader_endpoint(bucket(8_192)), Some("n3:1"));
    }

    #[test]
    fn before_the_cluster_is_formed_nothing_has_an_owner() {
        let mut map = Map::default();
        map.learn(&GetRoutingResponse::default());
        assert_eq!(map.shard_of(bucket(0)), None);
    }

    #[test]
    fn an_older_map_or_term_changes_nothing() {
        let mut map = Map::default();
        map.learn(&told(2, &[(1, 2, 5)]));
        map.learn(&told(1, &[(1, 3, 9)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n2:1"), "older map");
        map.learn(&told(2, &[(1, 3, 4)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n2:1"), "older term");
        map.learn(&told(2, &[(1, 0, 6)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n2:1"), "leader not known there");
        map.learn(&told(2, &[(1, 3, 6)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n3:1"));
    }

    #[test]
    fn a_hint_stands_until_a_newer_term_is_told() {
        let mut map = Map::default();
        map.learn(&told(1, &[(1, 2, 5)]));
        map.hint(bucket(7), "n1:1");
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n1:1"), "for the whole shard");
        map.learn(&told(1, &[(1, 2, 5)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n1:1"), "the same term may be old news");
        map.learn(&told(1, &[(1, 3, 6)]));
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n3:1"));
        map.hint(bucket(7), "elsewhere:1");
        assert_eq!(map.leader_endpoint(bucket(0)), Some("n3:1"), "no node of the map");
    }

    #[test]
    fn another_cluster_starts_from_nothing() {
        let mut map = Map::default();
        map.learn(&told(9, &[(1, 2, 5)]));
        map.learn(&GetRoutingResponse { cluster_id: "d".to_owned(), ..told(1, &[(1, 1, 1)]) });
        assert_eq!((map.version, map.leader_endpoint(bucket(0))), (1, Some("n1:1")));
    }

    #[test]
    fn ranges_beyond_the_last_bucket_do_no_harm() {
        let ranges = [
            v1::BucketRange { first: 16_000, last: u32::MAX, shard: 4 },
            v1::BucketRange { first: 20_000, last: 30_000, shard: 5 },
            v1::BucketRange { first: 9, last: 3, shard: 6 },
        ];
        let owners = owners(&ranges);
        assert_eq!(owners[16_383], 4);
        assert!(!owners.contains(&5) && !owners.contains(&6));
    }
}
