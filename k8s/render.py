"""Renders a kustomization as `kubectl kustomize` does, for the part of kustomize that we use.

For machines without kubectl. It knows resources (files and folders), components, namespace, labels without
selectors, images (newName, newTag, digest), and patches with a target of kind and name: JSON 6902, or `$patch: delete`.
Anything else is an error, not a guess. Where kubectl is there, check.py compares the two, so this cannot drift unseen.

    python3 k8s/render.py k8s/overlays/local
"""

import json
import sys
from pathlib import Path

import yaml

KNOWN = {"apiVersion", "kind", "resources", "components", "namespace", "labels", "images", "patches"}
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass"}
# The one in C is ten times as fast, and not in every PyYAML.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def render(folder):
    """The objects of the kustomization in `folder`, as dictionaries."""
    return accumulate(folder, [])


def accumulate(folder, objects):
    """`objects` with what the kustomization in `folder` adds and changes. A component is given those of who names it."""
    spec = yaml.load((folder / "kustomization.yaml").read_text(), LOADER)
    if unknown := spec.keys() - KNOWN:
        raise ValueError(f"{folder}/kustomization.yaml: render.py does not know {sorted(unknown)}")
    for name in spec.get("resources", []):
        path = (folder / name).resolve()
        objects += render(path) if path.is_dir() else read(path)
    for name in spec.get("components", []):
        objects = accumulate((folder / name).resolve(), objects)
    for patch in spec.get("patches", []):
        objects = with_patch(objects, patch, folder)
    for item in objects:
        if (namespace := spec.get("namespace")) and item["kind"] not in CLUSTER_WIDE:
            item["metadata"]["namespace"] = namespace
        for labels in spec.get("labels", []):
            if labels.keys() != {"pairs"}:
                raise ValueError(f"{folder}: labels have only pairs here, so that selectors never change")
            item["metadata"].setdefault("labels", {}).update(labels["pairs"])
        set_images(item, spec.get("images", []))
    return objects


def read(path):
    """The objects of a file. A copy each: YAML's aliases would otherwise be one dictionary in two places."""
    return [json.loads(json.dumps(item)) for item in yaml.load_all(path.read_text(), LOADER) if item]


def with_patch(objects, patch, folder):
    """The objects after one patch: each of its operations done, or its target gone."""
    target, change = patch["target"], yaml.safe_load(patch["patch"])
    if target.keys() != {"kind", "name"}:
        raise ValueError(f"{folder}: a patch's target has kind and name here, not {sorted(target)}")
    found = [o for o in objects if o["kind"] == target["kind"] and o["metadata"]["name"] == target["name"]]
    if not found:
        raise ValueError(f"{folder}: a patch is for {target}, and there is none")
    if isinstance(change, dict):
        if change.get("$patch") != "delete":
            raise ValueError(f"{folder}: the patch of {target} is a list of operations here, or deletes it")
        return [item for item in objects if item not in found]
    for item in found:
        for step in change:
            apply_step(item, step)
    return objects


def apply_step(item, step):
    """One operation of RFC 6902, on dictionaries and lists."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    at = item
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    match step["op"], at:
        case "test", list() if at[int(last)] == step["value"]:
            pass
        case "test", dict() if at.get(last) == step["value"]:
            pass
        case "add", list():
            at.insert(len(at) if last == "-" else int(last), step["value"])
        case "add", dict():
            at[last] = step["value"]
        case "replace", list():
            at[int(last)] = step["value"]
        case "replace", dict() if last in at:
            at[last] = step["value"]
        case "remove", list():
            del at[int(last)]
        case "remove", dict() if last in at:
            del at[last]
        case op, _:
            raise ValueError(f"cannot {op} {step['path']}: it is not there, or another")


def set_images(value, images):
    """Sets the image of every container, wherever it is."""
    if isinstance(value, list):
        for entry in value:
            set_images(entry, images)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key in ("containers", "initContainers"):
                for container in entry:
                    container["image"] = renamed(container["image"], images)
            else:
                set_images(entry, images)


def renamed(image, images):
    name, _, tag = image.partition(":")
    for change in images:
        if change["name"] == name:
            name, tag = change.get("newName", name), change.get("newTag", tag)
            if digest := change.get("digest"):
                return f"{name}@{digest}"
    return f"{name}:{tag}" if tag else name


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(yaml.safe_dump_all(render(Path(sys.argv[1])), sort_keys=False), end="")
