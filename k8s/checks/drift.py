"""The chart renders what kustomize renders, object by object, so that they cannot drift.

What only one of the two has is named here, with the reason; everything else is equal.
"""

import copy

import checksums

from .objects import name_of

# What Helm adds to know its own objects, and the namespace, which has to be there before, with the Secrets in it.
LABELS_OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"}
OF_KUSTOMIZE_ALONE = {"Namespace/watchbell"}
# The hook runs before the release has any ConfigMap, so it brings its own of the same settings.
SETTINGS_OF_THE_HOOK, SETTINGS = "watchbell-setup", "watchbell"


def differences(kustomize, chart):
    """What the chart renders otherwise than kustomize."""
    wanted = {
        name_of(i): i for i in checksums.with_checksums(copy.deepcopy(kustomize), {}) if name_of(i) not in OF_KUSTOMIZE_ALONE
    }
    found = {name_of(i): without_helm(i) for i in chart}
    of_hook = found.pop(f"ConfigMap/{SETTINGS_OF_THE_HOOK}", {}).get("data")
    if of_hook != found.get(f"ConfigMap/{SETTINGS}", {}).get("data"):
        yield "the Job `setup` has other settings than the workers"
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"{name} is in kustomize alone"
        elif name not in wanted:
            yield f"{name} is in the chart alone"
        else:
            yield from (f"{name}: {what}" for what in unequal(wanted[name], found[name]))


def unequal(wanted, found, path=""):
    """Where two values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted(wanted.keys() | found.keys()):
            yield from unequal(wanted.get(key), found.get(key), f"{path}/{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for at, (one, other) in enumerate(zip(wanted, found)):
            yield from unequal(one, other, f"{path}/{at}")
    elif wanted != found:
        yield f"{path} is {wanted!r} in kustomize and {found!r} in the chart"


def without_helm(item):
    """The object without what Helm needs to know of it."""
    item = copy.deepcopy(item)
    metadata = item["metadata"]
    metadata["labels"] = {key: value for key, value in metadata.get("labels", {}).items() if key not in LABELS_OF_HELM}
    notes = {key: value for key, value in metadata.pop("annotations", {}).items() if not key.startswith("helm.sh/")}
    if notes:
        metadata["annotations"] = notes
    if name_of(item) == "Job/setup":
        pod = item["spec"]["template"]["spec"]
        for container in pod["initContainers"] + pod["containers"]:
            for source in container["envFrom"]:
                if source["configMapRef"]["name"] == SETTINGS_OF_THE_HOOK:
                    source["configMapRef"]["name"] = SETTINGS
    return item
