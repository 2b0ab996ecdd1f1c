"""What is named is there, and every worker has what a worker has."""

from .objects import SECRET_KEYS, WORKERS, Planted, containers, labels_of_pod, name_of, pod_of

# The Secrets of README.md, which an operator makes.
MADE_BEFOREHAND = {
    ("Secret", name)
    for name in ["watchbell", "watchbell-auth", "watchbell-links", "watchbell-providers", "watchbell-queues"]
}


def check(items):
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    for worker in WORKERS:
        for kind in ["Deployment", "Service", "PodDisruptionBudget"]:
            if (kind, worker) not in there:
                yield f"{worker} has no {kind}"
    for item in items:
        name = name_of(item)
        if item["kind"] == "ConfigMap":
            for key in filter(SECRET_KEYS.search, item["data"]):
                yield f"{name}: {key} is a secret in plain sight: use {key}_FILE and a Secret"
        if (pod := pod_of(item)) is not None:
            yield from (f"{name}: {what}" for what in check_pod(pod, there | MADE_BEFOREHAND))
    yield from check_selectors(items)


def check_pod(pod, there):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for volume in pod.get("volumes", []):
        if (secret := volume.get("secret")) and ("Secret", secret["secretName"]) not in there:
            yield f"mounts the Secret {secret['secretName']}, which nobody makes"
    for container in containers(pod):
        for source in container.get("envFrom", []):
            if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                yield f"reads the ConfigMap {source['configMapRef']['name']}, which is not there"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{container['name']} mounts {mount['name']}, which is no volume of its pod"


def check_selectors(items):
    pods = [labels_of_pod(item) for item in items if item["kind"] == "Deployment"]
    for item in items:
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"], lambda _: {})(item.get("spec"))
        selected = sum(selector.items() <= labels.items() for labels in pods)
        if name_of(item) == "Service/operations":
            if selected != len(WORKERS) or not item["spec"].get("publishNotReadyAddresses"):
                yield "Service/operations: must list every pod of every worker, ready or not: monitoring asks them there"
        elif selector and selected != 1:
            yield f"{name_of(item)}: selects not exactly one worker: {selector}"


def take_ingests_place(sample):
    socket = sample.the("Deployment", "socket")
    labels_of_pod(socket)["app.kubernetes.io/component"] = "ingest"


PLANTED = [
    Planted("a missing worker", lambda s: s.remove("Deployment", "socket"), "socket has no Deployment"),
    Planted(
        "a secret among settings",
        lambda s: s.the("ConfigMap", "watchbell")["data"].update({"WATCHBELL__STORE__URL": "x"}),
        "in plain sight",
    ),
    Planted("a missing volume", lambda s: s.pod().pop("volumes"), "no volume of its pod"),
    Planted(
        "a Secret that nobody makes", lambda s: s.pod()["volumes"][0]["secret"].update(secretName="gone"), "nobody makes"
    ),
    Planted("a missing ConfigMap", lambda s: s.remove("ConfigMap", "watchbell"), "reads the ConfigMap watchbell"),
    Planted(
        "a worker without metrics",
        lambda s: s.the("Service", "operations")["spec"]["selector"].update({"app.kubernetes.io/component": "socket"}),
        "every pod of every worker",
    ),
    Planted(
        "metrics of the well alone",
        lambda s: s.the("Service", "operations")["spec"].pop("publishNotReadyAddresses"),
        "ready or not",
    ),
    Planted("a wrong selector", take_ingests_place, "not exactly one worker"),
]
