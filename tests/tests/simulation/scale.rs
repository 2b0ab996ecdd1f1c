//! The arithmetic of `docs/scale.md`, carried out: alerts that come by chance, and parts that take as long for each as was measured.
//!
//! The costs and the plan are read from the page, so that neither can be changed without the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use watchbell_tests::chance::Chance;

const PAGE: &str = include_str!("../../../docs/scale.md");
/// Simulated alerts: half a minute of the plan's rate.
const ALERTS: usize = 300_000;
/// Different lengths of the time between two alerts.
const CHANCES: usize = 1 << 30;
/// How far the time that a part is busy may be from what the page says, as a share of it.
const OFF_MAX: f64 = 0.05;

/// A part of the way of an alert: so many cores, of which one takes so long for an alert.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    name: String,
    cost_us: f64,
    /// Cores that the page says are busy at its rate.
    busy_cores: f64,
    /// Cores that it plans.
    planned_cores: usize,
}

/// The rows of the plan: `| part | 48 µs | 0.48 | 2 |`.
fn parts_of(page: &str) -> Vec<Part> {
    let rows = page.lines().filter(|line| line.contains(" µs |"));
    let part = |row: &str| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let cost_us = cells.next()?.trim_end_matches(" µs").parse().ok()?;
        let (busy_cores, planned_cores) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        Some(Part { name, cost_us, busy_cores, planned_cores })
    };
    rows.map(|row| part(row).unwrap_or_else(|| panic!("not a row of the plan: {row}"))).collect()
}

/// What became of one run: how many cores of each part were busy, and the time from the first part to the last, in order.
struct Run {
    busy_cores: BTreeMap<String, f64>,
    latencies_us: Vec<f64>,
}

/// One part after the other, each alert by the core that is free first.
fn run(parts: &[Part], alerts_a_second: f64, chance: &mut Chance) -> Run {
    let mut at_us = 0.0_f64;
    let arrivals: Vec<f64> = (0..ALERTS)
        .map(|_| {
            let share = (1 + chance.below(CHANCES)) as f64 / CHANCES as f64;
            at_us -= share.ln() * 1e6 / alerts_a_second;
            at_us
        })
        .collect();
    let mut now = arrivals.clone();
    let mut busy_cores = BTreeMap::new();
    for part in parts {
        let mut free_at: BinaryHeap<Reverse<u64>> = (0..part.planned_cores).map(|_| Reverse(0)).collect();
        now.sort_by(f64::total_cmp);
        for at in &mut now {
            let Reverse(free) = free_at.pop().unwrap();
            let done = at.max(free as f64) + part.cost_us;
            free_at.push(Reverse(done.round() as u64));
            *at = done;
        }
        busy_cores.insert(part.name.clone(), part.cost_us * ALERTS as f64 / arrivals[ALERTS - 1]);
    }
    // Each part keeps the order, so the alert that came in a place leaves in that place.
    let mut latencies_us: Vec<f64> = now.iter().zip(&arrivals).map(|(done, came)| done - came).collect();
    latencies_us.sort_by(f64::total_cmp);
    Run { busy_cores, latencies_us }
}

#[test]
fn the_plan_for_ten_thousand_alerts_a_second_holds() {
    let parts = parts_of(PAGE);
    assert!(parts.len() >= 5, "the plan was read: {parts:?}");
    let run = run(&parts, 10_000.0, &mut Chance::of(7));
    for part in &parts {
        let (told, busy) = (part.busy_cores, run.busy_cores[&part.name]);
        assert!(
            (busy / told - 1.0).abs() <= OFF_MAX,
            "{}: {busy:.2} cores are busy, the page says {told}",
            part.name
        );
        assert!(
            busy <= 0.7 * part.planned_cores as f64,
            "{}: {busy:.2} of {} cores leave no room",
            part.name,
            part.planned_cores
        );
    }
    let work_us: f64 = parts.iter().map(|part| part.cost_us).sum();
    let p99_us = run.latencies_us[ALERTS * 99 / 100];
    assert!(
        p99_us < 2.0 * work_us,
        "one in a hundred waits longer than its work takes: {p99_us:.0} of {work_us:.0} µs"
    );
}

#[test]
fn a_part_with_too_few_cores_is_found() {
    let part = |name: &str, cost_us, planned_cores| Part {
        name: name.to_owned(),
        cost_us,
        busy_cores: 0.0,
        planned_cores,
    };
    let parts = [part("first", 10.0, 1), part("second", 250.0, 2)];
    let run = run(&parts, 10_000.0, &mut Chance::of(7));
    assert!(run.busy_cores["second"] > 2.0, "it would need more cores than it has: {:?}", run.busy_cores);
    assert!(run.latencies_us[ALERTS - 1] > 1e6, "so alerts pile up");
}
