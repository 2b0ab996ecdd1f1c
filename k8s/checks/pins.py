"""release/pin.py finds every image without a digest, gives each of ours one, and takes nothing else for a digest. It knows each image
of others that Compose runs and builds with."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from render import render

from .objects import K8S, ROOT, containers, our_pods

sys.path.insert(0, str(ROOT / "release"))
import pin
from pin import others, pinned, without_digest

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

    yield from of_others()


def of_others():
    compose, dockerfile = [(ROOT / name).read_text() for name in ("docker-compose.yml", "Dockerfile")]
    named = others(compose)
    run = re.findall(r"^    image: (?!watchbell$)(.*)$", compose, re.MULTILINE)
    built_with = dict(re.findall(r"^ARG ([A-Z]+_IMAGE)=(.*)$", dockerfile, re.MULTILINE))
    for image in run:
        if not pin.OTHERS.fullmatch(image):
            yield f"docker-compose.yml: {image} cannot be pinned"
    if re.search(r"^FROM (?!\$\{[A-Z]+_IMAGE\})", dockerfile, re.MULTILINE):
        yield "Dockerfile: an image that it is built with cannot be pinned"
    for argument, tag in built_with.items():
        if named.get(f"WATCHBELL_{argument}") != tag:
            yield f"docker-compose.yml does not hand on {argument}, or names another tag than {tag}"
    with tempfile.TemporaryDirectory() as folder:
        docker = Path(folder) / "docker"
        docker.write_text(f'#!/bin/sh\n[ "$1" = pull ] || echo "${{5%%:*}}@{DIGEST}"\n')
        docker.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{before}"
        try:
            for tag in named.values():
                if pin.digest_of(tag) != f"{tag.split(':')[0]}@{DIGEST}":
                    yield f"release/pin.py: does not find the digest of {tag}"
        finally:
            os.environ["PATH"] = before
