//! What the broker counts as delivered and not yet settled, as it went over the wire. Memory only, no I/O.
//!
//! Every byte between the broker and the client library passes our reader, so this is what the broker itself would
//! say: it delivered what it wrote, and it knows as settled what was written to it. Neither the client library nor
//! the management API has to be believed.

use std::collections::{BTreeMap, BTreeSet};

use super::repair::BrokenParts;
use crate::broker::{CutBody, Unreadable};

/// Deliveries that wait for their settlement, at most, in one channel: the largest prefetch of AMQP 0-9-1. More
/// than that is not counted, and is a difference like any other.
const UNSETTLED_MAX: usize = 65_536;

/// Bytes kept of broken headers that nobody has fetched, at most. Beyond it the mark stays and its bytes do not.
const RAW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A channel's number on its connection.
pub(super) type ChannelId = u16;

/// What went over one connection.
#[derive(Debug, Default)]
pub(in crate::broker::rabbitmq) struct Ledger {
    channels: BTreeMap<ChannelId, Channel>,
    /// By channel and delivery tag, until the consumer asks. At most [`UNSETTLED_MAX`].
    unreadable: BTreeMap<(ChannelId, u64), Unreadable>,
    /// In [`Self::unreadable`].
    raw_bytes: usize,
    /// As `unreadable`.
    cut: BTreeMap<(ChannelId, u64), CutBody>,
    /// The longest body of a delivery that goes through whole, in bytes; `None`: any.
    body_bytes_max: Option<u64>,
}

#[derive(Debug, Default)]
struct Channel {
    unsettled: BTreeSet<u64>,
    /// Tags of consumers that do not settle.
    never_settle: BTreeSet<Vec<u8>>,
    /// The message whose header comes next: its delivery tag, if it was delivered, and what was broken so far.
    incoming: Option<(Option<u64>, BrokenParts)>,
}

impl Ledger {
    /// The broker counts these deliveries as not settled.
    pub(in crate::broker::rabbitmq) fn unsettled(&self, channel: ChannelId) -> BTreeSet<u64> {
        self.channels.get(&channel).map(|channel| channel.unsettled.clone()).unwrap_or_default()
    }

    /// The same, tag by tag in their order.
    pub(in crate::broker::rabbitmq) fn unsettled_in_order(
        &self,
        channel: ChannelId,
    ) -> impl Iterator<Item = u64> {
        self.channels.get(&channel).into_iter().flat_map(|channel| channel.unsettled.iter().copied())
    }

    /// What was wrong with a delivery, told once.
    pub(in crate::broker::rabbitmq) fn take_unreadable(
        &mut self,
        channel: ChannelId,
        tag: u64,
    ) -> Option<Unreadable> {
        let unreadable = self.unreadable.remove(&(channel, tag))?;
        self.raw_bytes -= unreadable.raw.len();
        Some(unreadable)
    }

    /// From now on longer bodies of deliveries are cut to their beginning, before anybody holds them.
    pub(in crate::broker::rabbitmq) fn cut_bodies_beyond(&mut self, bytes_max: usize) {
        self.body_bytes_max = Some(bytes_max as u64);
    }

    /// What was cut off a delivery's body, told once.
    pub(in crate::broker::rabbitmq) fn take_cut(&mut self, channel: ChannelId, tag: u64) -> Option<CutBody> {
        self.cut.remove(&(channel, tag))
    }

    /// Whether a body of so many bytes is to be cut.
    pub(super) fn is_too_long(&self, bytes: u64) -> bool {
        self.body_bytes_max.is_some_and(|bytes_max| bytes > bytes_max)
    }

    /// A delivery's body was cut.
    pub(super) fn was_cut(&mut self, channel: ChannelId, tag: u64, cut: CutBody) {
        if self.cut.len() < UNSETTLED_MAX {
            self.cut.insert((channel, tag), cut);
        }
    }

    /// We asked to consume.
    pub(super) fn consumes(&mut self, channel: ChannelId, consumer: &[u8], no_ack: bool) {
        if no_ack {
            self.channel(channel).never_settle.insert(consumer.to_vec());
        }
    }

    /// The broker delivered; the header of the message follows.
    pub(super) fn delivered(&mut self, channel: ChannelId, consumer: &[u8], tag: u64, broken: BrokenParts) {
        let channel = self.channel(channel);
        if !channel.never_settle.contains(consumer) {
            channel.owe(tag);
        }
        channel.incoming = Some((Some(tag), broken));
    }

    /// The broker gave one message that was fetched, to be settled like a delivery; its header follows.
    pub(super) fn fetched(&mut self, channel: ChannelId, tag: u64, broken: BrokenParts) {
        let channel = self.channel(channel);
        channel.owe(tag);
        channel.incoming = Some((Some(tag), broken));
    }

    /// A message came that is no delivery: it was returned to its publisher.
    pub(super) fn returned(&mut self, channel: ChannelId) {
        self.channel(channel).incoming = Some((None, BrokenParts::default()));
    }

    /// Which delivery the next header of this channel belongs to, and what was broken in its method.
    pub(super) fn header_of(&mut self, channel: ChannelId) -> (Option<u64>, BrokenParts) {
        let incoming = self.channels.get_mut(&channel).and_then(|channel| channel.incoming.take());
        incoming.unwrap_or_default()
    }

    /// A delivery cannot be read as it came.
    pub(super) fn mark(&mut self, channel: ChannelId, tag: u64, mut unreadable: Unreadable) {
        if self.raw_bytes + unreadable.raw.len() > RAW_BYTES_MAX {
            unreadable.raw.clear();
        }
        if self.unreadable.len() < UNSETTLED_MAX {
            self.raw_bytes += unreadable.raw.len();
            let before = self.unreadable.insert((channel, tag), unreadable);
            self.raw_bytes -= before.map_or(0, |before| before.raw.len());
        }
    }

    /// We settled, one way or the other: this delivery or, `multiple`, all up to it (0 means all there are).
    pub(super) fn settled(&mut self, channel: ChannelId, tag: u64, multiple: bool) {
        let Some(channel) = self.channels.get_mut(&channel) else { return };
        match (multiple, tag) {
            (false, tag) => drop(channel.unsettled.remove(&tag)),
            (true, 0) => channel.unsettled.clear(),
            (true, tag) => channel.unsettled = channel.unsettled.split_off(&tag.saturating_add(1)),
        }
    }

    /// The channel is no more: its deliveries go back.
    pub(super) fn closed(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.unreadable.retain(|(of, _), _| *of != channel);
        self.cut.retain(|(of, _), _| *of != channel);
        self.raw_bytes = self.unreadable.values().map(|unreadable| unreadable.raw.len()).sum();
    }

    fn channel(&mut self, channel: ChannelId) -> &mut Channel {
        self.channels.entry(channel).or_default()
    }
}

impl Channel {
    fn owe(&mut self, tag: u64) {
        if self.unsettled.len() < UNSETTLED_MAX {
            self.unsettled.insert(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(ledger: &Ledger, channel: ChannelId) -> Vec<u64> {
        ledger.unsettled(channel).into_iter().collect()
    }

    #[test]
    fn what_was_delivered_counts_until_it_is_settled() {
        let mut ledger = Ledger::default();
        for tag in 1..=6 {
            ledger.delivered(1, b"ours", tag, BrokenParts::default());
        }
        ledger.delivered(2, b"ours", 1, BrokenParts::default());
        ledger.settled(1, 2, false);
        assert_eq!(tags(&ledger, 1), [1, 3, 4, 5, 6]);
        ledger.settled(1, 4, true);
        assert_eq!(tags(&ledger, 1), [5, 6]);
        ledger.settled(1, 0, true);
        ledger.settled(9, 1, false);
        assert_eq!((tags(&ledger, 1), tags(&ledger, 2)), (vec![], vec![1]), "channels are apart");
        ledger.closed(2);
        assert!(tags(&ledger, 2).is_empty(), "they went back");
    }

    #[test]
    fn a_consumer_that_does_not_settle_owes_nothing() {
        let mut ledger = Ledger::default();
        ledger.consumes(1, b"live", true);
        ledger.consumes(1, b"work", false);
        ledger.delivered(1, b"live", 1, BrokenParts::default());
        ledger.delivered(1, b"work", 2, BrokenParts::default());
        ledger.delivered(1, b"nobody's", 3, BrokenParts::default());
        assert_eq!(tags(&ledger, 1), [2, 3], "a stranger's deliveries count: that is a ghost");
    }

    #[test]
    fn what_was_fetched_is_settled_and_marked_like_a_delivery() {
        let mut ledger = Ledger::default();
        ledger.fetched(1, 4, BrokenParts::default());
        assert_eq!((tags(&ledger, 1), ledger.header_of(1).0), (vec![4], Some(4)));
        ledger.settled(1, 4, false);
        assert!(tags(&ledger, 1).is_empty());
    }

    #[test]
    fn a_mark_is_found_once_by_its_delivery_and_keeps_so_many_bytes_at_most() {
        let mut ledger = Ledger::default();
        ledger.delivered(1, b"ours", 7, BrokenParts::default());
        assert_eq!(ledger.header_of(1), (Some(7), BrokenParts::default()));
        assert_eq!(ledger.header_of(1), (None, BrokenParts::default()), "a header belongs to one delivery");
        let broken = || Unreadable { reason: "broken".into(), raw: vec![1].into() };
        ledger.mark(1, 7, broken());
        assert_eq!(ledger.take_unreadable(2, 7), None);
        assert_eq!(ledger.take_unreadable(1, 7), Some(broken()));
        assert_eq!(ledger.take_unreadable(1, 7), None);
        let long = || Unreadable { reason: "broken".into(), raw: vec![1; RAW_BYTES_MAX / 2].into() };
        for tag in [1, 1, 2, 3] {
            ledger.mark(1, tag, long());
        }
        assert_eq!(ledger.raw_bytes, RAW_BYTES_MAX);
        assert_eq!(ledger.take_unreadable(1, 3).unwrap().raw.len(), 0, "marked all the same");
        ledger.closed(1);
        assert_eq!((ledger.unreadable.len(), ledger.raw_bytes), (0, 0));
        ledger.returned(1);
        assert_eq!(ledger.header_of(1).0, None);
    }
}
