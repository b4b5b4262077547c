"""An image that somebody else has put into the registry is refused before it is started in production: by cosign, as
Debian has it, on a real engine and registry.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.debian import unpacked
from tests.support.deployed import Shop
from tests.support.engine import Target
from tests.support.projects import Project
from tests.support.proofs import session_caches

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]


def test_only_images_that_the_workflow_has_signed_are_started_in_production(
    target: Target, template: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bin = unpacked(session_caches(tmp_path_factory), "cosign", ["cosign"]) / "usr/bin"
    target.clear()
    target.engine.traefik("traefik:v3.7")
    shop = Shop(Project(tmp_path / "shop", template), target, ["api"], small=["api"])
    shop.environment("production")
    shop.project.move(3)
    subprocess.run(
        [bin / "cosign", "generate-key-pair"], cwd=tmp_path, env={"COSIGN_PASSWORD": "x"}, check=True
    )
    path = {"PATH": f"{bin}:{shop.variables()['PATH']}"}
    key = {**path, "COSIGN_PASSWORD": "x", "COSIGN_PRIVATE_KEY": (tmp_path / "cosign.key").read_text()}

    # Before it is set up, a deploy says that nobody looked.
    unsigned = shop.build("before there is a key")
    said = shop.make("deploy", "ENV=production", f"VERSION={unsigned}")
    assert "Nobody looked who built these images: config/cosign.pub isn't there" in said
    shop.runs(1, unsigned, "production")

    shop.project.write("config/cosign.pub", (tmp_path / "cosign.pub").read_text())
    good = shop.build("with a key")
    said = shop.make("deploy", "ENV=production", f"VERSION={good}", code=1, **path)
    assert "signatures failed: api: " in said and "was not signed by the key of config/cosign.pub" in said
    shop.runs(1, unsigned, "production")
    assert "COSIGN_PRIVATE_KEY is empty" in shop.make("sign", code=2, **path)
    assert re.search(r"^api: sha256:[0-9a-f]{64} is signed$", shop.make("sign", **key), re.MULTILINE)
    shop.make("deploy", "ENV=production", f"VERSION={good}", **path)
    shop.runs(shop.ask(environment="production")[0], good, "production")

    # Somebody else's image under the name and the tag of a version that was signed.
    image = f"{target.registry.name}/me/shop/api:{good}"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nLABEL mine=yes\n")
    target.engine.docker("build", "--tag", image, str(tmp_path))
    target.engine.docker("push", image)
    number = shop.ask(environment="production")[0]
    said = shop.make("deploy", "ENV=production", f"VERSION={good}", code=1, **path)
    assert "it may be another image" in said and "ready: " not in said
    shop.runs(number, good, "production")
    # The first environment gets what the same run has built.
    shop.make("deploy", "ENV=staging", f"VERSION={unsigned}", **path)
    assert "cosign is not installed" in shop.make("deploy", "ENV=production", f"VERSION={unsigned}", code=1)
