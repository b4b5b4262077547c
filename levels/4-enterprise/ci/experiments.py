"""The target `experiments`: check config/variants.json, show the shares. Exit 0 when it is right, else 2."""

import importlib.util
import sys

import uv


def main() -> int:
    """Print each experiment with its shares; return the exit code."""
    # The reader of that file is the services' own.
    code = uv.ROOT / "runtime" / "variants.py"
    spec = importlib.util.spec_from_file_location("variants", code)
    if spec is None or spec.loader is None or not code.is_file():
        uv.fail(f"{code.relative_to(uv.ROOT)} is missing")
    variants = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(variants)
    try:
        config = variants.load(variants.config_file())
    except variants.VariantsError as error:
        uv.fail(str(error))
    for name, experiment in config["experiments"].items():
        whole = sum(experiment["weights"].values())
        shares = ", ".join(
            f"{variant} {weight / whole:.1%}" for variant, weight in experiment["weights"].items()
        )
        print(f"{name}: {shares} (control: {experiment['control']})")
    if not config["experiments"]:
        print("no experiments")
    return 0


if __name__ == "__main__":
    sys.exit(main())
