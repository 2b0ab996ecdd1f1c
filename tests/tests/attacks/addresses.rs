//! A client that passes round the limits of its address: by another address of its own network, by a header that its proxy
//! passes on, or by one that says nothing.

use anyhow::ensure;
use watchbell_tests::{
    client::{Asks, Client, Transport},
    fleet::{Engine, Fleet},
};

const QUIET: (u64, u64) = (600_000, 600_000);
/// Sessions of a public address, and of a private one.
const PUBLIC_MAX: usize = 2;
const PRIVATE_MAX: usize = 4;
/// More than either.
const TRIED: usize = 6;

/// Opens sessions, each with its own headers, and says how many were let in.
async fn let_in(
    fleet: &Fleet,
    headers: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> anyhow::Result<usize> {
    let mut held: Vec<Client> = Vec::new();
    for number in 0..TRIED {
        let asks = Asks { headers: headers(number), ..fleet.asks(&format!("user-{number}"), &[])? };
        match fleet.client(Transport::Sse, "up", &asks).await {
            Ok(client) => held.push(client),
            Err(error) => ensure!(error.to_string().starts_with("answered 429"), "{error:#}"),
        }
    }
    Ok(held.len())
}

#[tokio::test]
async fn an_address_has_its_share_however_it_is_spelled() -> anyhow::Result<()> {
    let env = [
        ("WATCHBELL__HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("WATCHBELL__SOCKET__SESSIONS_PER_ADDRESS_MAX", "2"),
        ("WATCHBELL__SOCKET__SESSIONS_PER_PRIVATE_ADDRESS_MAX", "4"),
    ];
    let fleet = Fleet::start(Engine::Embedded, QUIET, &env).await?;
    type Spelling = fn(usize) -> Vec<(&'static str, String)>;
    // Each from an address of its own, so that none waits for those before it to leave.
    let spellings: [(&str, Spelling, usize); 7] = [
        ("one address", |_| vec![("x-forwarded-for", "8.8.1.1".into())], PUBLIC_MAX),
        ("of its network", |n| vec![("x-forwarded-for", format!("2600:1f00:1:2::{n}"))], PUBLIC_MAX),
        ("as version 6", |_| vec![("x-forwarded-for", "::ffff:8.8.1.2".into())], PUBLIC_MAX),
        (
            "with a header that the proxy passes on",
            |n| vec![("x-forwarded-for", "8.8.1.3".into()), ("forwarded", format!("for=9.9.9.{n}"))],
            PUBLIC_MAX,
        ),
        (
            "with one that says nothing",
            |_| vec![("x-forwarded-for", "8.8.1.4".into()), ("forwarded", "for=_x".into())],
            PUBLIC_MAX,
        ),
        ("a private one", |_| vec![("x-forwarded-for", "10.0.0.1".into())], PRIVATE_MAX),
        ("nothing, which is the proxy", |_| vec![("x-forwarded-for", "unknown".into())], PRIVATE_MAX),
    ];
    for (why, spelling, expected) in spellings {
        assert_eq!(let_in(&fleet, spelling).await?, expected, "{why}");
    }
    Ok(())
}
