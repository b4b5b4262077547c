"""While two releases run, Prometheus watches both; where the host has no monitoring, there is nothing to do."""

from deploy import monitoring
from deploy.pipeline import Deploy, Step
from deploy.shell import Stop


def both(deploy: Deploy) -> None:
    """Have Prometheus watch the new release too. That it can't is told, and is no reason to go back."""
    try:
        if monitoring.is_there(deploy.host):
            monitoring.watch(deploy.target, [deploy.release, *([deploy.before] if deploy.before else [])])
    except Stop as stop:
        print(f"not watched: {stop}", flush=True)


def step() -> Step:
    """Return the step."""
    return Step("watch", "have Prometheus watch it, where there is one", both, after="traffic")
