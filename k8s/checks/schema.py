"""Every object fits its schema: Kubernetes' own of the oldest and the newest version that we run on, or that of its maker."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate

from .objects import Planted, name_of

# Native sidecars (overlay local) came with 1.29.
VERSIONS = ["1.29", "1.37"]
CUSTOM = ("monitoring.coreos.com/", "keda.sh/", "gateway.networking.k8s.io/")
# One start of Node and a look at a few objects.
NODE_S_MAX = 60


def check(items):
    custom = [item for item in items if item["apiVersion"].startswith(CUSTOM)]
    for item in items:
        if item not in custom:
            yield from (f"{name_of(item)}: {what}" for what in check_own(json.dumps(item)))
    if custom:
        yield from check_custom(custom)


@cache
def check_own(text):
    """What is wrong with the object in this JSON. Most objects are the same in every rendering, and are looked at once."""
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(json.loads(text), version, strict=True)
        except Exception as error:
            where = "/".join(map(str, getattr(error, "path", [])))
            found.append(f"Kubernetes {version}: {where}: {getattr(error, 'message', error)}")
    return found


def check_custom(items):
    script = Path(__file__).with_name("custom_schema.mjs")
    command = ["node", script, os.environ["WATCHBELL_K8S_MODULES"]]
    ran = subprocess.run(command, input=json.dumps(items), capture_output=True, text=True, timeout=NODE_S_MAX)
    if ran.returncode != 0:
        yield f"custom_schema.mjs: {ran.stderr.strip()}"
    yield from ran.stdout.splitlines()


def plant_custom(*objects):
    def plant(sample):
        for api_version, kind, spec in objects:
            sample.items.append({"apiVersion": api_version, "kind": kind, "metadata": {"name": "planted"}, "spec": spec})

    return plant


MONITOR = ("monitoring.coreos.com/v1", "ServiceMonitor")
SCALED, ROUTE = ("keda.sh/v1alpha1", "ScaledObject"), ("gateway.networking.k8s.io/v1", "HTTPRoute")
PLANTED = [
    Planted("a misspelt field", lambda s: s.pod().update(terminationGraceSeconds=45), "terminationGraceSeconds"),
    Planted("a wrong type", lambda s: s.container().update(args="run"), "args"),
    Planted(
        "a misspelt field of another maker",
        plant_custom((*MONITOR, {"selector": {}, "endpoints": [{"prot": "operations"}]})),
        "/spec/endpoints/0/prot: no such field",
    ),
    Planted(
        "a wrong type in it",
        plant_custom((*MONITOR, {"selector": {}, "endpoints": [{"interval": 15}]})),
        "/spec/endpoints/0/interval: type",
    ),
    Planted("something required left out", plant_custom((*SCALED, {"scaleTargetRef": {"name": "x"}})), "missingProperty"),
    Planted(
        "a value that is not one of those",
        plant_custom((*ROUTE, {"rules": [{"matches": [{"path": {"type": "Prefix"}}]}]})),
        "/spec/rules/0/matches/0/path/type",
    ),
    Planted("an unknown kind", plant_custom(("keda.sh/v1alpha1", "ScaledObjects", {})), "has no ScaledObjects"),
]
