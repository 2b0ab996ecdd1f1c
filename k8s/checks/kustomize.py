"""render.py renders as `kubectl kustomize` does, where kubectl is."""

import shutil
import subprocess

import yaml


def differences(folder, items):
    """What differs between kubectl's rendering of `folder` and ours; `None` where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    rendered = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    if rendered.returncode != 0:
        return [f"kubectl kustomize: {rendered.stderr.strip()}"]
    theirs, ours = ({(item["kind"], item["metadata"]["name"]): item for item in side} for side in (yaml.safe_load_all(rendered.stdout), items))
    return [
        f"{'/'.join(name)}: render.py and kubectl kustomize differ"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
