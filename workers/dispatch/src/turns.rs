//! Whose turn it is: tenants take turns, and none waits for more than a part of what another one has sent (I16).
//!
//! It is deficit round robin: whoever's turn it is gets credit for [`QUANTUM`], is served as long as there is credit, and pays for
//! each piece (M. Shreedhar, G. Varghese: Efficient Fair Queuing Using Deficit Round Robin, 1995). What a piece costs is known
//! only once the people behind a group are looked up, so it is paid for afterwards: a turn may end in debt, which the next turns
//! of the same tenant pay off first. Memory only: no clock, no I/O.
//!
//! What holds here:
//! - What one tenant sent is served in the order in which it came, so the versions of an alert stay in order.
//! - Everything that was put in comes out once.
//! - Whoever has no debt waits for one turn of each other tenant: a quantum, and what one piece costs more than that.
//! - Debt is kept when nothing waits any more, so that sending one large piece at a time wins nothing.
//! - Memory is bounded by whoever puts in: dispatch, by its prefetch.

use std::collections::{HashMap, VecDeque};

use watchbell::domain::Tenant;

/// What a tenant may take in one turn, in rows.
pub(crate) const QUANTUM: u32 = 32;

/// What one piece costs at most, in rows, so that nobody is in debt for long.
pub(crate) const COST_MAX: u32 = 1_024;

/// So many bytes are about as much work as a row.
const BYTES_PER_ROW: usize = 4096;

/// What waits, by its tenant.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    lines: HashMap<Tenant, Line<T>>,
    /// The tenants that have a line, each once. The first one's turn it is.
    ring: VecDeque<Tenant>,
    /// Pieces of all lines.
    waiting: usize,
}

/// What waits of one tenant, or its debt.
#[derive(Debug)]
struct Line<T> {
    pieces: VecDeque<T>,
    /// In rows; less than nothing is debt.
    credit: i64,
}

impl<T> Turns<T> {
    pub(crate) fn new() -> Self {
        Self { lines: HashMap::new(), ring: VecDeque::new(), waiting: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many pieces wait, of all tenants.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Puts a piece behind the others of its tenant.
    pub(crate) fn put(&mut self, tenant: &Tenant, piece: T) {
        self.waiting += 1;
        if let Some(line) = self.lines.get_mut(tenant) {
            return line.pieces.push_back(piece);
        }
        self.lines.insert(tenant.clone(), Line { pieces: [piece].into(), credit: 0 });
        self.ring.push_back(tenant.clone());
        if self.ring.len() == 1 {
            self.begin_turn();
        }
    }

    /// The next piece, with its tenant, who is to [`Self::pay`] for it before the next one is taken.
    pub(crate) fn take(&mut self) -> Option<(Tenant, T)> {
        self.take_of(|_| true)
    }

    /// The next piece of those tenants who may be served now. The others are passed over, as those in debt are.
    pub(crate) fn take_of(&mut self, may_be_served: impl Fn(&Tenant) -> bool) -> Option<(Tenant, T)> {
        // Nobody's debt is paid off by looking.
        while self.has_any_of(&may_be_served) {
            let tenant = self.ring.front()?;
            if may_be_served(tenant)
                && let Some(line) = self.lines.get_mut(tenant).filter(|line| line.credit > 0)
                && let Some(piece) = line.pieces.pop_front()
            {
                self.waiting -= 1;
                return Some((tenant.clone(), piece));
            }
            self.end_turn();
        }
        None
    }

    /// Whether anything waits of those tenants.
    pub(crate) fn has_any_of(&self, may_be_served: impl Fn(&Tenant) -> bool) -> bool {
        self.lines.iter().any(|(tenant, line)| !line.pieces.is_empty() && may_be_served(tenant))
    }

    /// A piece turned out to cost so many rows: at least one, and [`COST_MAX`] at most.
    pub(crate) fn pay(&mut self, tenant: &Tenant, cost: u32) {
        if let Some(line) = self.lines.get_mut(tenant) {
            line.credit -= i64::from(cost.clamp(1, COST_MAX));
        }
    }

    fn begin_turn(&mut self) {
        if let Some(line) = self.ring.front().and_then(|tenant| self.lines.get_mut(tenant)) {
            // Whoever is passed over saves nothing for later.
            line.credit = (line.credit + i64::from(QUANTUM)).min(i64::from(QUANTUM));
        }
    }

    fn end_turn(&mut self) {
        let Some(tenant) = self.ring.pop_front() else { return };
        let is_done = self.lines.get(&tenant).is_none_or(|line| line.pieces.is_empty() && line.credit >= 0);
        if is_done {
            self.lines.remove(&tenant);
        } else {
            self.ring.push_back(tenant);
        }
        self.begin_turn();
    }
}

/// What an alert or an event costs: a row for itself, one for each recipient of its first page, and its bytes, which are parsed
/// and stored.
pub(crate) fn cost_of(recipients: usize, bytes: usize) -> u32 {
    u32::try_from(1 + recipients + bytes / BYTES_PER_ROW).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn tenant(number: usize) -> Tenant {
        Tenant::parse(format!("t{number}")).unwrap()
    }

    /// A piece: its tenant, its number there, and what it costs.
    type Piece = (usize, usize, u32);

    fn next(turns: &mut Turns<Piece>) -> Option<Piece> {
        let (tenant, piece) = turns.take()?;
        turns.pay(&tenant, piece.2);
        Some(piece)
    }

    #[test]
    fn tenants_take_turns_by_what_their_pieces_cost() {
        let q = QUANTUM;
        for (why, put, expected) in [
            ("nothing", vec![], vec![]),
            ("one alone", vec![(0, 1), (0, 9 * q), (0, 1)], vec![(0, 0), (0, 1), (0, 2)]),
            (
                "a quantum each",
                vec![(0, q), (0, q), (0, q), (1, q), (1, q)],
                vec![(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)],
            ),
            (
                "small pieces come before the second large one",
                vec![(0, q), (0, q), (1, 1), (1, 1), (1, 1)],
                vec![(0, 0), (1, 0), (1, 1), (1, 2), (0, 1)],
            ),
            (
                "what cost three quanta is paid off in three turns",
                vec![(0, 3 * q), (0, 1), (1, q), (1, q), (1, q), (1, q)],
                vec![(0, 0), (1, 0), (1, 1), (1, 2), (0, 1), (1, 3)],
            ),
            ("it costs something, whatever it says", vec![(0, 0), (1, 0)], vec![(0, 0), (1, 0)]),
        ] {
            let (mut turns, mut numbers) = (Turns::new(), [0; 2]);
            for (of, cost) in put {
                turns.put(&tenant(of), (of, numbers[of], cost));
                numbers[of] += 1;
            }
            let order = std::iter::from_fn(|| next(&mut turns).map(|(of, number, _)| (of, number)));
            assert_eq!(order.collect::<Vec<_>>(), expected, "{why}");
            assert!(turns.is_empty(), "{why}");
        }
    }

    #[test]
    fn one_large_piece_at_a_time_wins_nothing() {
        let (mut turns, mut rows) = (Turns::new(), [0_u64; 2]);
        for n in 0..10_000 {
            turns.put(&tenant(1), (1, n, 1));
        }
        while rows[1] < 10_000 {
            if turns.lines.get(&tenant(0)).is_none_or(|line| line.pieces.is_empty()) {
                turns.put(&tenant(0), (0, 0, 500));
            }
            let (of, _, cost) = next(&mut turns).unwrap();
            rows[of] += u64::from(cost);
        }
        assert!(rows[0] <= 10_500, "as much as the other one, and a piece: {rows:?}");
        assert!(turns.lines.len() <= 2);
    }

    /// With chance from a seed: whatever is put in and taken out in whatever order.
    #[test]
    fn nothing_is_lost_order_is_kept_and_nobody_waits_for_long() {
        for seed in 0..300 {
            let mut chance = StdRng::seed_from_u64(seed);
            let tenants = chance.random_range(1..6);
            let cost_max = if chance.random_bool(0.3) { COST_MAX * 2 } else { QUANTUM * 2 };
            let mut turns = Turns::new();
            let (mut put, mut taken) = (vec![0_usize; tenants], vec![0_usize; tenants]);
            // What others were served since the piece that is first in a line became first.
            let mut served = vec![vec![0_u64; tenants]; tenants];
            for step in 0..2_000 {
                let of = chance.random_range(0..tenants);
                if step < 1_000 && chance.random_bool(0.6) {
                    turns.put(&tenant(of), (of, put[of], chance.random_range(0..cost_max)));
                    if put[of] == taken[of] {
                        served[of].fill(0);
                    }
                    put[of] += 1;
                } else if let Some((of, number, cost)) = next(&mut turns) {
                    assert_eq!(number, taken[of], "seed {seed}: in the order in which it came");
                    // A turn of each other one, and as many more as pay off the debt of this one.
                    let (quantum, largest) = (u64::from(QUANTUM), u64::from(COST_MAX));
                    let bound = if number == 0 { quantum + largest } else { 2 * quantum + 2 * largest };
                    let waited = served[of].iter().max().unwrap();
                    assert!(*waited <= bound, "seed {seed}: {of} waited while another was served {waited}");
                    taken[of] += 1;
                    let paid = u64::from(cost.clamp(1, COST_MAX));
                    (0..tenants).filter(|other| *other != of).for_each(|other| served[other][of] += paid);
                    served[of].fill(0);
                } else {
                    assert_eq!(put, taken, "seed {seed}: nothing waits, so everything was served");
                }
            }
            while let Some((of, number, _)) = next(&mut turns) {
                assert_eq!(number, taken[of], "seed {seed}");
                taken[of] += 1;
            }
            assert_eq!(put, taken, "seed {seed}: nothing is lost and nothing comes twice");
        }
    }

    #[test]
    fn what_an_alert_costs() {
        for (why, recipients, bytes, expected) in
            [("a small one", 1, 300, 2), ("a long text", 1, 65_536, 18), ("many people", 500, 20_000, 505)]
        {
            assert_eq!(cost_of(recipients, bytes), expected, "{why}");
        }
    }
}
