"""Monitoring asks every worker at the port for operations, by rules that are those of `monitoring/rules`."""

import rules

from .objects import OPERATIONS, Planted, name_of


def check(items):
    services = [item for item in items if item["kind"] == "Service"]
    for item in items:
        if item["kind"] == "ServiceMonitor":
            wanted = item["spec"]["selector"]["matchLabels"].items()
            found = [s for s in services if wanted <= s["metadata"].get("labels", {}).items()]
            if [s["metadata"]["name"] for s in found] != ["operations"]:
                yield f"{name_of(item)}: selects {[name_of(s) for s in found]}, and not Service/operations alone"
            if any(end.get("port") != "operations" for end in item["spec"]["endpoints"]):
                yield f"{name_of(item)}: asks another port than `operations`"
        if item["kind"] == "PrometheusRule" and item["spec"]["groups"] != rules.expected():
            yield f"{name_of(item)}: has other rules than monitoring/rules: run python3 k8s/rules.py"
        if item["kind"] == "Deployment":
            notes = item["spec"]["template"]["metadata"].get("annotations", {})
            if notes.get("prometheus.io/scrape") == "true" and notes.get("prometheus.io/port") != str(OPERATIONS):
                yield f"{name_of(item)}: its annotations send Prometheus to another port than {OPERATIONS}"


def monitor(sample, labels, port):
    spec = {"selector": {"matchLabels": labels}, "endpoints": [{"port": port}]}
    sample.items.append({"kind": "ServiceMonitor", "metadata": {"name": "watchbell"}, "spec": spec})


def rule(sample):
    spec = {"groups": [{"name": "nobody's", "rules": []}]}
    sample.items.append({"kind": "PrometheusRule", "metadata": {"name": "watchbell"}, "spec": spec})


def annotations(sample):
    return sample.the("Deployment", "socket")["spec"]["template"]["metadata"]["annotations"]


OURS = {"app.kubernetes.io/component": "operations"}
PLANTED = [
    Planted(
        "a monitor of too much",
        lambda s: monitor(s, {"app.kubernetes.io/name": "watchbell"}, "operations"),
        "and not Service/operations alone",
    ),
    Planted("a monitor that asks users' port", lambda s: monitor(s, OURS, "http"), "another port"),
    Planted("rules of one's own", rule, "other rules"),
    Planted(
        "annotations for users' port",
        lambda s: annotations(s).update({"prometheus.io/port": "7700"}),
        "another port than 7709",
    ),
]
