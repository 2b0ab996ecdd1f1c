"""Our pods run as nobody, on a read-only disk, with bounds, and are asked whether they are well."""

from .objects import SECRET_KEYS, WORKERS, Planted, containers, is_ours, name_of, our_pods

# docs/architecture.md, "What must stay true", I10: what a worker may take to leave, and what it takes to hear of it and exit.
DRAIN_S_MAX, MARGIN_S = 25, 10


def check(items):
    for item, pod in our_pods(items):
        name = name_of(item)
        if not pod.get("securityContext", {}).get("runAsNonRoot"):
            yield f"{name}: runs as root: set securityContext.runAsNonRoot"
        for container in filter(is_ours, containers(pod)):
            yield from (f"{name}: {container['name']} {what}" for what in check_container(container))
        if item["kind"] == "Deployment":
            yield from (f"{name}: {what}" for what in check_deployment(item["metadata"]["name"], pod))


def check_container(container):
    security = container.get("securityContext", {})
    if not security.get("readOnlyRootFilesystem") or security.get("allowPrivilegeEscalation") is not False:
        yield "may change its image or gain rights: see the other workers' securityContext"
    resources = container.get("resources", {})
    if not resources.get("requests") or "memory" not in resources.get("limits", {}):
        yield "has no resource requests or memory limit"
    for entry in container.get("env", []):
        if SECRET_KEYS.search(entry["name"]):
            yield f"has {entry['name']}, a secret in plain sight: use {entry['name']}_FILE and a Secret"


def check_deployment(worker, pod):
    for probe, path in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]:
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
    if not pod.get("topologySpreadConstraints"):
        yield "may run all on one node: set topologySpreadConstraints"


PLAIN = {"name": "WATCHBELL__AUTH__HS256_SECRET", "value": "x"}
PLANTED = [
    Planted("a root user", lambda s: s.pod()["securityContext"].pop("runAsNonRoot"), "runs as root"),
    Planted("a disk that may be written", lambda s: s.container()["securityContext"].pop("readOnlyRootFilesystem"), "may change its image"),
    Planted("no memory limit", lambda s: s.container()["resources"].pop("limits"), "memory limit"),
    Planted("a plain secret", lambda s: s.container().update(env=[PLAIN]), "in plain sight"),
    Planted("no readiness", lambda s: s.container().pop("readinessProbe"), "does not ask /readyz"),
    Planted("a probe behind users", lambda s: s.container()["livenessProbe"]["httpGet"].update(port="http"), "waits behind users"),
    Planted("a short grace", lambda s: s.pod().update(terminationGracePeriodSeconds=30), "killed while it drains"),
    Planted("no wait for the schema", lambda s: s.pod().pop("initContainers"), "before the schema is there"),
    Planted("all on one node", lambda s: s.pod().pop("topologySpreadConstraints"), "all on one node"),
]
