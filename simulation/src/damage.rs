//! Disks that lose what they had: bits that turn over, a tail that is lost, an old copy put back, a whole disk gone.
//!
//! Earmark promises to bear the loss of a minority's disks, so never more are damaged at one time, and a node counts as
//! damaged until an operator has re-seeded it and all its replicas vote again. An old copy of a whole folder brings its
//! own older marks; only the peers know better, and only if they remember
//! (`docs/decisions/0004-marks-and-incarnations.md`). So one is put back only where every peer remembers more, and
//! until it is found nothing else is lost.

use crate::{
    cluster::Host,
    dice::Dice,
    scenario::{FLIPPED, Fault, Kind},
    trace::Trace,
    watch::Watch,
};
use earmark_node::{
    node::Health,
    storage::{Continuity, Disk, Family, Found, Image},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// All replicas of a node have to vote for so long before the next disk may be lost: a vote that was given a moment ago may
/// not be decided yet.
const SOUND_FOR_MS: u64 = 3_000;

/// Whoever runs the nodes replaces a disk that fails its checksums at so many starts.
const STARTS_MAX: u32 = 3;

/// Disks that are not what they were.
pub struct Damage {
    minority: usize,
    replicas: usize,
    hurt: BTreeMap<u32, Hurt>,
    /// Disks as they were when a fault began that puts that back.
    images: BTreeMap<(u32, Kind), Image>,
    dice: Dice,
    trace: Trace,
    watch: Arc<Watch>,
    healths: BTreeMap<u32, &'static str>,
    /// Nodes that were found damaged though nothing had damaged them.
    unhurt: BTreeSet<u32>,
    counts: BTreeMap<&'static str, u64>,
}

struct Hurt {
    kind: Kind,
    /// How often the disk had been set aside before.
    set_asides: usize,
    sound_since_ms: Option<u64>,
    starts: u32,
    /// Whether its process has begun anew since: some damage is found only then.
    begun: bool,
}

impl Damage {
    /// No disk is damaged yet.
    pub fn new(nodes: u32, shards: u32, seed: u64, trace: Trace, watch: Arc<Watch>) -> Self {
        Self {
            minority: usize::try_from((nodes - 1) / 2).expect("small"),
            replicas: usize::try_from(shards + 1).expect("small"),
            hurt: BTreeMap::new(),
            images: BTreeMap::new(),
            dice: Dice::fork(seed, "damage"),
            trace,
            watch,
            healths: BTreeMap::new(),
            unhurt: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    /// What became of damaged nodes, by name.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Whether a power loss may take what peers remember: not while only that tells an old copy.
    pub fn spares_power(&self) -> bool {
        self.hurt.values().any(|hurt| hurt.kind == Kind::OldCopy)
    }

    /// What a fault does to the disk of a node as it begins. Whether there is anything to end.
    pub fn begin(&mut self, fault: &Fault, host: &Host) -> bool {
        match fault.kind {
            Kind::LostTail | Kind::OldCopy => {
                let runs = self.may(host, fault.kind) && is_sound(host, self.replicas);
                if runs {
                    self.images.insert((host.number, fault.kind), host.disk.image());
                }
                runs
            }
            Kind::BitFlip => self.may(host, fault.kind) && self.flip(fault, host),
            // The process is ended by whoever asks.
            Kind::DiskLost => {
                let may = self.may(host, fault.kind) && is_sound(host, self.replicas);
                if may {
                    self.note(host, fault.kind);
                }
                may
            }
            _ => false,
        }
    }

    /// What it does as it ends, to the disk of a node whose process was just ended by a power loss. Whether it took hold.
    pub fn put_back(&mut self, fault: &Fault, host: &Host, hosts: &[Host]) -> bool {
        let Some(image) = self.images.remove(&(host.number, fault.kind)) else { return false };
        let copy = fault.kind == Kind::OldCopy;
        if !self.may(host, fault.kind) {
            return false;
        }
        let now = host.disk.image();
        host.disk.put_back(&image, copy);
        let told = match host.disk.found() {
            Ok(Found { continuity: Continuity::Lost { .. }, .. }) => true,
            Ok(found) => copy && known_to_all(host, hosts, &found),
            // It can't be read: that is told, too.
            Err(_) => true,
        };
        if told {
            self.note(host, fault.kind);
        } else {
            host.disk.put_back(&now, true);
        }
        told
    }

    /// A process found its store at fault and has to be started anew. Replaces a disk that is at fault again and again,
    /// as whoever runs the nodes does: an empty one is known to lack everything.
    pub fn poisoned(&mut self, host: &Host) {
        let Some(hurt) = self.hurt.get_mut(&host.number) else { return };
        hurt.starts += 1;
        if hurt.starts < STARTS_MAX || host.disk.damaged() == 0 {
            return;
        }
        hurt.starts = 0;
        match host.disk.set_aside() {
            Ok(place) => {
                self.trace.words("supervisor", &format!("the disk of n{} is replaced, {place} kept", host.number));
                *self.counts.entry("disks-replaced").or_default() += 1;
            }
            Err(error) => self.trace.words("supervisor", &format!("the disk of n{}: {error}", host.number)),
        }
    }

    /// A process begins anew.
    pub fn begins(&mut self, node: u32) {
        if let Some(hurt) = self.hurt.get_mut(&node) {
            hurt.begun = true;
        }
    }

    /// Counts what came of it.
    pub fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Looks at every node: who notices, who serves and must not, who is well again.
    pub fn look(&mut self, now_ms: u64, hosts: &[Host]) {
        for host in hosts {
            let Some(node) = host.node() else {
                self.healths.remove(&host.number);
                continue;
            };
            let health = node.health();
            let name = match health {
                Health::Doubted(_) => "doubted",
                Health::Poisoned(_) => "poisoned",
                Health::Reseeding => "reseeding",
                Health::Serving => "serving",
                Health::Starting | Health::Unformed => "starting",
            };
            if self.healths.insert(host.number, name) != Some(name) {
                self.trace.words("health", &format!("n{} {name}", host.number));
                if matches!(name, "doubted" | "poisoned" | "reseeding") {
                    self.count(name);
                }
            }
            self.judge(now_ms, host, name == "serving");
            let found = match health {
                Health::Doubted(reason) => Some(reason),
                Health::Serving => node.closed().into_values().next(),
                _ => None,
            };
            if let Some(found) = found
                && !self.hurt.contains_key(&host.number)
                && self.unhurt.insert(host.number)
            {
                let what = format!("n{} finds damage that nothing did to it: {found}", host.number);
                self.watch.broke("P5", "unhurt", what);
            }
        }
    }

    fn judge(&mut self, now_ms: u64, host: &Host, serves: bool) {
        let Some(hurt) = self.hurt.get_mut(&host.number) else { return };
        let set_aside = host.disk.set_asides() > hurt.set_asides;
        // Whose bits turned over may serve: they may never be read, or be written anew.
        let lost = hurt.kind != Kind::BitFlip;
        if lost && serves && !set_aside {
            let what = format!("n{} serves with a disk that lost what was synced ({})", host.number, hurt.kind.name());
            self.watch.broke("P5", "marks", what);
            self.hurt.remove(&host.number);
            return;
        }
        let well = hurt.begun && host.disk.damaged() == 0 && is_sound(host, self.replicas);
        if !well {
            hurt.sound_since_ms = None;
            return;
        }
        let since = *hurt.sound_since_ms.get_or_insert(now_ms);
        if now_ms >= since + SOUND_FOR_MS {
            self.trace.words("damage", &format!("n{} is well again", host.number));
            self.hurt.remove(&host.number);
        }
    }

    /// Whether so few disks are damaged that this one may be.
    fn may(&self, host: &Host, kind: Kind) -> bool {
        let alone = kind == Kind::OldCopy || self.spares_power();
        let most = if alone { 1 } else { self.minority };
        !self.hurt.contains_key(&host.number) && self.hurt.len() < most
    }

    fn note(&mut self, host: &Host, kind: Kind) {
        self.trace.words("damage", &format!("n{} {}", host.number, kind.name()));
        let set_asides = host.disk.set_asides();
        self.hurt.insert(host.number, Hurt { kind, set_asides, sound_since_ms: None, starts: 0, begun: false });
    }

    fn flip(&mut self, fault: &Fault, host: &Host) -> bool {
        let what = usize::try_from(fault.amount).ok().and_then(|place| FLIPPED.get(place)).copied().unwrap_or("state");
        let family = match what {
            "log" => Family::Log,
            "journal" => Family::Journal,
            "meta" => Family::Meta,
            "marks" => {
                let flipped = host.disk.flip_mark_bit(self.dice.place(8 * 4 * 4096));
                if flipped {
                    self.note(host, fault.kind);
                }
                return flipped;
            }
            _ => Family::State,
        };
        let keys = host.disk.keys(family);
        if keys.is_empty() {
            return false;
        }
        // Bits that lie side by side: a sector, or a block of a table.
        let first = self.dice.place(keys.len());
        let many = 1 + self.dice.place(4);
        for key in keys.iter().skip(first).take(many) {
            host.disk.damage(family, key);
        }
        self.trace.words("damage", &format!("n{} {many} keys of {what} from {:02x?}", host.number, keys[first]));
        self.note(host, fault.kind);
        true
    }
}

/// Whether a node serves with all its replicas, and each of them votes.
fn is_sound(host: &Host, replicas: usize) -> bool {
    let Some(node) = host.node() else { return false };
    let open = node.replicas();
    let votes = open.iter().all(|replica| {
        let standing = replica.standing();
        matches!(standing.role, "leader" | "follower" | "candidate") && standing.voters.contains(&replica.id())
    });
    node.health() == Health::Serving && open.len() == replicas && votes && node.closed().is_empty()
}

/// Whether every other node runs and remembers more of this one than what it would find.
fn known_to_all(host: &Host, hosts: &[Host], found: &Found) -> bool {
    hosts.iter().filter(|other| other.number != host.number).all(|other| {
        let remembered = other.node().and_then(|node| node.store()).map(|store| store.remembered(host.number));
        remembered.is_some_and(|marks| {
            marks.iter().any(|(shard, mark)| !found.marks.get(shard).copied().unwrap_or_default().covers(mark))
        })
    })
}
