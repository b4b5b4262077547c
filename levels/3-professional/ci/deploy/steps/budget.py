"""An exhausted error budget holds a deploy up, in every environment but the first: its Prometheus is asked."""

import json
import urllib.parse
import urllib.request

import prometheus
import uv

from .. import promotion
from ..pipeline import Deploy, Step
from ..shell import Stop

# What is left of each budget that says something: watched for a day, and with room for one request that fails.
QUERY = """service:slo_budget_left:ratio{%(where)s}
and on (service) min_over_time((time() + 0 * group by (service) (up{job="services",%(where)s}))[30d:5m]) < time() - 86400
and on (service, slo) (1 - service:slo_objective:ratio{%(rules)s}) * on (service) group_left ()
  avg_over_time(service:requests:rate5m{%(where)s}[30d]) * on (service) group_left ()
  (time() - min_over_time((time() + 0 * group by (service) (up{job="services",%(where)s}))[30d:5m])) >= 1"""


def left(deploy: Deploy) -> dict[str, float]:
    """Return what is left of each budget of the environment, as a share. Raises Stop, OSError, ValueError."""
    project, environment = uv.PROJECT["project"], deploy.release.environment
    where = f'project="{project}",environment="{environment}"'
    query = QUERY % {"where": where, "rules": f'project=~"{project}|",environment=~"{environment}|"'}
    with prometheus.address(deploy.settings, deploy.host) as url:
        asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(asked, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
    return {f"{one['metric']['service']} {one['metric']['slo']}": float(one["value"][1]) for one in found}


def look(deploy: Deploy) -> None:
    """Hold the deploy up where a budget is exhausted; note where none is known, and go on. Raises Held, Stop."""
    if deploy.release.environment not in promotion.ENVIRONMENTS[1:]:
        return
    why = "no rules, less than a day of data, or too few requests"
    try:
        budgets = left(deploy)
    except (Stop, OSError, ValueError, LookupError, TypeError) as error:
        budgets, why = {}, f"its Prometheus can't be asked: {getattr(error, 'reason', error)}"
    if used := [f"{name} {share:.1%}" for name, share in sorted(budgets.items()) if share < 1e-9]:
        promotion.hold(deploy, f"the error budget of 30 days is exhausted ({', '.join(used)} is left)")
    elif budgets:
        print(f"left of the error budgets: {', '.join(f'{name} {share:.1%}' for name, share in budgets.items())}")
    else:
        note = f"error budget unknown: {why}"
        deploy.note = "; ".join(filter(None, [deploy.note, note]))
        print(note, flush=True)


def step() -> Step:
    """Return the step, which comes before anything that runs is touched."""
    return Step("budget", "look what is left of the error budget", look, only="deploy", after="settle")
