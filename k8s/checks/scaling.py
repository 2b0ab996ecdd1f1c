"""A worker has one scaler at most, which is right about what it counts, and nothing that leaves takes the last pod.

Two numbers of a scaler have to fit those of the program, which are read where they are written: `watchbell.example.toml` for
bounds and `src/broker/topology.rs` for the names of queues.
"""

import re

from .objects import ROOT, WORKERS, Planted, name_of

SCALERS = {"HorizontalPodAutoscaler", "ScaledObject"}
# Room for the sessions of a pod that is gone, before those that are left refuse any.
SESSIONS_SHARE_MAX = 0.8


def check(items):
    deployments = {i["metadata"]["name"]: i for i in items if i["kind"] == "Deployment"}
    scalers = [item for item in items if item["kind"] in SCALERS]
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            yield f"{name_of(scaler)}: scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"{name_of(scaler)}: Deployment/{target} says how many replicas it has, so each apply undoes the scaler"
    for worker in WORKERS:
        own = [name_of(s) for s in scalers if s["spec"]["scaleTargetRef"]["name"] == worker]
        if len(own) > 1:
            yield f"{worker} has several scalers, which pull it back and forth: {', '.join(own)}"
    for item in items:
        if item["kind"] in CHECKS:
            yield from (f"{name_of(item)}: {what}" for what in CHECKS[item["kind"]](item["spec"]))


def check_deployment(spec):
    update = spec.get("strategy", {}).get("rollingUpdate")
    if update is not None and update.get("maxUnavailable") != 0:
        yield "takes a pod away before the next one is ready: set maxUnavailable to 0"


def check_budget(spec):
    if spec.get("maxUnavailable") != 1:
        yield "must let one pod leave at a time: fewer holds up whoever drains a node, more breaks the fleet"


def check_autoscaler(spec):
    for metric in spec.get("metrics", []):
        if metric["type"] == "Pods" and metric["pods"]["metric"]["name"] == "watchbell_socket_sessions":
            wanted, most = int(metric["pods"]["target"]["averageValue"]), setting("sessions_max")
            if wanted > SESSIONS_SHARE_MAX * most:
                yield f"wants {wanted} sessions a pod, and a pod takes {most}: there is no room for those of a pod that is gone"


def check_scaled_object(spec):
    for trigger in spec["triggers"]:
        if trigger["type"] != "rabbitmq":
            continue
        queue, wanted = trigger["metadata"]["queueName"], int(trigger["metadata"]["value"])
        if queue not in queues():
            yield f"counts the queue {queue}, which Watchbell does not have"
        if queue == "watchbell.undelivered" and wanted * spec["minReplicaCount"] >= setting("backlog_max"):
            yield f"never scales: fallback hands out no more while {setting('backlog_max')} wait, and {wanted} a pod are wanted"
        if "authenticationRef" not in trigger:
            yield "has no authenticationRef, so the address of the broker would stand in plain sight"


CHECKS = {
    "Deployment": check_deployment,
    "PodDisruptionBudget": check_budget,
    "HorizontalPodAutoscaler": check_autoscaler,
    "ScaledObject": check_scaled_object,
}


def setting(name):
    """The default of a setting that is a number."""
    text = (ROOT / "watchbell.example.toml").read_text()
    return int(re.search(rf"^#{name} = (\d+)$", text, re.MULTILINE)[1])


def queues():
    return re.findall(r'=> "(watchbell\.\w+)"', (ROOT / "src/broker/topology.rs").read_text())


def scale_by_sessions(sample, number):
    target = {"type": "AverageValue", "averageValue": str(number)}
    metric = {"type": "Pods", "pods": {"metric": {"name": "watchbell_socket_sessions"}, "target": target}}
    sample.the("HorizontalPodAutoscaler", "socket")["spec"]["metrics"].append(metric)


def scale_by_queue(sample, queue, value, *, authenticated=True):
    sample.remove("HorizontalPodAutoscaler", "fallback")
    trigger = {"type": "rabbitmq", "metadata": {"queueName": queue, "value": str(value)}}
    if authenticated:
        trigger["authenticationRef"] = {"name": "queues"}
    spec = {"scaleTargetRef": {"name": "fallback"}, "minReplicaCount": 2, "triggers": [trigger]}
    sample.items.append({"kind": "ScaledObject", "metadata": {"name": "fallback"}, "spec": spec})


def scale_twice(sample):
    second = {"kind": "ScaledObject", "metadata": {"name": "socket"}}
    sample.items.append(second | {"spec": {"scaleTargetRef": {"name": "socket"}, "triggers": []}})


PLANTED = [
    Planted(
        "a scaler of nothing",
        lambda s: s.the("HorizontalPodAutoscaler", "socket")["spec"]["scaleTargetRef"].update(name="gone"),
        "scales gone",
    ),
    Planted(
        "a number beside a scaler", lambda s: s.the("Deployment", "socket")["spec"].update(replicas=3), "undoes the scaler"
    ),
    Planted("two scalers", scale_twice, "several scalers"),
    Planted(
        "a gap in a rollout",
        lambda s: s.the("Deployment", "socket")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        "before the next one is ready",
    ),
    Planted(
        "a budget of nothing",
        lambda s: s.the("PodDisruptionBudget", "socket")["spec"].update(maxUnavailable=0),
        "one pod leave at a time",
    ),
    Planted("pods that are full", lambda s: scale_by_sessions(s, 45_000), "no room"),
    Planted("an unknown queue", lambda s: scale_by_queue(s, "watchbell.fallback", 500), "does not have"),
    Planted("a queue that never gets so long", lambda s: scale_by_queue(s, "watchbell.undelivered", 1_000), "never scales"),
    Planted(
        "a broker in plain sight", lambda s: scale_by_queue(s, "watchbell.dispatch", 500, authenticated=False), "plain sight"
    ),
]
