//! Making a state from its records: at restart, and from a snapshot.

use super::{
    Due, Ledger, Line, Lines, LoadingPacks, Mark, Operation, OwnerUses, Packed, Part, Reservation, stock::check_sku_key,
};
use crate::{
    codec::{Corrupt, record},
    limits::HOT_WINDOW,
    planted::{self, Bug},
    records::{
        self, ENDED, FLOOR, HEADER, ID_KEY_BYTES, LIVE, META, OPERATION, OWNER_USE, PACK, PACK_LEFT, PART, POOL,
        REFUSED_OPERATION, REFUSED_RESERVE, REFUSED_WHOLE, SKU, TRANSFER, UNSETTLED, pack_number, read_owner_key,
        read_pool_key, sku_part,
    },
    state::{EndedBy, Intent, RoundKind, Seldom},
    types::{OperationId, Owner, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;
use std::{cmp::Reverse, collections::hash_map::Entry};

/// Takes the records of [`hot_ranges`](crate::records::hot_ranges) (more do no harm) and makes the state of them. The
/// order of keys is the quickest; any other works in which what has left a pack comes before the pack.
pub struct Loader {
    ledger: Ledger,
    header: bool,
    records: u64,
    packs: LoadingPacks,
    /// Records that came before those they name: pools before their SKU, reservations before their pools.
    early: Vec<(Bytes, Bytes, Option<Packed>)>,
}

impl Loader {
    /// Nothing loaded yet.
    pub fn new(shard: ShardId) -> Self {
        Self {
            ledger: Ledger::new(shard),
            header: false,
            records: 0,
            packs: LoadingPacks::default(),
            early: Vec::new(),
        }
    }

    /// Takes one record.
    ///
    /// # Errors
    /// [`Corrupt`] if it can't be read, contradicts itself, or came before.
    pub fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        self.records += 1;
        match key.first() {
            Some(&(ENDED | OPERATION)) if planted::on(Bug::ForgetIdsAtRestart) => Ok(()),
            Some(&HEADER) if key.len() == 1 => self.take_header(value),
            Some(&META) if key.len() == 1 => {
                self.ledger.meta = Some((record::decode_meta(value)?, Mark::stored(key, value)));
                Ok(())
            }
            Some(&SKU) => self.sku(key, value),
            Some(&(POOL | LIVE | ENDED | UNSETTLED | PART)) => {
                if !self.place(key, value)? {
                    self.early.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value), None));
                }
                Ok(())
            }
            Some(&PACK_LEFT) => self.packs.left(pack_number(key)?, record::decode_pack_left(value)?),
            Some(&PACK) => self.pack(key, value),
            Some(&OPERATION) => self.operation(key, value),
            Some(&(REFUSED_RESERVE | REFUSED_OPERATION | REFUSED_WHOLE)) => self.refusal(key, value),
            Some(&(TRANSFER | OWNER_USE)) => {
                // They name pools, SKUs and reservations, and there are few of them.
                self.early.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value), None));
                Ok(())
            }
            Some(&FLOOR) => self.floor(key, value),
            Some(kind) => Err(Corrupt::new("record key", format_args!("kind {kind} is not known to this build"))),
            None => Err(Corrupt::new("record key", "is empty")),
        }
    }

    /// The state, once all records were taken. No record at all is an empty state.
    ///
    /// # Errors
    /// [`Corrupt`] if something is missing, or the books do not add up.
    pub fn finish(mut self) -> Result<Ledger, Corrupt> {
        if self.records > 0 && !self.header {
            return Err(Corrupt::new("state", "has no header"));
        }
        if !self.packs.complete() {
            return Err(Corrupt::new("state", "tells what has left a pack that is not there"));
        }
        let mut early = std::mem::take(&mut self.early);
        early.sort_unstable();
        for (key, value, packed) in early {
            let placed = match packed {
                Some(_) => {
                    let mark = Mark::packed(&[&key[..], &value[..]].concat(), key.len());
                    self.reservation(&key, value, mark, packed)?
                }
                None => self.place(&key, &value)?,
            };
            if !placed {
                return Err(Corrupt::new("state", "has a record that names a SKU or pool that is not there"));
            }
        }
        for pool in &self.ledger.stock.pools {
            let held = pool.dues.total() + pool.told().total() + pool.undecided;
            if held != pool.books.held {
                let problem = format_args!("{:?} has {} units held, its holds {held}", pool.name(), pool.books.held);
                return Err(Corrupt::new("state", problem));
            }
        }
        if let Some(problem) = self.ledger.stock.transit_problem() {
            return Err(Corrupt::new("state", problem));
        }
        self.ledger.deadlines.settle();
        self.ledger.cold.horizon = self.ledger.header.clock.minus(HOT_WINDOW);
        Ok(self.ledger)
    }

    fn take_header(&mut self, value: &[u8]) -> Result<(), Corrupt> {
        let message = record::decode_header(value)?;
        if message.shard != self.ledger.shard.0 {
            let problem = format_args!("is of shard {}, not of {}", message.shard, self.ledger.shard);
            return Err(Corrupt::new("header", problem));
        }
        self.ledger.header = message.header();
        self.ledger.dirty.sum = message.sum();
        self.header = true;
        Ok(())
    }

    fn sku(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let bytes = Bytes::copy_from_slice(&key[1..]);
        check_sku_key(&bytes)?;
        if self.ledger.stock.knows_sku(&bytes) {
            return Err(twice());
        }
        self.ledger.stock.insert_sku(&bytes, record::decode_sku(value)?, Mark::stored(key, value));
        Ok(())
    }

    /// Whether what the record names was there, so that it could be put in its place.
    fn place(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Corrupt> {
        match key[0] {
            TRANSFER => return self.transfer(key, value),
            OWNER_USE => return self.owner_use(key, value),
            PART => return self.part(key, value),
            _ => {}
        }
        if key[0] != POOL {
            return self.reservation(key, Bytes::copy_from_slice(value), Mark::stored(key, value), None);
        }
        let bytes = Bytes::copy_from_slice(&key[1..]);
        // Read of a copy: what is kept stays alone.
        read_pool_key(Bytes::copy_from_slice(&bytes))?;
        if self.ledger.stock.find_bytes(&bytes).is_some() {
            return Err(twice());
        }
        if !self.ledger.stock.knows_sku(sku_part(&bytes)) {
            return Ok(false);
        }
        let (books, totals, last, aside) = record::decode_pool(value)?;
        self.ledger.stock.insert_pool(&bytes, books, totals, last, Mark::stored(key, value), aside);
        Ok(true)
    }

    fn pack(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let holds = record::decode_pack(value)?;
        let (pack, left) = self.packs.pack(&mut self.ledger.dirty.packs, pack_number(key)?, holds.len())?;
        for (at, hold) in holds.into_iter().enumerate().filter(|(at, _)| !left.has(*at)) {
            let (key, value) = (hold.slice(..ID_KEY_BYTES), hold.slice(ID_KEY_BYTES..));
            if key[0] != LIVE {
                return Err(Corrupt::new("pack record", "has what is no hold"));
            }
            let (mark, packed) = (Mark::packed(&hold, ID_KEY_BYTES), pack.place(at));
            if !self.reservation(&key, value.clone(), mark, Some(packed))? {
                self.early.push((key, value, Some(packed)));
            }
        }
        Ok(())
    }

    /// Whether the pools of the reservation were there, so that it could be put in its place.
    fn reservation(&mut self, key: &[u8], value: Bytes, mark: Mark, packed: Option<Packed>) -> Result<bool, Corrupt> {
        let id = records::reservation_id(key)?;
        let message = record::decode_reservation(value)?;
        if (key[0] == LIVE) != (message.ended_by == 0) || (key[0] == UNSETTLED) != message.passing() {
            return Err(Corrupt::new("reservation record", "stands among the wrong kind"));
        }
        if self.ledger.reservations.contains_key(&id) {
            return Err(twice());
        }
        let absent = |pool: &Bytes| self.ledger.stock.find_bytes(pool).is_none();
        let prepared = message.cart.iter().flat_map(|cart| cart.own_pools()).any(absent);
        if prepared || message.lines.iter().any(|line| absent(&line.pool)) {
            return Ok(false);
        }
        self.ledger.insert_reservation(id, message, mark, packed).map(|()| true)
    }

    fn transfer(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Corrupt> {
        let id = records::operation_id(key)?;
        let message = record::decode_transit(value)?;
        let stock = &mut self.ledger.stock;
        let (Some(from), Some(to)) = (stock.find_bytes(&message.from), stock.find_bytes(&message.to)) else {
            return Ok(false);
        };
        let sku = stock.pool(from).sku;
        if sku != stock.pool(to).sku || message.id()? != id {
            return Err(Corrupt::new("transfer record", "is of two SKUs, or stands under the key of another"));
        }
        let transit = message.transit(from, to, Mark::stored(key, value))?;
        if stock.insert_transit(sku, id, transit) { Ok(true) } else { Err(twice()) }
    }

    fn owner_use(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Corrupt> {
        let bytes = Bytes::copy_from_slice(&key[1..]);
        let (of_sku, _) = read_owner_key(bytes.clone())?;
        if !self.ledger.stock.knows_sku(&bytes[..of_sku]) {
            return Ok(false);
        }
        let parts = record::decode_owner_uses(value)?;
        let owner = OwnerUses { parts, mark: Mark::stored(key, value) };
        if self.ledger.stock.uses.load(bytes, owner) { Ok(true) } else { Err(twice()) }
    }

    /// Whether the pools of the part were there, so that it could be put in its place.
    fn part(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Corrupt> {
        let id = records::reservation_id(key)?;
        let message = record::decode_part(value)?;
        if self.ledger.parts.contains_key(&id) {
            return Err(twice());
        }
        if message.pools().any(|pool| self.ledger.stock.find_bytes(pool).is_none()) {
            return Ok(false);
        }
        let part: Part = message.part(id, &self.ledger.stock, Mark::stored(key, value))?;
        self.ledger.index_part(id, &part);
        self.ledger.parts.insert(id, Box::new(part));
        Ok(true)
    }

    fn floor(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let floor = (record::decode_floor(value)?, Mark::stored(key, value));
        match self.ledger.floors.insert(records::floor_home(key)?, floor) {
            Some(_) => Err(twice()),
            None => Ok(()),
        }
    }

    fn operation(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let id = records::operation_id(key)?;
        let (fingerprint, outcome) = record::decode_operation(value)?;
        if self.ledger.operations.contains_key(&id) {
            return Err(twice());
        }
        self.ledger.insert_operation(id, Operation { fingerprint, outcome, mark: Mark::stored(key, value) });
        Ok(())
    }

    fn refusal(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let intent = match key[0] {
            REFUSED_RESERVE => Intent::Reserve(records::reservation_id(key)?),
            REFUSED_WHOLE => Intent::Whole(records::operation_id(key)?),
            _ => Intent::Operation(records::operation_id(key)?),
        };
        let mut refused = record::decode_refused(value)?;
        refused.mark = Mark::stored(key, value);
        self.ledger.refusal_ends.insert((refused.until, intent));
        match self.ledger.refusals.entry(intent) {
            Entry::Occupied(_) => Err(twice()),
            Entry::Vacant(place) => {
                place.insert(refused);
                Ok(())
            }
        }
    }
}

pub(super) fn twice() -> Corrupt {
    Corrupt::new("state", "has the same record twice")
}

impl Ledger {
    /// Puts a reservation in its place that was read from its record.
    pub(crate) fn insert_reservation(
        &mut self,
        id: ReservationId,
        message: record::ReservationMsg,
        mark: Mark,
        packed: Option<Packed>,
    ) -> Result<(), Corrupt> {
        if message.id()? != id {
            return Err(Corrupt::new("reservation record", "stands under the key of another"));
        }
        Owner::new(message.owner.clone()).map_err(|bad| Corrupt::new("owner", bad))?;
        let mut pools: Vec<&Bytes> = message.lines.iter().map(|line| &line.pool).collect();
        pools.sort_unstable();
        if pools.windows(2).any(|two| two[0] == two[1]) {
            return Err(Corrupt::new("reservation record", "has two lines of one pool"));
        }
        let lines = message
            .lines
            .iter()
            .map(|line| match self.stock.find_bytes(&line.pool) {
                Some(pool) => Ok(line.line(pool)),
                None => Err(Corrupt::new("reservation record", "names a pool that is not there")),
            })
            .collect::<Result<Vec<Line>, Corrupt>>()?;
        let first = (!message.first.is_empty()).then(|| Bytes::copy_from_slice(&message.first));
        let reservation = Reservation {
            lines: Lines::new(lines.into_iter()),
            owner: message.owner.as_ref().into(),
            fingerprint: message.fingerprint,
            created: TimeMs(message.created),
            deadline: TimeMs(message.deadline),
            first_deadline: TimeMs(message.first_deadline),
            since: TimeMs(message.since),
            reserved_at: message.reserved_at.into(),
            last: message.last.into(),
            revision: message.revision,
            ended: EndedBy::from_tag(message.ended_by),
            paying: message.paying,
            seldom: Seldom::of(message.rares(), first, message.grace_ms()),
            cart: message.cart.map(|cart| cart.cart().map(Box::new)).transpose()?,
            mark,
            packed,
        };
        if packed.is_some() && (reservation.cart.is_some() || reservation.ended.is_some()) {
            return Err(Corrupt::new("pack record", "has a cart, or what has ended"));
        }
        self.index_reservation(id, &reservation)?;
        self.reservations.insert(id, Box::new(reservation));
        Ok(())
    }

    /// Enters a reservation where it is to be found by its deadline, or by its age if it has ended.
    ///
    /// # Errors
    /// [`Corrupt`] if one of its messages has the number of another.
    fn index_reservation(&mut self, id: ReservationId, reservation: &Reservation) -> Result<(), Corrupt> {
        if let Some(cart) = &reservation.cart {
            for participant in &cart.participants {
                if !self.outbox.open(participant, id) {
                    return Err(Corrupt::new("state", "has two messages of one number"));
                }
            }
            if let Some(round) = &cart.round {
                self.rounds.insert(Due::new(round.until, id));
                self.preparing.extend(round.operation);
                for own in round.own.iter().filter(|_| round.kind != RoundKind::Ship) {
                    let Some(pool) = self.stock.find_bytes(&own.pool) else {
                        return Err(Corrupt::new("reservation record", "prepares in a pool that is not there"));
                    };
                    self.stock.pool_mut(pool).undecided += u64::from(own.extra);
                }
            }
        }
        if reservation.ended.is_some() {
            if !reservation.passing() {
                self.cold.ended.push(Reverse(id));
            }
            return Ok(());
        }
        if reservation.opening() {
            for line in reservation.lines.iter() {
                self.stock.pool_mut(line.pool).undecided += u64::from(line.held);
            }
            return Ok(());
        }
        let due = Due::new(reservation.deadline, id);
        self.deadlines.add(due, ());
        self.owners.add(&reservation.owner, id);
        for line in reservation.lines.iter().filter(|line| line.held > 0) {
            self.stock.pool_mut(line.pool).add_hold(due, u64::from(line.held));
        }
        Ok(())
    }

    pub(crate) fn insert_operation(&mut self, id: OperationId, operation: Operation) {
        self.cold.operations.push(Reverse(id));
        self.operations.insert(id, Box::new(operation));
    }
}
