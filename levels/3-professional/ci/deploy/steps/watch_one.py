"""Once the release before is gone, Prometheus watches the new one alone."""

from deploy import monitoring
from deploy.pipeline import Deploy, Step
from deploy.shell import Stop


def one(deploy: Deploy) -> None:
    """Have Prometheus watch the release alone. That it can't is told, and changes nothing."""
    try:
        if monitoring.is_there(deploy.host):
            monitoring.watch(deploy.target, [deploy.release])
    except Stop as stop:
        print(f"the release before is watched on: {stop}", flush=True)


def step() -> Step:
    """Return the step."""
    return Step("watch-one", "have Prometheus watch it alone", one, after="drain")
