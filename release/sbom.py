#!/usr/bin/env python3
"""Writes what is in the binary `watchbell` as a software bill of materials: CycloneDX 1.6, as JSON.

    release/sbom.py > watchbell.cdx.json

It is made of what cargo itself says: `cargo metadata` for the packages that the binary is built from (its ordinary and
its build dependencies on the systems we ship on, no tools of the tests), and `Cargo.lock` for their SHA-256. Nothing is
fetched, and the same sources give the same bytes. The pages that are compiled in have no dependencies of their own.

With `--check` it writes nothing, and fails unless every package has a version, a license and, where it comes from the
registry, a hash.
"""

import json
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As in deny.toml.
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
BINARY = "watchbell-fleet"
SPEC = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def metadata():
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    for target in TARGETS:
        command += ["--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def reached(resolve, start):
    """The packages that the binary is built from, and for each whom it needs."""
    nodes = {node["id"]: node for node in resolve["nodes"]}
    needs, waiting = {}, [start]
    while waiting:
        package = waiting.pop()
        if package in needs:
            continue
        needs[package] = sorted({dep["pkg"] for dep in nodes[package]["deps"] if is_built_in(dep)})
        waiting += needs[package]
    return needs


def is_built_in(dep):
    """Whether it is no tool of the tests."""
    return any(kind["kind"] in (None, "build") for kind in dep["dep_kinds"])


def component(package, hashes):
    name, version = package["name"], package["version"]
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": name,
        "version": version,
        "licenses": [{"expression": package["license"].replace("/", " OR ")}] if package.get("license") else [],
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if package.get("repository"):
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    if checksum := hashes.get((name, version)):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def reference(package):
    return f"{package['name']}@{package['version']}"


def bill():
    told = metadata()
    packages = {package["id"]: package for package in told["packages"]}
    binary = next(package for package in told["packages"] if package["name"] == BINARY)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    hashes = {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}
    needs = reached(told["resolve"], binary["id"])
    parts = sorted((packages[package] for package in needs if package != binary["id"]), key=reference)
    components = [component(package, hashes) for package in parts]
    content = json.dumps(components, sort_keys=True)
    return {
        "$schema": SPEC,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Follows from the content, so that the same sources have the same bill.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {**component(binary, hashes), "type": "application", "name": "watchbell"}},
        "components": components,
        "dependencies": [
            {"ref": reference(packages[package]), "dependsOn": [reference(packages[need]) for need in needs[package]]}
            for package in sorted(needs, key=lambda package: reference(packages[package]))
        ],
    }


def missing(made):
    """What a bill lacks, in sentences."""
    known = {part["bom-ref"] for part in made["components"]} | {made["metadata"]["component"]["bom-ref"]}
    for part in made["components"]:
        if not part["licenses"]:
            yield f"{part['bom-ref']} names no license"
        if not part.get("hashes") and not part["name"].startswith("watchbell"):
            yield f"{part['bom-ref']} has no hash in Cargo.lock"
    for entry in made["dependencies"]:
        for need in set(entry["dependsOn"]) - known:
            yield f"{entry['ref']} needs {need}, which is not in the bill"
    if len(made["components"]) < 100:
        yield f"only {len(made['components'])} packages were found"


def main(arguments):
    made = bill()
    if arguments == ["--check"]:
        if faults := list(missing(made)):
            sys.exit("\n".join(faults))
        print(f"{len(made['components'])} packages in the binary, each with its license and its hash")
    elif not arguments:
        json.dump(made, sys.stdout, indent=1)
        print()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
