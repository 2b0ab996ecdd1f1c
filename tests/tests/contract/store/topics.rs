//! The last events of a topic: in the order they happened, each once, no more than were asked for.

use watchbell::domain::TopicKey;
use watchbell::store::{NewEvent, SWEEP_TOPICS_MAX, Store, TOPIC_BYTES_MAX};
use watchbell_tests::builders::{self, at, tenant, topic};

use super::fixture::StoreFixture;

on_both_engines!(
    the_last_events_are_kept_oldest_first,
    an_event_is_kept_once,
    the_newest_event_says_how_many_are_kept,
    what_is_kept_is_bounded_in_bytes,
    an_event_stands_where_it_happened,
    topics_and_tenants_are_apart,
    writers_of_one_topic_do_not_lose_each_others_events,
    abandoned_topics_are_forgotten,
    topics_are_forgotten_in_bounded_steps,
);

/// An event on `acme`'s topic `monitor:7` that happened at 0 s.
fn event(id: &str, keep: u16) -> NewEvent {
    builders::event(&topic("monitor:7"), id).keep(keep).build()
}

/// The ids of the topic's kept events.
async fn kept(store: &Store, key: &TopicKey, limit: usize) -> anyhow::Result<Vec<String>> {
    let events = store.topic_events(key, limit, TOPIC_BYTES_MAX).await?;
    Ok(events.iter().map(|content| content.split(' ').next().unwrap().to_owned()).collect())
}

async fn the_last_events_are_kept_oldest_first(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let key = topic("monitor:7");
    assert!(store.topic_events(&key, 10, TOPIC_BYTES_MAX).await?.is_empty(), "nobody published");
    let first = [event("e0", 3), event("e1", 3)];
    store.record_events(&first, at(0)).await?;
    assert_eq!(
        store.topic_events(&key, 10, TOPIC_BYTES_MAX).await?,
        [first[0].content.clone(), first[1].content.clone()]
    );
    store.record_events(&[event("e2", 3), event("passing", 0), event("e3", 3)], at(1)).await?;
    for (why, limit, expected) in [
        ("the last three", 10, &["e1", "e2", "e3"][..]),
        ("the newest of them", 2, &["e2", "e3"]),
        ("none asked for", 0, &[]),
        ("any number may be asked for", usize::MAX, &["e1", "e2", "e3"]),
    ] {
        assert_eq!(kept(store, &key, limit).await?, expected, "{why}");
    }
    store.record_events(&[event("passing", 0)], at(2)).await?;
    store.record_events(&[], at(2)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["e1", "e2", "e3"], "what is not kept changes nothing");
    Ok(())
}

async fn an_event_is_kept_once(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let key = topic("monitor:7");
    let batch = [event("e0", 5), event("e1", 5), event("e0", 5)];
    for secs in [0, 1] {
        store.record_events(&batch, at(secs)).await?;
    }
    let other = builders::event(&key, "e1").keep(5).content("e1 otherwise").build();
    store.record_events(&[other], at(2)).await?;
    let expected = [batch[0].content.clone(), batch[1].content.clone()];
    assert_eq!(
        store.topic_events(&key, 10, TOPIC_BYTES_MAX).await?,
        expected,
        "the first one stays as it is"
    );
    Ok(())
}

async fn the_newest_event_says_how_many_are_kept(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let key = topic("monitor:7");
    let many: Vec<NewEvent> = (0..1_200).map(|n| event(&format!("e{n:04}"), 1_000)).collect();
    store.record_events(&many, at(0)).await?;
    assert_eq!(kept(store, &key, 2_000).await?.len(), 1_000);
    assert_eq!(kept(store, &key, 1).await?, ["e1199"]);
    store.record_events(&[event("few", 2)], at(1)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["e1199", "few"]);
    store.record_events(&[event("many", 10)], at(2)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["e1199", "few", "many"], "what is gone is gone");
    Ok(())
}

async fn what_is_kept_is_bounded_in_bytes(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    const QUARTER: usize = TOPIC_BYTES_MAX / 4;
    let key = topic("monitor:7");
    let long = |id: &str, bytes: usize| {
        // "é" has two bytes: what counts is bytes, not characters.
        let content = format!("{id} {}", "é".repeat(bytes / 2));
        builders::event(&key, id).keep(1_000).content(content).build()
    };
    let four: Vec<NewEvent> = (0..4).map(|n| long(&format!("e{n}"), QUARTER - 4)).collect();
    store.record_events(&four, at(0)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["e0", "e1", "e2", "e3"], "they fit");
    let ids = |events: Vec<std::sync::Arc<str>>| -> Vec<String> {
        events.iter().map(|content| content.split(' ').next().unwrap().to_owned()).collect()
    };
    for (why, bytes_max, expected) in
        [("the newest that have so many", 2 * QUARTER, &["e2", "e3"][..]), ("at least one", 1, &["e3"])]
    {
        assert_eq!(ids(store.topic_events(&key, 10, bytes_max).await?), expected, "{why}");
    }
    store.record_events(&[long("e4", 100)], at(1)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["e1", "e2", "e3", "e4"], "the oldest makes room");
    store.record_events(&[long("huge", 2 * TOPIC_BYTES_MAX)], at(2)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["huge"], "the newest is kept whatever its size");
    Ok(())
}

async fn an_event_stands_where_it_happened(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let key = topic("monitor:7");
    let happened = |id: &str, secs: i64| builders::event(&key, id).keep(2).occurred_at(at(secs)).build();
    store.record_events(&[happened("down", 20)], at(20)).await?;
    store.record_events(&[happened("up-late", 10)], at(30)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["up-late", "down"], "it came later and happened before");
    store.record_events(&[happened("up", 40)], at(40)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["down", "up"]);
    store.record_events(&[happened("tomorrow", 86_400)], at(50)).await?;
    store.record_events(&[happened("now", 60)], at(60)).await?;
    assert_eq!(kept(store, &key, 10).await?, ["tomorrow", "now"], "a wrong clock holds no place");
    Ok(())
}

async fn topics_and_tenants_are_apart(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let keys =
        [topic("monitor:7"), topic("monitor:71"), TopicKey::new(tenant("globex"), topic("monitor:7").topic)];
    let everywhere =
        |id: &str| -> Vec<NewEvent> { keys.iter().map(|key| builders::event(key, id).build()).collect() };
    store.record_events(&everywhere("e0"), at(0)).await?;
    store.record_events(&everywhere("e1")[1..], at(1)).await?;
    for (key, expected) in keys.iter().zip(["e0", "e1", "e1"]) {
        assert_eq!(kept(store, key, 10).await?, [expected], "{key:?}");
    }
    Ok(())
}

async fn writers_of_one_topic_do_not_lose_each_others_events(fixture: &StoreFixture) -> anyhow::Result<()> {
    let key = topic("monitor:7");
    let writers = (0..4).map(|writer| {
        let store = fixture.another_handle();
        async move {
            for n in 0..10 {
                let (mine, shared) =
                    (event(&format!("w{writer}-{n}"), 100), event(&format!("shared-{n}"), 100));
                // In an order that differs from writer to writer.
                let batch = if writer % 2 == 0 { [mine, shared] } else { [shared, mine] };
                store.record_events(&batch, at(n)).await?;
            }
            anyhow::Ok(())
        }
    });
    futures_util::future::try_join_all(writers).await?;
    let mut ids = kept(&fixture.store, &key, 1_000).await?;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50, "four times ten and ten that all of them wrote: {ids:?}");
    Ok(())
}

async fn abandoned_topics_are_forgotten(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    let of = |name: &str, id: &str| builders::event(&topic(name), id).keep(5).build();
    store.record_events(&[of("quiet", "q1"), of("busy", "b1")], at(0)).await?;
    store.record_events(&[of("busy", "b2")], at(10)).await?;
    // What happened long ago may have been told just now.
    assert_eq!(store.sweep_topics(at(0)).await?, 0, "nothing is older");
    assert_eq!(store.sweep_topics(at(10)).await?, 1, "a topic that lives keeps all of its own");
    assert!(kept(store, &topic("quiet"), 10).await?.is_empty());
    assert_eq!(kept(store, &topic("busy"), 10).await?, ["b1", "b2"]);
    Ok(())
}

async fn topics_are_forgotten_in_bounded_steps(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let of = |name: &str, id: &str| builders::event(&topic(name), id).keep(5).build();
    let many: Vec<NewEvent> = (0..=SWEEP_TOPICS_MAX).map(|n| of(&format!("t{n}"), "e")).collect();
    store.record_events(&many, at(0)).await?;
    let bound = u64::try_from(SWEEP_TOPICS_MAX)?;
    assert_eq!(
        (store.sweep_topics(at(5)).await?, store.sweep_topics(at(5)).await?),
        (bound, 1),
        "in bounded steps"
    );
    Ok(())
}
