//! What was seen of the broker, and what it means for these workers.

use jiff::Timestamp;
use watchbell::{
    broker::{
        WorkQueue,
        rabbitmq::{BrokerSurvey, NodeSeen, Permission, PermissionSeen, RabbitConfig, survey},
    },
    runtime::certificate,
};

use super::{
    advice,
    finding::{Finding, Verdict},
};
use crate::{cli::Role, config::FleetConfig};

/// Looks at the configured cluster as these workers need it.
pub(super) async fn look(
    rabbit: &RabbitConfig,
    roles: &[Role],
    config: &FleetConfig,
    now: Timestamp,
) -> Vec<Finding> {
    let needed = permissions(roles, config);
    let seen = Box::pin(survey(rabbit, &needed)).await;
    of_survey(&seen, rabbit.declare, now)
}

/// What these workers do with the broker.
fn permissions(roles: &[Role], config: &FleetConfig) -> Vec<Permission> {
    let mut needed = Vec::new();
    if config.shared.broker.declare {
        needed.push(Permission::Declare);
    }
    for role in roles {
        needed.extend(match role {
            Role::Ingest => vec![Permission::PublishAlerts, Permission::PublishLive],
            Role::Dispatch => vec![
                Permission::Consume(WorkQueue::Dispatch),
                Permission::PublishLive,
                Permission::PublishToQueues,
            ],
            Role::Socket => vec![Permission::HearLive, Permission::PublishLive, Permission::PublishToQueues],
            Role::Fallback => {
                let mut all = vec![Permission::Consume(WorkQueue::Undelivered), Permission::PublishToQueues];
                if config.shared.outcomes.enabled {
                    all.push(Permission::PublishOutcomes);
                }
                all
            }
            Role::Simulator | Role::Demo => Vec::new(),
        });
    }
    needed
}

/// What a survey means.
pub(super) fn of_survey(seen: &BrokerSurvey, declares: bool, now: Timestamp) -> Vec<Finding> {
    let mut findings: Vec<Finding> = seen.nodes.iter().flat_map(|node| of_node(node, now)).collect();
    match &seen.missing {
        None => {}
        Some(Ok(missing)) if missing.is_empty() => {
            findings.push(Finding::ok("broker topology", "every exchange and queue is there"));
        }
        Some(Ok(missing)) if declares => findings.push(Finding::warn(
            "broker topology",
            format!("not there yet: {}", missing.join(", ")),
            "`run` declares it at its start, because broker.declare is on; or run `watchbell topology apply`",
        )),
        Some(Ok(missing)) => findings.push(Finding::fail(
            "broker topology",
            format!("missing: {}", missing.join(", ")),
            "run `watchbell topology apply` as a user who may configure",
        )),
        Some(Err(error)) => findings.push(Finding::fail(
            "broker topology",
            format!("cannot be looked at: {error}"),
            "look at the broker's log",
        )),
    }
    findings.extend(seen.permissions.iter().map(of_permission));
    if seen.is_blocked {
        findings.push(Finding::fail(
            "broker alarm",
            "RabbitMQ takes no publishes: it is short of memory or of disk",
            "give it more, or let its queues be consumed",
        ));
    }
    findings
}

fn of_node(seen: &NodeSeen, now: Timestamp) -> Vec<Finding> {
    let check = format!("broker {}", seen.node);
    let end = seen.certificate.as_ref().map(|der| match certificate::end_of(der) {
        Ok(end) => advice::until(&check, end, now),
        Err(error) => Finding::warn(&*check, format!("its certificate {error:#}"), "look at the node's TLS"),
    });
    let reached = match &seen.fault {
        None => Finding::ok(&*check, "lets us in"),
        Some(fault) => Finding::of_fault(&*check, Verdict::Fail, fault.clone()),
    };
    [Some(reached), end].into_iter().flatten().collect()
}

fn of_permission(PermissionSeen { permission, is_given }: &PermissionSeen) -> Finding {
    let (check, right) = ("broker rights", permission.describe());
    match is_given {
        Ok(true) => Finding::ok(check, right),
        Ok(false) => Finding::fail(
            check,
            format!("the user may not {right}"),
            "give it the right with `rabbitmqctl set_permissions`; `watchbell topology show` lists all of them",
        ),
        // A topology of other arguments is found here, when it is declared again.
        Err(error) => Finding::fail(
            check,
            format!("{right}: {error}"),
            "look at `watchbell topology show`, and the broker's log",
        ),
    }
}
