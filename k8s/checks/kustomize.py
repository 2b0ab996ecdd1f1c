"""render.py renders as `kubectl kustomize` does, where kubectl is."""

import shutil
import subprocess

import yaml

from render import LOADER


def kubectl():
    return shutil.which("kubectl")


def differences(folder, items):
    """What differs between kubectl's rendering of `folder` and ours; nothing where there is no kubectl."""
    if kubectl() is None:
        return
    rendered = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True)
    if rendered.returncode != 0:
        yield f"kubectl kustomize: {rendered.stderr.strip()}"
        return
    theirs, ours = (
        {(item["kind"], item["metadata"]["name"]): item for item in side}
        for side in (yaml.load_all(rendered.stdout, LOADER), items)
    )
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            yield f"{'/'.join(name)}: render.py and kubectl kustomize differ"
