"""Our pods run as nobody, on a read-only disk, with bounds, and are asked whether they are well."""

import re

from .objects import SECRET_KEYS, WORKERS, Planted, containers, is_ours, name_of, our_pods

# docs/architecture.md, "What must stay true", I10: what a worker may take to leave, and what it takes to hear of it and exit.
DRAIN_S_MAX, MARGIN_S = 25, 10
# Users below are those of the node's own services more often than not.
USER_MIN = 10_000
# A bound on processors is left out on purpose: a pod that is held back in the middle of a burst is late for everybody.
REQUESTED, LIMITED = {"cpu", "memory", "ephemeral-storage"}, {"memory", "ephemeral-storage"}
OF_THE_NODE = ["hostNetwork", "hostPID", "hostIPC"]
VERSIONED = re.compile(r".+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})")


def check(items):
    accounts = {i["metadata"]["name"]: i for i in items if i["kind"] == "ServiceAccount"}
    for item, pod in our_pods(items):
        name = name_of(item)
        yield from (f"{name}: {what}" for what in check_pod(pod))
        yield from (f"{name}: {what}" for what in check_identity(item["metadata"]["name"], pod, accounts))
        for container in filter(is_ours, containers(pod)):
            yield from (f"{name}: {container['name']} {what}" for what in check_container(container))
        if item["kind"] == "Deployment":
            yield from (f"{name}: {what}" for what in check_deployment(item["metadata"]["name"], pod))


def check_pod(pod):
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or min(security.get("runAsUser", 0), security.get("runAsGroup", 0)) < USER_MIN:
        yield f"runs as root, or as a user of the node: set runAsNonRoot, and runAsUser and runAsGroup of {USER_MIN} or more"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "may make any system call: set seccompProfile to RuntimeDefault"
    for field in OF_THE_NODE:
        if pod.get(field):
            yield f"has {field}, and so a part of its node"
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"mounts {volume['name']} from the disk of its node"


def check_identity(worker, pod, accounts):
    account = pod.get("serviceAccountName", "default")
    if account != worker:
        yield f"runs as the ServiceAccount {account}: give it its own, so that a right for one is not one for all"
    elif account not in accounts:
        yield f"runs as the ServiceAccount {account}, which is not there"
    elif accounts[account].get("automountServiceAccountToken") is not False:
        yield f"the ServiceAccount {account} hands out its token: set automountServiceAccountToken to false"
    if pod.get("automountServiceAccountToken") is not False:
        yield "is given a token of the Kubernetes API, and needs none"


def check_container(container):
    security = container.get("securityContext", {})
    if not security.get("readOnlyRootFilesystem"):
        yield "may change its image: set readOnlyRootFilesystem"
    if security.get("privileged") or security.get("allowPrivilegeEscalation") is not False:
        yield "may gain rights: set allowPrivilegeEscalation to false"
    if security.get("capabilities", {}) != {"drop": ["ALL"]}:
        yield "keeps capabilities: drop ALL and add none"
    resources = container.get("resources", {})
    if lacking := REQUESTED - resources.get("requests", {}).keys():
        yield f"requests no {', '.join(sorted(lacking))}"
    if lacking := LIMITED - resources.get("limits", {}).keys():
        yield f"has no limit of {', '.join(sorted(lacking))}"
    if not VERSIONED.fullmatch(container["image"]):
        yield f"runs {container['image']}, which is another image tomorrow: name a version, or better a digest"
    names = [entry["name"] for entry in container.get("env", [])]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"has {name} twice, and one of them counts"
    for name in filter(SECRET_KEYS.search, names):
        yield f"has {name}, a secret in plain sight: use {name}_FILE and a Secret"


def check_deployment(worker, pod):
    for probe, path in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz"), ("startupProbe", "/healthz")]:
        asked = pod["containers"][0].get(probe, {}).get("httpGet", {})
        if asked.get("path") != path:
            yield f"its {probe} does not ask {path}"
        if asked.get("port") != "operations":
            yield f"its {probe} waits behind users: ask the port `operations`"
    if pod.get("terminationGracePeriodSeconds", 30) < DRAIN_S_MAX + MARGIN_S:
        yield f"may be killed while it drains: the grace is at least {DRAIN_S_MAX + MARGIN_S} s"
    waits = [c for c in pod.get("initContainers", []) if c.get("args", [])[:2] == ["migrate", "--check"]]
    if worker in WORKERS and not waits:
        yield "may start before the schema is there: see the other workers' init container"
    spread = {constraint["topologyKey"] for constraint in pod.get("topologySpreadConstraints", [])}
    if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= spread:
        yield "may run all on one node, or in one zone: set topologySpreadConstraints"


def container_security(sample):
    return sample.container()["securityContext"]


PLAIN = {"name": "WATCHBELL__AUTH__HS256_SECRET", "value": "x"}
PLANTED = [
    Planted("a root user", lambda s: s.pod()["securityContext"].pop("runAsNonRoot"), "runs as root"),
    Planted("a user of the node", lambda s: s.pod()["securityContext"].update(runAsUser=1000), "user of the node"),
    Planted("any system call", lambda s: s.pod()["securityContext"].pop("seccompProfile"), "any system call"),
    Planted("the node's network", lambda s: s.pod().update(hostNetwork=True), "hostNetwork"),
    Planted(
        "the node's disk", lambda s: s.pod()["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "disk of its node"
    ),
    Planted("somebody else's account", lambda s: s.pod().update(serviceAccountName="ingest"), "give it its own"),
    Planted("a missing account", lambda s: s.remove("ServiceAccount", "socket"), "which is not there"),
    Planted(
        "an account with a token",
        lambda s: s.the("ServiceAccount", "socket").pop("automountServiceAccountToken"),
        "hands out its token",
    ),
    Planted("a pod with a token", lambda s: s.pod().pop("automountServiceAccountToken"), "needs none"),
    Planted(
        "a disk that may be written", lambda s: container_security(s).pop("readOnlyRootFilesystem"), "may change its image"
    ),
    Planted("a privileged container", lambda s: container_security(s).update(privileged=True), "may gain rights"),
    Planted("capabilities", lambda s: container_security(s)["capabilities"].update(add=["NET_ADMIN"]), "keeps capabilities"),
    Planted("no requests", lambda s: s.container()["resources"].pop("requests"), "requests no cpu"),
    Planted("no memory limit", lambda s: s.container()["resources"]["limits"].pop("memory"), "no limit of memory"),
    Planted("the latest image", lambda s: s.container().update(image="watchbell:latest"), "another image tomorrow"),
    Planted(
        "an image without a tag", lambda s: s.container().update(image="registry:5000/watchbell"), "another image tomorrow"
    ),
    Planted("a setting twice", lambda s: s.container()["env"].append(s.container()["env"][0]), "twice"),
    Planted("a plain secret", lambda s: s.container().update(env=[PLAIN]), "in plain sight"),
    Planted("no readiness", lambda s: s.container().pop("readinessProbe"), "does not ask /readyz"),
    Planted(
        "a probe behind users", lambda s: s.container()["livenessProbe"]["httpGet"].update(port="http"), "waits behind users"
    ),
    Planted("a short grace", lambda s: s.pod().update(terminationGracePeriodSeconds=30), "killed while it drains"),
    Planted("no wait for the schema", lambda s: s.pod().pop("initContainers"), "before the schema is there"),
    Planted("all in one zone", lambda s: s.pod()["topologySpreadConstraints"].pop(), "in one zone"),
]
