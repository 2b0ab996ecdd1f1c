"""What is rendered and checked: each overlay, production with each component, and production with most of them at once."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .objects import K8S

# What goes together: another ingress, or a gateway, takes the place of this one.
TOGETHER = ["bounces", "ingress-nginx", "jwks", "keda", "monitoring", "sessions", "tracing"]


def overlays():
    return sorted(folder.name for folder in (K8S / "overlays").iterdir())


def components():
    return sorted(folder.name for folder in (K8S / "components").iterdir())


@contextmanager
def folders():
    """The place and the folder of each, while the folders are there."""
    with tempfile.TemporaryDirectory() as scratch:
        found = [(f"k8s/overlays/{name}", K8S / "overlays" / name) for name in overlays()]
        found += [(f"production with {name}", production_with(scratch, name, [name])) for name in components()]
        yield [*found, ("production with all", production_with(scratch, "all", TOGETHER))]


@contextmanager
def folder(named):
    """Production with these components."""
    with tempfile.TemporaryDirectory() as scratch:
        yield production_with(scratch, "production", named)


def production_with(scratch, name, named):
    folder = Path(scratch).resolve() / name
    folder.mkdir()
    to_k8s = os.path.relpath(K8S, folder)
    lines = ["resources:", f"  - {to_k8s}/overlays/production"]
    if named:
        lines += ["components:", *(f"  - {to_k8s}/components/{component}" for component in named)]
    lines += ["namespace: watchbell", "labels:", "  - pairs: {app.kubernetes.io/part-of: watchbell}"]
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return folder
