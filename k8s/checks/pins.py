"""release/pin.py finds every image without a digest, gives each of ours one, and takes nothing else for a digest."""

import shutil
import sys
import tempfile
from pathlib import Path

from render import render

from .objects import K8S, ROOT, containers, our_pods

sys.path.insert(0, str(ROOT / "release"))
from pin import pinned, without_digest

DIGEST = "sha256:" + "0123456789abcdef" * 4


def check(items):
    ours = sum(len(containers(pod)) for _, pod in our_pods(items))
    if len(list(without_digest(items))) < ours:
        yield "release/pin.py: a tag without a digest goes unnoticed"
    folder = K8S / "overlays" / "production"
    with tempfile.TemporaryDirectory() as copy_of:
        shutil.copytree(K8S, Path(copy_of) / "k8s")
        file = Path(copy_of) / "k8s" / folder.relative_to(K8S) / "kustomization.yaml"
        file.write_text(pinned(file.read_text(), f"registry.example.com:5000/team/watchbell@{DIGEST}"))
        for open_one in without_digest(render(file.parent)):
            yield f"release/pin.py: leaves {open_one}"
    for image in ["watchbell:0.1.0", "watchbell@sha256:0", f"watchbell@{DIGEST}0", f"-x@{DIGEST}", f"a b@{DIGEST}"]:
        try:
            pinned((folder / "kustomization.yaml").read_text(), image)
            yield f"release/pin.py: takes {image} for an image with a digest"
        except ValueError:
            pass
