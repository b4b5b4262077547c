"""Each alert of the monitoring fires when it shall and not when it shan't, by promtool and with the real windows."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "levels/3-professional/monitoring/rules.yml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
# An availability of 99.9%, and 95% within half a second.
OBJECTIVES = {
    'slo="availability"': 0.999,
    'slo="latency",le="0.5"': 0.95,
}
COUNT = "http_server_request_duration_seconds_count"
BUCKET = "http_server_request_duration_seconds_bucket"
MINUTE, HOUR, DAY = 4, 240, 5760  # in samples, one each 15 seconds, as the services are scraped

Series = dict[str, str]
Labels = dict[str, str]
Found = dict[str, list[Labels]]


def where(service: str = "api") -> str:
    return f'project="shop",environment="staging",service="{service}"'


def target(service: str = "api", number: int = 1) -> str:
    return f'{where(service)},job="services",instance="{number}:9464"'


def counter(*parts: tuple[float, int]) -> str:
    """A counter that rises by so much each time, so many times, one part after the other."""
    value, said = 0.0, []
    for rise, times in parts:
        said.append(f"{value:g}+{rise:g}x{times - 1}" if times > 1 else f"{value:g}")
        value += rise * times
    return " ".join(said)


def web(service: str, *bad: tuple[float, int], slow: bool = False) -> Series:
    """A service with 600 requests a minute; these shares of them fail, or are slow, for so many samples."""
    every, status = 600 / MINUTE, "http_response_status_code"
    good = counter(*(((1 - share) * every, times) for share, times in bad))
    wrong = counter(*((share * every, times) for share, times in bad))
    whole = counter((every, sum(times for _, times in bad)))
    return {
        f"up{{{target(service)}}}": f"1x{sum(times for _, times in bad)}",
        f'{COUNT}{{{target(service)},{status}="200"}}': whole if slow else good,
        f'{COUNT}{{{target(service)},{status}="503"}}': "0" if slow else wrong,
        f'{BUCKET}{{{target(service)},le="0.5"}}': good if slow else whole,
        f'{BUCKET}{{{target(service)},le="1.0"}}': whole,
    }


def objectives(times: int, service: str = "api") -> Series:
    """What objectives.yml records."""
    return {
        f"service:slo_objective:ratio{{{where(service)},{one}}}": f"{value}x{times}"
        for one, value in OBJECTIVES.items()
    }


def firing(folder: Path, series: Series, *at: int) -> list[Found]:
    """The alerts that fire after so many samples, by name; DeadMansSwitch, which always does, aside.

    Raises AssertionError where promtool can't read the rules.
    """
    asked = [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{one * 15}s", "exp_samples": []} for one in at
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "15s", "input_series": inputs, "promql_expr_test": asked}
    whole = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(whole))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    told = re.findall(r"time: (\S+),\s+exp:.*\s+got:(.*)", done.stdout + done.stderr)
    assert len(told) == len(at), done.stdout + done.stderr
    times: list[Found] = []
    for _, line in told:
        times.append(found := {})
        for labels in re.findall(r'\{__name__="ALERTS", ([^}]*)\}', line):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            found.setdefault(named["alertname"], []).append(named)
        assert found.pop("DeadMansSwitch"), line
    return times


def pairs(found: Found, alert: str) -> list[tuple[str, str]]:
    """The services, and which of their objectives, that an alert is about."""
    return sorted((one["service"], one.get("slo", "")) for one in found.get(alert, []))


def test_errors_and_slowness_page_within_minutes_and_the_page_ends_with_them(tmp_path: Path) -> None:
    def minutes(count: int) -> int:
        return DAY + count * MINUTE

    series = {
        **web("errors", (0, DAY), (0.5, 20 * MINUTE), (0, HOUR)),
        **web("slow", (0, DAY), (0.9, HOUR), (0, 20 * MINUTE), slow=True),
        **web("blip", (0, DAY), (0.5, MINUTE), (0, 80 * MINUTE)),
    }
    for service in ("errors", "slow", "blip"):
        series |= objectives(minutes(80), service)
    times = [minutes(one) for one in (0, 1, 4, 19, 27, 54, 79)]
    before, early, page, lasts, over, slow, later = firing(tmp_path, series, *times)
    assert before == early == {}
    assert pairs(page, "ErrorBudgetBurnsFast") == [("errors", "availability")]
    assert {one["severity"] for one in page["ErrorBudgetBurnsFast"]} == {"page"}
    assert pairs(lasts, "ErrorBudgetBurnsFast") == [("errors", "availability")]
    # That of an hour still holds the errors, that of five minutes doesn't; that of half an hour has a factor of 6.
    assert pairs(over, "ErrorBudgetBurnsFast") == [("errors", "availability")]
    # 90% of the requests of 54 minutes are slow, where 5% may be.
    assert pairs(slow, "ErrorBudgetBurnsFast") == [("slow", "latency")]
    assert pairs(later, "ErrorBudgetBurnsFast") == []
    assert not any(
        "blip" in [service for service, _ in pairs(one, "ErrorBudgetBurnsFast")]
        for one in (early, page, later)
    )


# How long a share of requests fails, where 0.1% may; a day without a fault stands before. Which windows see it.
BURNS = {
    "just-below-an-hour": (0.0135, HOUR + 5 * MINUTE),
    "an-hour": (0.0155, HOUR + 5 * MINUTE),  # 14.4 in 1h and 5m
    "just-below-six-hours": (0.0057, 6 * HOUR + 5 * MINUTE),
    "six-hours": (0.0064, 6 * HOUR + 5 * MINUTE),  # 6 in 6h and 30m
    "just-below-a-day": (0.0028, 8 * HOUR),
    "a-day": (0.0034, DAY + 5 * MINUTE),  # 3 in 1d and 2h
    "three-days": (0.0011, 3 * DAY + 5 * MINUTE),  # 1 in 3d and 6h
    "less-than-may-fail": (0.0009, 3 * DAY + 5 * MINUTE),
}


def test_how_fast_a_budget_burns_decides_who_is_told(tmp_path: Path) -> None:
    end = 4 * DAY + 5 * MINUTE
    series: Series = {}
    for name, (share, times) in BURNS.items():
        series |= web(name, (0, end - times), (share, times)) | objectives(end, name)
    (found,) = firing(tmp_path, series, end - 1)
    paged = [service for service, _ in pairs(found, "ErrorBudgetBurnsFast")]
    told = [service for service, _ in pairs(found, "ErrorBudgetBurnsSlowly")]
    assert paged == ["an-hour", "six-hours"], found
    assert told == ["a-day", "three-days"], found


def test_a_budget_that_is_used_up_is_told_until_it_is_not(tmp_path: Path) -> None:
    """An hour in which a tenth fails is four times what may fail in a day, and half of what may in ten."""
    burst = ((0, HOUR), (0.024, HOUR))
    series = {**web("young", (0, 10 * HOUR), *burst, (0, 14 * HOUR)), **objectives(26 * HOUR, "young")}
    early, later = firing(tmp_path, series, 12 * HOUR, 26 * HOUR - 1)
    assert pairs(early, "ErrorBudgetExhausted") == [("young", "availability")]
    assert early["ErrorBudgetExhausted"][0]["severity"] == "ticket"
    assert pairs(later, "ErrorBudgetExhausted") == []


def test_a_service_that_is_gone_pages_and_uses_up_its_budget_though_nothing_counts_its_requests(
    tmp_path: Path,
) -> None:
    gone = 10 * MINUTE
    series = {}
    for name, value in web("api", (0, DAY)).items():
        series[name] = f"{value} 0x{gone - 1}" if name.startswith("up") else f"{value} stale"
    # The other one of two processes goes: the service is there.
    series |= {
        f"up{{{target('half', 1)}}}": f"1x{DAY} 0x{gone}",
        f"up{{{target('half', 2)}}}": f"1x{DAY + gone}",
    }
    series |= objectives(DAY + gone)
    before, short, found = firing(tmp_path, series, DAY, DAY + MINUTE, DAY + gone - 1)
    assert before == {} and "ServiceIsDown" not in short, short
    assert pairs(found, "ServiceIsDown") == [("api", "")] and found["ServiceIsDown"][0]["severity"] == "page"
    assert pairs(found, "ErrorBudgetBurnsFast") == [("api", "availability")]


def test_a_worker_is_held_to_the_jobs_that_fail(tmp_path: Path) -> None:
    def worker(name: str, share: float) -> Series:
        jobs = f"worker_jobs_total{{{target(name)},outcome="
        ok = counter((10, DAY), (10 * (1 - share), HOUR))
        return {
            f"up{{{target(name)}}}": f"1x{DAY + HOUR}",
            f'{jobs}"success"}}': ok,
            f'{jobs}"failure"}}': counter((0, DAY), (10 * share, HOUR)),
        }

    series = {**worker("fails", 0.2), **worker("works", 0.0002)}
    series |= objectives(DAY + HOUR, "fails") | objectives(DAY + HOUR, "works")
    (found,) = firing(tmp_path, series, DAY + HOUR - 1)
    assert pairs(found, "ErrorBudgetBurnsFast") == [("fails", "availability")]


# Every other alert: series in which it fires after so many minutes, and the same with one thing otherwise.
UP = {f"up{{{target()}}}": "1x200"}
EXPIRY = (
    'probe_ssl_earliest_cert_expiry{instance="https://shop.example.org",service="api",environment="staging"}'
)
CHECK = where() + ',check="database"'
DISK = '{device="/dev/sda1",mountpoint="/",fstype="ext4"}'
AVAIL, SIZE = f"node_filesystem_avail_bytes{DISK}", f"node_filesystem_size_bytes{DISK}"
OTHERS: dict[str, tuple[int, Series, Series]] = {
    "ServiceIsAbsent": (16, UP | objectives(200, "orders"), UP | objectives(200)),
    "NothingIsWatched": (31, {'up{job="prometheus"}': "1x200"}, UP),
    "MonitoringIsDown": (11, UP | {'up{job="node"}': "0x200"}, UP | {'up{job="node"}': "1x200"}),
    "ReadinessFails": (
        6,
        UP | {f"readiness_check_up{{{CHECK}}}": "0x200", f"readiness_check_required{{{CHECK}}}": "1x200"},
        UP | {f"readiness_check_up{{{CHECK}}}": "0x200", f"readiness_check_required{{{CHECK}}}": "0x200"},
    ),
    "AddressIsDown": (
        6,
        UP | {f'probe_success{{{where()},probe="address"}}': "0x200"},
        UP | {f'probe_success{{{where()},probe="readiness"}}': "0x200"},
    ),
    "WorkerStalls": (
        17,
        UP | {f"worker_heartbeat_timestamp_seconds{{{target()}}}": "60x200"},
        UP | {f"worker_heartbeat_timestamp_seconds{{{target()}}}": "240x200"},
    ),
    "CertificateExpires": (61, UP | {EXPIRY: f"{13 * 86400}x300"}, UP | {EXPIRY: f"{15 * 86400}x300"}),
    "ServiceRestarts": (
        10,
        UP | {f"process_start_time_seconds{{{target()}}}": "1x7 2x7 3x7 4x80"},
        UP | {f"process_start_time_seconds{{{target()}}}": "1x7 2x7 3x80"},
    ),
    "DiskFills": (31, UP | {AVAIL: "14x200", SIZE: "100x200"}, UP | {AVAIL: "16x200", SIZE: "100x200"}),
    "DiskIsFull": (6, UP | {AVAIL: "4x200", SIZE: "100x200"}, UP | {AVAIL: "6x200", SIZE: "100x200"}),
}


@pytest.mark.parametrize("alert", OTHERS)
def test_it_fires_and_it_does_not(tmp_path: Path, alert: str) -> None:
    minutes, fires, does_not = OTHERS[alert]
    # A pending alert is none yet.
    early, found = firing(tmp_path, fires, (minutes - 2) * MINUTE, minutes * MINUTE)
    assert alert in found and found[alert][0]["severity"] in ("page", "ticket"), found
    assert alert not in early or "for" not in ALERTS[alert], early
    (quiet,) = firing(tmp_path, does_not, minutes * MINUTE)
    assert alert not in quiet, quiet


def test_a_disk_that_will_be_full_in_a_day_is_told_while_there_is_time(tmp_path: Path) -> None:
    falls = {AVAIL: f"38-0.01x{8 * HOUR}", SIZE: f"100x{8 * HOUR}"}
    stays = {AVAIL: f"38x{8 * HOUR}", SIZE: f"100x{8 * HOUR}"}
    assert "DiskFills" in firing(tmp_path, UP | falls, 7 * HOUR)[0]
    assert "DiskFills" not in firing(tmp_path, UP | stays, 7 * HOUR)[0]


def test_each_alert_is_tried_and_says_what_to_do() -> None:
    text = Path(__file__).read_text()
    dashboards = (RULES.parent / "dashboards").glob("*.json")
    uids = {json.loads(file.read_text())["uid"] for file in dashboards}
    for name, rule in ALERTS.items():
        assert f'"{name}"' in text, f"{name} has no test"
        assert rule["labels"]["severity"] in ("page", "ticket", "heartbeat")
        assert {*rule["annotations"]} == {"summary", "runbook", "dashboard"}
        page, _, heading = rule["annotations"]["runbook"].partition("#")
        text_of = (RULES.parent.parent / f"{page}.jinja").read_text()
        assert f"## {name}\n" in text_of and heading == name.lower(), f"{name}: {page} has no such heading"
        uid = re.search(r"/d/([a-z-]+)", rule["annotations"]["dashboard"])
        assert uid and uid[1] in uids, name


def test_users_of_a_day_are_estimated_as_the_sketch_says(tmp_path: Path) -> None:
    """Two processes saw 3,000 users each, of which 1,000 are the same; and one saw 20."""

    def sketch(users: range) -> list[int]:
        registers = [0] * 256
        for user in users:
            digest = hashlib.sha256(str(user).encode()).digest()
            rank = 57 - int.from_bytes(digest[1:8], "big").bit_length()
            registers[digest[0]] = max(registers[digest[0]], rank)
        return registers

    series: Series = {}
    for service, number, users in (
        ("api", 1, range(3000)),
        ("api", 2, range(2000, 5000)),
        ("few", 1, range(20)),
    ):
        for register, rank in enumerate(sketch(users)):
            series[f'users_daily_sketch{{{target(service, number)},register="{register}"}}'] = f"{rank}x20"
    asked = [
        {
            "expr": f'service:users_daily:estimate{{service="{name}"}} > {low} < {high}',
            "eval_time": "4m",
            "exp_samples": [],
        }
        for name, low, high in (("api", 4350, 5650), ("few", 18, 22))
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "15s", "input_series": inputs, "promql_expr_test": asked}
    whole = {"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(whole))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout + done.stderr).count('got: {__name__="service:users_daily:estimate"') == 2, (
        done.stdout + done.stderr
    )
