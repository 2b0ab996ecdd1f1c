//! What must hold whatever happens, tried with many seeds: order and replay against live traffic, the decoder, the
//! mailbox. A failure names its seed; the same seed fails again.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::http::{HeaderMap, HeaderValue, Uri, Version};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;
use watchbell::{
    domain::{Tenant, UserId, UserKey},
    runtime::http::{ClientScheme, Query},
    wire::{
        CloseCode,
        frame::{CLIENT_FRAME_BYTES_MAX, ClientFrame, ServerFrame},
    },
};

use crate::{
    entry::{credentials::token_of, handshake::websocket_head, origin::AllowedOrigins, query::StreamQuery},
    feed::{
        follower::Follower,
        order::{HELD_MAX, Order, Ordered},
    },
    frames::{epoch::Epoch, frame::Frame},
    pod::mailbox::{Backlog, Item, Leave, Mail, Mailbox},
    session::{
        connection,
        decoder::{ClientMessage, Decoder},
        run, state,
    },
};

const SEEDS: u64 = 200;

/// What a client is sent: alerts as they are, or a receipt about some.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    Alert { seq: u64, id: u64, state: u32 },
    Receipt { seq: u64, ids: Vec<u64>, state: u32 },
}

/// An inbox as the store keeps it: where each alert changed last, and to what.
#[derive(Default)]
struct Inbox {
    seq: u64,
    rows: BTreeMap<u64, (u64, u32)>,
}

impl Inbox {
    /// One change, and the live frame of it.
    fn change(&mut self, chance: &mut StdRng) -> Change {
        self.seq += 1;
        let seq = self.seq;
        let state = chance.random_range(0..1_000);
        if self.rows.is_empty() || chance.random_bool(0.6) {
            // New, or a later version of one that is there.
            let id = chance.random_range(0..=self.rows.len() as u64);
            self.rows.insert(id, (seq, state));
            return Change::Alert { seq, id, state };
        }
        let mut ids: Vec<u64> =
            (0..chance.random_range(1..5)).map(|_| chance.random_range(0..self.rows.len() as u64)).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            self.rows.insert(*id, (seq, state));
        }
        Change::Receipt { seq, ids, state }
    }

    /// As `Store::changes_after`: by number, a page longer when the last change is about many; and whether that is all.
    fn after(&self, seq: u64, limit: usize) -> (Vec<Change>, bool) {
        let mut rows: Vec<(u64, u64, u32)> = self
            .rows
            .iter()
            .map(|(id, (seq, state))| (*seq, *id, *state))
            .filter(|row| row.0 > seq)
            .collect();
        rows.sort_unstable();
        let last = rows.get(limit - 1).map_or(u64::MAX, |row| row.0);
        let page: Vec<_> = rows.iter().take_while(|row| row.0 <= last).collect();
        let complete = page.len() == rows.len();
        (page.into_iter().map(|&(seq, id, state)| Change::Alert { seq, id, state }).collect(), complete)
    }
}

/// What a client has on its screen, and that it was sent in order.
#[derive(Default)]
struct Screen {
    shown: BTreeMap<u64, u32>,
    last: u64,
    /// Alerts told with the number `last`: a replayed receipt about several is several alerts of one number.
    of_last: Vec<u64>,
}

impl Screen {
    fn tell(&mut self, change: &Change) {
        let (seq, ids, state) = match change {
            Change::Alert { seq, id, state } => (*seq, std::slice::from_ref(id), *state),
            Change::Receipt { seq, ids, state } => {
                assert!(
                    ids.iter().all(|id| self.shown.contains_key(id)),
                    "{change:?} is of an alert it never saw"
                );
                assert!(*seq > self.last, "{change:?} after {}", self.last);
                (*seq, ids.as_slice(), *state)
            }
        };
        assert!(seq >= self.last, "{change:?} after {}", self.last);
        if seq > self.last {
            self.of_last.clear();
        }
        self.last = seq;
        for id in ids {
            assert!(!self.of_last.contains(id), "{change:?} twice");
            self.of_last.push(*id);
            self.shown.insert(*id, state);
        }
    }
}

/// A session's side: live frames go through its follower, and what is missing comes from the store by pages.
struct Client {
    follower: Follower<Change>,
    screen: Screen,
}

impl Client {
    fn live(&mut self, change: Change, inbox: &mut Inbox, chance: &mut StdRng) {
        let seq = match change {
            Change::Alert { seq, .. } | Change::Receipt { seq, .. } => seq,
        };
        let now = Instant::now();
        for change in self.follower.take(seq, 0, change, now) {
            self.screen.tell(&change);
        }
        // A hole is waited for; what is due at once is not.
        if self.follower.is_due(now) {
            self.heal(inbox, chance);
        }
    }

    /// The world goes on between two pages.
    fn heal(&mut self, inbox: &mut Inbox, chance: &mut StdRng) {
        loop {
            let head = inbox.seq;
            let (page, complete) = inbox.after(self.follower.last(), chance.random_range(1..6));
            page.iter().for_each(|change| self.screen.tell(change));
            let reached = match page.last() {
                Some(Change::Alert { seq, .. }) => *seq,
                _ => self.follower.last(),
            };
            let reached = if complete { reached.max(head) } else { reached };
            for change in self.follower.paged_to(reached, complete, Instant::now()) {
                self.screen.tell(&change);
            }
            if complete {
                return;
            }
            if chance.random_bool(0.3) {
                inbox.change(chance);
            }
        }
    }

    /// The backlog was dropped: the client fetches its inbox.
    fn resync(&mut self, inbox: &Inbox) {
        self.follower.jump_to(inbox.seq);
        self.screen.shown = inbox.rows.iter().map(|(id, (_, state))| (*id, *state)).collect();
        self.screen.last = inbox.seq;
        self.screen.of_last.clear();
    }
}

/// I3, against live frames that are late, early, twice or never, and a backlog that is dropped.
#[test]
fn what_a_client_sees_is_in_order_complete_and_ends_level() {
    for seed in 0..SEEDS {
        let chance = &mut StdRng::seed_from_u64(seed);
        let mut inbox = Inbox::default();
        let mut client =
            Client { follower: Follower::after(0, Arc::new(Epoch::default())), screen: Screen::default() };
        let mut on_its_way: Vec<Change> = Vec::new();
        for _ in 0..300 {
            match chance.random_range(0..100) {
                0..45 => {
                    let change = inbox.change(chance);
                    match chance.random_range(0..10) {
                        0 => {} // Lost.
                        1 => on_its_way.extend([change.clone(), change]),
                        _ => on_its_way.push(change),
                    }
                }
                45..90 if !on_its_way.is_empty() => {
                    let which = chance.random_range(0..on_its_way.len().min(4));
                    client.live(on_its_way.remove(which), &mut inbox, chance);
                }
                90..95 if client.follower.heal_at().is_some() => client.heal(&mut inbox, chance),
                95..97 if inbox.seq > client.follower.last() => client.heal(&mut inbox, chance), // A ping told.
                97 => {
                    on_its_way.clear();
                    client.resync(&inbox);
                }
                _ => {}
            }
        }
        client.heal(&mut inbox, chance);
        for late in on_its_way {
            client.live(late, &mut inbox, chance);
        }
        let level = (client.follower.last(), client.follower.heal_at().is_some());
        assert_eq!(level, (inbox.seq, false), "seed {seed}: level with the store");
        let has: BTreeMap<u64, u32> = inbox.rows.iter().map(|(id, (_, state))| (*id, *state)).collect();
        assert_eq!(client.screen.shown, has, "seed {seed}: nothing is missing and nothing is old");
    }
}

#[test]
fn what_is_held_is_never_more_than_its_bound() {
    for seed in 0..SEEDS {
        let chance = &mut StdRng::seed_from_u64(seed);
        let mut order = Order::after(0);
        let mut held = 0;
        for _ in 0..500 {
            match order.take(chance.random_range(2..1_000), ()) {
                Ordered::Held => held += 1,
                Ordered::Heal => {
                    assert!(held <= HELD_MAX * 2, "seed {seed}: repetitions are held once");
                    order.jump_to(order.last());
                    held = 0;
                }
                Ordered::Next(()) | Ordered::Send(_) | Ordered::Old => {}
            }
        }
    }
}

/// A client's WebSocket frame, with a mask.
fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => bytes.extend([&[0x80 | 126][..], &(len as u16).to_be_bytes()].concat()),
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Messages in fragments with control frames between them: the bytes, and what they mean.
fn spoken(chance: &mut StdRng) -> (Vec<u8>, Vec<ClientMessage>) {
    let (mut bytes, mut meant) = (Vec::new(), Vec::new());
    for _ in 0..chance.random_range(1..6) {
        let text: String = (0..chance.random_range(0..300)).map(|_| chance.random::<char>()).collect();
        let mut rest = text.as_bytes();
        let mut opcode = 0x01;
        while chance.random_bool(0.5) {
            let (now, later) = rest.split_at(chance.random_range(0..=rest.len()));
            bytes.extend(masked(opcode, now, chance.random()));
            meant.push(ClientMessage::Part(now.len()));
            (rest, opcode) = (later, 0x00);
            if chance.random_bool(0.3) {
                bytes.extend(masked(0x89, b"p", chance.random()));
                meant.push(ClientMessage::Ping(b"p".to_vec()));
            }
        }
        bytes.extend(masked(0x80 | opcode, rest, chance.random()));
        meant.push(ClientMessage::Text(text));
    }
    (bytes, meant)
}

#[test]
fn a_decoder_understands_the_same_wherever_the_bytes_are_cut() {
    for seed in 0..SEEDS {
        let chance = &mut StdRng::seed_from_u64(seed);
        let (bytes, meant) = spoken(chance);
        let (mut decoder, mut said, mut rest) = (Decoder::default(), Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(chance.random_range(1..=rest.len().min(600)));
            assert_eq!(decoder.take(now, CLIENT_FRAME_BYTES_MAX, &mut said), Ok(()), "seed {seed}");
            rest = later;
        }
        assert_eq!(said, meant, "seed {seed}");
        assert_eq!(decoder.kept(), 0, "seed {seed}: nothing is kept of what was understood");
    }
}

/// Good bytes, with some changed, cut out and put in: refused or understood, never more kept than one message may have.
#[test]
fn a_decoder_survives_anything() {
    const CHUNK: usize = 4_096;
    for seed in 0..SEEDS * 10 {
        let chance = &mut StdRng::seed_from_u64(seed);
        let (mut bytes, _) = spoken(chance);
        mutate(&mut bytes, chance);
        let (mut decoder, mut said) = (Decoder::default(), Vec::new());
        for chunk in bytes.chunks(chance.random_range(1..=CHUNK)) {
            if decoder.take(chunk, CLIENT_FRAME_BYTES_MAX, &mut said).is_err() {
                break;
            }
            assert!(decoder.kept() <= 2 * CLIENT_FRAME_BYTES_MAX + CHUNK, "seed {seed}");
        }
        let longest =
            said.iter().map(|said| if let ClientMessage::Text(text) = said { text.len() } else { 0 }).max();
        assert!(longest.unwrap_or(0) <= CLIENT_FRAME_BYTES_MAX, "seed {seed}");
    }
}

fn mutate(bytes: &mut Vec<u8>, chance: &mut StdRng) {
    for _ in 0..chance.random_range(1..8) {
        if bytes.is_empty() {
            return;
        }
        let at = chance.random_range(0..bytes.len());
        match chance.random_range(0..5) {
            0 => bytes[at] = chance.random(),
            1 => bytes[at] ^= 1 << chance.random_range(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, chance.random()),
            _ => bytes.extend_from_within(at..bytes.len().min(at + 40)),
        }
    }
}

/// Every fixture, damaged: it is a frame or it is not, and reading it ends.
#[test]
fn reading_what_a_client_says_never_fails_in_another_way_than_no() {
    const FIXTURES: &str = include_str!("../../../tests/fixtures/client_frames.json");
    let fixtures: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(FIXTURES).expect("fixtures are JSON");
    let (mut good, mut bad) = (0, 0);
    for seed in 0..SEEDS {
        let chance = &mut StdRng::seed_from_u64(seed);
        for frame in fixtures.values() {
            let mut bytes = frame.to_string().into_bytes();
            mutate(&mut bytes, chance);
            match std::str::from_utf8(&bytes).ok().map(ClientFrame::read) {
                Some(Ok(_)) => good += 1,
                Some(Err(_)) | None => bad += 1,
            }
        }
    }
    assert!(good > 0 && bad > good, "most damage is seen, some changes nothing: {good} and {bad}");
}

/// A good handshake, damaged: refused, or answered with a head that nothing of it leaks into.
#[test]
fn a_handshake_is_answered_or_refused_whatever_it_says() {
    let good = [
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, watchbell.v1"),
        ("authorization", "Bearer a.b.c"),
        ("cookie", "a=b; watchbell_token=a.b.c"),
        ("origin", "https://app.example.com"),
        ("host", "app.example.com"),
    ];
    let (mut answered, mut refused) = (0, 0);
    for seed in 0..SEEDS * 5 {
        let chance = &mut StdRng::seed_from_u64(seed);
        let mut headers = HeaderMap::new();
        for (name, value) in good {
            let mut value = value.as_bytes().to_vec();
            if chance.random_bool(0.3) {
                mutate(&mut value, chance);
            }
            // Others do not come through the parser of HTTP.
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        token_of(&headers);
        AllowedOrigins::new(&["https://app.example.com".to_owned()], Some("https://alerts.example.com"))
            .allow(&headers, ClientScheme::Http);
        match websocket_head(Version::HTTP_11, &headers) {
            Ok(head) => {
                answered += 1;
                let lines = head.strip_suffix("\r\n\r\n").expect("a whole head").split("\r\n").count();
                assert!((4..=5).contains(&lines), "seed {seed}: {head}");
            }
            Err(_) => refused += 1,
        }
        let mut query = b"token=a.b&cursor=e.7&topics=a,b&labels=env:prod&min_severity=info&wait=5".to_vec();
        mutate(&mut query, chance);
        if let Ok(uri) = Uri::try_from(format!("/v1/sse?{}", String::from_utf8_lossy(&query)))
            && let Ok(Query(query)) = Query::<StreamQuery>::of(&uri)
        {
            query.auth();
        }
    }
    assert!(answered > 100 && refused > 100, "both are seen: {answered} and {refused}");
}

/// I9: never more than its bounds, in order, and whatever is dropped is said.
#[test]
fn a_mailbox_is_bounded_and_drops_nothing_in_silence() {
    let context = Context::from_waker(Waker::noop());
    for seed in 0..SEEDS / 10 {
        let chance = &mut StdRng::seed_from_u64(seed);
        let user =
            UserKey::new(Tenant::parse("acme").expect("a tenant"), UserId::parse("ana").expect("a user"));
        let mailbox = Mailbox::new(user);
        let backlog = Backlog {
            frames_max: chance.random_range(1..300),
            bytes_max: chance.random_range(1_000..300_000),
        };
        let (mut put, mut taken, mut leaves) = (0, 0, 0);
        let length = if chance.random_bool(0.5) { 1..100 } else { 1..8_000 };
        for _ in 0..2_000 {
            match chance.random_range(0..1_000) {
                0..985 => {
                    put += 1;
                    let title = "x".repeat(chance.random_range(length.clone()));
                    let frame = Frame::new(&ServerFrame::Error { code: "", title: &title }, Some(put));
                    assert!(
                        !mailbox.put(Item::Frame(Arc::new(frame)), backlog),
                        "seed {seed}: nothing is lent"
                    );
                }
                985..990 => {
                    leaves += 1;
                    let leave = Leave { after_ms: 0, within_ms: 0, grace_ms: 0, code: CloseCode::Drain };
                    assert!(!mailbox.put(Item::Leave(leave), backlog), "seed {seed}: nothing is lent");
                }
                _ => match mailbox.poll_take(&context) {
                    Poll::Pending => {
                        assert_eq!(taken, put, "seed {seed}: something waits and nobody is told");
                    }
                    // The client fetches its inbox, which has all that was put until now.
                    Poll::Ready(Mail::Overflowed) => taken = put,
                    Poll::Ready(Mail::Frame(frame)) => {
                        taken += 1;
                        assert_eq!(frame.seq, Some(taken), "seed {seed}: in order, none left out");
                    }
                    Poll::Ready(Mail::Items(items)) => {
                        let frames: Vec<_> = items
                            .iter()
                            .filter_map(|item| if let Item::Frame(frame) = item { Some(frame) } else { None })
                            .collect();
                        assert!(frames.len() <= backlog.frames_max, "seed {seed}");
                        assert!(
                            frames.iter().map(|frame| frame.len()).sum::<usize>() <= backlog.bytes_max,
                            "seed {seed}"
                        );
                        for frame in &frames {
                            taken += 1;
                            assert_eq!(frame.seq, Some(taken), "seed {seed}: in order, none left out");
                        }
                        leaves -= items.len() - frames.len();
                    }
                },
            }
        }
        while let Poll::Ready(mail) = mailbox.poll_take(&context) {
            if let Mail::Items(items) = mail {
                leaves -= items.iter().filter(|item| matches!(item, Item::Leave(_))).count();
            }
        }
        assert_eq!(leaves, 0, "seed {seed}: nobody misses that the pod leaves");
    }
}

/// What an idle session keeps in memory, beside what tokio and the kernel keep for it (README.md, Sizing). A future that
/// grew by accident is seen here: whatever happens rarely is boxed where it is awaited. The task is what is allocated; its state
/// and its connection are parts of it, listed to find what has grown.
#[test]
fn an_idle_session_is_small() {
    fn future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    let parts = [
        ("task", future(run::run), 616),
        ("state, within the task", size_of::<state::SessionState>(), 376),
        ("connection, within the task", size_of::<connection::Connection>(), 56),
        ("timer", size_of::<tokio::time::Sleep>(), 120),
        ("mailbox", size_of::<Mailbox>(), 144),
    ];
    let too_large: Vec<_> = parts.iter().filter(|(_, bytes, most)| bytes > most).collect();
    assert!(too_large.is_empty(), "of {parts:?}, these are larger than they were: {too_large:?}");
}
