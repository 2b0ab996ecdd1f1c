"""Checks the deployment files; check.sh gives it its libraries.

For every overlay: it renders, as kubectl does where kubectl is, and holds each set of rules in `checks/`. For
docker-compose.yml: it fits the compose specification and its references resolve. Each rule has a fault planted that it
must find, at every run.
"""

import json
import sys
from pathlib import Path

import yaml

from checks import compose, kustomize, network, pins, pods, references, schema
from checks.objects import K8S, ROOT, Sample
from render import render

RULES = [pods, references, network, schema]


def findings(place, items):
    return [f"{place} {finding}" for rules in RULES for finding in rules.check(items)]


def unnoticed(items):
    """Planted faults that the rules for them did not find."""
    for rules in RULES:
        for fault in rules.PLANTED:
            sample = Sample(items)
            fault.change(sample)
            if not any(fault.finding in found for found in rules.check(sample.items)):
                yield f"{rules.__name__}: {fault.why} goes unnoticed"


def main(compose_schema):
    problems, compared = [], False
    for overlay in sorted((K8S / "overlays").iterdir()):
        place = f"k8s/overlays/{overlay.name}"
        items = json.loads(json.dumps(render(overlay)))
        problems += findings(place, items)
        differs = kustomize.differences(overlay, items)
        compared = differs is not None
        problems += [f"{place} {what}" for what in differs or []]
        print(f"{place}: {len(items)} objects")
    problems += unnoticed(items)
    problems += pins.check(items)
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    specification = json.loads(Path(compose_schema).read_text())
    problems += [f"docker-compose.yml: {finding}" for finding in compose.check(file, specification)]
    problems += compose.unnoticed(file, specification)
    print(f"docker-compose.yml: {len(file['services'])} services")
    print("rendered as kubectl does" if compared else "kubectl is not here: rendered by render.py alone")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main(sys.argv[1])
