"""Checks the deployment files; check.sh gives it its libraries.

For every overlay, and for production with each component: it renders, as kubectl does where kubectl is, and holds each set of
rules in `checks/`. The Helm chart renders the same. The compose files fit their specification, and each fleet that they make
holds the rules in `checks/compose.py`. Each rule has a fault planted that it must find, at every run.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import rules
from checks import (
    compose,
    exposure,
    kustomize,
    monitoring,
    network,
    pins,
    pods,
    references,
    rolls,
    scaling,
    schema,
    secrets,
    variants,
)
from checks.objects import K8S, Sample
from render import render

RULES = [pods, references, network, secrets, scaling, exposure, monitoring, schema]


def findings(place, items):
    return [f"{place}: {finding}" for subject in RULES for finding in subject.check(items)]


def unnoticed(items):
    """Planted faults that the rules for them did not find."""
    for subject in RULES:
        for fault in subject.PLANTED:
            sample = Sample(items)
            fault.change(sample)
            if not any(fault.finding in found for found in subject.check(sample.items)):
                yield f"{subject.__name__}: {fault.why} goes unnoticed"


def check_kustomize():
    """What is wrong with any of what kustomize renders; each rendering is told in a line."""
    with variants.folders() as folders:
        for place, folder in folders:
            items = json.loads(json.dumps(render(folder)))
            yield from findings(place, items)
            yield from (f"{place}: {what}" for what in kustomize.differences(folder, items))
            print(f"{place}: {len(items)} objects")
    print("compared with kubectl" if kustomize.kubectl() else "kubectl is not here: rendered by render.py alone")


def tell_of_rules():
    if rules.groups() and not rules.is_written():
        print("monitoring/rules is not in the PrometheusRule yet: run python3 k8s/rules.py")


def check_chart():
    """What is wrong with the Helm chart."""
    if find_spec("helm_python") is None:
        print("Helm's library is not here: the chart was not rendered")
        return
    from checks import chart

    yield from (f"k8s/chart: {what}" for what in chart.check(lambda items: findings("with values", items)))
    print("k8s/chart: rendered by Helm, and compared with kustomize")


def check_compose(compose_schema):
    specification = json.loads(Path(compose_schema).read_text())
    for files in compose.FLEETS:
        fleet = compose.read(files)
        yield from (f"{files[-1]}: {finding}" for finding in compose.check_file(files[-1], specification))
        yield from (f"{files[-1]}: {finding}" for finding in compose.check(fleet))
        print(f"{' with '.join(files)}: {len(fleet['services'])} services")
    yield from compose.unnoticed(specification)


def main(compose_schema):
    production = render(K8S / "overlays" / "production")
    tell_of_rules()
    problems = [*check_kustomize(), *unnoticed(production), *pins.check(production)]
    problems += [*rolls.check(production), *rules.stale(rules.expected())]
    problems += [*check_chart(), *check_compose(compose_schema)]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main(sys.argv[1])
