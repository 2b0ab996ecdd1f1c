//! What one person got and did not get, as an operator asks it who knows no alert's id.

use reqwest::Method;
use serde_json::{Value, json};

use super::commands::{assert_says, is_in, refusal, up};

/// A customer says: I did not get it last night.
#[tokio::test]
async fn explain_tells_what_somebody_got_and_did_not_get() -> anyhow::Result<()> {
    let fleet = &up().await?;
    let send = |args: &[&str]| {
        fleet.command(&[&["send", "--data", "data", "--severity", "critical"], args].concat())
    };
    let got = send(&["--to", "zora", "Got it"])?.trim().to_owned();
    is_in(fleet, "zora", &got, "new").await?;
    // A group that she is put into too late.
    let missed = send(&["--group", "night", "--to", "ana", "Left her out"])?.trim().to_owned();
    is_in(fleet, "ana", &missed, "new").await?;
    let members = json!({"add": ["zora"]});
    fleet.producer(Method::PUT, "/v1/groups/night/members", Some(&members)).await?;
    let explain =
        |args: &[&str]| fleet.command(&[&["explain", "--user", "zora", "--data", "data"], args].concat());
    let printed = explain(&["--since", "1h"])?;
    let in_the_way = "push: the user has no device";
    let late = "it was for the group night: they were put into it after that";
    let line = "came under policy critical · on no screen";
    assert_says(&printed, &[in_the_way, &got, "Got it", line, &missed, "Left her out", late]);
    let of_http = fleet.producer(Method::GET, "/v1/users/zora/explain?not_seen=true", None).await?.1;
    assert_eq!(
        (of_http["alerts"][0]["id"].as_str(), of_http["left_out"][0]["id"].as_str()),
        (Some(&*got), Some(&*missed))
    );
    let json: Value = serde_json::from_str(&explain(&["--json"])?)?;
    assert_eq!((&json["user"], &json["alerts"][0]["id"]), (&of_http["user"], &of_http["alerts"][0]["id"]));
    for (why, args) in [
        ("it is critical", &["--severity", "info"][..]),
        ("it came later", &["--until", "1h", "--since", "2h"]),
    ] {
        assert_says(&explain(args)?, &[in_the_way, "No alert came to them in this time."]);
        assert!(!explain(args)?.contains(&got), "{why}");
    }
    fleet
        .user("zora", Method::POST, "/v1/inbox/receipts", Some(&json!({"alerts": [got], "state": "seen"})))
        .await?;
    assert_says(&explain(&[])?, &["seen (last over HTTP)", "seen; ended: seen"]);
    assert_says(&explain(&["--not-seen"])?, &["No alert came to them in this time."]);
    assert_says(&refusal(fleet, &["explain", "--data", "data"], &[]), &["--user"]);
    assert_says(
        &refusal(fleet, &["explain", &got, "--since", "1h", "--data", "data"], &[]),
        &["cannot be used with"],
    );
    Ok(())
}
