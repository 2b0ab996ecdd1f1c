//! Searching an inbox finds the same on both engines, looks at a bounded number of rows, and leads on to everything.

use std::collections::BTreeSet;

use watchbell::domain::{InboxFilter, InboxList, ReceiptState, Severity, search::SearchWords};
use watchbell::store::{InboxSearch, NewAlert, PAGE_BYTES_MAX, PageStart, SEARCHED_ROWS_MAX, Store};
use watchbell::wire::sayings;
use watchbell_tests::builders::{acme, alert, at, later_version, receipt, snooze};

use super::fixture::StoreFixture;

on_both_engines!(
    words_are_found_alike_on_both_engines,
    lists_and_severities_are_those_of_the_rows,
    pages_lead_on_to_everything_that_is_found,
    a_page_that_ends_with_what_is_read_at_once_leads_on,
    a_page_looks_at_a_bounded_number_of_rows,
    a_page_is_bounded_in_bytes,
    a_search_finds_what_an_alert_says_now,
    nobody_finds_what_is_anothers,
    a_search_and_its_head_are_of_one_moment,
);

/// The alerts of one page, and where the next one begins.
async fn page(
    store: &Store,
    filter: &InboxFilter,
    start: Option<&PageStart>,
    (limit, looked_at_max): (usize, usize),
) -> anyhow::Result<(Vec<String>, Option<PageStart>)> {
    let (states, severities) = (filter.states(), filter.severities.as_slice());
    let wanted = InboxSearch { start, states, severities, limit, looked_at_max };
    let takes = |content: &str| sayings::takes(filter, content);
    let page = store.search_inbox(&acme("ana"), &wanted, &takes).await?;
    Ok((page.rows.into_iter().map(|row| row.alert.to_string()).collect(), page.next))
}

/// Everything that is found, page by page, and how many pages that took.
async fn all(
    store: &Store,
    filter: &InboxFilter,
    bounds: (usize, usize),
) -> anyhow::Result<(Vec<String>, usize)> {
    let (mut found, mut start, mut pages) = (Vec::new(), None, 0);
    loop {
        let (rows, next) = page(store, filter, start.as_ref(), bounds).await?;
        found.extend(rows);
        pages += 1;
        let Some(next) = next else { return Ok((found, pages)) };
        start = Some(next);
    }
}

const EVERYTHING: (usize, usize) = (200, SEARCHED_ROWS_MAX);

fn words(typed: &str) -> anyhow::Result<InboxFilter> {
    Ok(InboxFilter { words: SearchWords::read(typed)?, ..InboxFilter::default() })
}

fn titled(id: &str, title: &str) -> NewAlert {
    alert(id).title(title).to_users(["ana"]).content_on_the_wire().build()
}

/// The whole table of what is found is in `src/domain/search_tests.rs`; here is one row of each kind, through the store.
async fn words_are_found_alike_on_both_engines(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let long = format!("{}y", "x".repeat(200));
    let titles = [
        ("umlaut", "Überlauf der Straße"),
        ("chinese", "磁盘已满"),
        ("arabic", "القُرْصُ ممتلئ"),
        ("emoji", "🔥 call 👩\u{200d}🚒"),
        ("quotes", "\"It's\" 90% of a_b \\ c"),
        ("long", &long),
        ("plain", "Disk full on db-1"),
        ("turkish", "İSTANBUL ılık"),
    ];
    store.record(&titles.map(|(id, title)| titled(id, title)), at(0)).await?;
    for (typed, expected) in [
        ("uber", &["umlaut"][..]),
        ("ÜBER strasse", &["umlaut"]),
        ("lauf", &[]),
        ("已满", &["chinese"]),
        ("القرص", &["arabic"]),
        ("🔥", &["emoji"]),
        ("👩\u{200d}🚒", &["emoji"]),
        ("it's", &["quotes"]),
        ("\"it", &["quotes"]),
        ("90%", &["quotes"]),
        ("a_b", &["quotes"]),
        ("%", &[]),
        ("_", &[]),
        ("d_sk", &[]),
        ("di%", &["plain"]),
        ("' OR ''='", &[]),
        ("\\", &[]),
        ("xxx", &["long"]),
        ("xy", &[]),
        ("istanbul ilik", &["turkish"]),
        ("disk db", &["plain"]),
        ("", &["turkish", "plain", "long", "quotes", "emoji", "arabic", "chinese", "umlaut"]),
    ] {
        assert_eq!(all(store, &words(typed)?, EVERYTHING).await?.0, expected, "{typed}");
    }
    Ok(())
}

async fn lists_and_severities_are_those_of_the_rows(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let ana = acme("ana");
    let of =
        |id: &str, severity| alert(id).severity(severity).to_users(["ana"]).content_on_the_wire().build();
    let alerts = [
        of("new", Severity::Critical),
        of("seen", Severity::Info),
        of("read", Severity::Critical),
        of("archived", Severity::Warning),
        of("snoozed", Severity::Critical),
    ];
    store.record(&alerts, at(0)).await?;
    for (id, state) in
        [("seen", ReceiptState::Seen), ("read", ReceiptState::Read), ("archived", ReceiptState::Dismissed)]
    {
        store.apply_receipts(&[receipt(&ana, [id], state)], at(1)).await?;
    }
    store.apply_receipts(&[snooze(&ana, ["snoozed"], at(1_000))], at(1)).await?;
    for (why, list, severities, expected) in [
        ("all of them", None, &[][..], &["archived", "new", "read", "seen", "snoozed"][..]),
        ("what the badge counts", Some(InboxList::Unread), &[], &["new", "seen"]),
        ("what is neither put away nor off", Some(InboxList::Open), &[], &["new", "read", "seen"]),
        ("what was put away", Some(InboxList::Archived), &[], &["archived"]),
        ("what was put off", Some(InboxList::Snoozed), &[], &["snoozed"]),
        ("critical ones", None, &[Severity::Critical], &["new", "read", "snoozed"]),
        ("two severities", None, &[Severity::Info, Severity::Warning], &["archived", "seen"]),
        ("both conditions", Some(InboxList::Open), &[Severity::Critical], &["new", "read"]),
        ("both, and nothing", Some(InboxList::Archived), &[Severity::Info], &[]),
    ] {
        let filter = InboxFilter { list, severities: severities.to_vec(), ..InboxFilter::default() };
        let mut found = all(store, &filter, EVERYTHING).await?.0;
        found.sort();
        assert_eq!(found, expected, "{why}");
    }
    Ok(())
}

/// Whatever the page and whatever is looked at at once, also where one receipt changed many alerts.
async fn pages_lead_on_to_everything_that_is_found(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..60).map(|n| format!("a{n:02}")).collect();
    let title = |n: usize| if n.is_multiple_of(3) { "Disk full" } else { "CPU busy" };
    let alerts: Vec<NewAlert> = names.iter().enumerate().map(|(n, id)| titled(id, title(n))).collect();
    store.record(&alerts, at(0)).await?;
    let many = names[20..40].iter().map(String::as_str);
    store.apply_receipts(&[receipt(&acme("ana"), many, ReceiptState::Seen)], at(1)).await?;
    let expected: BTreeSet<&String> = names.iter().step_by(3).collect();
    for bounds in [(200, SEARCHED_ROWS_MAX), (1, SEARCHED_ROWS_MAX), (7, 10), (3, 1), (200, 1), (200, 19)] {
        let (found, pages) = all(store, &words("disk")?, bounds).await?;
        assert_eq!(found.len(), expected.len(), "each once, {bounds:?}: {found:?}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected, "{bounds:?}");
        assert!(pages <= 62, "{bounds:?}: each page leads on: {pages}");
    }
    Ok(())
}

/// A page may become full with the last row that was read at once, and there is more behind it.
async fn a_page_that_ends_with_what_is_read_at_once_leads_on(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let names: Vec<String> = (0..1_100).map(|n| format!("a{n:04}")).collect();
    let title = |n: usize| if n.is_multiple_of(5) { "Disk full" } else { "CPU busy" };
    let alerts: Vec<NewAlert> = names.iter().enumerate().map(|(n, id)| titled(id, title(n))).collect();
    store.record(&alerts, at(0)).await?;
    for limit in [50, 99, 100, 101, 200] {
        let (found, _) = all(store, &words("disk")?, (limit, SEARCHED_ROWS_MAX)).await?;
        assert_eq!(found.len(), 220, "pages of {limit}");
    }
    Ok(())
}

async fn a_page_looks_at_a_bounded_number_of_rows(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    const MORE: usize = 10;
    let names: Vec<String> = (0..SEARCHED_ROWS_MAX + MORE).map(|n| format!("a{n:04}")).collect();
    for some in names.chunks(1_000) {
        let alerts: Vec<NewAlert> =
            some.iter().map(|id| titled(id, if *id == names[0] { "The first" } else { "Another" })).collect();
        store.record(&alerts, at(0)).await?;
    }
    let asked = (50, usize::MAX);
    let (found, next) = page(store, &words("first")?, None, asked).await?;
    let next = next.ok_or_else(|| anyhow::anyhow!("there is more"))?;
    assert_eq!(
        (found.len(), next.seq),
        (0, MORE as u64 + 1),
        "it looked at so many, and says where it stopped"
    );
    let (found, next) = page(store, &words("first")?, Some(&next), asked).await?;
    assert_eq!((found.as_slice(), next), (&names[..1], None));
    let (found, next) = page(store, &words("another")?, None, asked).await?;
    assert_eq!(
        (found.len(), next.map(|next| next.seq)),
        (50, Some(MORE as u64 + 1 + SEARCHED_ROWS_MAX as u64 - 50))
    );
    Ok(())
}

async fn a_page_is_bounded_in_bytes(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    const HALF: usize = PAGE_BYTES_MAX / 2;
    let long = |id: &str, bytes: usize| alert(id).to_users(["ana"]).content("x".repeat(bytes)).build();
    let alerts = [long("a", HALF), long("b", HALF), long("c", 1), long("d", 2 * HALF + 1), long("e", 1)];
    store.record(&alerts, at(0)).await?;
    let (mut start, mut pages) = (None, Vec::new());
    let everything = InboxFilter::default();
    loop {
        let (rows, next) = page(store, &everything, start.as_ref(), EVERYTHING).await?;
        pages.push(rows.concat());
        let Some(next) = next else { break };
        start = Some(next);
    }
    assert_eq!(pages, ["e", "d", "cb", "a"], "the newest first, each once");
    Ok(())
}

async fn a_search_finds_what_an_alert_says_now(
    StoreFixture { store, .. }: &StoreFixture,
) -> anyhow::Result<()> {
    let first = titled("a", "Disk full");
    store.record(std::slice::from_ref(&first), at(0)).await?;
    let later = later_version(&first).title("All is well").content_on_the_wire().build();
    store.record(std::slice::from_ref(&later), at(1)).await?;
    assert_eq!(all(store, &words("disk")?, EVERYTHING).await?.0, [""; 0]);
    assert_eq!(all(store, &words("well")?, EVERYTHING).await?.0, ["a"]);
    Ok(())
}

async fn nobody_finds_what_is_anothers(StoreFixture { store, .. }: &StoreFixture) -> anyhow::Result<()> {
    store.record(&[alert("a").title("Disk").to_users(["ben"]).content_on_the_wire().build()], at(0)).await?;
    assert_eq!(all(store, &words("disk")?, EVERYTHING).await?, (Vec::new(), 1));
    Ok(())
}

/// While alerts come and are read, the badge is that of the rows, also where a page is read in several parts.
async fn a_search_and_its_head_are_of_one_moment(fixture: &StoreFixture) -> anyhow::Result<()> {
    const BEFORE: u64 = 600;
    const ALERTS: u64 = 100;
    let ana = acme("ana");
    let writer = fixture.another_handle();
    let before: Vec<NewAlert> = (0..BEFORE).map(|n| titled(&format!("b{n}"), "From before")).collect();
    writer.record(&before, at(0)).await?;
    for n in 0..BEFORE {
        writer.apply_receipts(&[receipt(&ana, [&format!("b{n}")], ReceiptState::Read)], at(0)).await?;
    }
    let write = async {
        for n in 0..ALERTS {
            let id = format!("a{n}");
            writer.record(&[titled(&id, "New")], at(1)).await?;
            writer.apply_receipts(&[receipt(&ana, [&id], ReceiptState::Seen)], at(2)).await?;
        }
        anyhow::Ok(())
    };
    let (states, severities) = (&[][..], &[][..]);
    let (limit, looked_at_max) = (2_000, SEARCHED_ROWS_MAX);
    let wanted = InboxSearch { start: None, states, severities, limit, looked_at_max };
    let read = async {
        loop {
            let page = fixture.store.search_inbox(&ana, &wanted, &|_| true).await?;
            let first = page.rows.first().map_or(0, |row| row.seq);
            let unread = page.rows.iter().filter(|row| row.state.is_unread()).count() as u64;
            assert_eq!((first, unread), (page.head.seq, page.head.unread));
            if first == 2 * (BEFORE + ALERTS) {
                return anyhow::Ok(());
            }
        }
    };
    tokio::try_join!(write, read)?;
    Ok(())
}
