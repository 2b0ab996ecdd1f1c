#!/usr/bin/env python3
"""Notes on each Deployment what its pods read, so that a changed setting or Secret rolls them.

    kubectl kustomize k8s/overlays/production |
        python3 k8s/checksums.py <(kubectl -n watchbell get secrets -o json) |
        kubectl apply -f -

Pods read their settings when they start, and nothing else tells Kubernetes that they are to start anew. Secrets are read again
while they run; their checksum makes a change of them a rollout that can be watched. `checksum/config` is over the ConfigMaps that a pod reads, `checksum/secrets` over the Secrets
that it mounts; without the list of Secrets there is only the former. The Helm chart notes the same by itself. It needs PyYAML.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

import yaml


def with_checksums(items, secrets):
    """`items`, each Deployment with its checksums. `secrets` is the data of each Secret of the cluster, by its name."""
    configs = {i["metadata"]["name"]: i["data"] for i in items if i["kind"] == "ConfigMap"}
    secrets = secrets | {i["metadata"]["name"]: secret_data(i) for i in items if i["kind"] == "Secret"}
    for item in items:
        if item["kind"] == "Deployment":
            template = item["spec"]["template"]
            read = [configs[name] for name in configs_of(template["spec"]) if name in configs]
            mounted = [secrets[name] for name in secrets_of(template["spec"]) if name in secrets]
            notes = template["metadata"].setdefault("annotations", {})
            notes |= {
                name: checksum(data) for name, data in [("checksum/config", read), ("checksum/secrets", mounted)] if data
            }
    return items


def configs_of(pod):
    """The ConfigMaps that its containers read, each once. Init containers read none that these do not."""
    names = [
        source["configMapRef"]["name"]
        for c in pod["containers"]
        for source in c.get("envFrom", [])
        if "configMapRef" in source
    ]
    return list(dict.fromkeys(names))


def secrets_of(pod):
    return [volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume]


def secret_data(secret):
    """The data as the cluster has it: `stringData` is base64 there."""
    plain = secret.get("stringData", {}).items()
    return secret.get("data", {}) | {key: base64.b64encode(value.encode()).decode() for key, value in plain}


def checksum(data):
    """Over JSON as Go writes it, so that it is the one that Helm comes to."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return hashlib.sha256(text.encode()).hexdigest()


def main(arguments):
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    secrets = {}
    if arguments:
        listed = json.loads(Path(arguments[0]).read_text())["items"]
        secrets = {secret["metadata"]["name"]: secret.get("data") or {} for secret in listed}
    items = [item for item in yaml.safe_load_all(sys.stdin) if item]
    yaml.safe_dump_all(with_checksums(items, secrets), sys.stdout, sort_keys=False, allow_unicode=True)


if __name__ == "__main__":
    main(sys.argv[1:])
