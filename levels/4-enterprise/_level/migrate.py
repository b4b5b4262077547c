"""Level 4: config/variants.json, which version 0.1.0 had, becomes a part of config/experiments.yml."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLD, NEW = "config/variants.json", "config/experiments.yml"
ONE = """
  {name}: # from {old}; it doesn't run until it is planned and started
    hypothesis: "what is it to show?"
    owner: nobody yet
    flag: {name}
    unit: user
    variants: {variants}
    control: {control}
"""


def stay(project: Path) -> Iterator[str]:
    """Write a person's own experiments into the new file. Yields lines: what became of them, what has to be done."""
    shown = ["git", "show", f"HEAD:./{OLD}"]
    before = subprocess.run(shown, cwd=project, capture_output=True, check=False)
    has = subprocess.run(["git", "cat-file", "-e", f"HEAD:./{NEW}"], cwd=project, capture_output=True, check=False)
    if before.returncode or not has.returncode:
        return
    yield from uses(project)
    file = project / NEW
    try:
        told = json.loads(before.stdout)["experiments"]
        old = file.read_text(encoding="utf-8")
        mine = {name: one for name, one in told.items() if f"\n  {name}:" not in old}  # not the example, nor twice
        text = "".join(converted(name, one) for name, one in mine.items())
        if not text:
            return
        file.write_text(old.rstrip("\n") + "\n" + text, encoding="utf-8")
        yield f"{NEW} has the experiments of {OLD}: say what each shall show, plan it, start it; docs/experiments.md"
    except (ValueError, LookupError, AttributeError, TypeError, OSError):
        yield f"{OLD} couldn't be read: `git show HEAD:{OLD}` has it; write its experiments into {NEW}"
    if (project / OLD).exists():
        yield f"{OLD} is read by nothing any more: delete it once {NEW} is right"


def uses(project: Path) -> Iterator[str]:
    """Yield a line for each place in the code that asks for variants as before."""
    asked = subprocess.run(
        ["git", "grep", "-n", "-F", "-e", '["variants"]', "-e", "['variants']", "--", "*.py", ":!runtime", ":!tests"],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in asked.stdout.splitlines():
        place = ":".join(line.split(":")[:2])
        yield f"{place}: assign(…) is gone: `from runtime.experiments import variant`, variant(…) takes the same two"


enter = stay  # what an earlier time at this level left


def converted(name: str, one: dict[str, object]) -> str:
    """Return an experiment as it stands in the new file; weights that aren't whole are multiplied until they are."""
    weights = one["weights"]
    assert isinstance(weights, dict)
    times = 1 if all(weight == int(weight) for weight in weights.values()) else 1000
    variants = {variant.lower(): round(weight * times) for variant, weight in weights.items()}
    control = str(one["control"]).lower()
    return ONE.format(name=name, old=OLD, variants=json.dumps(variants), control=json.dumps(control))
