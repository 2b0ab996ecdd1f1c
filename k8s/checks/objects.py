"""Kubernetes objects as dictionaries: the few questions that every rule asks, and the numbers that they share."""

import copy
import re
from pathlib import Path
from typing import NamedTuple

K8S = Path(__file__).resolve().parent.parent
ROOT = K8S.parent

WORKERS = ["ingest", "dispatch", "socket", "fallback"]
# Of every worker: HTTP, and probes and metrics.
HTTP, OPERATIONS = 7700, 7709
# What a setting is called that must never stand in plain sight.
SECRET_KEYS = re.compile(r"(__URL|_SECRET|__KEY|_ACCOUNT|_USERNAME|_PASSWORD)$")


class Planted(NamedTuple):
    """A fault: why it is one, what it changes in a `Sample`, and words of the finding that it must lead to."""

    why: str
    change: callable
    finding: str


class Sample:
    """A copy of what was rendered, for a fault to be planted in."""

    def __init__(self, items):
        self.items = copy.deepcopy(items)

    def the(self, kind, name):
        return next(i for i in self.items if i["kind"] == kind and i["metadata"]["name"] == name)

    def pod(self, name="socket"):
        return pod_of(self.the("Deployment", name))

    def container(self, name="socket"):
        return self.pod(name)["containers"][0]

    def remove(self, kind, name):
        self.items.remove(self.the(kind, name))


def name_of(item):
    return f"{item['kind']}/{item['metadata']['name']}"


def pod_of(item):
    return item["spec"]["template"]["spec"] if item["kind"] in ("Deployment", "Job") else None


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def is_ours(container):
    name = container["image"].split("@")[0].rsplit("/", 1)[-1]
    return name.split(":")[0] == "watchbell"


def our_pods(items):
    """Each object that makes pods of our image, with its pod."""
    for item in items:
        pod = pod_of(item)
        if pod is not None and any(map(is_ours, containers(pod))):
            yield item, pod


def labels_of_pod(item):
    return item["spec"]["template"]["metadata"]["labels"]
