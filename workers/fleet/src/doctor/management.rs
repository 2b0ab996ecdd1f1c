//! What AMQP does not tell of a cluster, and RabbitMQ's management API does: which nodes run, how many of them hold each
//! queue, which policies are in force, and what was set aside.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Url;
use serde_json::Value;
use watchbell::broker::{WorkQueue, topology::CONSUMER_TIMEOUT_MS};

use super::finding::Finding;
use crate::given_address::web_address;

/// How long one request may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Nodes that a cluster needs to go on after one of them died.
const NODES_MIN: usize = 3;

/// Asks the API at `address`, which holds the user and the password, about the vhost of `broker_url`.
pub(super) async fn look(address: &str, broker_url: &str) -> Vec<Finding> {
    match ask(address, broker_url).await {
        Ok((nodes, queues)) => [of_nodes(&nodes), of_queues(&queues)].concat(),
        Err(error) => vec![Finding::fail(
            "broker management",
            format!("{error:#}"),
            "correct --management; its user needs the tag `monitoring`, and rights in the vhost",
        )],
    }
}

/// The nodes, and the queues of the vhost.
async fn ask(address: &str, broker_url: &str) -> anyhow::Result<(Value, Value)> {
    // No error repeats the address: it holds a password.
    let base = web_address(address)
        .context("--management must be an address such as http://USER:PASSWORD@HOST:15672")?;
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    let get = async |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        let (user, password) = (base.username().to_owned(), base.password().map(str::to_owned));
        // The credentials go into a header and not into what an error may show.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        let answer = http.get(url).basic_auth(user, password).send().await;
        let answer = answer.map_err(|error| error.without_url()).context("it does not answer")?;
        let status = answer.status();
        ensure!(status.is_success(), "it answers {status} to {path}");
        let read = answer.json::<Value>().await;
        read.map_err(|_| anyhow::anyhow!("what answers to {path} is not RabbitMQ's management API"))
    };
    let nodes = get("/api/nodes").await?;
    let queues = get(&format!("/api/queues/{}", vhost(broker_url))).await?;
    Ok((nodes, queues))
}

/// The vhost of a broker's address, as one segment of a path.
fn vhost(broker_url: &str) -> String {
    let first = broker_url.split(',').next().unwrap_or_default().trim();
    let path = Url::parse(first).map(|url| url.path().trim_start_matches('/').to_owned());
    path.ok().filter(|path| !path.is_empty()).unwrap_or_else(|| "%2F".to_owned())
}

/// What it means that these nodes run, or do not.
pub(super) fn of_nodes(nodes: &Value) -> Vec<Finding> {
    let nodes: Vec<&Value> = nodes.as_array().into_iter().flatten().collect();
    let name = |node: &Value| node["name"].as_str().unwrap_or("?").to_owned();
    let is = |node: &Value, word: &str| node[word].as_bool() == Some(true);
    let down: Vec<String> = nodes.iter().filter(|node| !is(node, "running")).map(|node| name(node)).collect();
    let running = nodes.len() - down.len();
    let check = "broker nodes";
    let mut findings = vec![match (running, down.as_slice()) {
        (NODES_MIN.., []) => Finding::ok(check, format!("{running} nodes run")),
        (running, []) => Finding::warn(
            check,
            format!(
                "the cluster has {running} of the {NODES_MIN} nodes that it needs to outlive the loss of one"
            ),
            "add nodes, so that each quorum queue has three members",
        ),
        (running, down) => Finding::fail(
            check,
            format!("{running} of {} nodes run; down: {}", nodes.len(), down.join(", ")),
            "start them, or take them out of the cluster with `rabbitmqctl forget_cluster_node`",
        ),
    }];
    for node in nodes {
        for (alarm, what) in [("mem_alarm", "memory"), ("disk_free_alarm", "disk")] {
            if is(node, alarm) {
                findings.push(Finding::fail(
                    "broker alarm",
                    format!("{} is short of {what}, so nothing can be published", name(node)),
                    "give it more, or let its queues be consumed",
                ));
            }
        }
    }
    findings
}

/// What it means that the work queues are so.
pub(super) fn of_queues(queues: &Value) -> Vec<Finding> {
    let named = |queue: WorkQueue| {
        queues.as_array().into_iter().flatten().find(|found| found["name"] == queue.name())
    };
    WorkQueue::ALL
        .into_iter()
        .filter_map(|queue| Some((queue, named(queue)?)))
        .flat_map(|(queue, found)| {
            [members(queue, found), Some(policy(queue, found)), set_aside(queue, found)].into_iter().flatten()
        })
        .collect()
}

fn members(queue: WorkQueue, found: &Value) -> Option<Finding> {
    let count = |word: &str| found[word].as_array().map(Vec::len);
    let (members, online) = (count("members")?, count("online")?);
    let check = format!("broker queue {}", queue.name());
    Some(match (members, online) {
        (members, online) if 2 * online <= members => Finding::fail(
            check,
            format!("{online} of its {members} members are there, so it has no leader"),
            "start the nodes that hold it",
        ),
        (members, online) if online < members => Finding::warn(
            check,
            format!("{online} of its {members} members are there"),
            "start the nodes that hold it",
        ),
        (1, _) => Finding::warn(
            check,
            "one node alone holds it: it is away when that one is",
            "run `rabbitmq-queues grow` for each node that does not hold it",
        ),
        (members, _) if members < NODES_MIN => Finding::warn(
            check,
            format!("{members} nodes hold it: it is away when one of them is"),
            "run `rabbitmq-queues grow` for each node that does not hold it",
        ),
        (members, _) => Finding::ok(check, format!("{members} nodes hold it, and all are there")),
    })
}

/// How long what is held may be held, and how long what is parked is kept.
fn policy(queue: WorkQueue, found: &Value) -> Finding {
    match queue.dead_letters() {
        true => of_what_is_held(queue, found),
        false => of_what_is_parked(queue, found),
    }
}

fn of_what_is_parked(queue: WorkQueue, found: &Value) -> Finding {
    let check = format!("broker policy {}", queue.name());
    match found["effective_policy_definition"]["message-ttl"].as_u64() {
        Some(ms) => {
            let days = Duration::from_millis(ms).as_secs_f64() / 86_400.0;
            Finding::ok(check, format!("what nobody decided about goes after {days:.1} days"))
        }
        None => Finding::warn(
            check,
            "what is parked there has no age: it stays until an operator decides about it",
            "set the policy watchbell-parked-kept that `watchbell topology show` prints",
        ),
    }
}

fn of_what_is_held(queue: WorkQueue, found: &Value) -> Finding {
    let check = format!("broker policy {}", queue.name());
    let set = found["effective_policy_definition"]["consumer-timeout"].as_u64();
    let remedy = "set the policy that `watchbell topology show` prints; before RabbitMQ 3.12, consumer_timeout of the node";
    match set {
        Some(ms) if ms == u64::from(CONSUMER_TIMEOUT_MS) => {
            Finding::ok(check, format!("what is held for {} minutes goes back", ms / 60_000))
        }
        Some(ms) => {
            Finding::warn(check, format!("consumer-timeout is {ms} ms, not {CONSUMER_TIMEOUT_MS}"), remedy)
        }
        None => Finding::warn(
            check,
            "no policy says when what a hung process holds goes back, so it is after the node's 30 minutes",
            remedy,
        ),
    }
}

fn set_aside(queue: WorkQueue, found: &Value) -> Option<Finding> {
    let number = found["messages"].as_u64().filter(|number| *number > 0 && !queue.dead_letters())?;
    let remedy = match queue {
        WorkQueue::Dead => "look with `watchbell dead list`, then replay or drop",
        _ => "look at the reasons in their headers, and mend the producer",
    };
    Some(Finding::warn(
        format!("broker queue {}", queue.name()),
        format!("{number} messages wait for an operator"),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vhost_is_one_segment_of_a_path() {
        for (url, expected) in [
            ("amqp://ana:hunter2@mq/fleet", "fleet"),
            ("amqp://mq/%2f", "%2f"),
            ("amqp://mq", "%2F"),
            ("amqps://a:5671/w, amqps://b:5671/w", "w"),
        ] {
            assert_eq!(vhost(url), expected, "{url}");
        }
    }
}
