"""Builds: the image of each service, made once for a commit, and used by its digest everywhere.

A build knows no environment. Its name is the registry's, the repository's and the service's; its tag is the
commit, which is how its digest is found again.
"""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import flags
import uv

from . import source
from .shell import Stop, by_workflow, run

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Build:
    """The image of one service, which is web or worker: its name, the commit that it was made from, its digest."""

    service: str
    kind: str
    image: str
    version: str
    digest: str

    @property
    def reference(self) -> str:
        """Return what docker pulls: this very image, whatever its tag names later."""
        return f"{self.image}@{self.digest}"


def image(service: str) -> str:
    """Return the name of a service's image. Raises Stop when nobody said where the repository stands."""
    repository = uv.PROJECT["repository"] or os.environ.get("GITHUB_REPOSITORY", "")
    if not repository:
        how = f"{uv.MAKE} set repository=owner/name"
        raise Stop(f"images are named after the repository, which is empty: {how}")
    return f"{uv.PROJECT['image_registry']}/{repository.lower()}/{service}"


def make(environment: str, dry_run: bool = False) -> None:
    """Build and push each service's image; for an environment only if a workflow may deploy to it.

    What is in the registry for this commit is not built again. A workflow's later jobs get the digests as the
    output `builds`. Raises Stop.
    """
    if flags.off("staging_deployment", environment, f"the deployment to {environment}"):
        return
    if environment and not source.may_go_on(environment, "deploy"):
        return
    if source.git("status", "--porcelain").stdout and not dry_run:
        raise Stop("there are changes that are not committed: an image is tagged with its commit")
    version, made = source.commit(), {}
    for service in uv.SERVICES:
        name = image(service["name"])
        command = build_command(service, name, version)
        if dry_run:
            print("would run: " + " ".join(command))
        elif found := digest(name, version):
            print(f"{service['name']}: {version} is in the registry already, as {found}")
            made[service["name"]] = found
        else:
            made[service["name"]] = build(command)
            print(f"{service['name']}: {version} is {made[service['name']]}")
    if environment:
        source.may_go_on(environment, "deploy")  # asked again, because a build takes its time
    if path := os.environ.get("GITHUB_OUTPUT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"builds={json.dumps(made)}\n")


def build_command(service: dict[str, str], name: str, version: str) -> list[str]:
    """Return the command that builds and pushes one image, with labels, and its origin where docker can."""
    # A service with a Dockerfile of its own is built from its folder.
    own = (uv.ROOT / service["path"] / "Dockerfile").is_file()
    # Two services from before may share a folder, and all of it is in the image.
    said = service["name" if uv.PROJECT["theirs"] else "path"]
    what = [service["path"]] if own else ["--build-arg", f"SERVICE={said}", "."]
    command = ["docker", "buildx", "build", "--push", "--tag", f"{name}:{version}"]
    origin = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{uv.PROJECT['repository']}"
    for label, value in (("revision", version), ("source", origin), ("title", service["name"])):
        command += ["--label", f"org.opencontainers.image.{label}={value}"]
    command += ["--metadata-file", "METADATA"]
    if by_workflow():
        # A builder of its own, which the workflow sets up, can do what docker's plain one can't: a cache in
        # the registry, a list of what is in the image (SBOM), and how it was built (provenance).
        command += ["--cache-from", f"type=registry,ref={name}:cache"]
        command += ["--cache-to", f"type=registry,ref={name}:cache,mode=max,ignore-error=true"]
        command += ["--sbom=true", "--provenance=mode=max"]
    return [*command, *what]


def build(command: list[str]) -> str:
    """Build and push an image; return its digest. Raises Stop."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "metadata.json")
        run([str(file) if word == "METADATA" else word for word in command])
        found = json.loads(file.read_text(encoding="utf-8")).get("containerimage.digest", "")
    if not DIGEST.fullmatch(found):
        raise Stop(f"docker buildx gave no digest of what it pushed, but {found!r}", 1)
    return str(found)


def digest(name: str, version: str) -> str:
    """Return the digest of an image in the registry; nothing where it isn't there. Raises Stop."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", f"{name}:{version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError as error:
        raise Stop("docker is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Stop(f"the registry didn't answer within two minutes about {name}", 1) from error
    if done.returncode == 0:
        return str(json.loads(done.stdout)["digest"])
    said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if re.search(r"not found|manifest unknown|name unknown", said, re.IGNORECASE):
        return ""
    raise Stop(f"what the registry has of {name}:{version} can't be told: {said}", 1)


def of(version: str) -> list[Build]:
    """Return the builds of a version: those that the workflow's job made, or those in the registry. Raises Stop."""
    # Those of the workflow are of the commit that it checked out.
    given = os.environ.get("DEPLOY_BUILDS", "") if version == source.commit() else ""
    try:
        told = json.loads(given) if given else {}
    except ValueError:
        told = None
    if not isinstance(told, dict) or not all(DIGEST.fullmatch(str(one)) for one in told.values()):
        raise Stop("DEPLOY_BUILDS: expected JSON, a digest for each service, as the job `images` writes it")
    builds = []
    for service in uv.SERVICES:
        name = image(service["name"])
        found = str(told.get(service["name"], "")) or digest(name, version)
        if not found:
            how = f"`{uv.MAKE} images` builds and pushes that of this commit"
            raise Stop(f"the registry has no image {name}:{version}: {how}", 1)
        builds.append(Build(service["name"], service["kind"], name, version, found))
    return builds
