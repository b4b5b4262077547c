"""Edits such as people make, one in every file where a person would make one."""

from __future__ import annotations

from tests.support.projects import Project

# (path, the text it goes behind or takes the place of, what stands there afterwards)
EDITS = [
    (
        "pyproject.toml",
        "    # Yours, below.\n]\n\n[dependency-groups]\n",
        '    # Yours, below.\n    "requests>=2.32,<3",\n]\n\n[dependency-groups]\n',
    ),
    (
        ".github/workflows/quality.yml",
        "  # Your jobs, below.\n",
        "{0}  mine:\n    name: mine\n    runs-on: ubuntu-24.04\n    steps:\n      - run: make mine\n",
    ),
    (
        "services/api/app.py",
        "def json_error(",
        '@prices.get("/mine")\ndef mine() -> ResponseReturnValue:\n    return {{"mine": True}}\n\n\n{0}',
    ),
    ("config/evolution.yml", "target_level: next\n", "target_level: 4\n"),
    ("config/evolution.yml", "  monitoring: false\n", "  monitoring: true\n"),
    ("config/evolution.yml", "when_team_size > 2 ", "when_team_size > 5 "),
    ("config/evolution.yml", "  uptime_requirement: null", "  uptime_requirement: 99.5%"),
    (
        "config/feature-flags.yml",
        "  # Yours, below.\n",
        '{0}  dark_mode:\n    enabled: true\n    description: "Dark pages"\n',
    ),
    (
        "config/feature-flags.yml",
        "      staging_deployment: true\n      monitoring_dashboards: true\n",
        "{0}      a_b_testing: true\n",
    ),
    ("README.md", "Write it here: nothing below this heading is touched.\n", "The shop sells. Ask Ada.\n"),
    ("Makefile", "# Your targets, below.\n", "{0}\nmine:\n\techo mine\n"),
    (".gitignore", "# Yours, below.\n", "{0}/exports/\n"),
    ("Dockerfile", "EXPOSE 8000\n", "{0}LABEL team=shop\n"),
    (".dockerignore", None, "/exports/\n"),
    (
        ".github/dependabot.yml",
        "  # Yours, below.\n",
        "{0}  - package-ecosystem: npm\n    directory: /web\n    schedule:\n      interval: weekly\n",
    ),
    (".github/pull_request_template.md", None, "\n- [ ] The shop still sells\n"),
    ("config/local.env.template", None, "SHOP_NAME=\n"),
    ("docs/branches.md", None, "\nOn Fridays nobody merges.\n"),
    ("docs/deployment.md", None, "\nThe machine is called shop-1.\n"),
    ("tests/unit/api/test_api_app.py", None, "\n\ndef test_mine() -> None:\n    assert True is not False\n"),
    ("services/serving.py", None, '\nMINE = "mine"\n'),
    # Files of higher levels
    (
        ".github/workflows/staging-deploy.yml",
        "  not-set-up:\n",
        "  mine:\n    name: mine\n    runs-on: ubuntu-24.04\n    steps:\n      - run: make mine\n\n{0}",
    ),
    ("config/staging.env.template", None, "SHOP_NAME=\n"),
    ("docs/staging.md", None, "\nStaging is reset on Mondays.\n"),
    ("config/deploy.toml", "seconds = 60 ", "seconds = 30 "),
    ("tests/smoke/test_smoke.py", None, "\n\ndef test_mine(ask):\n    assert ask('api', '/')[0] == 404\n"),
    (".github/workflows/security.yml", None, "\n# Ada looks after this.\n"),
    ("config/security-exceptions.txt", None, "PYSEC-2024-1 2099-01-31 not reached by us\n"),
    ("config/security.toml", None, 'Permissions-Policy = "camera=()"\n'),
    ("SECURITY.md", None, "\nOr ask Ada.\n"),
    ("docs/security.md", None, "\nAda looks after this.\n"),
    ("config/experiments.yml", None, "\n# Ask Ada.\n"),
    ("docs/experiments.md", None, "\nAsk Ada before you start one.\n"),
]


def edit(project: Project) -> list[str]:
    """Make every edit whose file is there. Returns the paths of the changed files.

    Raises AssertionError where an edit finds no place.
    """
    paths = []
    for path, place, text in EDITS:
        if not (project.folder / path).is_file():
            continue
        if place is None:
            project.write(path, project.read(path) + text)
        else:
            project.replace(path, place, text.format(place))
        paths.append(path)
    return sorted(set(paths))
