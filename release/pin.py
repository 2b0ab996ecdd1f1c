#!/usr/bin/env python3
"""Pins the image of the overlay `production` to the digest that a registry gave it.

    release/pin.py registry.example.com/watchbell@sha256:…   writes the digest, and checks
    release/pin.py --check                                   only checks
    release/pin.py --others >> .env                          pins the images of others that docker-compose.yml runs and builds with

A tag can be moved to another image; a digest cannot. What `docker push` or `docker buildx imagetools inspect` prints is
the digest. The check renders the overlay and fails for each container whose image has none, so a release does not begin
with a tag. It needs PyYAML, as k8s/check.sh installs it. `--others` pulls each image by its tag, and needs Docker alone.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OVERLAY = ROOT / "k8s" / "overlays" / "production"
sys.path.insert(0, str(ROOT / "k8s"))

IMAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9.:/_-]*)@(?P<digest>sha256:[0-9a-f]{64})")
ENTRY = re.compile(r"^images:\n  - name: watchbell\n(?:    .*\n)*", re.MULTILINE)


OTHERS = re.compile(r"\$\{(WATCHBELL_[A-Z]+_IMAGE):-([^}]+)\}")


def others(compose):
    """The variable and the tag of each image of others that the file names, once."""
    return dict(OTHERS.findall(compose))


def digest_of(tag):
    """The image that the tag is today, by its digest."""
    subprocess.run(["docker", "pull", "--quiet", tag], check=True, stdout=subprocess.DEVNULL)
    asked = ["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", tag]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    if not IMAGE.fullmatch(found):
        raise ValueError(f"docker knows no digest of {tag}: {found!r}")
    return found


def pinned(text, image):
    """The kustomization with this image in place of the one it named."""
    found = IMAGE.fullmatch(image)
    if not found:
        raise ValueError(f"{image} is no NAME@sha256:DIGEST with 64 hexadecimal digits")
    entry = f"images:\n  - name: watchbell\n    newName: {found['name']}\n    digest: {found['digest']}\n"
    changed, number = ENTRY.subn(entry, text)
    if number != 1:
        raise ValueError("the kustomization has no entry of the image `watchbell`")
    return changed


def without_digest(items):
    """Containers whose image may be another one tomorrow."""
    for item in items:
        pod = item.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("initContainers", []) + pod.get("containers", []):
            if not IMAGE.fullmatch(container["image"]):
                yield f"{item['kind']}/{item['metadata']['name']}: {container['name']} runs {container['image']}"


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    if arguments == ["--others"]:
        named = others((ROOT / "docker-compose.yml").read_text())
        try:
            # All or none: half of them would be taken for all.
            found = {variable: digest_of(tag) for variable, tag in named.items()}
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            sys.exit(f"pin.py: no digests: {error}")
        for variable, image in found.items():
            print(f"{variable}={image}")
        return
    if arguments != ["--check"]:
        file = OVERLAY / "kustomization.yaml"
        try:
            file.write_text(pinned(file.read_text(), arguments[0]))
        except ValueError as error:
            sys.exit(f"pin.py: {error}")
    from render import render

    if open_ones := list(without_digest(render(OVERLAY))):
        sys.exit("Images without a digest:\n" + "\n".join(open_ones) + "\nrelease/pin.py IMAGE@sha256:DIGEST pins them.")
    print("Every image of the overlay production has a digest.")


if __name__ == "__main__":
    main(sys.argv[1:])
