"""Every object fits Kubernetes' own schema, of the oldest and the newest version that we run on."""

import kubernetes_validate

from .objects import Planted, name_of

# Native sidecars (overlay local) came with 1.29.
VERSIONS = ["1.29", "1.37"]


def check(items):
    for item in items:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except Exception as error:
                where = "/".join(map(str, getattr(error, "path", [])))
                yield f"{name_of(item)}: Kubernetes {version}: {where}: {getattr(error, 'message', error)}"


PLANTED = [
    Planted("a misspelt field", lambda s: s.pod().update(terminationGraceSeconds=45), "terminationGraceSeconds"),
    Planted("a wrong type", lambda s: s.container().update(args="run"), "args"),
]
