//! Which answers to deliveries one frame can carry.
//!
//! AMQP lets one acknowledgement stand for everything on its channel up to a delivery tag. Deliveries are mostly done with in the
//! order they came, so that a batch that was committed takes one frame in place of hundreds: for each the broker would have
//! to find the message, and write down that it is gone.
//!
//! What holds here:
//! - An acknowledgement that stands for several names only what the worker acknowledged. What somebody still has, what is to go
//!   back, and what came over the wire without reaching us end its range.

use std::collections::BTreeSet;

/// The largest tag up to which everything that is unsettled was acknowledged; none when the oldest was not, or nothing was. `wire` are
/// the tags that the broker counts as unsettled and `held` those that we do, both in their order: they differ when the
/// client library lost a delivery, which nobody may acknowledge.
pub(super) fn acknowledged_up_to(
    acknowledged: &BTreeSet<u64>,
    wire: impl IntoIterator<Item = u64>,
    held: impl IntoIterator<Item = u64>,
) -> Option<u64> {
    let both = wire.into_iter().zip(held);
    both.take_while(|(wire, held)| wire == held && acknowledged.contains(wire)).map(|(tag, _)| tag).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_stands_for_what_was_acknowledged_without_a_gap() {
        for (why, acknowledged, wire, held, expected) in [
            ("nothing", vec![], vec![1, 2], vec![1, 2], None),
            ("all", vec![1, 2, 3], vec![1, 2, 3], vec![1, 2, 3], Some(3)),
            ("some had been settled before", vec![4, 7], vec![4, 7, 9], vec![4, 7, 9], Some(7)),
            ("whatever the order they were done in", vec![3, 1, 2], vec![1, 2, 3], vec![1, 2, 3], Some(3)),
            ("the worker has the oldest", vec![2, 3], vec![1, 2, 3], vec![1, 2, 3], None),
            ("the worker has one between", vec![1, 2, 4], vec![1, 2, 3, 4], vec![1, 2, 3, 4], Some(2)),
            ("one never reached us", vec![1, 3], vec![1, 2, 3], vec![1, 3], Some(1)),
            ("the first never reached us", vec![2, 3], vec![1, 2, 3], vec![2, 3], None),
            ("one is settled on the wire already", vec![1, 2], vec![2], vec![1, 2], None),
        ] {
            let acknowledged = BTreeSet::from_iter(acknowledged);
            assert_eq!(acknowledged_up_to(&acknowledged, wire, held), expected, "{why}");
        }
    }
}
