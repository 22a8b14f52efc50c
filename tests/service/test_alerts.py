"""The alert rules and the dashboard, as Prometheus itself reads them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from actors import ROOT
from prometheus_client import CollectorRegistry
from tools import required_or_skip

from vton import metrics
from vton.operations.exposition import Gauges
from vton.operations.model import DatabaseOverview, Overview, QueueOverview

DEPLOY = ROOT / "docs" / "deploy"
ALERTS = DEPLOY / "alerts.yml"
TESTS = Path(__file__).parent / "alerts_test.yml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


def promtool(*arguments: str) -> None:
    """Run promtool, which comes with Prometheus."""
    tool = shutil.which("promtool") or required_or_skip("promtool is not installed")
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> list[str]:
    """All that the dashboard asks."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def known() -> set[str]:
    """The names of all samples that a scrape may show."""
    database = DatabaseOverview(0, 0, 0, 0, {}, 0, 2, "17")
    queue = QueueOverview(0, [], False, 0, 0, "", 0, 0, "")
    overview = Overview(database, queue, None, 0, "1", None)  # type: ignore[arg-type]
    names = {one.name for gauge in Gauges(overview).collect() for one in gauge.samples}
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    registry: CollectorRegistry = metrics.registry
    return names | {
        metric.name + ending for metric in registry.collect() for ending in endings[metric.type]
    }


def test_prometheus_takes_the_alerts() -> None:
    promtool("check", "rules", str(ALERTS))


def test_alerts_are_raised_when_they_should_be(tmp_path: Path) -> None:
    tests = tmp_path / "tests.yml"
    tests.write_text(TESTS.read_text().replace("ALERTS", str(ALERTS)))

    promtool("test", "rules", str(tests))


def test_prometheus_takes_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [{"record": f"asked_{n}", "expr": expr} for n, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))

    promtool("check", "rules", str(file))


@pytest.mark.parametrize("expression", [*expressions(), *(rule["expr"] for rule in RULES)])
def test_only_what_is_shown_is_asked_for(expression: str) -> None:
    assert set(re.findall(r"\bvton_\w+", expression)) <= known()
